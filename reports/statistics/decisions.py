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

from bench.records import ACCURACY
from reports.statistics.credits import metric_of
from reports.statistics.intervals import (
    MINIMUM_SEEDS,
    Floats,
)
from reports.statistics.missing import Absent, Missing
from reports.statistics.pairs import Candidate, Comparison, Measured, compare_pairs, draws, typical_variance

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
    """With every other candidate, the closest first; ``majority`` is none."""
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
    margin: float = math.nan
    """Of the leader, see ``Measured.margin``."""

    @property
    def claim(self) -> str:
        """``floor`` (the leader is not better than the most frequent class), ``provisional`` (under three seeds),
        ``alone`` (nothing to compare with), ``undecided``, ``incomplete`` (what has a result is settled, but not
        all has one), ``tied`` (the leader is tied with some and better than the rest), ``better`` (than every
        other)."""
        floor = self.floor
        if floor is not None and (floor.difference <= 0 or floor.verdict in ("tied", "undecided")):
            return "floor"
        verdicts = {comparison.verdict for comparison in self.comparisons}
        if self.leader.seeds < MINIMUM_SEEDS:
            return "provisional"
        if verdicts & {"undecided", "unknown"}:
            return "undecided"
        if self.absent:
            return "incomplete"
        if not verdicts:
            return "alone"
        return "tied" if "tied" in verdicts else "better"

    @property
    def recommended(self) -> Candidate:
        """The cheapest to train of the leader and those tied with it; where nothing is settled, of those whose
        expected shortfall, as observed, is below the region of equivalence. Who lost seeds is none of them."""
        settled = self.claim in ("better", "tied", "incomplete")
        near = [
            c.candidate
            for c in self.comparisons
            if c.verdict == "tied"
            or (
                not settled
                and c.verdict != "better"
                and c.difference < self.region
                and c.candidate.seeds == self.leader.seeds
            )
        ]
        return min([self.leader, *near], key=lambda c: c.seconds if math.isfinite(c.seconds) else math.inf)

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


_NEEDED = [
    "dataset", "backbone", "weights", "strategy", "fraction", "seed", "source_dataset", "cell_id", "n", "n_test",
    "metric", "total_seconds", "inference_ms_per_image", "params",
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
    missing = Missing(results, directory)
    for key, cells in succeeded(results).groupby(["dataset", "fraction"], sort=True):
        dataset, fraction = str(key[0]), float(str(key[1]))
        majority = cells[cells["strategy"] == "majority"]
        trained = cells[cells["strategy"] != "majority"]
        groups = trained.set_index("seed").groupby(["strategy", "backbone", "weights"], sort=False)
        runs = [Measured(group, directory) for _, group in groups]
        if not runs:
            continue
        floor = Measured(majority.set_index("seed"), directory) if len(majority) else None
        decision = decide_among(runs, region, dataset, fraction, floor, float(cells["n"].median()))
        decisions.append(replace(decision, absent=missing.at(dataset, fraction)))
    return decisions


def decide_among(
    runs: Sequence[Measured],
    region: float,
    dataset: str,
    fraction: float,
    majority: Measured | None = None,
    n: float = math.nan,
) -> Decision:
    """The decision among configurations that were run at one label count; at least one.

    Args:
        runs: the configurations.
        region: differences within plus or minus this are equivalent.
        dataset, fraction, n: what the decision is about.
        majority: the most frequent class, if it was measured.
    """
    # Whoever lost seeds comes last: the mean over the seeds that it survived is not comparable.
    seeds = max(len(run.values) for run in runs)
    leader, *others = sorted(runs, key=lambda run: (len(run.values) < seeds, -run.value))
    whole = [run for run in (leader, *others) if len(run.values) == seeds]
    drawn = draws(whole, DRAWS)
    optimism = 0.0
    if drawn is not None:
        for run, probability in zip(whole, _probabilities_of_best(drawn), strict=True):
            run.best = probability
        optimism = _optimism(drawn, np.array([run.value for run in whole]))
    floor = None
    if majority is not None:
        # Any of them might have led.
        floor = compare_pairs([(run, majority) for run in (leader, *others)], region)[0]
    comparisons = tuple(
        # Whoever is as near as that might as well have led, or is chosen in the leader's place.
        replace(c, candidate=_lowered(c.candidate, optimism)) if c.difference < region else c
        for c in _compare(leader, others, region)
    )
    first = _lowered(leader.candidate, optimism)
    return Decision(
        dataset, fraction, n, leader.n_test, first, comparisons, region, floor,
        optimism=optimism, metric=leader.metric, margin=leader.margin,
    )  # fmt: skip


def _lowered(candidate: Candidate, optimism: float) -> Candidate:
    """With an interval that reaches so much further down."""
    return replace(candidate, low=max(candidate.low - optimism, 0.0))  # in this order NaN stays


def _compare(leader: Measured, others: list[Measured], region: float) -> list[Comparison]:
    """The leader against each other, the closest first.

    Who leads was found in the same results, so the family is all pairs, not only those with the leader: with equal
    strategies, correcting for the latter alone says "better" in 12% of the families of eight.
    """
    pairs = [(leader, other) for other in others]
    typical = [typical_variance([leader, *others])] * len(pairs)
    found = compare_pairs(pairs, region, 1 + len(others), typical)
    # Who leads only where others lost seeds does not lead.
    found = [replace(c, verdict="undecided") if c.verdict == "worse" else c for c in found]
    return sorted(found, key=lambda c: c.difference)


def _probabilities_of_best(drawn: Floats) -> list[float]:
    """For each, in how many of the draws (draws, configurations) it has the highest expected value."""
    first = drawn >= drawn.max(axis=1, keepdims=True) - 1e-12
    shares: list[float] = (first / first.sum(axis=1, keepdims=True)).mean(axis=0).tolist()  # ties share
    return shares


def _optimism(drawn: Floats, values: Floats) -> float:
    """By how much the highest of several measured values is typically above its own truth.

    As in a parametric bootstrap: what was measured is taken for the truth, a draw for a measurement; of the draw's
    highest both are known. The median, for with three seeds the tails of the draws are long. Simulated, with what
    this does to coverage: ``tests/benchmarks/truth.py``.
    """
    highest = drawn.argmax(axis=1)
    return max(0.0, float(np.median(drawn[np.arange(len(drawn)), highest] - values[highest])))


CONFIGURATION = ["dataset", "backbone", "weights", "strategy"]
"""What distinguishes the curves of a figure; with the fraction, the rows of the summary."""
