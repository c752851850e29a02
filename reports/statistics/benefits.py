"""What the transfer brought: a higher start, a higher slope, a higher asymptote, or nothing, or harm.

The three benefits to look for (Torrey & Shavlik 2009, "Transfer Learning", in Handbook of Research on Machine
Learning Applications), each against training the same backbone from scratch, on the same seeds and test examples:
once over labels (test accuracy, or another metric that decides), once over training (validation accuracy of the
chosen trial).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from reports.statistics.decisions import EQUIVALENCE, succeeded
from reports.statistics.intervals import LEVEL, Floats, t_half_width
from reports.statistics.pairs import Comparison, Measured, compare_pairs, draws, typical_variance

DRAWS = 4000


@dataclass(frozen=True)
class Estimate:
    """A number and its 95% interval; NaN where it is not known."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @classmethod
    def over_seeds(cls, values: Floats) -> Estimate:
        values = values[np.isfinite(values)]
        if not len(values):
            return cls(math.nan)
        half = t_half_width(float(values.std(ddof=1)) if len(values) > 1 else math.nan, len(values))
        return cls(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half)

    @classmethod
    def of(cls, comparison: Comparison) -> Estimate:
        return cls(comparison.difference, comparison.low, comparison.high)


@dataclass(frozen=True)
class OverLabels:
    """Test accuracy, or another metric that decides, against labels, minus that of training from scratch.

    Attributes:
        comparisons: (labels, comparison with scratch), by rising labels. Corrected for the number of pairs: all
            strategies, backbones and label counts of the dataset are one family.
        slope: difference in what a doubling of the labels brings, on average between the fewest and the most; a
            higher start leaves less to gain, so it is often negative where transfer helps most.
        labels: how many labels the strategy needs, by interpolation, for what scratch reaches with the most;
            infinite if it does not get there, and the fewest measured if it is there from the start.
    """

    comparisons: tuple[tuple[float, Comparison], ...]
    slope: Estimate
    labels: Estimate

    @property
    def start(self) -> Estimate:
        """The difference at the fewest labels."""
        return Estimate.of(self.comparisons[0][1])

    @property
    def asymptote(self) -> Estimate:
        """The difference at the most labels."""
        return Estimate.of(self.comparisons[-1][1])

    @property
    def negative(self) -> list[tuple[float, Comparison]]:
        """Wherever the strategy is worse than scratch beyond noise."""
        return [(n, comparison) for n, comparison in self.comparisons if comparison.verdict == "worse"]


@dataclass(frozen=True)
class Speed:
    """How much sooner than scratch a strategy reached the accuracy at which scratch levelled off.

    Attributes:
        seconds, examples: what scratch took, divided by what the strategy took: the median over seeds (of two
            middle ones the lower). Infinite: the strategy was there before its first step; 0: it did not get there;
            NaN: not known, or scratch did not rise.
        seeds: in how many seeds scratch rose at all.
        never: in how many of them the strategy did not get there.
    """

    seconds: float
    examples: float
    seeds: int
    never: int

    @classmethod
    def over_seeds(cls, ratios: Floats) -> Speed:
        """``ratios`` of seconds and of examples, (seeds, 2); NaN where scratch did not rise."""
        rose = ratios[~np.isnan(ratios[:, 1])]
        if not len(rose):
            return cls(math.nan, math.nan, 0, 0)
        seconds, examples = np.quantile(rose, 0.5, axis=0, method="lower").tolist()
        return cls(seconds, examples, len(rose), int((rose[:, 1] == 0).sum()))


@dataclass(frozen=True)
class OverTraining:
    """Validation accuracy of the chosen trial, minus that of training from scratch, at the most labels.

    Where a curve levels off is the mean of the last third of its evaluations. The highest of many is higher than
    that by chance alone, and the more so the more there are.

    Attributes:
        start: difference before the first step.
        first: difference after the first pass over the data.
        area: mean difference over the examples that scratch saw until it got to where it levels off.
        plateau: difference between where both level off.
        speed: how much sooner it got to where scratch levels off.
    """

    start: Estimate
    first: Estimate
    area: Estimate
    plateau: Estimate
    speed: Speed


