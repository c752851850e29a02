"""A training that ended at its epochs while it still learned."""

from __future__ import annotations

from pathlib import Path

import fake
import pytest

from bench.records import Record
from reports.questions.alerts import sorted_alerts
from reports.results import Results


def told(tmp_path: Path, epochs: int, train: float, val: float, fraction: float = 1.0) -> list[str]:
    """The alerts of a run in which scratch trained for ``epochs`` and came to these accuracies."""

    def spoil(record: Record) -> None:
        record.cell |= {"epochs": 12, "length": 1.0}
        record.epochs = 60
        if record.cell["strategy"] != "scratch" or record.cell["fraction"] != fraction:
            return
        record.epochs = epochs
        for point in record.curves:
            if point["run"] == "search":
                point["train_accuracy"], point["val_accuracy"] = train, val

    records = fake.records(spoil=spoil)
    run = Results(records, fake.run_info(records), "", tmp_path)
    return [alert.text for alert in sorted_alerts(run) if "still learned" in alert.text]


def test_what_still_learned_at_the_cap_is_a_caution(tmp_path: Path) -> None:
    (text,) = told(tmp_path, epochs=12, train=0.5, val=0.55)
    assert text.startswith("Training from scratch still learned when training ended")
    assert text.endswith("Train longer: --epochs 24.")


@pytest.mark.parametrize(
    ("epochs", "train", "val", "fraction"),
    [
        (60, 0.5, 0.55, 1.0),  # its own steps decided, not the plan's epochs
        (12, 0.7, 0.55, 1.0),  # it fits its training images better than others: it has learned what it can
        (12, 0.97, 0.98, 1.0),  # there is nothing left to learn
        (12, 0.5, 0.55, 0.1),  # not with the most labels
    ],
)
def test_all_else_is_none(tmp_path: Path, epochs: int, train: float, val: float, fraction: float) -> None:
    assert told(tmp_path, epochs, train, val, fraction) == []
