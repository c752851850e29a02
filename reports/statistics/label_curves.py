"""How many more labels? The metric that decides by the label count, fitted, extrapolated and back-tested.

Three forms, each with bounds: a power law ``1 - accuracy = c + a n^-b`` (the usual shape of learning curves:
Hestness et al. 2017, arXiv:1712.00409; Viering & Loog 2023, arXiv:2103.10948), an exponential
``1 - accuracy = c + a exp(-b n)``, and ``accuracy = p + q log n``. For a given b the rest is linear, so a grid of b
and a closed form replace an iterative fit, and thousands of fits take milliseconds. Uncertainty is that of the
measured accuracies *and* of the form: each draw of accuracies that the results allow is fitted by the form that
misses it least.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from reports.statistics.decisions import CONFIGURATION, EQUIVALENCE, succeeded
from reports.statistics.intervals import LEVEL, MINIMUM_SEEDS, Floats
from reports.statistics.pairs import Measured, draws

MINIMUM_COUNTS = 4
"""Below so many label counts no curve is fitted: three parameters would pass through anything."""
FARTHEST = 4.0
"""Predictions reach to so many times the largest label count that was measured."""
DRAWS = 500
_GRID = 120
_POWERS = np.linspace(0.05, 2.0, 40)
_RATES = np.geomspace(0.05, 20, 80)  # per largest label count


@dataclass(frozen=True)
class Fit:
    """Fitted curves, one a draw: ``level + slope * basis(n)``, of one form each.

    Attributes:
        form: 0 power, 1 exponential, 2 logarithm, (draws,).
        shape: power or rate, (draws,).
        level, slope: (draws,).
        largest: the largest label count that was fitted.
    """

    form: np.ndarray
    shape: Floats
    level: Floats
    slope: Floats
    largest: float

    def at(self, n: Sequence[float] | Floats) -> Floats:
        """Accuracies, (draws, len(n)), in [0, 1]."""
        x = np.asarray(n, float)[None, :] / self.largest
        shape = self.shape[:, None]
        basis = np.select(
            [self.form[:, None] == 0, self.form[:, None] == 1],
            [-(x**-shape), -np.exp(-shape * x)],
            np.log(x),
        )
        return np.clip(self.level[:, None] + self.slope[:, None] * basis, 0, 1)


def fit(n: Sequence[float] | Floats, accuracy: Floats) -> Fit:
    """Fits each row of accuracies by least squares, with the form that misses it least.

    No label count weighs more than another, and no form is preferred for having fewer parameters: both would need
    the errors of the accuracies, which three seeds do not tell. Judged too large, they favour the logarithm, the
    only form without a ceiling, and what it promises is too much.

    Args:
        n: label counts, rising, (k,).
        accuracy: (draws, k).
    """
    largest = float(n[-1])
    x = np.asarray(n, float) / largest
    forms = [
        *((0, b, -(x**-b)) for b in _POWERS),
        *((1, b, -np.exp(-b * x)) for b in _RATES),
        (2, 0.0, np.log(x)),
    ]
    basis = np.stack([values for _, _, values in forms])  # (forms, k)
    # accuracy = level + slope * basis with slope >= 0 and, for the first two forms, level <= 1.
    mean_b, mean_y = basis.mean(axis=1), accuracy.mean(axis=1)
    centred = basis - mean_b[:, None]
    slope = np.maximum(0, accuracy @ centred.T / (centred**2).sum(axis=1))
    level = mean_y[:, None] - slope * mean_b
    bounded = np.array([form < 2 for form, _, _ in forms])
    through_one = (1 - accuracy) @ (-basis).T / (basis**2).sum(axis=1)
    over = bounded & (level > 1)
    level, slope = np.where(over, 1.0, level), np.where(over, np.maximum(0, through_one), slope)
    missed = level[:, :, None] + slope[:, :, None] * basis - accuracy[:, None, :]
    best = (missed**2).sum(axis=2).argmin(axis=1)
    rows = np.arange(len(accuracy))
    return Fit(
        form=np.array([form for form, _, _ in forms])[best],
        shape=np.array([shape for _, shape, _ in forms])[best],
        level=level[rows, best],
        slope=slope[rows, best],
        largest=largest,
    )


@dataclass(frozen=True)
class Prediction:
    """A median and its 95% interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> Prediction:
        tail = (1 - LEVEL) / 2
        low, value, high = np.quantile(values, [tail, 0.5, 1 - tail], method="nearest")
        return cls(float(value), float(low), float(high))


