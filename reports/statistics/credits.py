"""What each test example contributes to the metric that decides: its credit.

The mean of the credits is the metric, exactly, and their scatter gives its sampling error. Accuracy is such a mean
by itself: a credit is 1 or 0. Of any other metric, a credit is the metric plus N times its derivative by the weight
of the example (the infinitesimal jackknife: Jaeckel 1972; Efron 1982, The jackknife, the bootstrap and other
resampling plans, doi:10.1137/1.9781611970319). So all that is paired, pooled over seeds or summed by groups works
for every metric alike. Credits other than those of accuracy may be negative or above 1.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.records import ACCURACY, SINGLE_LABEL
from reports.statistics.intervals import Floats
from reports.statistics.many_credits import area_credits, heaviest_of_many, many_credits

Labels = npt.NDArray[np.int64]


def metric_of(results: pd.DataFrame) -> str:
    """The metric that decides, also the name of its column: the same for all cells of a run.

    Args:
        results: the frame of ``tables.results_frame``, or some of its rows; without a column ``metric``, accuracy.
    """
    return str(results["metric"].iloc[0]) if "metric" in results and len(results) else ACCURACY


def task_of(results: pd.DataFrame) -> str:
    """What is learned of an example, likewise; without a column ``task``, one class."""
    return str(results["task"].iloc[0]) if "task" in results and len(results) else SINGLE_LABEL


def credits(probabilities: npt.NDArray[np.floating], labels: Labels, metric: str) -> Floats:
    """The credit of each test example, (N,).

    Args:
        probabilities: (N, classes).
        labels: (N,) class indices; of any number of labels each, 0 and 1, (N, classes).
        metric: ``accuracy``, ``balanced_accuracy``, ``macro_f1`` or ``auroc``, the last three over the classes that
            occur in ``labels``; nan where it is not defined. Of any number of labels: one of those in
            ``many_credits``.
    """
    if labels.ndim == 2:
        return many_credits(probabilities, labels, metric)
    of_metric = {
        str(ACCURACY): _accuracy, "balanced_accuracy": _balanced_accuracy, "macro_f1": _macro_f1, "auroc": _auroc,
    }  # fmt: skip
    return of_metric[metric](probabilities, labels)


def heaviest(labels: Labels, metric: str) -> float:
    """How many times as much as the average an example of the rarest class counts."""
    if labels.ndim == 2:
        return heaviest_of_many(labels, metric)
    _, counts = np.unique(labels, return_counts=True)
    return 1.0 if metric == ACCURACY else len(labels) / (len(counts) * int(counts.min()))


def _accuracy(probabilities: npt.NDArray[np.floating], labels: Labels) -> Floats:
    return (probabilities.argmax(axis=1) == labels).astype(float)


def _balanced_accuracy(probabilities: npt.NDArray[np.floating], labels: Labels) -> Floats:
    right = _accuracy(probabilities, labels)
    counts = np.bincount(labels)
    recalls = np.bincount(labels, right) / np.maximum(counts, 1)
    occurs = int((counts > 0).sum())
    # Beside the share of the recall itself: how far an example is above or below that of its class.
    above = (right - recalls[labels]) * len(labels) / (occurs * counts[labels])
    return np.asarray(recalls.sum() / occurs + above)


def _macro_f1(probabilities: npt.NDArray[np.floating], labels: Labels) -> Floats:
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    counts, answers = (np.bincount(some, minlength=classes) for some in (labels, predicted))
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    occurs = counts > 0
    # F1 of a class is 2 hits / (counts + answers); an example adds to each by its label and its answer.
    size = np.where(occurs, counts + answers, 1)
    score = np.where(occurs, 2 * hits / size, 0.0)
    gained = (predicted == labels) * 2 / size[labels]
    lost = score[labels] / size[labels] + np.where(occurs[predicted], score[predicted] / size[predicted], 0.0)
    return np.asarray((score.sum() + len(labels) * (gained - lost)) / occurs.sum())


def _auroc(probabilities: npt.NDArray[np.floating], labels: Labels) -> Floats:
    """By the placements of examples among those of the other side (DeLong et al. 1988, Biometrics 44:837)."""
    present = np.unique(labels)
    if len(present) < 2:
        return np.full(len(labels), math.nan)
    return np.mean([area_credits(probabilities[:, c], labels == c) for c in present], axis=0)
