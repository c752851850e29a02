"""What transfer brought: start, slope, asymptote, harm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake
import numpy as np
import pytest
from test_report_compare import store

from bench.records import Record
from reports.questions.labels import labels_table
from reports.questions.transfer import transfer_tables
from reports.statistics.benefits import Benefit, OverTraining, benefits
from reports.statistics.label_curves import label_curves
from reports.tables import curves_frame, results_frame


def found(
    folder: Path | None, truth: dict[str, list[float]], seeds: int = 4, **options: Any
) -> dict[str, Benefit]:
    """Benefits of strategies with these accuracies at 10%, 33% and 100%."""
    fractions = (0.1, 0.33, 1.0)

    def spoil(record: Record) -> None:
        place = fractions.index(record.cell["fraction"])
        jitter = 0.004 * (record.cell["seed"] % 3 - 1)
        record.metrics["accuracy"] = truth[record.cell["strategy"]][place] + jitter

    records = fake.records(strategies=tuple(truth), seeds=seeds, test=2000, spoil=spoil, **options)
    if folder:
        store(folder, records)
    list_of = benefits(results_frame(records), curves_frame(records), folder)
    return {benefit.strategy: benefit for benefit in list_of}


TRUTH = {
    "scratch": [0.4, 0.6, 0.8],
    "feature_extraction": [0.7, 0.72, 0.74],
    "full_finetune": [0.6, 0.8, 0.9],
    "partial_finetune": [0.401, 0.6, 0.8],
}


def test_start_slope_asymptote_and_harm(tmp_path: Path) -> None:
    got = found(tmp_path, TRUTH)
    assert set(got) == {"feature_extraction", "full_finetune", "partial_finetune"}
    doublings = math.log2(got["full_finetune"].most / got["full_finetune"].fewest)
    full = got["full_finetune"].over_labels
    assert full.start.value == pytest.approx(0.2, abs=0.002)
    assert full.start.low > 0.15
    assert full.asymptote.value == pytest.approx(0.1, abs=0.002)
    assert full.slope.value == pytest.approx((0.3 - 0.4) / doublings, abs=0.002)
    assert full.slope.low < full.slope.value < full.slope.high < 0
    assert full.negative == []
    at_a_third = 0.33 * got["full_finetune"].most  # where .8 is reached
    assert full.labels.value == pytest.approx(at_a_third, rel=0.02)
    assert full.labels.low < at_a_third < full.labels.high < 0.5 * got["full_finetune"].most
    features = got["feature_extraction"]
    assert features.verdict == "harm"
    assert [round(n) for n, _ in features.over_labels.negative] == [round(features.most)]
    assert features.over_labels.labels.value == math.inf
    assert got["full_finetune"].verdict == "help"
    assert got["partial_finetune"].verdict == "equal"

    section, over_training = transfer_tables(list(got.values()), False)
    text = " ".join(section.conclusions)
    assert "Negative transfer" in text
    assert "feature extraction" in text.split("Negative transfer")[1].split(".")[0]
    for table in (section, over_training):
        assert len(table.rows) == 3
        assert all(len(row) == len(table.columns) for row in table.rows)
    needs = {row[0]: row[4] for row in section.rows}
    assert needs["feature extraction"] == "more than 3,409"
    assert needs["full fine-tuning"].startswith("1,125 of 3,409 (1,")
    (saved,) = [text for text in section.conclusions if text.startswith("Labels saved")]
    assert "full fine-tuning needs 1,125 of 3,409 (1," in saved
    assert "feature extraction" not in saved


def trained(
    of_scratch: Callable[[float, int], float],
    of_other: Callable[[float, int], float],
    seeds: int = 3,
    dearer: float = 1.0,
) -> OverTraining:
    """Full fine-tuning over training, against scratch, at the most labels.

    Args:
        of_scratch, of_other: validation accuracy by the share of training that is done, in twelfths, and the seed.
        dearer: how many times more seconds an image of full fine-tuning takes.
    """

    def spoil(record: Record) -> None:
        scratch = record.cell["strategy"] == "scratch"
        points = [point for point in record.curves if point["run"] == "search"]
        for i, point in enumerate(points):
            point["images"] = 100 * i
            point["seconds"] = i * (1.0 if scratch else dearer)
            share = min(1.0, i / 12)
            point["val_accuracy"] = (of_scratch if scratch else of_other)(share, record.cell["seed"])

    records = fake.records(strategies=("scratch", "full_finetune"), seeds=seeds, spoil=spoil)
    (benefit,) = benefits(results_frame(records), curves_frame(records), None)
    assert benefit.over_training is not None
    shown = transfer_tables([benefit], False)[1]
    assert len(shown.rows[0]) == len(shown.columns)
    return benefit.over_training


def words_of(training: OverTraining) -> tuple[list[str], list[str]]:
    """What the page says: the conclusions, and the last two columns."""
    records = fake.records(strategies=("scratch", "full_finetune"))
    (benefit,) = benefits(results_frame(records), curves_frame(records), None)
    section = transfer_tables([replace(benefit, over_training=training)], False)[1]
    return section.conclusions, section.rows[0][-2:]


def rising(share: float, seed: int) -> float:
    """From .1 to .7 in the first half of training."""
    return 0.1 + 0.6 * min(1.0, 2 * share)


def test_over_training() -> None:
    training = trained(rising, lambda share, seed: rising(share, seed) + 0.2)
    assert training.start.value == pytest.approx(0.2)
    assert training.first.value == pytest.approx(0.2)
    assert training.area.value == pytest.approx(0.2)
    assert training.plateau.value == training.plateau.low == pytest.approx(0.2)
    # .7 is reached after 4 of the 6 twelfths that scratch took.
    assert (training.speed.seconds, training.speed.examples) == pytest.approx((1.5, 1.5))
    assert words_of(training) == (
        ["Faster to the plateau of training from scratch: full fine-tuning 1.5 times."],
        ["1.5", "1.5"],
    )


def test_faster_is_in_seconds_and_not_in_images() -> None:
    training = trained(rising, lambda share, seed: rising(share, seed) + 0.2, dearer=3)
    assert (training.speed.seconds, training.speed.examples) == pytest.approx((0.5, 1.5))
    assert words_of(training)[0] == ["No faster to the plateau of training from scratch: full fine-tuning."]


def test_one_lucky_start_of_three_is_no_speed() -> None:
    """A head that happens to begin where scratch ends has an infinite ratio, and no mean over seeds survives it."""
    training = trained(rising, lambda share, seed: 0.7 if seed == 0 else rising(share, seed) + 0.2)
    assert training.speed.seconds == pytest.approx(1.5)
    always = trained(rising, lambda share, seed: 0.8)
    assert words_of(always)[1] == ["from the start", "from the start"]


def test_scratch_that_never_rose_is_not_taken_for_a_strategy_that_never_got_there() -> None:
    flat = trained(lambda share, seed: 0.1, rising)
    assert math.isnan(flat.speed.seconds)
    assert words_of(flat)[1] == ["scratch never rose"] * 2
    never = trained(rising, lambda share, seed: 0.5)
    assert (never.speed.seconds, never.speed.never) == (0, 3)
    said, shown = words_of(never)
    assert shown == ["never as high"] * 2
    assert said == ["Never as high as the plateau of training from scratch: full fine-tuning."]
    once = trained(rising, lambda share, seed: 0.5 if seed == 1 else rising(share, seed) + 0.2)
    assert words_of(once)[1] == ["1.5 (never in 1 of 3 seeds)"] * 2


def test_a_plateau_is_no_stroke_of_luck() -> None:
    """One of many evaluations that is high by chance is not where a curve levels off."""
    lucky = trained(rising, lambda share, seed: 0.9 if share == 11 / 12 else rising(share, seed))
    assert lucky.plateau.value == pytest.approx(0.2 / 4)
    assert trained(rising, rising).plateau.value == 0


def test_many_strategies_that_are_as_good_as_scratch_are_rarely_called_anything_else() -> None:
    names = ("scratch", *(f"strategy{i}" for i in range(12)))
    called = 0
    for run in range(30):
        rng = np.random.default_rng(run)

        def spoil(record: Record) -> None:
            record.metrics["accuracy"] = 0.7 + 0.015 * rng.standard_normal()  # noqa: B023 - called at once

        records = fake.records(
            strategies=names, seeds=5, points=1, fractions=(0.1, 1.0), test=100_000, spoil=spoil
        )
        found = benefits(results_frame(records), curves_frame([]), None)
        called += any(benefit.verdict in ("harm", "help") for benefit in found)
    assert called <= 3


def test_below_three_seeds_nothing_is_claimed(tmp_path: Path) -> None:
    got = found(tmp_path, TRUTH, seeds=2)
    assert {b.verdict for b in got.values()} == {"unknown"}
    assert all(not b.over_labels.negative for b in got.values())
    section = transfer_tables(list(got.values()), False)[0]
    assert section.conclusions[0].startswith("Not compared with training from scratch, below three seeds")


def test_without_scratch_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert found(None, {"full_finetune": [0.5, 0.6, 0.7]}) == {}
    assert transfer_tables([], False) == []


def test_labels_section(tmp_path: Path) -> None:
    records = fake.records(fractions=(0.05, 0.1, 0.33, 0.66, 1.0), seeds=4)
    store(tmp_path, records)
    section = labels_table(*label_curves(results_frame(records), tmp_path), False)
    assert [row[0] for row in section.rows] == [
        "training from scratch", "feature extraction", "partial fine-tuning", "full fine-tuning"
    ]  # fmt: skip
    assert all(len(row) == len(section.columns) for row in section.rows)
    assert section.conclusions[0].startswith("Back-test")
    assert section.conclusions[1].startswith("With twice the labels (6,818)")
    few = labels_table(*label_curves(results_frame(fake.records()), tmp_path), False)
    assert few.rows == []
    assert "at least 4 label counts, and there are 3" in few.conclusions[0]


def test_what_is_left_out_is_counted_and_a_dataset_keeps_its_name(tmp_path: Path) -> None:
    strategies = ("scratch", *(f"strategy{i}" for i in range(9)))

    def spoil(record: Record) -> None:
        jitter = 0.002 * (record.cell["seed"] % 3 - 1)
        record.metrics["accuracy"] = jitter + (0.5 if record.cell["strategy"] == "scratch" else 0.8)

    options: dict[str, Any] = {"strategies": strategies, "seeds": 4, "test": 2000, "spoil": spoil}
    records = fake.records(datasets=("a", "b"), fractions=(0.1, 1.0), **options)
    store(tmp_path, records)
    results = results_frame(records)
    sections = transfer_tables(benefits(results, curves_frame(records), tmp_path), True)
    for dataset in ("a", "b"):
        (helped,) = [s for s in sections[0].conclusions if s.startswith(f"{dataset}: Clearly better")]
        assert helped.count("strategy") == 6
        assert helped.endswith("and 3 more.")
        assert any(s.startswith(f"{dataset}: Faster") and " more" in s for s in sections[1].conclusions)


def test_limits_of_label_curves_are_those_of_each_dataset(tmp_path: Path) -> None:
    records = fake.records(
        datasets=tuple("abcd"), backbones=("A", "B"), fractions=(0.05, 0.1, 0.2, 0.4, 1.0), points=2
    )
    fake.write_predictions(records, tmp_path)
    said = labels_table(*label_curves(results_frame(records), tmp_path), True).conclusions
    for dataset in "abcd":
        mine = [text for text in said if text.startswith(f"{dataset}: ")]
        assert mine[0].startswith(f"{dataset}: with twice the labels")
        assert any("overtakes" in text for text in mine)
        assert not any(f"{dataset}: " in text[3:] for text in mine)
    assert not any(text.startswith(tuple("ABCD")) for text in said if not text.startswith("Back-test"))


def test_four_label_counts_say_why_there_is_no_back_test(tmp_path: Path) -> None:
    records = fake.records(fractions=(0.1, 0.2, 0.5, 1.0))
    fake.write_predictions(records, tmp_path)
    section = labels_table(*label_curves(results_frame(records), tmp_path), False)
    assert {row[-1] for row in section.rows} == {"needs 5 label counts"}
