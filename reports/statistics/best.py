"""Multiple comparisons with the best: at most how much is given up by taking one candidate and not another.

All that is said of one family holds together. With probability 95% the one that is best in truth came out no
further behind any other than ``half``, and then (Hsu 1981, Ann. Stat. 9:1026; 1996, Multiple Comparisons, ch. 4):

- whoever is taken gives up at most the largest ``lead + half`` of the others over it;
- whoever is more than ``half`` behind some other is not the best.

That needs one-sided comparisons of one with all others, not of all pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from reports.statistics.intervals import DEGREES, LEVEL, MINIMUM_SEEDS, Floats, Spread
from reports.statistics.looks import Looks
from reports.statistics.pairs import Comparison, Measured, lead_of, spread_of, typical_variance

UNEVEN = 1
"""Comparisons that are counted more, because variances are unequal and not known: simulated, see ``truth.py``."""


@dataclass(frozen=True)
class Pair:
    """One candidate and another over the seeds of the look that both have reached.

    Attributes:
        ahead: by how much the other is ahead.
        half: so much may chance make of that to either side.
        seeds: that both have; below three nothing is known but ``ahead``.
        spread: where the error comes from; None below three seeds.
        paired: whether test examples could be paired.
        error: the probability of an error that is allowed to the whole family at this look.
    """

    ahead: float
    half: float
    seeds: int
    spread: Spread | None = None
    paired: bool = False
    error: float = math.nan

    @property
    def known(self) -> bool:
        return self.spread is not None


class Family:
    """Candidates at one label count, each against all others.

    Args:
        runs: the candidates.
        looks: when claims are made.
        region: differences within plus or minus this count as none.
    """

    def __init__(self, runs: Sequence[Measured], looks: Looks, region: float) -> None:
        self.runs, self.looks, self.region = runs, looks, region
        self._pairs: dict[tuple[int, int], list[Pair]] = {}
        self._typical: dict[int, tuple[float, float]] = {}

    @cached_property
    def leader(self) -> int:
        """Who is behind no other, as far as seeds are common: with equal seeds the highest mean.

        Whoever has too few seeds does not lead, unless there are not two that have enough."""
        able = [i for i, run in enumerate(self.runs) if len(run.values) >= MINIMUM_SEEDS]
        able = able if len(able) > 1 else [*range(len(self.runs))]

        def behind(i: int) -> tuple[float, float]:
            return max((self.pair(i, j).ahead for j in able if j != i), default=0.0), -self.runs[i].value

        return min(able, key=behind)

    def pair(self, one: int, other: int) -> Pair:
        """What the one gives up against the other, at the last look that both have reached."""
        return self._at_looks(one, other)[-1]

    def bound(self, one: int, other: int) -> float:
        """What the one gives up at most against the other: the least of all looks, for they hold together."""
        return min(pair.ahead + pair.half for pair in self._at_looks(one, other))

    def _at_looks(self, one: int, other: int) -> list[Pair]:
        """The pair at each look that both have reached; with too few seeds for any, what there is."""
        if one > other:
            return [replace(pair, ahead=-pair.ahead) for pair in self._at_looks(other, one)]
        if (one, other) not in self._pairs:
            lead = lead_of(self.runs[other], self.runs[one])
            looks = self.looks.reached(len(lead))
            found = [self._compared(self.runs[one], self.runs[other], lead, seeds) for seeds in looks]
            self._pairs[one, other] = found
        return self._pairs[one, other]

    def _compared(self, one: Measured, other: Measured, lead: dict[int, float], seeds: int) -> Pair:
        """One and another over the first of their common seeds."""
        lead = dict(sorted(lead.items())[:seeds])
        if seeds < MINIMUM_SEEDS:
            ahead = float(np.mean([*lead.values()])) if lead else other.value - one.value
            return Pair(ahead, math.nan, seeds)
        spread, paired = spread_of(other, one, lead)
        shared, borrowed = self._typical_at(seeds)
        spread = replace(spread, shared=shared, borrowed=borrowed)
        error = self.looks.error(seeds)
        half = spread.half_width(self.level(spread.degrees_of_all, error))
        half = math.inf if math.isnan(half) else half  # nothing is known of the test examples
        return Pair(float(np.mean([*lead.values()])), half, seeds, spread, paired, error)

    def level(self, degrees: float, error: float) -> float:
        """Of a two-sided interval whose every end holds for all comparisons with one."""
        return 1 - 2 * error / comparisons_with_one(len(self.runs), degrees, error)

    def _typical_at(self, seeds: int) -> tuple[float, float]:
        """See ``typical_variance``; of those that have reached a look."""
        if seeds not in self._typical:
            reached = [run for run in self.runs if len(run.values) >= seeds]
            self._typical[seeds] = typical_variance(reached, seeds)
        return self._typical[seeds]

    def _others(self, one: int) -> list[int]:
        """All others that it can be compared with."""
        return [j for j in range(len(self.runs)) if j != one and self.pair(one, j).known]

    def at_most(self, one: int) -> float:
        """What is given up at most by taking this one; NaN with too few seeds."""
        others = self._others(one)
        if not others and (len(self.runs[one].values) < MINIMUM_SEEDS or one != self.leader):
            return math.nan
        return max((0.0, *(min(self.bound(one, other), 1.0) for other in others)))

    def is_out(self, one: int) -> bool:
        """Whether this one is surely not the best."""
        return any(pair.ahead > pair.half for j in self._others(one) for pair in self._at_looks(one, j))

    def comparison(self, other: int) -> Comparison:
        """The leader against another. The verdict is about the other and the best: ``better`` says that the other
        is not the best, ``tied`` that it gives up no more than the region."""
        pair, run = self.pair(self.leader, other), self.runs[other]
        candidate = replace(run.candidate, at_most=self.at_most(other))
        lead = 0.0 - pair.ahead
        if pair.spread is None:
            nothing = math.nan, math.nan, math.nan
            return Comparison(candidate, pair.seeds, False, lead, *nothing, "unknown")
        verdict = "undecided"
        if candidate.at_most <= self.region:
            verdict = "tied"
        elif self.is_out(other):
            verdict = "better"
        needed: tuple[int | None, int | None] = (None, None)
        if verdict == "undecided" and self.bound(self.leader, other) > self.region:
            needed = pair.spread.needed(
                lambda half: half - lead <= self.region, lambda degrees: self.level(degrees, pair.error)
            )
        low, high = max(-1.0, lead - pair.half), min(1.0, lead + pair.half)
        return Comparison(
            candidate, pair.seeds, pair.paired, lead, low, high, self._p(pair), verdict, *needed
        )

    def _p(self, pair: Pair) -> float:
        """One-sided, that the other is no better: corrected for the family and for the looks."""
        assert pair.spread is not None
        one_sided = pair.spread.p_value(pair.ahead) / 2
        counted = comparisons_with_one(len(self.runs), pair.spread.degrees_of_all, pair.error)
        return min(1.0, (one_sided if pair.ahead < 0 else 1 - one_sided) * counted * (1 - LEVEL) / pair.error)


def comparisons_with_one(candidates: int, degrees: float, error: float) -> float:
    """How many independent one-sided comparisons have the critical value of those of one with all others (Dunnett
    1955, JASA 50:1096), for so many candidates and some more, see ``UNEVEN``.

    All share the one, and all variances a part: with few degrees of freedom fewer count than there are.
    """
    if candidates < 3:
        return max(1.0, candidates - 1)
    at = np.log(_counted_with_one(candidates - 1 + UNEVEN, error))
    return float(np.exp(np.interp(-1 / degrees, -1 / DEGREES, at)))


@lru_cache(maxsize=256)
def _counted_with_one(others: int, error: float) -> Floats:
    """At each of ``DEGREES``."""
    from scipy import special

    z = np.linspace(-8, 8, 321)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    width = np.linspace(-2, 60, 1241)
    below = special.ndtr(math.sqrt(2) * width[:, None] + z) ** others @ density
    middles = (np.arange(2000) + 0.5) / 2000
    found = []
    for degrees in DEGREES:
        deviation = np.sqrt(special.gammaincinv(degrees / 2, middles) * 2 / degrees)
        low, high = 0.0, 1e4
        for _ in range(60):
            middle = (low + high) / 2
            inner = np.interp(middle * deviation, width, below).mean()
            low, high = (middle, high) if inner < 1 - error else (low, middle)
        found.append(error / special.stdtr(degrees, -high))
    return np.clip(np.array(found), 1.0, others)
