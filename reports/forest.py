"""The candidates as a forest plot: a row each, the highest first, with their intervals on one common axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports import words
from reports.phrases import STATUSES, has_several
from reports.statistics.decisions import Decision
from reports.statistics.missing import Absent
from reports.statistics.pairs import Candidate
from reports.tables import backbone_title

SHOWN = 8
"""Rows on the first screen; the others are folded."""
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25)
"""Between ticks."""
MOST_TICKS = 6


@dataclass(frozen=True)
class Row:
    """A candidate, or what was to be one and has no result.

    Attributes:
        strategy: its key.
        name, backbone: in words; ``backbone`` is empty if there is only one.
        value, interval, at_most, seconds, latency: as text.
        mark: a word on the one that is recommended; empty on all others.
        dot, low, high: places on the axis in percent of its width; NaN where there is none.
        status: what became of it, if it has no result.
    """

    strategy: str
    name: str
    backbone: str
    value: str = "–"
    interval: str = ""
    at_most: str = "–"
    seconds: str = "–"
    latency: str = "–"
    mark: str = ""
    dot: float = math.nan
    low: float = math.nan
    high: float = math.nan
    status: str = ""

    @property
    def has_interval(self) -> bool:
        return math.isfinite(self.low)


@dataclass(frozen=True)
class Plot:
    """Rows on a common axis, which reaches as far as they do.

    Attributes:
        rows: from top to bottom.
        ticks: (place in percent of the width, text).
        band: from and to, in percent of the width: as good as the recommended one; empty where none of it is seen.
    """

    rows: list[Row]
    ticks: list[tuple[float, str]]
    band: tuple[float, ...]


@dataclass(frozen=True)
class Forest:
    """All rows.

    Attributes:
        metric: what is measured, in words.
        shown, folded: those of the first screen, and the others, if there are any.
        region: half of the band, in words.
        compared: how many have a bound: pairs of a strategy and a backbone, if there are several backbones.
    """

    metric: str
    shown: Plot
    folded: Plot
    region: str
    compared: int

    @property
    def rows(self) -> list[Row]:
        """All of them."""
        return [*self.shown.rows, *self.folded.rows]

    @property
    def several(self) -> bool:
        """Whether rows name their backbone."""
        return any(row.backbone for row in self.rows)

    @property
    def head(self) -> str:
        """What is drawn, in words."""
        parts = ["95% CI"] if any(row.has_interval for row in self.rows) else []
        return "; ".join([*parts, *([f"band: {self.region}"] if self.shown.band else [])])

    @property
    def at_most(self) -> str:
        """The heading of the bounds. The line above the rows may have another one, of the strategies alone."""
        among = f" among {self.compared} pairs" if self.several else ""
        return f"gives up at most{among} (points)"

    @property
    def columns(self) -> list[str]:
        """Those that have something to show."""
        names = ("at_most", "seconds", "latency")
        return [name for name in names if any(getattr(row, name) != "–" for row in self.rows)]


def forest_of(decision: Decision, mark: str, candidates: Sequence[Candidate] = ()) -> Forest:
    """The candidates of a decision.

    Args:
        decision: at one label count.
        mark: the word on the recommended one; empty: none is.
        candidates: in place of those of the decision.
    """
    found = sorted(candidates or decision.candidates, key=lambda c: -c.value)
    chosen = decision.recommended if mark else None
    first = found[:SHOWN]
    if marked := [c for c in found[SHOWN:] if _is_same(c, chosen)]:
        first = [*first[:-1], *marked]
    room = SHOWN - len(first)

    def plot(some: Sequence[Candidate], absent: Sequence[Absent]) -> Plot:
        several, region = has_several([decision]), decision.region
        axis = _Axis(some, region)
        rows = [_row(c, axis, mark if _is_same(c, chosen) else "", several, decision.compared) for c in some]
        band = axis.span(chosen.value - region, chosen.value + region) if chosen is not None else ()
        return Plot([*rows, *(_absent(a, several) for a in absent)], axis.ticks, band)

    return Forest(
        words.metric_name(decision.metric),
        plot(first, decision.absent[:room]),
        plot([c for c in found if c not in first], decision.absent[room:]),
        f"±{words.in_points(decision.region)}",
        decision.compared,
    )


class _Axis:
    """From the lowest to the highest that is shown; without any, all there is."""

    def __init__(self, candidates: Sequence[Candidate], region: float) -> None:
        ends = [x for c in candidates for x in (c.value, c.low, c.high) if math.isfinite(x)] or [0.0, 1.0]
        low, high = min(ends) - region, max(ends) + region
        margin = 0.04 * (high - low) + 0.002
        self.low, self.high = max(low - margin, -0.01), min(high + margin, 1.01)

    def place(self, value: float) -> float:
        """In percent of the width; NaN stays."""
        if not math.isfinite(value):
            return math.nan
        return round(100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0), 2)

    def span(self, low: float, high: float) -> tuple[float, ...]:
        """Where a band begins and ends; empty where none of it is seen."""
        ends = self.place(low), self.place(high)
        return ends if ends[0] < ends[1] else ()

    @property
    def ticks(self) -> list[tuple[float, str]]:
        step = next((s for s in STEPS if (self.high - self.low) / s <= MOST_TICKS), STEPS[-1])
        values = [
            i * step
            for i in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
        ]
        return [(self.place(value), words.percent(value, 0)) for value in values]


def _row(c: Candidate, axis: _Axis, mark: str, several: bool, compared: int) -> Row:
    known = math.isfinite(c.low)
    return Row(
        c.strategy,
        words.capital(words.strategy_name(c.strategy, 48)),
        backbone_title(c.backbone, c.weights) if several else "",
        words.percent(c.value),
        f"{words.percent(c.low)} to {words.percent(c.high)}" if known else "",
        _at_most(c, compared),
        words.duration(c.seconds),
        f"{c.latency_ms:.3g} ms" if math.isfinite(c.latency_ms) else "–",
        mark,
        axis.place(c.value),
        axis.place(c.low),
        axis.place(c.high),
    )


def _at_most(c: Candidate, compared: int) -> str:
    """What it gives up at most, in points."""
    if compared < 2:
        return "–"
    if not math.isfinite(c.at_most):
        return "not compared"
    if c.at_most >= 1:
        return "not known"
    return "0" if c.at_most <= 0 else words.points(words.raised(c.at_most))


def _absent(a: Absent, several: bool) -> Row:
    """What was to be compared, and has no result."""
    name = words.capital(words.strategy_name(a.strategy, 48)) if a.strategy else "All strategies"
    shown = several or not a.strategy
    backbone = backbone_title(a.backbone, a.weights) if shown and a.backbone else ""
    return Row(a.strategy, name, backbone, status=STATUSES.get(a.status, a.status))


def _is_same(one: Candidate, other: Candidate | None) -> bool:
    return other is not None and (one.strategy, one.backbone, one.weights) == (
        other.strategy, other.backbone, other.weights,
    )  # fmt: skip
