"""Scores of predicted probabilities. numpy only; every score is a plain float."""

from __future__ import annotations

import numpy as np

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 in the log loss: a certain mistake costs 16.1 nats."""


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of the true class, in nats.

    Args:
        probabilities: (N, classes), rows sum to 1.
        labels: (N,) class indices.
    """
    return float(log_losses(probabilities, labels).mean())


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The negative log-likelihood of the true class of each example, in nats, (N,)."""
    likelihood = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.clip(likelihood, EPSILON, 1.0)))


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Share of examples whose most probable class is the true one."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """ECE of the predicted class with equally wide confidence bins (Guo et al. 2017, arXiv:1706.04599)."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(index, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The test-set metrics of a record.

    ``balanced_accuracy`` and ``macro_f1`` are means over the classes that occur in ``labels``.
    """
    from sklearn.metrics import f1_score, recall_score

    predicted = probabilities.argmax(axis=1)
    present = np.unique(labels)
    options = {"labels": present, "average": "macro", "zero_division": 0.0}
    return {
        "accuracy": accuracy(probabilities, labels),
        "balanced_accuracy": float(recall_score(labels, predicted, **options)),
        "macro_f1": float(f1_score(labels, predicted, **options)),
        "log_loss": log_loss(probabilities, labels),
        "ece": expected_calibration_error(probabilities, labels),
    }