@dataclass(frozen=True)
class LabelCurve:
    """Accuracy against labels of one configuration.

    Attributes:
        key: dataset, backbone, weights, strategy.
        n, values: what was measured, rising in n.
        back_test: (predicted from all but the largest label count, measured there); None with fewer than
            ``MINIMUM_COUNTS`` + 1 counts.
    """

    key: tuple[str, ...]
    n: tuple[float, ...]
    values: tuple[float, ...]
    fitted: Fit = field(repr=False)
    back_test: tuple[Prediction, float] | None = None

    @property
    def strategy(self) -> str:
        return self.key[-1]

    def predict(self, n: float) -> Prediction:
        """Accuracy at ``n`` labels, up to ``FARTHEST`` times the most that were measured.

        Raises:
            ValueError: ``n`` is further out, or below the fewest.
        """
        if not self.n[0] * 0.99 <= n <= self.n[-1] * FARTHEST * 1.01:
            raise ValueError(f"{n:g} labels are out of reach of {self.n[0]:g} to {self.n[-1]:g}")
        return Prediction.of(self.fitted.at([n])[:, 0])

    def needed(self, target: float) -> Prediction:
        """Labels for an accuracy; infinite where it is not reached within ``FARTHEST`` times the most."""
        grid, values = self.along
        reached = values >= target
        first = np.where(reached.any(axis=1), grid[reached.argmax(axis=1)], math.inf)
        return Prediction.of(first)

    @cached_property
    def along(self) -> tuple[Floats, Floats]:
        """Label counts from the fewest to the farthest, (k,), and accuracies there, (draws, k)."""
        grid = np.geomspace(self.n[0], self.n[-1] * FARTHEST, _GRID)
        return grid, self.fitted.at(grid)


def label_curves(results: pd.DataFrame, directory: Path | None) -> tuple[list[LabelCurve], str]:
    """A curve for every configuration that has enough label counts and seeds.

    Args:
        results: the frame of ``tables.results_frame``.
        directory: the run directory, for predictions.

    Returns:
        The curves, and why there are none (or an empty string).
    """
    ok = succeeded(results)
    ok = ok[(ok["strategy"] != "majority") & (ok["n"] > 0)]  # the curves have no zero
    curves = []
    most_counts = most_seeds = 0
    for key, cells in ok.set_index("seed").groupby(CONFIGURATION, sort=False):
        by_count = sorted(cells.groupby("fraction"), key=lambda item: float(str(item[0])))
        runs = [Measured(group, directory) for _, group in by_count]
        n = [float(group["n"].median()) for _, group in by_count]
        most_counts = max(most_counts, len(runs))
        if len(runs) < MINIMUM_COUNTS:
            continue
        most_seeds = max(most_seeds, len(set.intersection(*(set(run.values) for run in runs))))
        drawn = draws(runs, DRAWS)
        if drawn is None:
            continue
        back_test = None
        if len(runs) > MINIMUM_COUNTS:
            before = fit(n[:-1], drawn[:, :-1]).at([n[-1]])[:, 0]
            back_test = Prediction.of(before), runs[-1].value
        names = tuple(map(str, key if isinstance(key, tuple) else (key,)))
        curves.append(LabelCurve(names, tuple(n), tuple(run.value for run in runs), fit(n, drawn), back_test))
    if curves:
        return curves, ""
    if most_counts < MINIMUM_COUNTS:
        return [], (
            f"A learning curve needs at least {MINIMUM_COUNTS} label counts, and there are {most_counts}: run more "
            "fractions."
        )
    if most_seeds < MINIMUM_SEEDS:
        return [], (
            f"A learning curve needs {MINIMUM_SEEDS} seeds at every label count, and there are {most_seeds}."
        )
    return [], "The predictions that a learning curve needs are missing."


def crossing(
    first: LabelCurve, second: LabelCurve, region: float = EQUIVALENCE
) -> tuple[float, Prediction] | None:
    """Where the second overtakes the first: behind at the fewest labels, from there on ahead, and in the end by
    more than the region of practical equivalence.

    The end is the most labels that were measured; only where there is no such lead yet, it is ``FARTHEST``.

    Returns:
        The probability that it does within ``FARTHEST`` times the most labels measured, and where, if it does;
        None if it hardly ever (below 5%) does, or if the two were measured at different label counts.
    """
    (grid, of_first), (other_grid, of_second) = first.along, second.along
    if not np.array_equal(grid, other_grid):
        return None
    lead = of_first - of_second
    measured = int((grid <= first.n[-1]).sum())
    # A lead that was measured is not taken back by what is only extrapolated.
    lead[lead[:, measured - 1] < -region, measured:] = -1
    crossed = (lead[:, 0] > 0) & (lead[:, -1] < -region)
    share = float(crossed.mean())
    if share < 0.05:
        return None
    behind = len(grid) - (lead[crossed] >= 0)[:, ::-1].argmax(axis=1)
    return share, Prediction.of(grid[behind])
