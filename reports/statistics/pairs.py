"""Paired differences of configurations, corrected for their number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.records import ACCURACY
from reports.statistics.answers import Answers, answers_of
from reports.statistics.credits import metric_of, task_of
from reports.statistics.intervals import (
    LEVEL,
    MINIMUM_SEEDS,
    UNSEEN_DIFFERENCE,
    Floats,
    Spread,
    unseen_of,
    verdict_on,
    wilson,
)

BORROWED = 2.0
"""Degrees of freedom that a variance between seeds borrows from those of the other pairs. With more of them
intervals fail where one strategy is far more variable than the rest; with fewer, three seeds can tell nothing."""


@dataclass(frozen=True)
class Candidate:
    """One configuration at one label count; ``low`` and ``high`` are NaN below three seeds."""

    strategy: str
    backbone: str
    weights: str
    seeds: int
    value: float
    """Of the metric that decides, mean over seeds."""
    low: float
    high: float
    seconds: float
    """Median of tuning plus refit."""
    latency_ms: float = math.nan
    """Of one example at a time."""
    params: float = math.nan
    best: float = math.nan
    """The probability that it is the best of all in truth; NaN below three seeds and without predictions."""
    at_most: float = math.nan
    """What is given up at most by taking it and not the best of those tried; NaN below three seeds."""

    def to_json(self, metric: str) -> dict[str, Any]:
        """Its fields, the value under the name of the metric."""
        return {metric if name == "value" else name: value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Comparison:
    """The leader against another candidate: ``difference`` is the leader's lead in the metric that decides."""

    candidate: Candidate
    seeds: int
    """Seeds that both have."""
    paired: bool
    """Whether the test examples could be paired too; otherwise their variance is an upper bound."""
    difference: float
    low: float
    high: float
    p: float
    """Corrected for the candidates: two-sided, see ``compare_pairs``, or one-sided, see ``Family``. NaN below three
    seeds, as are ``low`` and ``high``."""
    verdict: str
    """``tied``, ``better`` or ``worse`` (the first is), ``undecided``, or ``unknown`` below three seeds."""
    more_seeds: int | None = None
    """Of what is undecided: with how many seeds it would be settled, if the difference stays as it is."""
    more_images: int | None = None
    """The same of test examples; named as in ``--json``."""


class Measured:
    """The results of one configuration at one label count, by seed."""

    def __init__(self, cells: pd.DataFrame, directory: Path | None) -> None:
        self.cells = cells
        self.directory = directory
        self.metric, self.task = metric_of(cells), task_of(cells)
        self.values = dict(zip(cells.index.tolist(), cells[self.metric].tolist(), strict=True))
        self.value = float(np.mean([*self.values.values()]))
        self.n_test = float(np.median(cells["n_test"]))
        self.best = math.nan

    @property
    def candidate(self) -> Candidate:
        return replace(self._alone, best=self.best)

    @cached_property
    def _alone(self) -> Candidate:
        first = self.cells.iloc[0]
        low = high = math.nan
        if len(self.cells) >= MINIMUM_SEEDS:
            answers = self.answers(self.cells.index)
            if answers is None:
                spread = Spread.bound(
                    self.cells[self.metric].to_numpy(), _over_examples(self.cells), self.n_test
                )
            else:
                spread = answers.spread(answers.credits, unseen=answers.unseen())
            half = spread.half_width(LEVEL)
            low, high = max(0.0, self.value - half), min(1.0, self.value + half)
        names = ("total_seconds", "inference_ms_per_image", "params")
        seconds, latency, params = (float(self.cells[name].median()) for name in names)
        return Candidate(first["strategy"], first["backbone"], first["weights"], len(self.cells), self.value,
                         low, high, seconds, latency, params)  # fmt: skip

    @property
    def margin(self) -> float:
        """Half the 95% interval that the choice of test examples alone gives to one trained model; of accuracy
        Wilson's. NaN where it is not known."""
        if self.metric == ACCURACY:
            low, high = wilson(self.value, self.n_test)
            return (high - low) / 2
        answers = self.answers(self.cells.index)
        return math.nan if answers is None else answers.margin()

    def answers(self, seeds: Iterable[int]) -> Answers | None:
        """What test examples contribute to the metric, seeds x examples."""
        known = self._by_seed
        chosen = [known[seed] for seed in seeds if seed in known]
        if not chosen or any(not np.array_equal(answer.ids, chosen[0].ids) for answer in chosen):
            return None
        return replace(chosen[0], credits=np.concatenate([answer.credits for answer in chosen]))

    @cached_property
    def _by_seed(self) -> dict[int, Answers]:
        """By seed, if every cell has predictions that can be read; else empty."""
        if self.directory is None:
            return {}
        ids = zip(self.cells.index.tolist(), self.cells["cell_id"].tolist(), strict=True)
        found = {seed: answers_of(self.directory, cell_id, self.metric) for seed, cell_id in ids}
        known = {seed: answer for seed, answer in found.items() if answer is not None}
        return known if len(known) == len(found) else {}


