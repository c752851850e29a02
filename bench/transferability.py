"""How well features suit labels, without training: scores by which backbones can be ordered.

All take features (N, D) of the labelled images and labels (N,), and are higher for better features. numpy only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Score = Callable[[np.ndarray, np.ndarray], float]

_ITERATIONS = 50
_TOLERANCE = 1e-3


def standardised(features: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and deviation 1 in float64; constant ones become 0."""
    values = features.astype(np.float64)
    centred = values - values.mean(axis=0)
    deviation = centred.std(axis=0)
    return np.asarray(centred / np.where(deviation > 1e-8, deviation, 1.0) * (deviation > 1e-8))


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """LogME (You et al. 2021, arXiv:2102.11005): the mean log evidence of a Bayesian linear model of each class.

    Returns:
        In nats an example; comparable between backbones on the same examples.
    """
    x = features.astype(np.float64)
    u, singular, _ = np.linalg.svd(x, full_matrices=False)
    keep = singular > singular[0] * 1e-10
    u, squares = u[:, keep], singular[keep] ** 2
    n, d = x.shape
    evidence = []
    for label in np.unique(labels):
        y = (labels == label).astype(np.float64)
        inside = u.T @ y
        outside = max(float(y @ y - inside @ inside), 0.0)
        alpha, beta = 1.0, 1.0
        for _ in range(_ITERATIONS):
            ratio = alpha / beta
            gamma = float((squares / (squares + ratio)).sum())
            weights = float((squares * inside**2 / (squares + ratio) ** 2).sum())
            residual = float((inside**2 * (ratio / (squares + ratio)) ** 2).sum()) + outside
            alpha = gamma / (weights + 1e-12)
            beta = (n - gamma) / (residual + 1e-12)
            if abs(alpha / beta - ratio) / ratio <= _TOLERANCE:
                break
        ratio = alpha / beta
        weights = float((squares * inside**2 / (squares + ratio) ** 2).sum())
        residual = float((inside**2 * (ratio / (squares + ratio)) ** 2).sum()) + outside
        evidence.append(
            0.5 * d * np.log(alpha)
            + 0.5 * n * np.log(beta)
            - 0.5 * np.log(alpha + beta * squares).sum()
            - 0.5 * (d - len(squares)) * np.log(alpha)
            - 0.5 * beta * residual
            - 0.5 * alpha * weights
            - 0.5 * n * np.log(2 * np.pi)
        )
    return float(np.mean(evidence) / n)


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """The H-score with a shrunk covariance (Bao et al. 2019; Ibrahim et al. 2021, arXiv:2110.06893): how much of
    the variance of the features lies between classes."""
    from sklearn.covariance import ledoit_wolf

    x = features.astype(np.float64)
    x = x - x.mean(axis=0)
    covariance, shrinkage = ledoit_wolf(x, assume_centered=True)
    means = np.zeros_like(x)
    for label in np.unique(labels):
        means[labels == label] = x[labels == label].mean(axis=0)
    between = means.T @ means / len(x)
    return float(np.trace(np.linalg.solve(covariance, between)) * (1 - shrinkage))


def nearest_mean(features: np.ndarray, labels: np.ndarray) -> float:
    """Leave-one-out accuracy of the nearest class mean, by cosine, of standardised features."""
    x = _unit(standardised(features))
    classes, places = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(classes), x.shape[1]))
    np.add.at(sums, places, x)
    similar = x @ _unit(sums).T
    own = sums[places] - x  # without the example itself
    similar[np.arange(len(x)), places] = (x * _unit(own)).sum(axis=1)
    return float((similar.argmax(axis=1) == places).mean())


def nearest_neighbours(features: np.ndarray, labels: np.ndarray, neighbours: int = 5) -> float:
    """Leave-one-out accuracy of the most similar examples' vote, by cosine, of standardised features."""
    x = _unit(standardised(features))
    classes, places = np.unique(labels, return_inverse=True)
    votes, right = np.eye(len(classes))[places], 0
    k = min(neighbours, len(x) - 1)
    for first in range(0, len(x), 1024):
        rows = np.arange(first, min(first + 1024, len(x)))
        similar = x[rows] @ x.T
        similar[np.arange(len(rows)), rows] = -np.inf
        nearest = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        weights = np.exp(np.take_along_axis(similar, nearest, axis=1) / 0.07)
        right += int(
            ((weights[:, :, None] * votes[nearest]).sum(axis=1).argmax(axis=1) == places[rows]).sum()
        )
    return right / len(x)


def ridge_probe(features: np.ndarray, labels: np.ndarray) -> float:
    """Leave-one-out accuracy of a ridge classifier, exact and without refitting (Allen 1974, PRESS); the penalty is
    the best of a few. It predicts what a linear probe reaches."""
    x = standardised(features)
    classes, places = np.unique(labels, return_inverse=True)
    targets = np.eye(len(classes))[places]
    targets -= targets.mean(axis=0)
    u, singular, _ = np.linalg.svd(x, full_matrices=False)
    squares, projected = singular**2, u.T @ targets
    best = 0.0
    for penalty in np.geomspace(1e-3, 10, 9) * len(x):
        shrink = squares / (squares + penalty)
        fitted = u @ (shrink[:, None] * projected)
        leverage = (u**2 * shrink).sum(axis=1) + 1 / len(x)
        left_out = targets - (targets - fitted) / np.maximum(1 - leverage, 1e-9)[:, None]
        best = max(best, float((left_out.argmax(axis=1) == places).mean()))
    return best


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


SCORES: dict[str, Score] = {
    "logme": logme,
    "h_score": h_score,
    "knn": nearest_neighbours,
    "nearest_mean": nearest_mean,
    "probe": ridge_probe,
}
"""By name; ``probe`` is the predicted accuracy of a linear probe, by which ``bench rank`` orders."""
