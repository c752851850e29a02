"""The metric that decides against labels as it was measured: straight lines between the label counts, and nothing
beyond them. It answers within the measured range however few label counts and seeds there are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from reports.statistics.decisions import CONFIGURATION, succeeded
from reports.statistics.intervals import Floats
from reports.statistics.label_curves import DRAWS, Prediction
from reports.statistics.pairs import Measured, draws


@dataclass(frozen=True)
class MeasuredCurve:
    """Values against labels of one configuration.

    Attributes:
        key: dataset, backbone, weights, strategy.
        n, values: what was measured, rising in n; one label count is enough.
        drawn: values that the results allow, (draws, k); None with too few seeds or without predictions.
    """

    key: tuple[str, ...]
    n: tuple[float, ...]
    values: tuple[float, ...]
    drawn: Floats | None = field(default=None, repr=False)

    def needed(self, target: float) -> Prediction:
        """Labels for a value, between the counts linear in their logarithm; infinite where the most do not suffice,
        without an interval (NaN) where ``drawn`` is None."""
        value = self._first(np.array([self.values]), target)[0]
        if self.drawn is None:
            return Prediction(value, math.nan, math.nan)
        drawn = Prediction.of(self._first(self.drawn, target))
        return Prediction(value, min(drawn.low, value), max(drawn.high, value))

    def _first(self, values: Floats, target: float) -> Floats:
        """Where each row of values first reaches the target."""
        n = np.log(self.n)
        found = np.full(len(values), math.inf)
        for row, reached in enumerate(values >= target):
            if reached.any():
                after = int(reached.argmax())
                ends = slice(after - 1, after + 1)
                found[row] = math.exp(np.interp(target, values[row, ends], n[ends])) if after else self.n[0]
        return found


def measured_curves(results: pd.DataFrame, directory: Path | None) -> list[MeasuredCurve]:
    """A curve for every configuration that learned from labels and has a result.

    Args:
        results: the frame of ``tables.results_frame``.
        directory: the run directory, for predictions.
    """
    ok = succeeded(results)
    ok = ok[(ok["strategy"] != "majority") & (ok["n"] > 0)]
    curves = []
    for key, cells in ok.set_index("seed").groupby(CONFIGURATION, sort=False):
        groups = sorted(cells.groupby("fraction"), key=lambda item: float(str(item[0])))
        runs = [Measured(group, directory) for _, group in groups]
        n = tuple(float(group["n"].median()) for _, group in groups)
        names = tuple(map(str, key if isinstance(key, tuple) else (key,)))
        curves.append(MeasuredCurve(names, n, tuple(run.value for run in runs), draws(runs, DRAWS)))
    return curves
