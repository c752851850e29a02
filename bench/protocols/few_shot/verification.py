"""Verification: do two examples show the same class? Of faces: the same person.

A pair that is no further apart than a threshold is accepted as one class. A false accept is one of two classes, and
a false reject is a pair of one class that is not accepted. At the equal error rate both are as frequent (ISO/IEC
19795-1). The curve is that of Fawcett 2006, "An introduction to ROC analysis", doi:10.1016/j.patrec.2005.10.010.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.system.seeds import generator

COMPARED = 1_000
"""Examples whose pairs are compared, at most."""
FALSE_ACCEPTS = np.logspace(-3, 0, 61)
"""Where the curve is kept."""
BINS = 1_000
"""Of distances, where each class in turn is left out."""


@dataclass(frozen=True)
class Curve:
    """A ROC curve from its strictest threshold to its loosest.

    Attributes:
        false_accepts, true_accepts: shares of the pairs of two classes and of one, float64 (T,), from 0 to 1.
        distances: the thresholds; a pair that is no further apart is accepted.
    """

    false_accepts: np.ndarray
    true_accepts: np.ndarray
    distances: np.ndarray

    @classmethod
    def of(cls, distances: np.ndarray, same: np.ndarray, weights: np.ndarray | None = None) -> Curve:
        """The curve of pairs; ``same`` says which are of one class, ``weights`` how often each counts."""
        from sklearn.metrics import roc_curve

        false_accepts, true_accepts, scores = roc_curve(same, -distances, sample_weight=weights)
        return cls(false_accepts, true_accepts, -scores)

    @property
    def area(self) -> float:
        """The chance that a pair of one class is nearer than a pair of two: .5 knows nothing."""
        from sklearn.metrics import auc

        return float(auc(self.false_accepts, self.true_accepts))

    @property
    def equal_error(self) -> float:
        """The rate at which false accepts are as frequent as false rejects, on the line between two thresholds."""
        after = self._crossing
        before = after - 1
        gap = self.false_accepts + self.true_accepts - 1
        share = -gap[before] / (gap[after] - gap[before])
        accepts = self.false_accepts
        return float(accepts[before] + share * (accepts[after] - accepts[before]))

    @property
    def threshold(self) -> float:
        """The distance there."""
        return float(self.distances[self._crossing])

    @property
    def _crossing(self) -> int:
        """The first threshold at which false accepts are as frequent as false rejects, or more so."""
        return max(1, int(np.searchsorted(self.false_accepts + self.true_accepts, 1.0)))

    def accepts(self) -> np.ndarray:
        """``FALSE_ACCEPTS``, and the share of the pairs of one class that is accepted there; (2, 61)."""
        return np.stack([FALSE_ACCEPTS, np.interp(FALSE_ACCEPTS, self.false_accepts, self.true_accepts)])


@dataclass(frozen=True)
class Pairs:
    """Pairs of examples of different groups.

    Attributes:
        distances: squared, float64 (P,).
        labels: of both examples, int64 (2, P).
    """

    distances: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, embedded: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Pairs | None:
        """All pairs of at most ``COMPARED`` examples; None where there are none of one class, or of two.

        Args:
            embedded: (N, D).
            labels, groups: (N,).
        """
        rows = np.arange(len(labels))
        if len(rows) > COMPARED:
            rows = np.sort(generator("verification", len(rows)).choice(rows, COMPARED, replace=False))
        x, labels, groups = embedded[rows].astype(np.float64), labels[rows], groups[rows]
        lengths = np.square(x).sum(axis=1)
        first, second = np.triu_indices(len(x), 1)
        apart = groups[first] != groups[second]
        first, second = first[apart], second[apart]
        distances = np.maximum(lengths[:, None] + lengths - 2 * x @ x.T, 0)[first, second]
        found = cls(np.round(distances, 9), np.stack([labels[first], labels[second]]))
        return found if 0 < np.count_nonzero(found.same) < len(found.same) else None

    @cached_property
    def same(self) -> np.ndarray:
        """Which are of one class, bool (P,)."""
        return np.asarray(self.labels[0] == self.labels[1])

    @cached_property
    def curve(self) -> Curve:
        return Curve.of(self.distances, self.same)

    def errors(self, threshold: float) -> tuple[float, float]:
        """The rates of false accepts and of false rejects, if pairs no further apart are accepted."""
        accepted = self.distances <= threshold
        return float(accepted[~self.same].mean()), float(1 - accepted[self.same].mean())

    def equal_error_by_class(self) -> np.ndarray:
        """What each class contributes to the equal error rate: jackknife pseudo-values, float64 (classes,).

        Pairs share examples and classes, so they are no sample. Classes are: the mean of these values is about the
        rate, and their spread that of a mean over other classes (Efron and Tibshirani 1993, chapter 11). NaN where
        nothing is left to compare without a class.
        """
        present, of = np.unique(self.labels, return_inverse=True)
        of = of.reshape(self.labels.shape)
        kinds = ~self.same, self.same
        edges = np.unique([np.quantile(self.distances[kind], np.linspace(0, 1, BINS)) for kind in kinds])
        bins = np.searchsorted(edges, self.distances)
        size = len(edges)
        mine = np.stack([_counts(of, bins, kind, len(present), size) for kind in kinds])
        everything = np.stack([np.bincount(bins[kind], minlength=size) for kind in kinds])
        distances, same = np.tile(edges, 2), np.arange(2).repeat(size)

        def rate(counts: np.ndarray) -> float:
            return (
                Curve.of(distances, same, counts.ravel()).equal_error if counts.sum(axis=1).all() else np.nan
            )

        rest = np.array([rate(everything - mine[:, place]) for place in range(len(present))])
        return np.asarray(self.curve.equal_error + (len(present) - 1) * (rate(everything) - rest))


def _counts(of: np.ndarray, bins: np.ndarray, kind: np.ndarray, classes: int, size: int) -> np.ndarray:
    """How many pairs of a kind each class has in each bin, (classes, size); a pair of one class counts once."""
    counts = np.zeros((classes, size))
    np.add.at(counts, (of[0, kind], bins[kind]), 1)
    two = kind & (of[0] != of[1])
    np.add.at(counts, (of[1, two], bins[two]), 1)
    return counts