def typical_variance(runs: Sequence[Measured], common: int | None = None) -> tuple[float, float]:
    """The variance between seeds that a paired difference of two of these typically has, and how many degrees of
    freedom it may lend to that of one pair: none where there are too few other strategies to learn from.

    With three seeds a variance has two degrees of freedom, and corrected for the many pairs of a family its
    intervals tell nothing. So each is moderated by what the other pairs show (Smyth 2004,
    doi:10.2202/1544-6115.1027; here their median, which one strategy that is far more variable does not move).

    Args:
        runs: the strategies.
        common: only so many of the seeds; default: all.
    """
    from scipy import special

    longest = max(runs, key=lambda run: len(run.values))
    seeds = sorted(longest.values)[:common]
    whole = [[run.values[seed] for seed in seeds] for run in runs if run.values.keys() >= set(seeds)]
    degrees = len(seeds) - 1
    if len(seeds) < MINIMUM_SEEDS or len(whole) < 4:  # of three, one could have two of the three pairs
        return 0.0, 0.0
    covariance = np.cov(whole)
    of_one = np.diag(covariance)
    of_pairs = of_one[:, None] + of_one - 2 * covariance
    # The lower one of two: of four strategies, three of the six pairs are those of the most variable one.
    median = np.quantile(of_pairs[np.triu_indices(len(whole), 1)], 0.5, method="lower")
    median_of_chi_square = 2 * special.gammaincinv(degrees / 2, 0.5)
    return float(median * degrees / median_of_chi_square), BORROWED


def compare_pairs(
    pairs: Sequence[tuple[Measured, Measured]],
    region: float,
    typical: Sequence[tuple[float, float]] = (),
) -> list[Comparison]:
    """The paired differences, first minus second, over the seeds and test examples that both have, in order.

    Holm's step-down over the family: from the smallest p on, until the first that is not significant. Each
    interval has the level at which its hypothesis was tested (the last one reached, for the rest).

    Args:
        pairs: what is compared.
        region: differences within plus or minus this are equivalent.
        typical: of each pair, a variance between seeds and its degrees of freedom, which moderate its own.
    """
    found: dict[int, Comparison] = {}
    tested = []
    for place, (first, second) in enumerate(pairs):
        lead = lead_of(first, second)
        if len(lead) < MINIMUM_SEEDS:
            found[place] = _unknown(first, second, lead)
        else:
            spread, paired = spread_of(first, second, lead)
            if typical:
                spread = replace(spread, shared=typical[place][0], borrowed=typical[place][1])
            mean = float(np.mean([*lead.values()]))
            tested.append(_Tested(place, second.candidate, mean, spread, paired, spread.p_value(mean)))
    found |= _step_down(tested, region)
    return [found[place] for place in range(len(pairs))]


@dataclass(frozen=True)
class _Tested:
    """A paired difference before it is corrected for the others."""

    place: int
    candidate: Candidate
    mean: float
    spread: Spread
    paired: bool
    p: float


def lead_of(first: Measured, second: Measured) -> dict[int, float]:
    """By common seed, by how much the first is better."""
    seeds = sorted(first.values.keys() & second.values.keys())
    return {seed: first.values[seed] - second.values[seed] for seed in seeds}


def _unknown(first: Measured, second: Measured, lead: dict[int, float]) -> Comparison:
    """The difference of two with too few common seeds."""
    mean = float(np.mean([*lead.values()])) if lead else first.value - second.value
    nothing = math.nan, math.nan, math.nan
    return Comparison(second.candidate, len(lead), False, mean, *nothing, "unknown")


