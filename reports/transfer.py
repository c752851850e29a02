"""What the transfer brought: a higher start, a higher slope, a higher asymptote, or nothing, or harm.

The three benefits to look for (Torrey & Shavlik 2009, "Transfer Learning", in Handbook of Research on Machine
Learning Applications), each against training the same backbone from scratch, on the same seeds and test images:
once over labels (test accuracy), once over training (validation accuracy of the winning trial).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from reports.statistics import (
    EQUIVALENCE,
    LEVEL,
    Comparison,
    Floats,
    Measured,
    compare_pairs,
    draws,
    succeeded,
    t_half_width,
)

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
    """Test accuracy against labels, minus that of training from scratch.

    Attributes:
        start, asymptote: difference in accuracy at the fewest and at the most labels.
        slope: difference in what a doubling of the labels brings, on average between these two; a higher start
            leaves less to gain, so it is often negative where transfer helps most.
        labels: how many labels the strategy needs, by interpolation, for what scratch reaches with the most; NaN
            if it never does, and at most the fewest measured if it does from the start.
        negative: (labels, comparison) wherever the strategy is worse than scratch beyond noise.
    """

    start: Estimate
    slope: Estimate
    asymptote: Estimate
    labels: float
    negative: tuple[tuple[float, Comparison], ...]


@dataclass(frozen=True)
class OverTraining:
    """Validation accuracy against images seen, minus that of training from scratch, at the most labels.

    Attributes:
        start: difference before the first step.
        first: difference after the first pass over the data.
        area: mean difference over the images that scratch saw until its best epoch.
        plateau: difference of the best values.
        speed: images that scratch saw until its best, for each image that the strategy saw until it reached
            the same; 0 if it never did.
    """

    start: Estimate
    first: Estimate
    area: Estimate
    plateau: Estimate
    speed: Estimate


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
    region: float = EQUIVALENCE

    @property
    def verdict(self) -> str:
        """``harm`` (somewhere worse than scratch beyond noise), ``help`` (better at the fewest or most labels),
        ``equal`` (tied at both), ``unknown`` below three seeds, else ``unclear``."""
        if self.over_labels.negative:
            return "harm"
        ends = (self.over_labels.start, self.over_labels.asymptote)
        if any(not math.isfinite(end.low) for end in ends):
            return "unknown"
        tied = [end.low > -self.region and end.high < self.region for end in ends]
        if any(end.low > 0 and not small for end, small in zip(ends, tied, strict=True)):
            return "help"
        return "equal" if all(tied) else "unclear"


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
    for (dataset, backbone), cells in ok[ok["backbone"] != ""].groupby(["dataset", "backbone"], sort=False):
        scratch = _by_fraction(cells[cells["strategy"] == "scratch"], directory)
        for (strategy, weights), of_strategy in cells.groupby(["strategy", "weights"], sort=False):
            mine = {} if strategy == "scratch" else _by_fraction(of_strategy, directory)
            pairs = [(mine[fraction], scratch[fraction]) for fraction in mine if fraction in scratch]
            if not pairs:
                continue
            n = [float(first.cells["n"].median()) for first, _ in pairs]
            last = pairs[-1]
            over_training = _over_training(last[0].cells, last[1].cells, by_cell)
            found.append(
                Benefit(
                    str(dataset), str(backbone), str(weights), str(strategy), n[0], n[-1],
                    _over_labels(n, pairs, region), over_training, region,
                )
            )  # fmt: skip
    return found


def _by_fraction(cells: pd.DataFrame, directory: Path | None) -> dict[float, Measured]:
    """One configuration by rising label count, without 0, where there is nothing to train from scratch on."""
    groups = cells[cells["fraction"] > 0].set_index("seed").groupby("fraction")
    return {float(str(fraction)): Measured(frame, directory) for fraction, frame in groups}


def _over_labels(n: list[float], pairs: list[tuple[Measured, Measured]], region: float) -> OverLabels:
    comparisons = compare_pairs(pairs, region)
    negative = [(count, c) for count, c in zip(n, comparisons, strict=True) if c.verdict == "worse"]
    slope = Estimate(math.nan)
    if len(pairs) > 1 and n[-1] > n[0]:
        doublings = math.log2(n[-1] / n[0])
        ends = [pairs[-1][0], pairs[0][0], pairs[-1][1], pairs[0][1]]
        value = ends[0].accuracy - ends[1].accuracy - ends[2].accuracy + ends[3].accuracy
        slope = Estimate(value / doublings)
        drawn = draws(ends, DRAWS)
        if drawn is not None:
            gained = (drawn[:, 0] - drawn[:, 1] - drawn[:, 2] + drawn[:, 3]) / doublings
            tail = (1 - LEVEL) / 2
            slope = Estimate(slope.value, *map(float, np.quantile(gained, [tail, 1 - tail])))
    target = pairs[-1][1].accuracy
    rising = np.maximum.accumulate([first.accuracy for first, _ in pairs])
    labels = math.nan
    if rising[0] >= target:
        labels = n[0]
    elif rising[-1] >= target:
        i = int((rising >= target).argmax())
        share = (target - rising[i - 1]) / (rising[i] - rising[i - 1])
        labels = math.exp((1 - share) * math.log(n[i - 1]) + share * math.log(n[i]))
    return OverLabels(
        Estimate.of(comparisons[0]), slope, Estimate.of(comparisons[-1]), labels, tuple(negative)
    )


def _over_training(
    mine: pd.DataFrame, scratch: pd.DataFrame, by_cell: dict[str, tuple[Floats, Floats]]
) -> OverTraining | None:
    rows = []
    of_scratch = dict(zip(scratch.index, scratch["cell_id"], strict=True))
    for seed, cell_id in zip(mine.index, mine["cell_id"], strict=True):
        first, second = by_cell.get(cell_id), by_cell.get(of_scratch.get(seed, ""))
        if first is None or second is None:
            continue
        (images, value), (images_of_scratch, value_of_scratch) = first, second
        best = int(value_of_scratch.argmax())
        until = images_of_scratch[best]
        grid = np.linspace(0, until, 200)
        gained = np.interp(grid, images, value) - np.interp(grid, images_of_scratch, value_of_scratch)
        passes = images_of_scratch[1] if len(images_of_scratch) > 1 else until
        at = [np.interp(passes, x, y) for x, y in ((images, value), (images_of_scratch, value_of_scratch))]
        reached = value >= value_of_scratch[best]
        when = images[reached.argmax()] if reached.any() else math.inf
        rows.append(
            (
                value[0] - value_of_scratch[0],
                at[0] - at[1],
                gained.mean(),
                value.max() - value_of_scratch.max(),
                until / max(when, 1.0),
            )
        )
    if not rows:
        return None
    columns = np.array(rows, float).T
    return OverTraining(*(Estimate.over_seeds(column) for column in columns))


def _curves(curves: pd.DataFrame) -> dict[str, tuple[Floats, Floats]]:
    """By cell, images seen and validation accuracy of the winning trial, all its stages, in order."""
    points = curves[(curves["metric"] == "val_accuracy") & (curves["run"] == "search")]
    points = points.sort_values(["images", "epoch"]).drop_duplicates(["cell_id", "images"], keep="last")
    found = {
        str(cell_id): (mine["images"].to_numpy(float), mine["value"].to_numpy(float))
        for cell_id, mine in points.groupby("cell_id")
    }
    return {cell_id: curve for cell_id, curve in found.items() if len(curve[0]) > 1}
