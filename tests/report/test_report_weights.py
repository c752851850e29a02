"""Several sets of weights side by side: scratch once, each set its own, and which is best to begin with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import fake
import pytest
from test_report_compare import store

from bench.records import Cell, Record
from reports import words
from reports.html import render
from reports.phrases import which_weights
from reports.questions.answer import answers
from reports.questions.weights import weights_tables
from reports.recommend import Constraints, recommend, text
from reports.statistics.benefits import benefits
from reports.statistics.decisions import decide
from reports.tables import panels, results_frame

SOURCE = "source:/secret/place/clothes"
ACCURACY = {"": 0.6, "imagenet": 0.8, SOURCE: 0.5}
SUMMARY = {
    "name": "clothes", "backbone": "MobileNet:alpha=0.25", "image_size": 64, "start": "none", "dataset": "fashion",
    "fingerprint": "0" * 16, "classes": 10, "n": 3409, "n_test": 372, "accuracy": 0.71, "low": 0.66, "high": 0.76,
    "baseline": "the most frequent class", "baseline_accuracy": 0.2, "learned": True,
}  # fmt: skip


def measured(accuracy: dict[str, float], seeds: int = 4) -> list[Record]:
    """Scratch and full fine-tuning from each set of weights, with these accuracies."""
    found: dict[str, Record] = {}
    for weights in accuracy:
        strategies = ("full_finetune",) if weights else ("scratch",)
        for record in fake.records(strategies=strategies, fractions=(0.1, 1.0), seeds=seeds, test=2000):
            cell = Cell.of({**record.cell, "weights": weights})
            record.cell, record.cell_id = asdict(cell), cell.id
            jitter = 0.004 * (cell.seed % 3 - 1) + (0 if cell.fraction == 1 else -0.1)
            record.metrics["accuracy"] = round((accuracy[weights] + jitter) * 2000) / 2000
            found[cell.id] = record
    return list(found.values())


def test_scratch_is_one_candidate_and_each_set_of_weights_its_own(tmp_path: Path) -> None:
    records = measured(ACCURACY)
    store(tmp_path, records)
    last = decide(results_frame(records), tmp_path)[-1]
    assert [c.weights for c in last.candidates] == ["imagenet", "", SOURCE]
    by = last.by_weights(last.leader.backbone)
    assert list(by) == ["imagenet", "", SOURCE]
    assert by["imagenet"][1] is None
    comparison = by[SOURCE][1]
    assert comparison is not None
    assert comparison.difference == pytest.approx(0.3, abs=0.01)
    assert comparison.verdict == "better"


def test_start_slope_and_asymptote_of_each_against_scratch_negative_transfer_included(tmp_path: Path) -> None:
    records = measured(ACCURACY)
    store(tmp_path, records)
    from reports.tables import curves_frame

    found = {b.weights: b for b in benefits(results_frame(records), curves_frame(records), tmp_path)}
    assert set(found) == {"imagenet", SOURCE}
    assert found["imagenet"].over_labels.asymptote.value == pytest.approx(0.2, abs=0.005)
    assert found[SOURCE].over_labels.start.value == pytest.approx(-0.1, abs=0.005)
    assert (found["imagenet"].verdict, found[SOURCE].verdict) == ("help", "harm")


def test_the_answer_says_which_weights_are_best(tmp_path: Path) -> None:
    records = measured(ACCURACY)
    store(tmp_path, records)
    results = results_frame(records)
    decision = decide(results, tmp_path)[-1]
    said = which_weights(decision)
    assert said.startswith(
        "The best weights are ImageNet weights (full fine-tuning, 79.9%). Ahead of random weights"
    )
    assert "Ahead of the source clothes (full fine-tuning, 49.9%) by 30 points (+" in said
    assert said.count("a clear difference") == 2
    (answer,) = answers(results, [decision])
    assert said in answer.sentences
    assert said in text(recommend(results, tmp_path, Constraints()))


def test_weights_that_are_tied_are_not_called_best() -> None:
    said = which_weights(
        decide(results_frame(measured({**ACCURACY, SOURCE: 0.799}, seeds=5)), None, 0.04)[-1]
    )
    assert said.startswith(
        "The best weights tie: ImageNet weights (full fine-tuning, 79.9%) and the source clothes"
    )
    assert "Ahead of random weights" in said
    assert "The best weights are" not in said


@pytest.mark.parametrize("accuracy", [{"": 0.6, "imagenet": 0.8}, {"imagenet": 0.8}, {"": 0.6, SOURCE: 0.7}])
def test_nothing_is_said_of_a_single_set(tmp_path: Path, accuracy: dict[str, float]) -> None:
    decisions = decide(results_frame(measured(accuracy)))
    assert [which_weights(decision) for decision in decisions] == [""] * len(decisions)
    assert weights_tables(decisions, {}, False) == []


def test_no_best_set_is_claimed_below_three_seeds() -> None:
    said = which_weights(decide(results_frame(measured(ACCURACY, seeds=2)))[-1])
    assert said.startswith("ImageNet weights (full fine-tuning, 79.8%) lead so far.")
    assert said.count("too few seeds to tell") == 2


def test_the_page_names_sources_and_shows_no_path(tmp_path: Path) -> None:
    records = measured(ACCURACY)
    store(tmp_path, records)
    info = {**fake.run_info(records), "sources": {SOURCE: {**SUMMARY, "learned": False}}}
    page = render(records, info, "", tmp_path).read_text()
    assert "Which initial weights?" in page
    assert "(source: clothes)" in page
    assert "The source clothes has learned nothing beyond noise" in page
    assert "secret" not in page
    assert "nothing learned" in page


def test_the_table_has_a_row_for_each_set_and_a_column_for_each_number_of_labels(tmp_path: Path) -> None:
    records = measured(ACCURACY)
    accuracy, sources = weights_tables(decide(results_frame(records)), {SOURCE: SUMMARY}, False)
    assert accuracy.columns == ["initial weights", "341 labels", "3,409 labels"]
    assert [row[0].partition(", ")[2] for row in accuracy.rows] == [
        "ImageNet weights",
        "random weights",
        "the source clothes",
    ]
    assert accuracy.rows[2][1:] == ["39.9% (full fine-tuning)", "49.9% (full fine-tuning)"]
    assert sources.rows == [
        ["clothes", "fashion", "3,409", "10", "64 px", "random weights", "71.0% (66.0% to 76.0%)",
         "20.0% (the most frequent class)"]
    ]  # fmt: skip


def test_no_panel_is_made_for_no_weights_beside_others() -> None:
    def with_skipped(others: dict[str, float]) -> list[str]:
        records = measured(others)
        for record in measured({"none": 0.5}):
            fake.fail(record, "skipped")
            records.append(record)
        return [panel.weights for panel in panels(results_frame(records))]

    assert sorted(with_skipped({"": 0.6, "imagenet": 0.8})) == ["imagenet"]
    assert with_skipped({"": 0.6}) == ["none"]


@pytest.mark.parametrize(
    ("weights", "name"),
    [
        ("", "random weights"),
        ("none", "random weights"),
        ("imagenet", "ImageNet weights"),
        (SOURCE, "the source clothes"),
        ("/secret/x.weights.h5", "the file x.weights.h5"),
    ],
)
def test_names_of_weights(weights: str, name: Any) -> None:
    assert words.weights_name(weights) == name


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        (0.4, "Ahead of the strongest baseline on its own dataset: clothes by 31 points."),
        (0.72, "No better than a baseline on its own dataset: clothes."),
    ],
)
def test_a_source_is_told_beside_its_strongest_baseline(baseline: float, said: str) -> None:
    decisions = decide(results_frame(measured(ACCURACY)))
    _, sources = weights_tables(decisions, {SOURCE: {**SUMMARY, "baseline_accuracy": baseline}}, False)
    assert sources.conclusions == [said]
