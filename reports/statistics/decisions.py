"""What may be concluded from a few seeds and a finite test set.

The quantity is the expected metric, accuracy unless the plan says otherwise, over new labelled subsets, new
initialisations *and* new test examples. Two configurations are compared on the same seeds and the same test
examples, so what is hard for both cancels out.

With all labels in use (fraction 1) seeds differ in the validation part and in initialisation only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench.records import ACCURACY, SINGLE_LABEL
from reports.statistics.best import Family
from reports.statistics.credits import metric_of
from reports.statistics.factors import on_backbones, over_backbones
from reports.statistics.intervals import LEVEL, MINIMUM_SEEDS, Floats
from reports.statistics.looks import Looks, looks_of
from reports.statistics.missing import Absent, Missing
from reports.statistics.pairs import Candidate, Comparison, Measured, compare_pairs, draws

DRAWS = 20_000

EQUIVALENCE = 0.01
"""The region of practical equivalence: a difference of one point is none."""


@dataclass(frozen=True)
class Decision:
    """What may be said about one dataset at one label count."""

    dataset: str
    fraction: float
    n: float
    n_test: float
    leader: Candidate
    comparisons: tuple[Comparison, ...]
    """With every other candidate, the closest first, see ``Family.comparison``; ``majority`` is none."""
    region: float
    """Differences within plus or minus this are equivalent."""
    floor: Comparison | None = None
    """The leader against always answering with the most frequent class; None if that was not measured."""
    absent: tuple[Absent, ...] = ()
    """What was to be compared, too, and has no result here."""
    optimism: float = 0.0
    """By how much the leader's value is typically too high because it was chosen as the highest. Its interval,
    and those of candidates within ``region`` of it, reach so much further down."""
    metric: str = ACCURACY
    """That decides."""
    task: str = SINGLE_LABEL
    """What is learned of an example."""
    margin: float = math.nan
    """Of the leader, see ``Measured.margin``."""
    strategy: Decision | None = None
    """Which strategy, by the means over all backbones; None with a single backbone."""
    backbone: Decision | None = None
    """Which backbone, with the strategy that is recommended; None if it ran on one."""

    @property
    def claim(self) -> str:
        """``floor`` (the leader is not better than the most frequent class), ``provisional`` (under three seeds),
        ``alone`` (nothing to compare with), ``incomplete`` (it is decided among what has a result, but not all has
        one), ``better`` (no other is the best), ``decided`` (the recommended one gives up no more than the
        region), or ``undecided``."""
        floor = self.floor
        if floor is not None and (floor.difference <= 0 or floor.verdict in ("tied", "undecided")):
            return "floor"
        if self.leader.seeds < MINIMUM_SEEDS:
            return "provisional"
        verdicts = {comparison.verdict for comparison in self.comparisons}
        if not self.recommended.at_most <= self.region:
            return "undecided"
        if self.absent or "unknown" in verdicts:
            return "incomplete"
        if not verdicts:
            return "alone"
        return "better" if verdicts == {"better"} else "decided"

    @property
    def is_decided(self) -> bool:
        """Whether the recommended one gives up no more than the region against all that was to be compared."""
        return self.claim in ("better", "decided", "alone")

    @property
    def compared(self) -> int:
        """How many candidates have a bound."""
        return sum(math.isfinite(candidate.at_most) for candidate in self.candidates)

    @property
    def recommended(self) -> Candidate:
        """The cheapest to train of those that give up at most the region. If there is none: the strategy that is
        settled, on the backbone that suits it, or else whoever gives up least at most. Below three seeds the
        cheapest of those whose mean is within the region of the highest."""
        known = [c for c in self.candidates if math.isfinite(c.at_most)]
        if not known:
            near = [c.candidate for c in self.comparisons if c.difference < self.region]
            as_sure = [c for c in near if c.seeds == self.leader.seeds]
            return min([self.leader, *as_sure], key=_cost)
        good = [c for c in known if c.at_most <= self.region]
        if good:
            return min(good, key=_cost)
        return self.settled_strategy or min(known, key=lambda c: (c.at_most, _cost(c)))

    @property
    def settled_strategy(self) -> Candidate | None:
        """The strategy that is decided, on the backbone that suits it; None with one backbone, or if it is not."""
        if self.strategy is None or self.backbone is None or not self.strategy.is_decided:
            return None
        best = self.backbone.recommended
        place = best.strategy, best.backbone, best.weights
        same = [c for c in self.candidates if (c.strategy, c.backbone, c.weights) == place]
        return next((c for c in same if math.isfinite(c.at_most)), None)

    @property
    def more_seeds(self) -> int | None:
        """With how many seeds it would be decided, if all differences stay as they are; None: with none."""
        return _most([c.more_seeds for c in self._open])

    @property
    def more_images(self) -> int | None:
        """The same of test examples."""
        return _most([c.more_images for c in self._open])

    @property
    def _open(self) -> list[Comparison]:
        """Those against which the leader may give up more than the region."""
        return [c for c in self.comparisons if c.verdict == "undecided" and -c.low > self.region]

    @property
    def candidates(self) -> list[Candidate]:
        """The leader and all others."""
        return [self.leader, *(comparison.candidate for comparison in self.comparisons)]

    def by_weights(self, backbone: str) -> dict[str, tuple[Candidate, Comparison | None]]:
        """The most accurate of each set of weights on one backbone, and the leader's comparison with it (None: it
        is the leader), the best first. Training from scratch has the weights ``""``."""
        pairs = [(self.leader, None), *((c.candidate, c) for c in self.comparisons)]
        found: dict[str, tuple[Candidate, Comparison | None]] = {}
        for candidate, comparison in pairs:
            if candidate.backbone == backbone:
                found.setdefault(candidate.weights, (candidate, comparison))
        return found

    def with_verdict(self, *verdicts: str) -> list[Candidate]:
        """The candidates about which one of these verdicts was reached."""
        return [c.candidate for c in self.comparisons if c.verdict in verdicts]


def _cost(candidate: Candidate) -> float:
    return candidate.seconds if math.isfinite(candidate.seconds) else math.inf


def _most(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return max(known) if known and len(known) == len(numbers) else None


_NEEDED = [
    "dataset", "backbone", "weights", "strategy", "fraction", "seed", "source_dataset", "cell_id", "n", "n_test",
    "metric", "task", "total_seconds", "inference_ms_per_image", "params",
]  # fmt: skip


def succeeded(results: pd.DataFrame) -> pd.DataFrame:
    """The cells that have a value of the metric that decides, with the columns that statistics need: a wide frame
    takes long to divide.

    Args:
        results: the frame of ``tables.results_frame``.
    """
    metric = metric_of(results)
    return results.loc[(results["status"] == "ok") & results[metric].notna(), [*_NEEDED, metric]]


def decide(
    results: pd.DataFrame, directory: Path | None = None, region: float = EQUIVALENCE
) -> list[Decision]:
    """A decision for every dataset and label count that has a result, by dataset and rising label count.

    Args:
        results: the frame of ``tables.results_frame``.
        directory: the run directory, for per-example predictions; without them the paired variance over test
            examples is replaced by its upper bound.
        region: differences within plus or minus this are equivalent.
    """
    decisions = []
    missing, looks = Missing(results, directory), looks_of(directory)
    for key, cells in succeeded(results).groupby(["dataset", "fraction"], sort=True):
        dataset, fraction = str(key[0]), float(str(key[1]))
        majority = cells[cells["strategy"] == "majority"]
        trained = cells[cells["strategy"] != "majority"]
        groups = trained.set_index("seed").groupby(["strategy", "backbone", "weights"], sort=False)
        runs = [Measured(group, directory) for _, group in groups]
        if not runs:
            continue
        floor = Measured(majority.set_index("seed"), directory) if len(majority) else None
        decision = decide_among(runs, region, dataset, fraction, floor, float(cells["n"].median()), looks)
        decision = replace(decision, absent=missing.at(dataset, fraction))
        decisions.append(in_parts(decision, runs, looks))
    return decisions


def in_parts(decision: Decision, runs: Sequence[Measured], looks: Looks) -> Decision:
    """The decision with those about the strategy and about the backbone, where there are several backbones."""
    about = decision.region, decision.dataset, decision.fraction, None, decision.n, looks
    strategies = over_backbones(runs)
    strategy = decide_among(strategies, *about) if len(strategies) > 1 else None
    if strategy is not None:  # whoever has no result on some backbone is not among its candidates
        strategy = replace(strategy, absent=decision.absent)
    chosen = decision if strategy is None else strategy
    backbones = on_backbones(runs, chosen.recommended.strategy)
    backbone = decide_among(backbones, *about) if backbones else None
    return replace(decision, strategy=strategy, backbone=backbone)


def decide_among(
    runs: Sequence[Measured],
    region: float,
    dataset: str,
    fraction: float,
    majority: Measured | None = None,
    n: float = math.nan,
    looks: Looks | None = None,
) -> Decision:
    """The decision among configurations that were run at one label count; at least one.

    Args:
        runs: the configurations.
        region: differences within plus or minus this are equivalent.
        dataset, fraction, n: what the decision is about.
        majority: the most frequent class, if it was measured.
        looks: when claims are made; default: once, with the seeds that there are.
    """
    family = Family(runs, looks or Looks(), region)
    leader = runs[family.leader]
    others = [place for place in range(len(runs)) if place != family.leader]
    whole = [run for run in runs if len(run.values) >= MINIMUM_SEEDS]
    drawn = draws(whole, DRAWS) if whole else None
    optimism = 0.0
    if drawn is not None:
        for run, probability in zip(whole, _probabilities_of_best(drawn), strict=True):
            run.best = probability
        optimism = _optimism(drawn)
    floor = None
    if majority is not None:
        # Any of them might have led.
        tested = [leader, *(runs[place] for place in others)]
        floor = compare_pairs([(run, majority) for run in tested], region)[0]
        floor = _above(leader, floor, (1 - LEVEL) / len(tested))
    compared = sorted((family.comparison(place) for place in others), key=lambda c: c.difference)
    comparisons = tuple(
        # Whoever is as near as that might as well have led, or is chosen in the leader's place.
        replace(c, candidate=_lowered(c.candidate, optimism)) if c.difference < region else c
        for c in compared
    )
    first = _lowered(replace(leader.candidate, at_most=family.at_most(family.leader)), optimism)
    return Decision(
        dataset, fraction, n, leader.n_test, first, comparisons, region, floor,
        optimism=optimism, metric=leader.metric, task=leader.task, margin=leader.margin,
    )  # fmt: skip


def _above(leader: Measured, floor: Comparison, error: float) -> Comparison:
    """The comparison with the most frequent class, where each group of test examples by itself is far above it."""
    answers = leader.answers(leader.cells.index) if leader.metric == ACCURACY else None
    lead = 0.0 if answers is None else answers.least(error) - floor.candidate.value
    return floor if floor.verdict != "undecided" or lead <= 0 else replace(floor, verdict="better", low=lead)


def _lowered(candidate: Candidate, optimism: float) -> Candidate:
    """With an interval that reaches so much further down."""
    return replace(candidate, low=max(candidate.low - optimism, 0.0))  # in this order NaN stays


def _probabilities_of_best(drawn: Floats) -> list[float]:
    """For each, in how many of the draws (draws, configurations) it has the highest expected value."""
    first = drawn >= drawn.max(axis=1, keepdims=True) - 1e-12
    shares: list[float] = (first / first.sum(axis=1, keepdims=True)).mean(axis=0).tolist()  # ties share
    return shares


def _optimism(drawn: Floats) -> float:
    """By how much the highest of several measured values is typically above its own truth.

    As in a parametric bootstrap: what was measured is taken for the truth, a draw for a measurement; of the draw's
    highest both are known. The median, for with three seeds the tails of the draws are long. Simulated, with what
    this does to coverage: ``tests/benchmarks/truth.py``.
    """
    highest = drawn.argmax(axis=1)
    values = drawn.mean(axis=0)
    return max(0.0, float(np.median(drawn[np.arange(len(drawn)), highest] - values[highest])))


CONFIGURATION = ["dataset", "backbone", "weights", "strategy"]
"""What distinguishes the curves of a figure; with the fraction, the rows of the summary."""
