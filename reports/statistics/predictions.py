"""The answers of one configuration on the test examples: confusion, classes, calibration, mistakes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.predictions import Arrays
from bench.records import Record
from bench.store import Store
from bench.tasks.multi_label import THRESHOLD
from reports.statistics.answers import Answers, interval_of_one
from reports.statistics.decisions import Decision
from reports.statistics.intervals import LEVEL, t_quantile
from reports.statistics.many_credits import precision_credits

BINS = 15
"""Of confidence, equally wide, as in the ECE of the records."""


@dataclass(frozen=True)
class Predictions:
    """The test-set answers of one configuration at one label count.

    Attributes:
        dataset: its name in the tables.
        fingerprint: the dataset's.
        who: the configuration, in words.
        n: labelled examples.
        class_names: (C,).
        class_sizes: labelled examples by class, about; NaN where not known.
        ids: (N,) of the test examples.
        labels: (N,) true classes; of any number of labels each, 0 and 1, (N, C).
        probabilities: (seeds, N, C).
        groups: (N,), the same for test examples that belong together; None: each is one of its own.
    """

    dataset: str
    fingerprint: str
    who: str
    n: float
    class_names: tuple[str, ...]
    class_sizes: npt.NDArray[np.float64]
    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    groups: npt.NDArray[np.int64] | None = None


def predictions_of(
    decision: Decision, records: Sequence[Record], run_info: Mapping[str, Any], directory: Path, who: str
) -> Predictions | None:
    """The answers of the recommended configuration; None where no predictions can be read.

    Args:
        decision: about one dataset at one label count; its ``dataset`` is a name as ``tables`` gives it.
        records: those of this dataset at this label count, of all configurations.
        run_info: the content of run.json.
        directory: the run directory.
        who: the configuration, in words.
    """
    chosen = decision.recommended
    mine = [
        record
        for record in records
        if record.status == "ok"
        and (record.cell["strategy"], record.cell["backbone"], record.cell["weights"])
        == (chosen.strategy, chosen.backbone, chosen.weights)
    ]
    stored = (Store(directory).arrays(record.cell_id) for record in mine)
    found = [arrays for arrays in stored if arrays is not None and "probabilities" in arrays]
    if not found or any(_examples(p) != _examples(found[0]) for p in found):
        return None
    fingerprint = mine[0].cell["fingerprint"]
    about = run_info.get("datasets", {}).get(fingerprint, {})
    classes = found[0]["probabilities"].shape[1]
    names = about.get("class_names") or []
    if len(names) != classes:
        names = [f"class {i}" for i in range(classes)]
    counts = np.asarray(about.get("pool_counts") or [math.nan] * classes, float)
    if len(counts) != classes:
        counts = np.full(classes, math.nan)
    return Predictions(
        dataset=decision.dataset,
        fingerprint=fingerprint,
        who=who,
        n=decision.n,
        class_names=tuple(map(str, names)),
        class_sizes=counts * decision.fraction,
        ids=tuple(found[0]["ids"].astype(str).tolist()),
        labels=found[0]["labels"].astype(np.int64),
        probabilities=np.stack([p["probabilities"].astype(float) for p in found]),
        groups=found[0]["groups"].astype(np.int64) if "groups" in found[0] else None,
    )


def _examples(arrays: Arrays) -> tuple[list[str], tuple[int, ...]]:
    return arrays["ids"].astype(str).tolist(), arrays["probabilities"].shape


def confusion_numbers(predictions: Predictions) -> pd.DataFrame:
    """One row a pair of classes: test examples of ``true`` taken for ``predicted`` (mean over seeds), and which
    share of ``true`` that is (NaN for a class without test examples)."""
    classes = len(predictions.class_names)
    predicted = predictions.probabilities.argmax(axis=2)
    pairs = predictions.labels * classes + predicted
    counts = np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes) / len(predicted)
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.full_like(counts, math.nan), where=total > 0)
    names = list(predictions.class_names)
    return pd.DataFrame(
        {
            "true": np.repeat(names, classes),
            "predicted": names * classes,
            "images": counts.ravel(),
            "share": share.ravel(),
        }
    )


def class_numbers(predictions: Predictions) -> pd.DataFrame:
    """One row a class: labelled and test examples, accuracy (mean over seeds), and its 95% interval over test
    examples: Wilson's, with as many of them as their groups are worth."""
    right = (predictions.probabilities.argmax(axis=2) == predictions.labels).mean(axis=0)
    rows = []
    for place, name in enumerate(predictions.class_names):
        mine = predictions.labels == place
        accuracy, low, high = math.nan, math.nan, math.nan
        if mine.any():
            accuracy = float(right[mine].mean())
            groups = None if predictions.groups is None else predictions.groups[mine]
            low, high = interval_of_one(right[mine], groups)
        rows.append((name, predictions.class_sizes[place], int(mine.sum()), accuracy, low, high))
    return pd.DataFrame(rows, columns=["class", "labelled", "test", "accuracy", "low", "high"])


