"""The order of cells: first a look at everything, then whatever may most change the answer, for its price.

An order may use anything: low label counts, odds, forecasts, earlier runs. Claims use none of it. They are made at
declared looks only (``reports.statistics.looks``), so that they hold whatever was run.

1. Every arm once with the fewest labels, the cheapest first, where that costs much less than all labels.
2. With all labels, one seed at a time: the arm whose next seed is worth most for its price, until all have reached
   the first look. That worth is what may be lost by not knowing better ("hang"), times the doubt that one more seed
   removes. When next to nothing hangs on it, the seed is a formality: the recommended arm's own seeds come before
   it, and its other label counts, which answer a question of their own.
3. Then it is decided, or the recommended arm and those that may beat it go on to the next look, unless no number of
   seeds can settle that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from reports.statistics.best import Family, Pair
from reports.statistics.intervals import MOST_SEEDS, Floats

DRAWS = 2000
SEED_DEVIATION, SEED_DEGREES = 0.01, 3.0
"""What is thought of the deviation between seeds before any two were seen, and for how many degrees that counts."""
GAIN, GAIN_DEVIATION, GAIN_DEGREES = 0.1, 0.06, 3.0
"""The same of what all labels add to the fewest."""
UNSEEN_DEVIATION = 0.15
"""Of an arm about which nothing is known, around the mean of the others."""
WORTH_PROBING = 0.5
"""A probe that takes a larger share of the time of a seed with all labels tells too little for its price."""
FORMALITY = 0.0005
"""A seed on which no more hangs than this, in accuracy, changes the answer hardly ever."""
ODDS = 0.05
"""Who is nearly as probably within the region of the best is taken if it is cheaper."""


@dataclass(frozen=True)
class Arm:
    """A candidate: a strategy on a backbone.

    Attributes:
        probe: its result with the fewest labels; None if it has none.
        probed: whether that has been tried.
        values: its results with all labels, by seed.
        pending: seeds that run now with all labels; -1: the probe.
        seconds: what one more seed with all labels will take.
        probe_seconds: what the probe will take.
        gain: what all labels probably add to the probe, from earlier runs; None: not known.
        closed: whether it gets no more seeds, because one has failed.
    """

    probe: float | None = None
    probed: bool = False
    values: dict[int, float] = field(default_factory=dict)
    pending: frozenset[int] = frozenset()
    seconds: float = 1.0
    probe_seconds: float = 1.0
    gain: float | None = None
    closed: bool = False

    @property
    def opened(self) -> int:
        """Seeds with all labels that have run or run now."""
        return len(self.values) + len(self.pending - {-1})

    def next_seed(self) -> int:
        """The lowest that has not run and does not run."""
        return next(seed for seed in range(self.opened + 1) if seed not in {*self.values, *self.pending})


@dataclass(frozen=True)
class Step:
    """What to run next: a ``probe`` of an arm, a ``seed`` on its way to the first look, or one to ``raise`` it to a
    later look. ``wait``: what runs now has to end first. ``decided`` or
    ``unsettled``: nothing, the race is over."""

    what: Literal["probe", "seed", "raise", "wait", "decided", "unsettled"]
    arm: int = -1
    seed: int = 0
    ahead: int = -1
    """Where next to nothing hangs on it: the arm that is recommended whatever comes of it; else -1."""


@dataclass(frozen=True)
class Race:
    """All that is known when the next cell is chosen.

    Attributes:
        arms: the candidates that can run.
        looks: numbers of seeds at which claims are made, rising.
        region: differences within plus or minus this count as none.
        family: compares these arms, which have results of the first look.
        has_probes: whether there are fewer labels to look at.
    """

    arms: Sequence[Arm]
    looks: Sequence[int]
    region: float
    family: Callable[[Sequence[int]], Family]
    has_probes: bool = True


def next_step(race: Race) -> Step:
    """What to run next. The same for the same race, whatever ran before."""
    unseen = [i for i, arm in enumerate(race.arms) if _needs_probe(race, arm)]
    if unseen:
        return Step("probe", min(unseen, key=lambda i: race.arms[i].probe_seconds))
    family = _Standing(race)
    open_ = [i for i, arm in enumerate(race.arms) if arm.opened < race.looks[0] and not arm.closed]
    if open_:
        value, hang = worth(race)
        chosen = max(open_, key=lambda i: (value[i], -race.arms[i].seconds))
        ahead = provisional(race) if hang[chosen] < FORMALITY else -1
        chosen = ahead if ahead in open_ else chosen
        return Step("seed", chosen, race.arms[chosen].next_seed(), ahead)
    if any(arm.pending for arm in race.arms):
        return Step("wait")
    if not family.arms or family.is_decided:
        return Step("decided")
    wanted = family.to_raise()
    if not wanted:
        return Step("unsettled")
    # Together they are of use: the one with the fewest seeds first.
    chosen = min(wanted, key=lambda i: (race.arms[i].opened, race.arms[i].seconds))
    return Step("raise", chosen, race.arms[chosen].next_seed())


def _needs_probe(race: Race, arm: Arm) -> bool:
    """Whether it has not been seen at all, and the fewest labels are the cheaper way to see it."""
    unseen = not (arm.probed or arm.values or arm.pending or arm.closed)
    return race.has_probes and unseen and arm.probe_seconds <= WORTH_PROBING * arm.seconds


class _Standing:
    """What is surely known by the looks that were reached."""

    def __init__(self, race: Race) -> None:
        self.race = race
        self.arms = [i for i, arm in enumerate(race.arms) if len(arm.values) >= race.looks[0]]
        self.family = race.family(self.arms) if self.arms else None

    @property
    def recommended(self) -> int:
        assert self.family is not None
        bounds = [self.family.at_most(place) for place in range(len(self.arms))]
        return int(np.argmin(bounds))

    @property
    def is_decided(self) -> bool:
        assert self.family is not None
        return self.family.at_most(self.recommended) <= self.race.region

    def to_raise(self) -> list[int]:
        """The recommended arm and those that may beat it, as far as they have not reached the next look; empty if
        that cannot settle some of it."""
        family, chosen = self.family, self.recommended
        assert family is not None
        others = [j for j in range(len(self.arms)) if j != chosen]
        blocking = {j: family.pair(chosen, j) for j in others if family.bound(chosen, j) > self.race.region}
        if not all(self._can_settle(family, pair) for pair in blocking.values()):
            return []
        concerned = [self.arms[place] for place in (chosen, *blocking)]
        reached = min(len(self.race.arms[arm].values) for arm in concerned)
        later = [look for look in self.race.looks if look > reached]
        wanted = [arm for arm in concerned if later and len(self.race.arms[arm].values) < later[0]]
        return [] if any(self.race.arms[arm].closed for arm in wanted) else wanted

    def _can_settle(self, family: Family, pair: Pair) -> bool:
        """Whether the last look could settle a pair, if seeds turned out to favour that as far as is likely. What
        the first look says of the spread of seeds is not trusted yet: then only the test set can be too small."""
        spread, most = pair.spread, self.race.looks[-1]
        if spread is None or pair.seeds >= most:
            return False
        error = family.looks.error(most)
        seeds = MOST_SEEDS if pair.seeds <= self.race.looks[0] else most
        half = spread.half_width(family.level(spread.degrees_of_all, error), seeds)
        slack = np.sqrt(max(spread.over_seeds + spread.rest / spread.examples, 0.0) / pair.seeds)
        return bool(pair.ahead - slack + half <= self.race.region or pair.ahead + slack > half)


# --- the order: odds, which are no claims ---------------------------------------------------------------------


def worth(race: Race) -> tuple[Floats, Floats]:
    """Of each arm, what one more seed with all labels is worth, a second; and the accuracy that hangs on it."""
    drawn, doubt = _draw(race)
    best = drawn.max(axis=1)
    chosen = provisional(race, drawn)
    shortfall = best - drawn[:, chosen]
    first = drawn.argmax(axis=1)
    hang = np.array([shortfall[first == i].sum() / len(drawn) for i in range(len(race.arms))])
    hang[chosen] = shortfall.mean()
    seconds = np.array([max(arm.seconds, 0.1) for arm in race.arms])
    return np.asarray((hang + 1e-9) * doubt / seconds), hang


def provisional(race: Race, drawn: Floats | None = None) -> int:
    """The arm to take if it had to be chosen now: the cheapest of those most probably within the region."""
    drawn = _draw(race)[0] if drawn is None else drawn
    near = (drawn >= drawn.max(axis=1, keepdims=True) - race.region).mean(axis=0)
    able = [i for i in range(len(race.arms)) if near[i] >= near.max() - ODDS]
    return min(able, key=lambda i: (race.arms[i].seconds, -near[i]))


def _draw(race: Race) -> tuple[Floats, Floats]:
    """Draws of what arms truly reach with all labels, (draws, arms), and the deviation that one more seed removes
    of each."""
    rng = np.random.default_rng(0)
    values = [np.array([*arm.values.values()]) for arm in race.arms]
    several = [v for v in values if len(v) > 1]
    degrees = SEED_DEGREES + sum(len(v) - 1 for v in several)
    within = sum(float(((v - v.mean()) ** 2).sum()) for v in several)
    of_seed = (SEED_DEGREES * SEED_DEVIATION**2 + within) / degrees
    gain, of_gain = _gains(race, values)
    known = [float(v.mean()) for v in values if len(v)]
    centre = float(np.mean(known)) if known else 0.5
    where, variance = np.empty(len(values)), np.empty(len(values))
    for i, (arm, v) in enumerate(zip(race.arms, values, strict=True)):
        if len(v):
            where[i], variance[i] = v.mean(), of_seed / arm.opened
        elif arm.probe is not None:
            where[i] = arm.probe + (gain if arm.gain is None else arm.gain)
            variance[i] = of_gain + of_seed
        else:
            where[i], variance[i] = centre, UNSEEN_DEVIATION**2
    t = rng.standard_normal((DRAWS, len(values))) / np.sqrt(rng.chisquare(degrees, (DRAWS, 1)) / degrees)
    opened = np.array([arm.opened for arm in race.arms])
    after = np.where(opened > 0, variance * opened / (opened + 1), np.minimum(variance, of_seed))
    return where + t * np.sqrt(variance), np.sqrt(np.maximum(variance - after, 0.0))


def _gains(race: Race, values: Sequence[Floats]) -> tuple[float, float]:
    """What all labels add to the fewest: the mean, and the variance between arms."""
    seen = [
        float(v.mean()) - arm.probe
        for arm, v in zip(race.arms, values, strict=True)
        if len(v) and arm.probe is not None
    ]
    mean = (GAIN + sum(seen)) / (1 + len(seen))
    squares = sum((gain - mean) ** 2 for gain in seen)
    return mean, (GAIN_DEGREES * GAIN_DEVIATION**2 + squares) / (GAIN_DEGREES + len(seen))
