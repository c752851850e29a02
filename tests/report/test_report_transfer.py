"""What transfer brought: start, slope, asymptote, harm."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import fake
import pytest
from test_report_compare import store

from bench.records import Record
from reports.labels import label_curves
from reports.sections import labels_table, transfer_tables
from reports.tables import curves_frame, results_frame
from reports.transfer import Benefit, benefits


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
    assert full.negative == ()
    assert full.labels == pytest.approx(
        0.33 * got["full_finetune"].most, rel=0.02
    )  # .8 is reached at a third
    features = got["feature_extraction"]
    assert features.verdict == "harm"
    assert [round(n) for n, _ in features.over_labels.negative] == [round(features.most)]
    assert math.isnan(features.over_labels.labels)
    assert got["full_finetune"].verdict == "help"
    assert got["partial_finetune"].verdict == "equal"

    section, over_training = transfer_tables(list(got.values()), False)
    text = " ".join(section.conclusions)
    assert "Negative transfer" in text
    assert "feature extraction" in text.split("Negative transfer")[1].split(".")[0]
    for table in (section, over_training):
        assert len(table.rows) == 3
        assert all(len(row) == len(table.columns) for row in table.rows)
    assert [row[4] for row in section.rows if row[0] == "feature extraction"] == ["never"]


def test_over_training(tmp_path: Path) -> None:
    def spoil(record: Record) -> None:
        high = record.cell["strategy"] != "scratch"
        for i, point in enumerate(p for p in record.curves if p["run"] == "search"):
            share = min(1.0, i / 8)
            point["images"] = 100 * i
            point["val_accuracy"] = 0.5 + 0.4 * share if high else 0.1 + 0.6 * share

    records = fake.records(strategies=("scratch", "full_finetune"), seeds=3, spoil=spoil)
    (benefit,) = benefits(results_frame(records), curves_frame(records), None)
    training = benefit.over_training
    assert training is not None
    assert training.start.value == pytest.approx(0.4)
    assert training.first.value == pytest.approx(0.55 - 0.175)
    assert training.plateau.value == pytest.approx(0.2)
    assert training.area.value == pytest.approx(0.3, abs=0.01)
    assert training.speed.value == pytest.approx(2.0)  # .7 is reached after 4 of 8 steps
    assert training.plateau.low == pytest.approx(0.2)


def test_below_three_seeds_nothing_is_claimed(tmp_path: Path) -> None:
    got = found(tmp_path, TRUTH, seeds=2)
    assert {b.verdict for b in got.values()} == {"unknown"}
    assert all(not b.over_labels.negative for b in got.values())
    section = transfer_tables(list(got.values()), False)[0]
    assert section.conclusions[0].startswith("Nothing is claimed below three seeds")


def test_without_scratch_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert found(None, {"full_finetune": [0.5, 0.6, 0.7]}) == {}
    assert "scratch" in transfer_tables([], False)[0].conclusions[0]


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
