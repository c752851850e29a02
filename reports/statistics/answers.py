"""What test examples contribute to the metric that decides, by seed and example."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.records import ACCURACY
from bench.store import Store
from reports.statistics.credits import credits, heaviest
from reports.statistics.intervals import (
    LEVEL,
    UNSEEN_DIFFERENCE,
    Floats,
    Spread,
    t_quantile,
    unseen_of,
    wilson,
)


def interval_of_one(right: Floats, groups: npt.NDArray[np.int64] | None) -> tuple[float, float]:
    """The interval of the accuracy of one trained model: Wilson's, with as many examples as their groups are worth.

    Args:
        right: 1 or 0 by test example, or the mean of several seeds.
        groups: see ``Answers``.
    """
    share, examples = float(right.mean()), float(len(right))
    if groups is not None:
        error = Answers(np.arange(len(right)).astype(str), right[None], groups).error(right)
        examples = min(examples, share * (1 - share) / error**2 if error else float(len(np.unique(groups))))
    return wilson(share, max(examples, 1.0))


def difference_of_two(
    first: Floats, second: Floats, groups: npt.NDArray[np.int64] | None
) -> tuple[float, float, float]:
    """The difference in accuracy of two trained models on the same test examples, with its 95% interval.

    Args:
        first, second: 1 or 0 by test example.
        groups: see ``Answers``.
    """
    difference = first - second
    answers = Answers(np.arange(len(first)).astype(str), first[None], groups)
    error = math.sqrt(answers.error(difference) ** 2 + UNSEEN_DIFFERENCE / answers.size**2)
    half = t_quantile(LEVEL, answers.degrees) * error
    mean = float(difference.mean())
    return mean, max(-1.0, mean - half), min(1.0, mean + half)


@dataclass(frozen=True)
class Answers:
    """What test examples contribute to the metric that decides.

    Attributes:
        ids: of the examples, sorted.
        credits: see ``credits``, seeds x examples; of accuracy 1 or 0.
        groups: a number by example, the same for examples that belong together (of one patient, say); or None.
        heaviest: how many times as much as the average an example of the rarest class counts.
    """

    ids: npt.NDArray[np.str_]
    credits: Floats
    groups: npt.NDArray[np.int64] | None
    heaviest: float = 1.0

    def spread(self, values: Floats, unseen: float = 0.0) -> Spread:
        """The variance components of ``values``, seeds x examples, by an analysis of variance.

        Args:
            values: by seed and example.
            unseen: the sum of squares that a few made-up examples would add, of which a small test set happens to
                have none: without them, twenty right answers of twenty are an interval of no width. They are of
                the rarest class, which has the fewest examples to go by.
        """
        seeds, examples = values.shape
        by_seed, by_example = values.mean(axis=1), values.mean(axis=0)
        rest = values - by_seed[:, None] - by_example + values.mean()
        # What the choice of examples adds to the mean of one seed, beyond what it adds to the mean of all.
        alone = float(np.mean([self.error(row) ** 2 for row in rest])) * seeds / (seeds - 1)
        of_examples = self.error(by_example) ** 2
        if math.isinf(of_examples):  # a single group of examples tells nothing of others
            return Spread(seeds, examples, float(by_seed.var(ddof=1)), math.inf, 0.0)
        return Spread(
            seeds,
            examples,
            over_seeds=float(by_seed.var(ddof=1)) - alone,
            over_examples=max(0.0, of_examples - alone / seeds) * examples
            + unseen * self.heaviest**2 * examples / self.size**2,
            rest=alone * examples,
            degrees=self.degrees,
        )

    @property
    def size(self) -> float:
        """Test examples; in groups, as many independent ones as these are worth (Kish 1965, Survey Sampling)."""
        if self.groups is None:
            return len(self.ids)
        by_example = self.credits.mean(axis=0)
        error = self.error(by_example)
        if not 0 < error < math.inf:  # all alike: each group may be worth no more than one
            return len(np.unique(self.groups))
        return float(min(max(by_example.var() / error**2, 1.0), len(self.ids)))

    @property
    def degrees(self) -> float:
        """See ``Spread``: of few groups the scatter is not known well."""
        return math.inf if self.groups is None else max(len(np.unique(self.groups)) - 1, 1)

    def least(self, error: float) -> float:
        """A lower bound of accuracy, however groups differ; 0 without groups.

        Were the mean of all groups lower, they would all reach what the worst one does in less than ``error`` of
        the cases: Markov's inequality for each of them. Of two groups it says more than Student's t.
        """
        if self.groups is None:
            return 0.0
        _, index = np.unique(self.groups, return_inverse=True)
        of_each = np.bincount(index, self.credits.mean(axis=0)) / np.bincount(index)
        return float(of_each.min() * error ** (1 / len(of_each)))

    def unseen(self) -> float:
        """The ``unseen`` of the metric itself."""
        return unseen_of(float(self.credits.mean()))

    def margin(self) -> float:
        """Half the 95% interval that the choice of test examples alone gives to the metric of one seed."""
        errors = [
            self.error(row) ** 2 + self.unseen() * (self.heaviest / self.size) ** 2 for row in self.credits
        ]
        return t_quantile(LEVEL, self.degrees) * math.sqrt(float(np.mean(errors)))

    def covariance(self, by_example: Floats) -> Floats:
        """The covariance that the choice of test examples gives to the means ``by_example``, (k, examples)."""
        groups = np.arange(by_example.shape[1]) if self.groups is None else self.groups
        centred = by_example - by_example.mean(axis=1, keepdims=True)
        _, index = np.unique(groups, return_inverse=True)
        sums = np.stack([np.bincount(index, row) for row in centred])
        size = sums.shape[1]
        return np.asarray(sums @ sums.T * (size / max(size - 1, 1)) / by_example.shape[1] ** 2)

    def error(self, by_example: Floats) -> float:
        """The standard error that the choice of test examples gives to the mean of ``by_example``, (examples,).

        Examples of one group are one draw, not several (Liang & Zeger 1986, Biometrika 73:13).
        """
        if self.groups is None:
            return (
                float(by_example.std(ddof=1)) / math.sqrt(len(by_example))
                if len(by_example) > 1
                else math.inf
            )
        sums = np.bincount(np.unique(self.groups, return_inverse=True)[1], by_example - by_example.mean())
        if len(sums) < 2:
            return math.inf
        return float(np.sqrt(np.square(sums).sum() * len(sums) / (len(sums) - 1)) / len(by_example))


_IDS: dict[bytes, npt.NDArray[np.str_]] = {}


def _shared(ids: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    """One array for all cells that predicted the same examples: those of thousands would fill the memory."""
    return _IDS.setdefault(hashlib.sha256(ids.tobytes()).digest(), ids)


@lru_cache(maxsize=4096)
def _load_answers(directory: Path, cell_id: str, changed: int, metric: str) -> Answers | None:
    arrays = Store(directory).arrays(cell_id)
    if arrays is None or not {"ids", "labels", "probabilities"} <= arrays.keys():
        return None
    ids, labels = arrays["ids"].astype(str), arrays["labels"]
    found = credits(arrays["probabilities"], labels, metric)
    groups = arrays["groups"].astype(np.int64) if "groups" in arrays else None
    order = np.argsort(ids)
    return Answers(
        _shared(ids[order]),
        found[None, order],
        None if groups is None else groups[order],
        heaviest(labels, metric),
    )


def answers_of(directory: Path, cell_id: str, metric: str = ACCURACY) -> Answers | None:
    """What a cell's predictions say, examples in the order of their ids; None if there are none to be read."""
    try:
        changed = Store(directory).predictions_path(cell_id).stat().st_ctime_ns
        return _load_answers(directory, cell_id, changed, metric)
    except OSError:
        return None