@dataclass(frozen=True)
class Benefit:
    """What one strategy brought on one backbone and dataset."""

    dataset: str
    backbone: str
    weights: str
    strategy: str
    fewest: float
    most: float
    over_labels: OverLabels
    over_training: OverTraining | None = field(repr=False)

    @property
    def verdict(self) -> str:
        """``harm`` (somewhere worse than scratch beyond noise), ``help`` (better at the fewest or most labels),
        ``equal`` (tied at both), ``unknown`` below three seeds, else ``unclear``."""
        if self.over_labels.negative:
            return "harm"
        ends = {self.over_labels.comparisons[end][1].verdict for end in (0, -1)}
        for verdict, name in (("unknown", "unknown"), ("better", "help")):
            if verdict in ends:
                return name
        return "equal" if ends == {"tied"} else "unclear"


Pair = tuple[Measured, Measured]
"""A strategy and scratch, on one backbone at one label count."""


def benefits(
    results: pd.DataFrame, curves: pd.DataFrame, directory: Path | None, region: float = EQUIVALENCE
) -> list[Benefit]:
    """A benefit for every strategy that was run beside ``scratch`` on a dataset and backbone.

    Args:
        results, curves: the frames of ``tables``.
        directory: the run directory, for predictions.
        region: differences within plus or minus this are equivalent.
    """
    ok = succeeded(results)
    by_cell = _curves(curves)
    found = []
    for dataset, cells in ok[ok["backbone"] != ""].groupby("dataset", sort=False):
        against = _against_scratch(cells, directory)
        compared = iter(_compare([pairs for _, pairs in against], region))
        for (backbone, weights, strategy), pairs in against:
            n = [float(mine.cells["n"].median()) for mine, _ in pairs.values()]
            mine, scratch = [*pairs.values()][-1]
            found.append(
                Benefit(
                    str(dataset), backbone, weights, strategy, n[0], n[-1],
                    _over_labels(n, [*pairs.values()], [next(compared) for _ in pairs]),
                    _over_training(mine.cells, scratch.cells, by_cell, region),
                )
            )  # fmt: skip
    return found


def _against_scratch(
    of_dataset: pd.DataFrame, directory: Path | None
) -> list[tuple[tuple[str, str, str], dict[float, Pair]]]:
    """(backbone, weights, strategy) and, by rising fraction, its results beside those of scratch."""
    found = []
    for backbone, cells in of_dataset.groupby("backbone", sort=False):
        scratch = _by_fraction(cells[cells["strategy"] == "scratch"], directory)
        for (strategy, weights), of_strategy in cells.groupby(["strategy", "weights"], sort=False):
            mine = {} if strategy == "scratch" else _by_fraction(of_strategy, directory)
            pairs = {
                fraction: (mine[fraction], scratch[fraction]) for fraction in mine if fraction in scratch
            }
            if pairs:
                found.append(((str(backbone), str(weights), str(strategy)), pairs))
    return found


def _by_fraction(cells: pd.DataFrame, directory: Path | None) -> dict[float, Measured]:
    """One configuration by rising label count, without 0, where there is nothing to train from scratch on."""
    groups = cells[cells["fraction"] > 0].set_index("seed").groupby("fraction")
    return {float(str(fraction)): Measured(frame, directory) for fraction, frame in groups}


def _compare(against: Sequence[dict[float, Pair]], region: float) -> list[Comparison]:
    """Of all strategies in order, each at all its label counts; one family, of which each member could be called
    harm."""
    members = [(fraction, pair) for pairs in against for fraction, pair in pairs.items()]
    at: dict[float, list[Measured]] = {}
    for fraction, pair in members:
        at.setdefault(fraction, []).extend(pair)
    typical = {fraction: typical_variance([*dict.fromkeys(runs)]) for fraction, runs in at.items()}
    return compare_pairs(
        [pair for _, pair in members], region, typical=[typical[fraction] for fraction, _ in members]
    )


