"""The report of a run in which examples have any number of labels: its metric, its sections, its words."""

from __future__ import annotations

import re
from pathlib import Path
from zlib import crc32

import fake
import numpy as np
import pandas as pd
import pytest

from bench.errors import RequestError
from bench.records import Cell, Metric, Record
from bench.tasks.multi_label import MultiLabel
from reports import compare as c
from reports import recommend as r
from reports.html import render
from reports.questions.mistakes import most_confident
from reports.statistics.decisions import decide
from reports.statistics.predictions import Predictions, calibration_error, calibration_numbers, label_numbers
from reports.tables import results_frame

NAMES = ("cat", "dog", "<b>owl</b>", "rare", "never")
LABELS = (np.random.default_rng(0).random((300, 5)) < (0.4, 0.3, 0.1, 0.02, 0)).astype(np.uint8)
SKILL = {"scratch": 0.2, "feature_extraction": 0.7, "full_finetune": 0.55, "majority": 0.0}


def made(folder: Path, metric: Metric = "mean_average_precision", seeds: int = 4) -> list[Record]:
    """Records with predictions, as a run with the task ``multi_label`` leaves them."""
    records = fake.records(strategies=tuple(SKILL), fractions=(0.1, 1.0), seeds=seeds, test=300)
    (folder / "predictions").mkdir(parents=True)
    for record in records:
        cell = record.cell
        cell |= {"metric": metric, "task": "multi_label"}
        record.cell_id = Cell.of(cell).id
        own = np.random.default_rng(
            [crc32(cell["strategy"].encode()), round(10 * cell["fraction"]), cell["seed"]]
        )
        skill = SKILL[cell["strategy"]] * (0.5 + 0.5 * cell["fraction"])
        hard = np.random.default_rng(1).normal(0, 0.7, LABELS.shape)
        noise = 0.0 if cell["strategy"] == "majority" else hard + own.normal(0, 0.7, LABELS.shape)
        probabilities = 1 / (1 + np.exp(-(2 * skill * (2.0 * LABELS - 1) + noise - 1)))
        record.metrics = MultiLabel().score(probabilities, LABELS)
        np.savez(folder / "predictions" / f"{record.cell_id}.npz", probabilities=probabilities, labels=LABELS,
                 ids=np.arange(300).astype(str))  # fmt: skip
    return records


@pytest.mark.parametrize("metric", MultiLabel.metrics)
def test_each_metric_decides_with_paired_intervals(tmp_path: Path, metric: Metric) -> None:
    results = results_frame(made(tmp_path, metric))
    decision = decide(results, tmp_path)[-1]
    assert (decision.leader.strategy, decision.metric, decision.task) == (
        "feature_extraction",
        metric,
        "multi_label",
    )
    assert decision.leader.low < decision.leader.value < decision.leader.high
    assert all(comparison.paired for comparison in decision.comparisons)
    assert {c.candidate.strategy: c.verdict for c in decision.comparisons}["scratch"] == "better"
    assert decision.floor is not None
    assert decision.floor.verdict == "better"
    text = r.recommend(results, tmp_path, r.Constraints())
    assert text.decision.recommended.strategy in ("feature_extraction", "full_finetune")


def test_the_page_has_the_sections_that_fit(tmp_path: Path) -> None:
    records = made(tmp_path)
    info = fake.run_info(records, 5)
    for about in info["datasets"].values():
        about |= {"class_names": list(NAMES), "pool_counts": LABELS.sum(axis=0).tolist()}
    html = render(records, info, fake.plan_toml(records), tmp_path).read_text()
    page = re.sub(r"<[^>]+>", "", html)
    for text in (
        "mean average precision on new images",
        "Average precision by label",
        "Calibration",
        "Most confident mistakes",
        "always answering with the frequency of each label",
        "1 label without a test image is left out",
        "F1 is at a threshold of 0.5",
        "any number of labels",
        "right yes-or-no answers during training",
    ):
        assert text in page
    for text in ("Confusion matrix", "Overfitting", "most frequent class", "balanced acc."):
        assert text not in page
    assert "<b>owl</b> predicted" not in html
    results = pd.read_csv(tmp_path / "results.csv")
    assert set(results["task"]) == {"multi_label"}
    assert results["accuracy"].isna().all()
    assert results["mean_average_precision"].notna().all()


def test_two_runs_are_compared(tmp_path: Path) -> None:
    records = made(tmp_path / "a")
    folder, info = tmp_path / "a", fake.run_info(records, 5)
    frame = results_frame(records)
    changes = c.compare((frame, frame), (folder, folder), run_infos=(info, info))
    assert {change.comparison.verdict for change in changes.changes} == {"tied"}
    assert changes.data == {}
    with pytest.raises(RequestError, match="multi_label, as in the first run"):
        c.compare((frame, frame.assign(task="single_label")), (folder, folder))


def predictions() -> Predictions:
    labels = np.array([[1, 0], [0, 0], [1, 1], [0, 0]])
    probabilities = np.array([[[0.9, 0.2], [0.8, 0.1], [0.3, 0.01], [0.05, 0.1]]])
    sizes, ids = np.array([10.0, 5.0]), tuple("abcd")
    return Predictions("d", "f", "who", 10, ("cat", "dog"), sizes, ids, labels, probabilities)


def test_numbers_of_each_label() -> None:
    found = label_numbers(predictions()).set_index("label")
    assert found.loc["cat", "average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found.loc["cat", ["precision", "recall", "f1", "chance"]].tolist() == [0.5, 0.5, 0.5, 0.5]
    assert found.loc["dog", "test"] == 1
    assert found.loc["dog", "average_precision"] == pytest.approx(0.25)
    assert found.loc["dog", "recall"] == 0
    assert found.loc["cat", "low"] < found.loc["cat", "average_precision"] <= found.loc["cat", "high"]


def test_the_surest_wrong_answers_come_first() -> None:
    found = [(m.id, m.true, m.predicted, round(m.confidence, 2)) for m in most_confident(predictions(), None)]
    assert found == [
        ("c", "dog", "not dog", 0.99),
        ("b", "not cat", "cat", 0.8),
        ("c", "cat", "not cat", 0.7),
    ]


def test_calibration_is_that_of_every_answer() -> None:
    numbers = calibration_numbers(predictions())
    assert numbers["share"].sum() == pytest.approx(1)
    assert (numbers["accuracy"] * numbers["share"]).sum() == pytest.approx(3 / 8)
    error, chance = calibration_error(predictions())
    assert error == pytest.approx(
        MultiLabel().score(predictions().probabilities[0], predictions().labels)["ece"]
    )
    assert chance > 0