def spread_of(first: Measured, second: Measured, lead: dict[int, float]) -> tuple[Spread, bool]:
    """The variance components of a difference, and whether the test examples could be paired."""
    mine, theirs = first.answers(lead), second.answers(lead)
    if mine is not None and theirs is not None and np.array_equal(mine.ids, theirs.ids):
        return mine.spread(mine.credits - theirs.credits, unseen=UNSEEN_DIFFERENCE), True
    over_examples = _over_examples(first.cells) + _over_examples(second.cells)
    return Spread.bound(np.array([*lead.values()]), over_examples, min(first.n_test, second.n_test)), False


def _step_down(tested: Sequence[_Tested], region: float) -> dict[int, Comparison]:
    """Holm's step-down, see ``compare_pairs``; by place."""
    found: dict[int, Comparison] = {}
    adjusted, steps = 0.0, 0
    for rank, test in enumerate(sorted(tested, key=lambda test: test.p)):
        adjusted = max(adjusted, min(1.0, test.p * (len(tested) - rank)))
        found[test.place] = _concluded(test, region, 1 - (1 - LEVEL) / (len(tested) - steps), adjusted)
        steps += adjusted <= 1 - LEVEL
    return found


def _concluded(test: _Tested, region: float, level: float, p: float) -> Comparison:
    """What may be said of a difference, at the level and with the p value that the step-down gives it."""
    mean, spread = test.mean, test.spread
    half = spread.half_width(level)
    verdict = verdict_on(mean, half, region)
    if verdict in ("better", "worse") and p > 1 - LEVEL:
        verdict = "undecided"
    needed: tuple[int | None, int | None] = (None, None)
    if verdict == "undecided":
        needed = spread.needed(
            lambda half: verdict_on(abs(mean), half, region) != "undecided", lambda degrees: level
        )
    low, high = max(-1.0, mean - half), min(1.0, mean + half)  # with few seeds in a large family
    return Comparison(test.candidate, spread.seeds, test.paired, mean, low, high, p, verdict, *needed)


def draws(runs: Sequence[Measured], count: int) -> Floats | None:
    """Expected values that the results allow: the two sources of error of the intervals, with their
    correlations between configurations; by seed a multivariate t, by test example a multivariate normal.

    Returns:
        (count, runs), the same for the same results; None without ``MINIMUM_SEEDS`` common seeds or without
        predictions for the same test examples.
    """
    seeds = runs[0].cells.index
    for run in runs[1:]:
        seeds = seeds.intersection(run.cells.index)
    if len(seeds) < MINIMUM_SEEDS:
        return None
    found = [run.answers(sorted(seeds)) for run in runs]
    answers = [answer for answer in found if answer is not None]
    if len(answers) < len(runs) or any(not np.array_equal(a.ids, answers[0].ids) for a in answers):
        return None
    by_seed = np.stack([answer.credits.mean(axis=1) for answer in answers])
    of_examples = answers[0].covariance(np.stack([answer.credits.mean(axis=0) for answer in answers]))
    # What a seed adds to an example is independent between configurations, and part of the seeds' share already.
    spreads = [answer.spread(answer.credits) for answer in answers]
    of_examples[np.diag_indices(len(runs))] -= [s.rest / s.examples / s.seeds for s in spreads]
    of_examples[np.diag_indices(len(runs))] += [a.unseen() * (a.heaviest / a.size) ** 2 for a in answers]
    rng = np.random.default_rng(0)
    chi = rng.chisquare(len(seeds) - 1, (count, 1)) / (len(seeds) - 1)
    of_seeds = _normal(rng, np.cov(by_seed) / len(seeds), count) / np.sqrt(chi)
    return np.asarray(by_seed.mean(axis=1) + of_seeds + _normal(rng, of_examples, count))


def _normal(rng: np.random.Generator, covariance: Floats, count: int) -> Floats:
    """Draws of mean zero; what a difference of estimates has left below zero counts as zero."""
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    scale = vectors * np.sqrt(np.clip(values, 0, None))
    return np.asarray(rng.standard_normal((count, len(values))) @ scale.T)


def _over_examples(cells: pd.DataFrame) -> float:
    """The variance that the test examples contribute, without predictions: of accuracy a binomial one, an upper
    bound for several seeds' mean; of other metrics it depends on the sizes of classes, and is not known."""
    if metric_of(cells) != ACCURACY:
        return math.inf
    share, examples = float(cells["accuracy"].mean()), float(cells["n_test"].median())
    return share * (1 - share) / examples + unseen_of(share) / examples**2
