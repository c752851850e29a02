"""The credits of test examples with any number of labels each, see ``credits``.

Metrics are means over labels that have a positive test example; AUROC also needs a negative one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.tasks.multi_label import THRESHOLD
from reports.statistics.intervals import Floats

Truth = npt.NDArray[np.bool_]


def many_credits(probabilities: npt.NDArray[np.floating], labels: npt.NDArray[Any], metric: str) -> Floats:
    """The credit of each test example, (N,); nan where the metric is not defined.

    Args:
        probabilities: (N, classes).
        labels: 0 and 1, (N, classes).
        metric: ``mean_average_precision``, ``macro_f1``, ``micro_f1`` or ``auroc``.
    """
    truth = labels > 0
    of_metric: dict[str, Callable[[npt.NDArray[np.floating], Truth], Floats]] = {
        "mean_average_precision": _mean_average_precision,
        "macro_f1": _macro_f1,
        "micro_f1": _micro_f1,
        "auroc": _auroc,
    }
    return of_metric[metric](probabilities, truth)


def heaviest_of_many(labels: npt.NDArray[Any], metric: str) -> float:
    """How many times as much as the average an example of the rarest label counts; 1 of micro F1, which weighs
    labels by their examples."""
    counts = labels.sum(axis=0)
    counts = counts[counts > 0]
    if metric == "micro_f1" or not len(counts):
        return 1.0
    return float(max(1.0, len(labels) / (len(counts) * int(counts.min()))))


def _mean_average_precision(probabilities: npt.NDArray[np.floating], truth: Truth) -> Floats:
    return _mean([precision_credits(p, y) for p, y in _labels(probabilities, truth) if y.any()], len(truth))


def _macro_f1(probabilities: npt.NDArray[np.floating], truth: Truth) -> Floats:
    found = [_f1(p[:, None], y[:, None]) for p, y in _labels(probabilities, truth) if y.any()]
    return _mean(found, len(truth))


def _micro_f1(probabilities: npt.NDArray[np.floating], truth: Truth) -> Floats:
    return _f1(probabilities, truth)


def _auroc(probabilities: npt.NDArray[np.floating], truth: Truth) -> Floats:
    found = [area_credits(p, y) for p, y in _labels(probabilities, truth) if y.any() and not y.all()]
    return _mean(found, len(truth))


def _labels(probabilities: npt.NDArray[np.floating], truth: Truth) -> Any:
    return zip(probabilities.T, truth.T, strict=True)


def _mean(found: Sequence[Floats], count: int) -> Floats:
    """The mean over labels; nan where there is none."""
    return np.asarray(np.mean(found, axis=0)) if found else np.full(count, math.nan)


def _f1(probabilities: npt.NDArray[np.floating], truth: Truth) -> Floats:
    """F1 is 2 hits / (positives + answers); an example adds to each by its labels and its answers."""
    answers = probabilities >= THRESHOLD
    hits, sizes = (answers & truth).sum(axis=1), answers.sum(axis=1) + truth.sum(axis=1)
    size = max(int(sizes.sum()), 1)
    score = 2 * hits.sum() / size
    return np.asarray(score + len(truth) * (2 * hits - score * sizes) / size)


def precision_credits(scores: npt.NDArray[np.floating], truth: Truth) -> Floats:
    """The credits of the average precision of one label that has a positive example.

    It is the mean over positives of the precision among all examples that score as high or higher. An example that
    weighs more changes the precision at its own score and at every positive that scores as high or lower.
    """
    values, place = np.unique(scores, return_inverse=True)
    # By distinct score, rising: examples and positives that score as high or higher.
    above, positives = (
        np.bincount(place, weights, len(values))[::-1].cumsum()[::-1]
        for weights in (np.ones(len(scores)), truth.astype(float))
    )
    precision = positives / above
    here = np.bincount(place, truth, len(values))
    total = float(truth.sum())
    average = float((here * precision).sum() / total)
    # Of the positives that score as high or lower: how much one more example, and one more positive, moves them.
    counted, gained = (here * precision / above).cumsum(), (here / above).cumsum()
    moved = truth * gained[place] - counted[place] + truth * (precision[place] - average)
    return np.asarray(average + len(scores) * moved / total)


def area_credits(scores: npt.NDArray[np.floating], truth: Truth) -> Floats:
    """The credits of the area under the ROC curve of one label, by the placements of examples among those of the
    other side (DeLong et al. 1988, Biometrics 44:837)."""
    found = np.zeros(len(truth))
    inside, outside = (np.sort(scores[some]) for some in (truth, ~truth))
    above = _below(outside, scores[truth])
    under = 1 - _below(inside, scores[~truth])
    area = above.mean()
    found[truth] = area + (above - area) * len(truth) / len(inside)
    found[~truth] = area + (under - area) * len(truth) / len(outside)
    return found


def _below(ordered: npt.NDArray[np.floating], values: npt.NDArray[np.floating]) -> Floats:
    """Which share of some numbers in rising order lies below each value; equal ones count half."""
    left, right = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return np.asarray((left + right) / (2 * len(ordered)))
