"""How well features suit labels, without training: scores by which backbones can be ordered.

All are higher for better features. They take features (N, D) of the labelled examples and labels (N,), integers;
what leaves examples out takes their groups (N,), or None, as well: the other examples of a group, which may show
the same thing, are then left out together. ``leep`` and ``nce`` take what the network's own classifier says of the
examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Score = Callable[[np.ndarray, np.ndarray, "np.ndarray | None"], float]

VERSION = 1
"""Raised whenever a score of the same features would come out otherwise."""
PENALTIES = np.geomspace(1e-3, 10, 9)
"""Of the ridge probe, times the number of examples."""

_ITERATIONS = 50
_TOLERANCE = 1e-3
_NEGLIGIBLE = 1e-10
"""Share of the largest squared singular value below which there is only rounding."""


def standardised(features: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and deviation 1 in float64; constant ones, but for rounding, become 0."""
    values = features.astype(np.float64)
    centred = values - values.mean(axis=0)
    deviation = centred.std(axis=0)
    varies = deviation > 1e-6 * np.abs(values).max(axis=0)
    return np.asarray(centred / np.where(varies, deviation, 1.0) * varies)


def logme(features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> float:
    """LogME (You et al. 2021, arXiv:2102.11005): the mean log evidence of a Bayesian linear model of each class.

    Returns:
        In nats an example; comparable between backbones on the same examples.
    """
    x = features.astype(np.float64)
    x = x / (np.sqrt(np.mean(x**2)) or 1.0)  # changes nothing but where the iteration begins
    u, squares = _spectrum(x)
    n, d = x.shape
    evidence = []
    for label in np.unique(labels):
        y = (labels == label).astype(np.float64)
        inside = u.T @ y
        outside = max(float(y @ y - inside @ inside), 0.0)
        alpha, beta = 1.0, 1.0
        for _ in range(_ITERATIONS if len(squares) else 0):
            ratio = alpha / beta
            gamma = float((squares / (squares + ratio)).sum())
            weights = float((squares * inside**2 / (squares + ratio) ** 2).sum())
            residual = float((inside**2 * (ratio / (squares + ratio)) ** 2).sum()) + outside
            alpha = gamma / (weights + 1e-12)
            beta = (n - gamma) / (residual + 1e-12)
            if abs(alpha / beta - ratio) / ratio <= _TOLERANCE:
                break
        if not len(squares):  # constant zero: all is noise
            beta = n / outside
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


def h_score(features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> float:
    """The H-score with a shrunk covariance (Bao et al. 2019; Ibrahim et al. 2021, arXiv:2110.06893): how much of
    the variance of the features lies between classes."""
    from sklearn.covariance import ledoit_wolf

    x = features.astype(np.float64)
    x = x - x.mean(axis=0)
    if not x.any():
        return 0.0
    covariance, shrinkage = ledoit_wolf(x, assume_centered=True)
    means = np.zeros_like(x)
    for label in np.unique(labels):
        means[labels == label] = x[labels == label].mean(axis=0)
    between = means.T @ means / len(x)
    return float(np.trace(np.linalg.solve(covariance, between)) * (1 - shrinkage))


def nearest_mean(features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Leave-one-out accuracy of the nearest class mean, by cosine, of standardised features."""
    x = _unit(standardised(features))
    classes, places = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(classes), x.shape[1]))
    np.add.at(sums, places, x)
    similar = x @ _unit(sums).T
    own = sums[places] - x  # without the example itself
    similar[np.arange(len(x)), places] = (x * _unit(own)).sum(axis=1)
    for rows in _together(groups):
        others = sums.copy()
        np.subtract.at(others, places[rows], x[rows])
        similar[rows] = x[rows] @ _unit(others).T
    return float((similar.argmax(axis=1) == places).mean())


def nearest_neighbours(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None, neighbours: int = 5
) -> float:
    """Leave-one-out accuracy of the most similar examples' vote, by cosine, of standardised features."""
    x = _unit(standardised(features))
    classes, places = np.unique(labels, return_inverse=True)
    votes, right = np.eye(len(classes))[places], 0
    groups = np.arange(len(x)) if groups is None else groups
    k = min(neighbours, len(x) - 1)
    for first in range(0, len(x), 1024):
        rows = np.arange(first, min(first + 1024, len(x)))
        similar = x[rows] @ x.T
        similar[groups[rows, None] == groups] = -np.inf
        nearest = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        weights = np.exp(np.take_along_axis(similar, nearest, axis=1) / 0.07)
        right += int(
            ((weights[:, :, None] * votes[nearest]).sum(axis=1).argmax(axis=1) == places[rows]).sum()
        )
    return right / len(x)


def ridge_probe(features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Leave-one-out accuracy of a ridge classifier, exact and without refitting (Allen 1974, PRESS); the penalty is
    the best of ``PENALTIES``. It predicts what a linear probe reaches."""
    x = standardised(features)
    classes, places = np.unique(labels, return_inverse=True)
    targets = np.eye(len(classes))[places]
    targets -= targets.mean(axis=0)
    u, squares = _spectrum(x)
    projected = u.T @ targets
    together = list(_together(groups))
    best = 0.0
    for penalty in PENALTIES * len(x):
        shrink = squares / (squares + penalty)
        errors = targets - u @ (shrink[:, None] * projected)
        leverage = (u**2 * shrink).sum(axis=1) + 1 / len(x)
        left_out = targets - errors / np.maximum(1 - leverage, 1e-9)[:, None]
        for rows in together:
            hat = (u[rows] * shrink) @ u[rows].T + 1 / len(x)
            left_out[rows] = targets[rows] - np.linalg.solve(
                np.eye(len(rows)) * (1 + 1e-9) - hat, errors[rows]
            )
        best = max(best, float((left_out.argmax(axis=1) == places).mean()))
    return best


def leep(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """LEEP (Nguyen et al. 2020, arXiv:2002.12462): the mean log probability of the labels if they are predicted
    through the source's classes.

    Args:
        probabilities: of the source's classes, (N, Z).
        labels: (N,).
    """
    classes, places = np.unique(labels, return_inverse=True)
    p = probabilities.astype(np.float64)
    joint = np.eye(len(classes))[places].T @ p
    given_source = joint / np.maximum(joint.sum(axis=0), 1e-300)
    return float(np.log(np.maximum((p * given_source[places]).sum(axis=1), 1e-300)).mean())


def nce(source_labels: np.ndarray, labels: np.ndarray) -> float:
    """NCE (Tran et al. 2019, arXiv:1908.08142): the negative conditional entropy, in nats, of the labels given the
    source classes (N,) that the network sees."""
    pairs, count = np.unique(np.stack([source_labels, labels]), axis=1, return_counts=True)
    sources, of_source = np.unique(source_labels, return_counts=True)
    share = count / of_source[np.searchsorted(sources, pairs[0])]
    return float((count * np.log(share)).sum() / len(labels))


def _spectrum(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left singular vectors (N, R) and squared singular values (R,), by the smaller of the two Gram matrices.

    Several times as fast as a singular value decomposition; what it loses are directions of less than 1e-5 of the
    largest, and features are stored with 1e-3.
    """
    tall = len(x) > x.shape[1]
    squares, vectors = np.linalg.eigh(x.T @ x if tall else x @ x.T)
    keep = squares > max(squares[-1], 0.0) * _NEGLIGIBLE
    squares, vectors = squares[keep], vectors[:, keep]
    return (x @ vectors / np.sqrt(squares) if tall else vectors), squares


def _together(groups: np.ndarray | None) -> Iterator[np.ndarray]:
    """Rows of each group that has several."""
    if groups is None:
        return
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    yield from (rows for rows in np.split(order, starts) if len(rows) > 1)


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


SCORES: dict[str, Score] = {
    "logme": logme,
    "h_score": h_score,
    "knn": nearest_neighbours,
    "nearest_mean": nearest_mean,
    "probe": ridge_probe,
}
"""Those of features, by name; by ``probe``, the predicted accuracy of a linear probe, ``ranking.rank`` orders."""
