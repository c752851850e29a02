"""What auxiliary labels brought, against the same strategy without them: help, none, and negative transfer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fake
import pytest
from test_report_compare import store

from bench.records import Record
from reports.html import render
from reports.questions.auxiliary import Brought, auxiliary_table, brought, method_lines
from reports.tables import curves_frame, results_frame

BODY, COIN, BIRDS = "multi_task:auxiliary=body", "multi_task:auxiliary=coin", "multi_task:auxiliary=birds"
TRUTH = {
    "full_finetune": [0.5, 0.7],
    BODY: [0.58, 0.701],
    COIN: [0.44, 0.7],
    BIRDS: [0.52, 0.73],
}
COUNTERPARTS = dict.fromkeys((BODY, COIN, BIRDS), "full_finetune")
RUN: dict[str, Any] = {
    "counterparts": COUNTERPARTS,
    "auxiliary": {
        "00" * 8: [
            {"name": "body", "kind": "column", "class_names": ["low", "up"], "fingerprint": "aa" * 8, "known": 3000,
             "n": 3409},
            {"name": "birds", "kind": "dataset", "class_names": ["jay"] * 7, "fingerprint": "bb" * 8, "known": 800,
             "n": 900, "spec": "/birds", "grouping": "names", "left_out": 100,
             "findings": [{"kind": "unreadable", "text": "9 of 909 birds are not readable.", "examples": []}]},
        ]
    },
}  # fmt: skip


def made(folder: Path, seeds: int = 4, strategies: tuple[str, ...] = tuple(TRUTH)) -> list[Record]:
    """Records of strategies with these accuracies; all but the first learn auxiliary labels."""

    def spoil(record: Record) -> None:
        cell = record.cell
        place = (0.1, 1.0).index(cell["fraction"])
        record.metrics["accuracy"] = TRUTH[cell["strategy"]][place] + 0.004 * (cell["seed"] % 3 - 1)
        name = cell["strategy"].rpartition("=")[2]
        if name == cell["strategy"]:
            return
        if name == "birds":
            cell["companions"] = {"auxiliary": {"name": name}}
        else:
            cell["companions"] = {"auxiliary": {"columns": {name: "aa" * 8}}}
        record.n_auxiliary = 300 + cell["seed"]
        learned = name == "body" and cell["seed"] < 2
        record.hyperparameters["auxiliary_weight"] = "learned" if learned else "0.3"
        if learned:
            refit = [point for point in record.curves if point["run"] == "refit"]
            for point, weight in zip(refit, range(len(refit)), strict=True):
                point["weight of body"] = weight + 1.0 + cell["seed"]

    records = fake.records(strategies=strategies, fractions=(0.1, 1.0), seeds=seeds, test=2000, spoil=spoil)
    store(folder, records)
    return records


def found_in(folder: Path, **options: Any) -> dict[tuple[str, float], Brought]:
    records = made(folder, **options)
    found = brought(results_frame(records), curves_frame(records), COUNTERPARTS, folder, 0.01)
    return {(b.strategy, b.n): b for b in found}


def test_help_and_negative_transfer_are_named(tmp_path: Path) -> None:
    found = found_in(tmp_path)
    assert len(found) == 6
    assert {key: b.verdict for key, b in found.items() if key[1] == 341} == {
        (BODY, 341): "helps",
        (COIN, 341): "negative transfer",
        (BIRDS, 341): "helps",
    }
    assert found[BODY, 3409].verdict == found[COIN, 3409].verdict == "no difference"
    best = found[BODY, 341].comparison
    assert best.difference == pytest.approx(0.08, abs=0.002)
    assert 0.05 < best.low < best.difference < best.high < 0.11
    section = auxiliary_table(list(found.values()), False)
    assert section is not None
    assert section.conclusions[0].startswith("With 341 labels, auxiliary labels clearly help: multi-task")
    assert section.conclusions[1].startswith(
        "With 341 labels, auxiliary labels clearly harm (negative transfer): multi-task learning (auxiliary"
    )
    assert all(len(row) == len(section.columns) for row in section.rows)
    assert [row[2] for row in section.rows[:3]] == ["302 of body", "302 of coin", "302 of birds"]


def test_weights_are_told_with_what_was_learned(tmp_path: Path) -> None:
    b = found_in(tmp_path)[BODY, 341]
    assert b.weights == {"0.3": 2, "learned": 2}
    last = len([p for p in made(tmp_path / "again")[-1].curves if p["run"] == "refit"])
    assert b.learned == {"body": pytest.approx(last + 0.5)}
    section = auxiliary_table([b], False)
    assert section is not None
    assert section.rows[0][6] == "0.3 (2), learned (2)"
    assert f"it ended at {last + 0.5:.2g} for body, with 1 for the target." in section.conclusions[-1]


def test_below_three_seeds_nothing_is_claimed(tmp_path: Path) -> None:
    assert {b.verdict for b in found_in(tmp_path, seeds=2).values()} == {"too few seeds"}


def test_without_the_counterpart_there_is_no_such_section(tmp_path: Path) -> None:
    assert found_in(tmp_path, strategies=(BODY, COIN)) == {}
    assert auxiliary_table([], False) is None


def test_a_page_says_it_all(tmp_path: Path) -> None:
    records = made(tmp_path)
    page = render(records, RUN, "", tmp_path).read_text()
    assert "Did auxiliary labels help?" in page
    assert "negative transfer" in page
    assert "a column of the manifest with 2 classes, known for 3,000 of 3,409 images" in page
    assert "Auxiliary dataset birds: 800 of 900 images with 7 classes of its own" in page
    assert "9 of 909 birds are not readable." in page
    header, *rows = (tmp_path / "results.csv").read_text().splitlines()
    assert ",auxiliary,n_auxiliary," in header
    assert any(",body,301," in row for row in rows)
    assert "Did auxiliary labels help?" not in render(records, {}, "", tmp_path).read_text()
    assert method_lines({}) == []
    assert json.dumps(RUN)