def _over_labels(n: list[float], pairs: list[Pair], comparisons: list[Comparison]) -> OverLabels:
    runs = [*(mine for mine, _ in pairs), pairs[0][1], pairs[-1][1]]
    measured = np.array([[run.value for run in runs]])
    drawn = draws(runs, DRAWS)

    def estimate(of: Callable[[Floats], Floats]) -> Estimate:
        value = float(of(measured)[0])
        if drawn is None:
            return Estimate(value)
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(of(drawn), [tail, 1 - tail], method="nearest").tolist()
        return Estimate(value, low, high)

    slope = Estimate(math.nan)
    if n[-1] > n[0]:
        doublings = math.log2(n[-1] / n[0])
        last = len(pairs) - 1
        slope = estimate(lambda a: (a[:, last] - a[:, 0] - a[:, -1] + a[:, -2]) / doublings)
    labels = estimate(lambda a: _labels_needed(n, a[:, :-2], a[:, -1]))
    return OverLabels(tuple(zip(n, comparisons, strict=True)), slope, labels)


def _labels_needed(n: list[float], accuracy: Floats, target: Floats) -> Floats:
    """With how many labels a target is reached, by interpolation over their logarithm; see ``OverLabels``.

    Args:
        n: label counts, rising, (k,).
        accuracy: at these, (draws, k).
        target: (draws,).
    """
    rising = np.maximum.accumulate(accuracy, axis=1)
    reached = rising >= target[:, None]
    rows, after = np.arange(len(rising)), reached.argmax(axis=1)
    before = np.maximum(after - 1, 0)
    low, high = rising[rows, before], rising[rows, after]
    share = np.divide(target - low, high - low, out=np.ones_like(low), where=high > low)
    logarithms = np.log(n)
    between = np.exp((1 - share) * logarithms[before] + share * logarithms[after])
    return np.where(reached.any(axis=1), np.where(after == 0, n[0], between), math.inf)


@dataclass(frozen=True)
class _Curve:
    """Of one cell's chosen trial, all its stages in order: examples seen, seconds, validation accuracy."""

    examples: Floats
    seconds: Floats
    value: Floats

    @property
    def plateau(self) -> float:
        return float(self.value[-max(1, len(self.value) // 3) :].mean())

    def reaches(self, target: float) -> int | None:
        """The first evaluation that is as good as the target."""
        there = self.value >= target - 1e-9  # a mean of equal values may be off by a bit
        return int(there.argmax()) if there.any() else None


def _over_training(
    mine: pd.DataFrame, scratch: pd.DataFrame, by_cell: dict[str, _Curve], region: float
) -> OverTraining | None:
    rows, ratios = [], []
    of_scratch = dict(zip(scratch.index, scratch["cell_id"], strict=True))
    for seed, cell_id in zip(mine.index, mine["cell_id"], strict=True):
        first, second = by_cell.get(cell_id), by_cell.get(of_scratch.get(seed, ""))
        if first is None or second is None:
            continue
        target = second.plateau
        until = max(1, second.reaches(target) or 0)
        grid = np.linspace(0, second.examples[until], 200)
        gained = np.interp(grid, first.examples, first.value) - np.interp(grid, second.examples, second.value)
        at_first, at_second = (np.interp(second.examples[1], c.examples, c.value) for c in (first, second))
        start = first.value[0] - second.value[0]
        rows.append((start, at_first - at_second, gained.mean(), first.plateau - target))
        ratios.append(_times_sooner(first, second, until, region))
    if not rows:
        return None
    start, after_one, area, plateau = map(Estimate.over_seeds, np.array(rows, float).T)
    return OverTraining(start, after_one, area, plateau, Speed.over_seeds(np.array(ratios, float)))


def _times_sooner(mine: _Curve, scratch: _Curve, until: int, region: float) -> tuple[float, float]:
    """See ``Speed``: ratios of seconds and of examples for one seed; ``until`` is when scratch got there."""
    if scratch.plateau - scratch.value[0] < region:
        return math.nan, math.nan
    when = mine.reaches(scratch.plateau)
    if when is None:
        return 0.0, 0.0
    if when == 0:
        return math.inf, math.inf
    return scratch.seconds[until] / mine.seconds[when], scratch.examples[until] / mine.examples[when]


def _curves(curves: pd.DataFrame) -> dict[str, _Curve]:
    """By cell, where there are at least two evaluations."""
    points = curves[(curves["metric"] == "val_accuracy") & (curves["run"] == "search")]
    points = points.sort_values(["images", "epoch"]).drop_duplicates(["cell_id", "images"], keep="last")
    columns = ("images", "seconds", "value")
    return {
        str(cell_id): _Curve(*(mine[column].to_numpy(float) for column in columns))
        for cell_id, mine in points.groupby("cell_id")
        if len(mine) > 1
    }
