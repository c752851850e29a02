"""Intervals of a mean over few seeds and many test examples, and the quantiles that they need.

Seeds and test examples are crossed random effects. An interval has two sources of error: few seeds (t, seeds - 1
degrees of freedom) and many test examples (normal). Two half-widths are known for such a sum: each source with its
own quantile, added in quadrature (Zou & Donner 2008, Stat. Med. 27:1693), and one t quantile with Satterthwaite's
degrees of freedom (1946, Biometrics 2:110). With three seeds the former covers up to .977 at 95%, the latter
down to .921; their weighted quadratic mean, taken here, .940 to .965 whatever the shares. The noise of a seed on an
example is part of what is seen of either; an analysis of variance finds it, so that it counts once. Simulated
coverage: ``tests/benchmarks/truth.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

MINIMUM_SEEDS = 3
"""Below this nothing is claimed: two numbers do not tell their own spread."""


LEVEL = 0.95


UNSEEN_DIFFERENCE = 2.0
"""The ``unseen`` of a paired difference: one example that only the first gets right, and one that only the second
does (Bonett & Price 2012, J. Educ. Behav. Stat. 37:479)."""


MOST_SEEDS, MOST_EXAMPLES = 50, 1_000_000
"""Nobody runs more seeds or labels more test examples to settle a question."""


SATTERTHWAITE = 0.6
"""The weight of the second of the two in their mean."""


MOST_DEGREES = 1e6
"""Of freedom: beyond them t is normal."""


Floats = npt.NDArray[np.float64]


DEGREES = np.array([1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 40, 100, 1e4])
"""Of freedom, at which quantiles of several comparisons are computed; between them they are interpolated."""


def t_half_width(spread: float, seeds: int, level: float = LEVEL) -> float:
    """Half the width of the t interval of a mean over seeds of standard deviation ``spread``; NaN below three."""
    return t_quantile(level, seeds - 1) * spread / math.sqrt(seeds) if seeds >= MINIMUM_SEEDS else math.nan


def wilson(accuracy: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """The interval of an accuracy measured on ``n`` test examples, for one trained model.

    Holds near 0 and 1 and at small n, where p ± 2 sqrt(pq/n) does not (Wilson 1927, JASA 22:209-212).
    """
    if not (math.isfinite(accuracy) and n > 0):
        return math.nan, math.nan
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    centre = (accuracy + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (accuracy * (1 - accuracy) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def verdict_on(mean: float, half: float, region: float) -> str:
    """Tied before better: what is surely small is small, also if it is surely not zero."""
    if -region < mean - half and mean + half < region:
        return "tied"
    return "better" if mean > half else "worse" if -mean > half else "undecided"


@dataclass(frozen=True)
class Spread:
    """Where the error of a mean over seeds and test examples comes from: variance components of one entry.

    Attributes:
        seeds, examples: how many there were.
        over_seeds: variance between seeds, beyond what the choice of test examples adds to it; by chance negative.
        over_examples: variance between examples (times the size of their groups, where they come in groups).
        rest: variance of one seed on one example, beyond both.
        shared, borrowed: variance between seeds that is typical of others, and its degrees of freedom.
        degrees: of freedom of ``over_examples``; of many examples it counts as known.
    """

    seeds: int
    examples: float
    over_seeds: float
    over_examples: float
    rest: float
    shared: float = 0.0
    borrowed: float = 0.0
    degrees: float = math.inf

    @classmethod
    def bound(cls, by_seed: Floats, over_examples: float, examples: float) -> Spread:
        """Without predictions by example: an upper bound.

        Args:
            by_seed: the values, (seeds,).
            over_examples: upper bound of the variance that the choice of ``examples`` examples adds to their mean.
            examples: how many.
        """
        return cls(len(by_seed), examples, float(by_seed.var(ddof=1)), over_examples * examples, 0.0)

    def half_width(self, level: float, seeds: int | None = None, examples: float | None = None) -> float:
        """Half an interval's width; as it would be with other numbers of seeds or examples, if given."""
        of_seeds, of_examples, known, all_degrees = self._errors(
            seeds or self.seeds, examples or self.examples
        )
        total = of_seeds + of_examples
        if total == 0 or math.isinf(total):
            return total
        t, t_examples = t_quantile(level, known), t_quantile(level, self.degrees)
        each = t**2 * of_seeds + t_examples**2 * of_examples
        both = t_quantile(level, all_degrees) ** 2 * total
        return math.sqrt((1 - SATTERTHWAITE) * each + SATTERTHWAITE * both)

    @property
    def degrees_of_all(self) -> float:
        """Satterthwaite's degrees of freedom of both sources together."""
        return self._errors(self.seeds, self.examples)[-1]

    def _errors(self, seeds: int, examples: float) -> tuple[float, float, float, float]:
        """The variance of the mean by seeds and by examples, the degrees of freedom of the former, and of both."""
        # The rest goes with the seeds: with it the spread between seeds is what t is made for.
        own = max(0.0, self.over_seeds + self.rest / examples)
        known = seeds - 1 + self.borrowed
        of_seeds = ((seeds - 1) * own + self.borrowed * self.shared) / known / seeds
        of_examples = self.over_examples / examples
        total = of_seeds + of_examples
        if total == 0 or math.isinf(total):
            return of_seeds, of_examples, known, known
        certainty = (of_seeds / total) ** 2 / known + (of_examples / total) ** 2 / self.degrees
        return of_seeds, of_examples, known, 1 / max(certainty, 1 / MOST_DEGREES)

    def p_value(self, mean: float) -> float:
        """Two-sided: one minus the level at which the interval just reaches zero."""
        low, high = 0.0, 1.0
        for _ in range(40):
            level = (low + high) / 2
            low, high = (level, high) if self.half_width(level) < abs(mean) else (low, level)
        return 1 - low

    def needed(
        self, settled: Callable[[float], bool], level: Callable[[float], float]
    ) -> tuple[int | None, int | None]:
        """How many seeds, and how many test examples, would settle it, if the difference stays as it is.

        Args:
            settled: whether half an interval's width is small enough.
            level: of the interval, by the degrees of freedom that there would be.

        Returns:
            Each with the other number as it is; None where no number up to ``MOST_SEEDS`` or ``MOST_EXAMPLES``
            would, or nothing is known of the examples.
        """
        if math.isnan(self.examples):
            return None, None

        def settles(seeds: int, examples: float) -> bool:
            half = self.half_width(level(self._errors(seeds, examples)[-1]), seeds, examples)
            return settled(half)

        seeds = next((n for n in range(self.seeds + 1, MOST_SEEDS + 1) if settles(n, self.examples)), None)
        few, many = int(self.examples), MOST_EXAMPLES
        if many <= few or not settles(self.seeds, many):
            return seeds, None
        while many - few > 1:
            middle = (few + many) // 2
            few, many = (few, middle) if settles(self.seeds, middle) else (middle, many)
        return seeds, many


def rank_correlation(first: Floats, second: Floats) -> tuple[float, float]:
    """Spearman's, and its two-sided p by Student's t with n - 2 degrees of freedom."""
    import pandas as pd  # a plan, which knows the looks, loads no pandas
    from scipy import special

    ranks = pd.DataFrame({"first": first, "second": second}).rank()
    related = float(ranks.corr().to_numpy()[0, 1])
    if not math.isfinite(related) or abs(related) >= 1:
        return related, 0.0
    t = related * math.sqrt((len(first) - 2) / (1 - related**2))
    return related, float(2 * special.stdtr(len(first) - 2, -abs(t)))


def t_quantile(level: float, degrees: float) -> float:
    """Student's t, two-sided; with ``inf`` degrees of freedom the normal distribution's."""
    from scipy import special  # stats would take a second to import

    return float(special.stdtrit(degrees, (1 + level) / 2))


def unseen_of(accuracy: float) -> float:
    """The squares of two more right and two more wrong answers (Agresti & Coull 1998, Am. Stat. 52:119)."""
    return 2 * accuracy**2 + 2 * (1 - accuracy) ** 2
