"""One class for each example: scores of predicted probabilities. Every score is a plain float."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from bench.records import ACCURACY, SINGLE_LABEL, Metric
from bench.tasks.base import TaskKind
from strategies.class_weight import balanced

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 in the log loss: a certain mistake costs 16.1 nats."""


def log_loss(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | float = 1.0) -> float:
    """Mean negative log-likelihood of the true class, in nats.

    Args:
        probabilities: (N, classes), rows sum to 1.
        labels: (N,) class indices.
        weights: of the examples, (N,) with a mean of 1; default: all count the same.
    """
    return float((log_losses(probabilities, labels) * weights).mean())


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The negative log-likelihood of the true class of each example, in nats, (N,)."""
    likelihood = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.clip(likelihood, EPSILON, 1.0)))


def example_weights(labels: np.ndarray, metric: str) -> np.ndarray:
    """How much each validation example counts where trials are chosen, (N,) with a mean of 1.

    Args:
        labels: (N,) class indices.
        metric: that decides. By accuracy all examples count the same, by any other all classes that occur.
    """
    return np.ones(len(labels)) if metric == ACCURACY else balanced(labels)[labels]


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Share of examples whose most probable class is the true one."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def class_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> list[float | None]:
    """The accuracy of each class; None for one without an example."""
    right = probabilities.argmax(axis=1) == labels
    return [
        float(right[labels == c].mean()) if (labels == c).any() else None
        for c in range(probabilities.shape[1])
    ]


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """ECE of the predicted class with equally wide confidence bins (Guo et al. 2017, arXiv:1706.04599)."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(index, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def auroc(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Area under the ROC curve, each class that occurs against all others, mean over these; ties count half.

    Returns:
        None where it is not defined: fewer than two classes occur.
    """
    from sklearn.metrics import roc_auc_score

    present = np.unique(labels)
    if len(present) < 2:
        return None
    return float(np.mean([roc_auc_score(labels == c, probabilities[:, c]) for c in present]))


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The test-set metrics of a record.

    ``balanced_accuracy``, ``macro_f1`` and ``auroc`` are means over the classes that occur in ``labels``. What is
    not defined is left out.
    """
    from sklearn.metrics import f1_score, recall_score

    predicted = probabilities.argmax(axis=1)
    present = np.unique(labels)
    options = {"labels": present, "average": "macro", "zero_division": 0.0}
    area = auroc(probabilities, labels)
    return {
        "accuracy": accuracy(probabilities, labels),
        "balanced_accuracy": float(recall_score(labels, predicted, **options)),
        "macro_f1": float(f1_score(labels, predicted, **options)),
        "log_loss": log_loss(probabilities, labels),
        "ece": expected_calibration_error(probabilities, labels),
        **({} if area is None else {"auroc": area}),
    }


class SingleLabel(TaskKind):
    """One class each: softmax, cross-entropy, accuracy."""

    name = SINGLE_LABEL
    told = "classes"
    metrics: ClassVar[tuple[Metric, ...]] = (ACCURACY, "balanced_accuracy", "macro_f1", "auroc")
    activation: ClassVar[Literal["softmax", "sigmoid"]] = "softmax"
    label_smoothing = 0.1
    class_weights = True

    def targets(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """One-hot; zeros where a label is -1."""
        found = np.eye(classes, dtype=np.float32)[labels]
        found[labels < 0] = 0
        return found

    def counts(self, labels: np.ndarray, classes: int) -> np.ndarray:
        return np.bincount(labels, minlength=classes)

    def said(self, label: Any, names: Sequence[str]) -> str:
        return names[label]

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

    def log_losses(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return log_losses(probabilities, labels)

    def example_weights(self, labels: np.ndarray, metric: str) -> np.ndarray:
        return example_weights(labels, metric)

    def answers(self, probabilities: np.ndarray) -> np.ndarray:
        return np.asarray(probabilities.argmax(axis=1))

    def class_accuracy(self, probabilities: np.ndarray, labels: np.ndarray) -> list[float | None]:
        return class_accuracy(probabilities, labels)

    def score(self, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        return score(probabilities, labels)