def label_numbers(predictions: Predictions) -> pd.DataFrame:
    """One row a label, of any number for each example: labelled and test examples that have it, average precision
    (mean over seeds) with its 95% interval over test examples and what chance gives, and at the threshold of 0.5
    precision, recall and F1. NaN for a label without test examples."""
    rows = []
    for place, name in enumerate(predictions.class_names):
        truth = predictions.labels[:, place] > 0
        scores = predictions.probabilities[:, :, place]
        found = [math.nan] * 7
        if truth.any():
            credits = np.stack([precision_credits(row, truth) for row in scores])
            by_example = credits.mean(axis=0)
            answers = Answers(np.arange(len(truth)).astype(str), credits, predictions.groups)
            half = t_quantile(LEVEL, answers.degrees) * answers.error(by_example)
            average = float(by_example.mean())
            said = scores >= THRESHOLD
            hits, sure, there = (said & truth).sum(), said.sum(), truth.sum() * len(scores)
            found = [average, max(0.0, average - half), min(1.0, average + half), float(truth.mean())]
            found += [
                float(hits / sure) if sure else math.nan,
                float(hits / there),
                float(2 * hits / (sure + there)),
            ]
        rows.append((name, predictions.class_sizes[place], int(truth.sum()), *found))
    columns = [
        "label",
        "labelled",
        "test",
        "average_precision",
        "low",
        "high",
        "chance",
        "precision",
        "recall",
        "f1",
    ]
    return pd.DataFrame(rows, columns=columns)


def _confidence(predictions: Predictions) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """How sure each answer was and whether it was right, (seeds, answers) both. Of any number of labels each, every
    label is an answer: the probability that it is there, and whether it is."""
    probabilities = predictions.probabilities
    if predictions.labels.ndim == 2:
        sure = probabilities.reshape(len(probabilities), -1)
        return sure, np.broadcast_to(predictions.labels.ravel() > 0, sure.shape)
    return probabilities.max(axis=2), probabilities.argmax(axis=2) == predictions.labels


def calibration_numbers(predictions: Predictions) -> pd.DataFrame:
    """One row a bin of confidence that has answers, of all seeds: its mean confidence, its accuracy, and its
    share of the answers (Guo et al. 2017, arXiv:1706.04599)."""
    confidence, right = _confidence(predictions)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1).ravel()
    table = pd.DataFrame({"bin": place, "confidence": confidence.ravel(), "accuracy": right.ravel()})
    groups = table.groupby("bin")
    found = groups.mean().assign(share=groups.size() / len(table)).reset_index()
    return found.assign(low=found["bin"] / BINS, high=(found["bin"] + 1) / BINS)[
        ["low", "high", "confidence", "accuracy", "share"]
    ]


def calibration_error(predictions: Predictions) -> tuple[float, float]:
    """The expected calibration error, mean over seeds, and the 95% quantile of what it would be for a perfectly
    calibrated model on as many examples: with a few hundred examples it is far from zero even then."""
    confidence, right = _confidence(predictions)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)

    def error(correct: npt.NDArray[Any]) -> float:
        gaps = [
            np.bincount(p, weights=c - r, minlength=BINS)
            for p, c, r in zip(place, confidence, correct, strict=True)
        ]
        return float(np.abs(gaps).sum(axis=1).mean() / confidence.shape[1])

    rng = np.random.default_rng(0)
    made_up = [error(rng.random(confidence.shape) < confidence) for _ in range(200)]
    return error(right), float(np.quantile(made_up, 0.95))
