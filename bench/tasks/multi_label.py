"""Any number of labels for each example: a yes or no for each, with a probability of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from bench.records import MULTI_LABEL, Metric
from bench.tasks.base import TaskKind

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 in the log loss."""

THRESHOLD = 0.5
"""A label is predicted from this probability on. It is fixed: one that is chosen would have to be validated."""

BINS = 15
"""Of the calibration error."""

NO_LABEL = "(no label)"
"""What an example without a label is called where label sets are named."""


class MultiLabel(TaskKind):
    """Many labels: sigmoid, binary cross-entropy, mean average precision.

    Without label smoothing: it would put the same floor under every label, however rare.
    """

    name = MULTI_LABEL
    told = "labels"
    metrics: ClassVar[tuple[Metric, ...]] = ("mean_average_precision", "macro_f1", "micro_f1", "auroc")
    activation: ClassVar[Literal["softmax", "sigmoid"]] = "sigmoid"
    label_smoothing = 0.0
    class_weights = False

    def targets(self, labels: np.ndarray, classes: int) -> np.ndarray:
        return labels.astype(np.float32)

    def counts(self, labels: np.ndarray, classes: int) -> np.ndarray:
        return labels.sum(axis=0, dtype=np.int64)

    def said(self, label: Any, names: Sequence[str]) -> str:
        """``cat;dog``."""
        return ";".join(names[c] for c in np.flatnonzero(label).tolist()) or NO_LABEL

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))))

    def log_losses(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Mean over the labels, so that it does not grow with their number."""
        likelihood = np.where(labels > 0, probabilities, 1 - probabilities.astype(np.float64))
        return np.asarray(-np.log(np.clip(likelihood, EPSILON, 1.0)).mean(axis=1))

    def example_weights(self, labels: np.ndarray, metric: str) -> np.ndarray:
        """All the same: in a mean over labels each label counts the same already."""
        return np.ones(len(labels))

    def answers(self, probabilities: np.ndarray) -> np.ndarray:
        return np.asarray(probabilities >= THRESHOLD).astype(np.uint8)

    def class_accuracy(self, probabilities: np.ndarray, labels: np.ndarray) -> list[float | None]:
        return [float(share) for share in (self.answers(probabilities) == labels).mean(axis=0)]

    def score(self, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Means over labels are over those with a positive test example, of AUROC also a negative one."""
        from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

        scored = labels.any(axis=0)
        both = scored & ~labels.all(axis=0)
        truth, predicted = labels > 0, probabilities >= THRESHOLD
        found = {
            "label_accuracy": self.accuracy(probabilities, labels),
            "micro_f1": float(f1_score(truth, predicted, average="micro", zero_division=0.0)),
            "log_loss": self.log_loss(probabilities, labels),
            "ece": calibration_error(probabilities, labels),
        }
        if scored.any():
            some = truth[:, scored]
            found["mean_average_precision"] = float(
                np.mean(
                    [
                        average_precision_score(y, p)
                        for y, p in zip(some.T, probabilities.T[scored], strict=True)
                    ]
                )
            )
            by_label = f1_score(some, predicted[:, scored], average=None, zero_division=0.0)
            found["macro_f1"] = float(np.mean(by_label))
        if both.any():
            areas = [roc_auc_score(truth[:, c], probabilities[:, c]) for c in np.flatnonzero(both)]
            found["auroc"] = float(np.mean(areas))
        return found


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error of all probabilities of labels, in equally wide bins."""
    given = probabilities.astype(np.float64).ravel()
    place = np.minimum((given * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=given - (labels > 0).ravel(), minlength=bins)
    return float(np.abs(gaps).sum() / given.size)


def label_sets(labels: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The number of each example's set of labels, int64 (N,), and what the sets are called: ``cat;dog``."""
    sets, numbers = np.unique(labels, axis=0, return_inverse=True)
    return numbers.reshape(-1).astype(np.int64), [MultiLabel().said(row, names) for row in sets]
