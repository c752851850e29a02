"""How deep to tune: settings, what is said of them, and the figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.records import Record
from reports.figure_files import Drawing
from reports.questions.depth import Setting, depth_plans, depth_table, settings, similarity_frame
from reports.tables import results_frame
from tests.report import fake

SHARES = ("feature_extraction", "partial_finetune:unfreeze=0.5", "full_finetune")
DEEP = (*SHARES, "surgical:depth=0.0", "surgical:depth=0.25", "surgical:depth=1.0")
BLOCKS = 6


def spoiled(accuracy: dict[str, float], change: float) -> fake.Spoil:
    def spoil(record: Record) -> None:
        strategy, seed = record.cell["strategy"], record.cell["seed"]
        if strategy in accuracy:
            record.metrics["accuracy"] = accuracy[strategy] + 0.002 * (seed - 1)
        if strategy != "feature_extraction":
            record.similarity = [
                {"block": f"block_{i}", "depth": (i + 1) / BLOCKS, "cka": 1 - 2 * change * i / (BLOCKS - 1)}
                for i in range(BLOCKS)
            ]

    return spoil


def of(
    accuracy: dict[str, float], change: float, directory: Path | None = None, **options: object
) -> list[Setting]:
    records = fake.records(strategies=DEEP, spoil=spoiled(accuracy, change), **options)  # type: ignore[arg-type]
    return settings(results_frame(records), similarity_frame(records), directory, 0.01)


@pytest.mark.parametrize(
    ("deep", "change", "holds"),
    [(0.8, 0.4, "yes"), (0.8, 0.05, "no"), (0.6, 0.4, "no"), (0.6, 0.05, "yes"), (0.8, 0.2, "unclear")],
)
def test_whether_the_advice_holds(deep: float, change: float, holds: str) -> None:
    (setting,) = of({"feature_extraction": 0.6, "full_finetune": deep}, change, test=20_000)
    assert setting.deeper is not None
    assert np.isclose(setting.deeper.difference, deep - 0.6)
    assert np.isclose(setting.change, change)
    assert setting.most == "full_finetune"
    assert setting.holds == holds
    said = " ".join(depth_table([setting]).conclusions)
    assert ("this fits the advice" in said.lower()) == (holds == "yes")
    assert ("this goes against the advice" in said.lower()) == (holds == "no")


def test_cuts_in_order_with_their_intervals() -> None:
    (setting,) = of({}, 0.2)
    assert setting.by_cut["kind"].tolist() == ["share"] * 3 + ["block"] * 3
    assert setting.by_cut["cut"].tolist() == [0.0, 0.5, 1.0, 0.0, 0.25, 1.0]
    assert (setting.by_cut["low"] < setting.by_cut["accuracy"]).all()
    section = depth_table([setting])
    assert [row[0] for row in section.rows] == [
        "the head alone", "the upper 50% of the blocks", "everything",
        "the first block", "one block, 25% of the way from input to output", "the last block",
    ]  # fmt: skip
    assert section.rows[0][3] == "–"


def test_few_seeds_claim_nothing() -> None:
    (setting,) = of({"feature_extraction": 0.6, "full_finetune": 0.9}, 0.5, seeds=2)
    assert setting.holds == "unclear"
    assert "not compared below three seeds" in depth_table([setting]).conclusions[0]


def test_a_rule_needs_several_settings() -> None:
    rng = np.random.default_rng(0)
    found = []
    for i in range(7):
        (setting,) = of(
            {"feature_extraction": 0.5, "full_finetune": 0.5 + 0.04 * i}, 0.05 * i + 0.01 * rng.random()
        )
        found.append(setting)
    assert "too few to say" in depth_table(found[:3]).conclusions[-1]
    assert "the rule holds over these settings" in depth_table(found).conclusions[-1]
    assert "+1.00" in depth_table(found).conclusions[-1]


def test_without_two_depths_there_is_no_section_and_no_figure() -> None:
    records = fake.records(strategies=("scratch", "majority"))
    results = results_frame(records)
    assert settings(results, similarity_frame(records), None, 0.01) == []
    assert depth_table([]).rows == []
    assert list(depth_plans([], results)) == []


def test_the_figure_has_a_panel_for_shares_for_blocks_and_for_similarity(tmp_path: Path) -> None:
    records = fake.records(strategies=DEEP, spoil=spoiled({}, 0.3))
    results = results_frame(records)
    found = settings(results, similarity_frame(records), None, 0.01)
    (figure,) = Drawing([*depth_plans(found, results)], tmp_path).finish().values()
    shares, blocks, similarity = figure.svgs
    assert "share of the blocks that train" in shares
    assert "share of the blocks" not in blocks
    assert all("depth of the block, input to output" in svg for svg in (blocks, similarity))
    assert figure.path.stat().st_size > 10_000
    numbers = figure.numbers
    assert len(numbers[numbers["measure"] == "accuracy"]) == 6
    assert len(numbers[numbers["measure"] == "cka"]) == 5 * BLOCKS


def test_a_block_without_similarity_is_no_trouble(tmp_path: Path) -> None:
    def spoil(record: Record) -> None:
        spoiled({}, 0.3)(record)
        if record.similarity:
            record.similarity[2]["cka"] = None

    records = fake.records(strategies=DEEP, spoil=spoil)
    results = results_frame(records)
    found = settings(results, similarity_frame(records), None, 0.01)
    assert np.isfinite(found[0].change)
    Drawing([*depth_plans(found, results)], tmp_path).finish()
