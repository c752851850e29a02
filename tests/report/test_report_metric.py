"""A run in which another metric than accuracy decides: another winner, and everything says by what."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import fake
import numpy as np
import pytest

from bench.errors import RequestError
from bench.records import Cell, Metric, Record
from bench.tasks.single_label import score
from reports import compare as c
from reports import recommend as r
from reports.html import render
from reports.questions.answer import answers
from reports.statistics.decisions import decide
from reports.tables import results_frame
from reports.target import labels_needed, needed_text

LABELS = np.repeat([0, 1], [900, 100])
RECALLS = {"scratch": (0.985, 0.3), "feature_extraction": (0.88, 0.9), "majority": (1.0, 0.0)}
"""Of the large and of the rare class: the first is right more often, the second finds the rare class."""


def made(folder: Path, metric: Metric, fractions: Sequence[float] = (0.1, 1.0)) -> list[Record]:
    """Records with predictions on two classes, one of which is rare."""
    records = fake.records(strategies=tuple(RECALLS), fractions=fractions, seeds=4, test=1000, classes=2)
    (folder / "predictions").mkdir(parents=True)
    for record in records:
        record.cell["metric"] = metric
        record.cell_id = Cell.of(record.cell).id
        recalls = np.array(RECALLS[record.cell["strategy"]])
        if record.cell["strategy"] != "majority":
            recalls = recalls - 0.1 * (1 - record.cell["fraction"])
        cell = record.cell
        rng = np.random.default_rng(
            [crc32(cell["strategy"].encode()), round(1000 * cell["fraction"]), cell["seed"]]
        )
        right = rng.random(1000) < recalls[LABELS]
        sure = 0.6 + 0.3 * rng.random(1000)
        probabilities = np.where(
            np.eye(2)[np.where(right, LABELS, 1 - LABELS)] > 0, sure[:, None], 1 - sure[:, None]
        )
        record.metrics = score(probabilities, LABELS)
        np.savez(folder / "predictions" / f"{record.cell_id}.npz", probabilities=probabilities, labels=LABELS,
                 ids=np.arange(1000).astype(str))  # fmt: skip
    return records


@pytest.mark.parametrize(
    ("metric", "winner"),
    [
        ("accuracy", "scratch"),
        ("balanced_accuracy", "feature_extraction"),
        ("macro_f1", "feature_extraction"),
        ("auroc", "feature_extraction"),
    ],
)
def test_it_decides_in_the_report_and_in_what_is_recommended(
    tmp_path: Path, metric: Metric, winner: str
) -> None:
    results = results_frame(made(tmp_path, metric))
    decision = decide(results, tmp_path)[-1]
    assert (decision.claim, decision.leader.strategy, decision.metric) == ("better", winner, metric)
    mine = results[(results["strategy"] == winner) & (results["fraction"] == 1)]
    assert decision.leader.value == pytest.approx(mine[metric].mean())
    assert decision.leader.low < decision.leader.value < decision.leader.high
    assert all(comparison.paired for comparison in decision.comparisons)
    answer = r.recommend(results, tmp_path, r.Constraints())
    assert answer.decision.leader == decision.leader
    shown = json.loads(json.dumps(answer.to_json()))
    assert shown["metric"] == metric
    assert shown["leader"][metric] == pytest.approx(decision.leader.value)
    between = r.recommend(results, tmp_path, r.Constraints(labels=1000))
    assert between.decision.leader.strategy == winner
    assert all(comparison.paired for comparison in between.decision.comparisons)


def test_the_page_says_which_metric_decides(tmp_path: Path) -> None:
    records = made(tmp_path, "balanced_accuracy")
    page = render(records, fake.run_info(records, 2), fake.plan_toml(records), tmp_path).read_text()
    assert re.search("Use [a-z -]+: 8[0-9.]+% balanced accuracy on new images", page)
    assert "balanced accuracy on new images" in page
    assert "Test balanced accuracy against labelled images" in page
    assert "mean test balanced accuracy ± its standard deviation" in page
    assert "test balanced accuracy (95% CI)" in page
    assert "Difference in test balanced accuracy from training from scratch" in page
    assert "Balanced accuracy decides" in page
    assert "of new images correctly" not in page
    text = r.text(r.recommend(results_frame(records), tmp_path, r.Constraints()))
    assert "balanced accuracy on new images" in text
    by_accuracy = render(made(tmp_path / "other", "accuracy"), {}, "", tmp_path / "other").read_text()
    assert "balanced accuracy on new images" not in by_accuracy


def test_without_predictions_nothing_is_claimed_of_it(tmp_path: Path) -> None:
    results = results_frame(made(tmp_path, "macro_f1"))
    decision = decide(results, None)[-1]
    assert decision.claim in ("undecided", "floor")
    assert decision.leader.strategy == "feature_extraction"
    assert (decision.leader.low, decision.leader.high) == (0, 1)
    assert answers(results, [decision])[0].headline


def test_labels_for_a_target_are_those_of_the_metric(tmp_path: Path) -> None:
    results = results_frame(made(tmp_path, "balanced_accuracy", (0.1, 0.2, 0.5, 1.0)))
    found = labels_needed(results, tmp_path, 0.8, r.Constraints())
    assert found.needed[0][0][0] == "feature_extraction"
    assert needed_text(found).startswith("For 80.0% balanced accuracy")
    with pytest.raises(RequestError, match="a balanced accuracy above 0"):
        labels_needed(results, tmp_path, 2, r.Constraints())


def test_runs_with_different_metrics_are_not_compared(tmp_path: Path) -> None:
    folders = tmp_path / "a", tmp_path / "b"
    first = results_frame(made(folders[0], "accuracy"))
    second = results_frame(made(folders[1], "auroc"))
    with pytest.raises(RequestError, match=r"a run in which accuracy decides.*auroc") as refused:
        c.compare((first, second), folders)
    assert refused.value.exit_code == 2
    same = c.compare((second, second), (folders[1], folders[1]))
    assert "Compared by AUROC." in c.text(same)
    assert {"auroc"} < set(same.to_json()["changes"][0]["comparison"]["candidate"])


def test_uneven_classes_are_told_what_to_do_about_unless_it_is_done(tmp_path: Path) -> None:
    for metric in ("accuracy", "balanced_accuracy"):
        records = made(tmp_path / metric, metric)  # type: ignore[arg-type]
        info = fake.run_info(records, 2)
        for about in info["datasets"].values():
            about["class_counts"] = [900, 100]
        page = render(records, info, "", tmp_path / metric).read_text()
        told = "--set metric=balanced_accuracy --set class_weight=balanced" in page
        assert told == (metric == "accuracy")
