"""The metric that decides against labels: one panel a backbone, all with the same y axis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.modalities.nouns import Noun
from reports import words
from reports.drawing import (
    PAPER,
    Plan,
    count_ticks,
    frame_of,
    label_ends,
    limits,
    mark,
    mark_changes,
    on_log_axis,
    set_up,
    stands_back,
    style_of,
)
from reports.phrases import row_name
from reports.statistics.credits import metric_of
from reports.statistics.decisions import CONFIGURATION
from reports.tables import (
    Panel,
    ordered,
    panels,
    rows_of,
    several_backbones,
    summary_frame,
)

# --- numbers ----------------------------------------------------------------------------------------------


def accuracy_numbers(results: pd.DataFrame) -> pd.DataFrame:
    """The metric that decides by configuration and label count: n, seeds, mean, spread, and from 3 seeds on the 95%
    band."""
    summary = summary_frame(results)
    columns = [
        *CONFIGURATION,
        "fraction",
        "n",
        "seeds",
        metric_of(results),
        "spread",
        "min",
        "max",
        "half_width",
    ]
    return summary.loc[summary["seeds"] > 0, columns].reset_index(drop=True)


@dataclass(frozen=True)
class LeadChange:
    """Where a line crosses that of the strategy that led: label count, value, and who leads from there on."""

    n: float
    value: float
    leader: str


def lead_changes(lines: Mapping[str, Mapping[float, float]]) -> Iterator[LeadChange]:
    """Where the highest line changes, by rising label count; lines are straight over the logarithm of labels.

    Args:
        lines: by strategy, values by label count. Only counts above zero are looked at.
    """
    counts = sorted({n for line in lines.values() for n in line if n > 0})
    for left, right in itertools.pairwise(counts):
        both = {
            name: (line[left], line[right]) for name, line in lines.items() if left in line and right in line
        }
        share, leader = 0.0, max(both, key=lambda name: both[name], default="")
        while (found := _next_crossing(both, leader, share)) is not None:
            share, leader = found
            n = math.exp((1 - share) * math.log(left) + share * math.log(right))
            first, last = both[leader]
            yield LeadChange(n, (1 - share) * first + share * last, leader)


def _next_crossing(
    both: Mapping[str, tuple[float, float]], leader: str, after: float
) -> tuple[float, str] | None:
    """The share of the way at which another line crosses the leader's, and whose it is; None: none does."""
    found = []
    for name, (first, last) in both.items():
        ahead, behind = both[leader][0] - first, last - both[leader][1]
        if behind > 0 and (share := ahead / (ahead + behind)) >= after and name != leader:
            found.append((share, -last, name))
    return (min(found)[0], min(found)[2]) if found else None


def changes_of(numbers: pd.DataFrame, value: str) -> list[tuple[float, float, str]]:
    """Where the lead changes among the trained strategies of one panel, as ``mark_changes`` draws it."""
    trained = numbers[numbers["strategy"] != "majority"]
    lines = {
        str(name): dict(zip(mine["n"], mine[value], strict=True))
        for name, mine in trained.groupby("strategy")
    }
    return [
        (c.n, c.value, f"from {words.rounded(c.n)}: {words.strategy_name(c.leader, 26)}")
        for c in lead_changes(lines)
    ]


# --- figures ----------------------------------------------------------------------------------------------


def accuracy_plan(results: pd.DataFrame, noun: Noun, everyone: Sequence[str] = ()) -> Plan | None:
    """Accuracy against labels of one dataset.

    Args:
        results: the frame of ``tables.results_frame``.
        noun: what examples are called.
        everyone: all strategies of the run, those that matter first; empty: those of the dataset.
    """
    many = noun.many
    numbers = accuracy_numbers(results)
    if numbers.empty:
        return None
    metric = metric_of(results)
    name = words.metric_name(metric)
    low, high = limits([*results[metric].dropna(), *(numbers[metric] - numbers["half_width"]).dropna(),
                         *(numbers[metric] + numbers["half_width"]).dropna()])  # fmt: skip
    everyone = everyone or ordered(results["strategy"])

    def panel_of(panel: Panel) -> Callable[[Axes], None]:
        return lambda axes: _draw_accuracy(axes, panel, numbers, everyone, noun, low, high)

    some = panels(results)
    dataset = words.clean(results["dataset"].iloc[0], 60)
    return Plan(
        "accuracy",
        f"Test {name} against labelled {many}",
        f"Line chart of test {name} on {dataset} against the number of labelled {many}, one line a strategy"
        f"{', one panel a backbone' if len(some) > 1 else ''}. {_accuracy_in_words(numbers, metric)}",
        _accuracy_conclusion(numbers, metric, noun),
        [panel_of(panel) for panel in some],
        numbers,
        frame_of(len(some), results["strategy"].nunique()),
    )


def _draw_accuracy(
    axes: Axes,
    panel: Panel,
    numbers: pd.DataFrame,
    everyone: Sequence[str],
    noun: Noun,
    low: float,
    high: float,
) -> None:
    many, metric = noun.many, metric_of(panel.results)
    sizes = numbers.groupby("fraction")["n"].median()
    numbers = panel.select(numbers)
    ends = []
    set_up(
        axes,
        panel.title,
        f"labelled {many} (training and validation)",
        f"test {words.metric_name(metric)}",
        low,
        high,
    )
    axes.set_xscale("log")
    margin = 1.12 if len(sizes) > 1 else 2
    ends_of_axis = on_log_axis([sizes.min(), sizes.max()], sizes)
    axes.set_xlim(ends_of_axis[0] / margin, ends_of_axis[1] * margin)
    count_ticks(axes, sizes)
    for strategy in ordered(numbers["strategy"]):
        colour, marker = style_of(strategy, everyone)
        mine = numbers[numbers["strategy"] == strategy].sort_values("n")
        x, mean, half = (mine[c].to_numpy() for c in ("n", metric, "half_width"))
        x = on_log_axis(x, sizes)
        if strategy == "majority":
            mark(strategy, axes.axhline(mean[-1], color=colour, linestyle=(0, (1, 2)), linewidth=1.3))
            x = np.array(axes.get_xlim())
        elif stands_back(strategy, everyone):
            line = axes.plot(x, mean, color=colour, linewidth=0.9, marker=marker, markersize=3, zorder=1.5)
            mark(strategy, *line, values=[_value(row, metric) for row in rows_of(mine)])
        else:
            cells = panel.results[(panel.results["strategy"] == strategy) & (panel.results["status"] == "ok")]
            if np.isfinite(half).any():
                band = axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.14, linewidth=0)
                mark(strategy, band)
            places = on_log_axis(cells["n"].to_numpy(), sizes)
            dots = axes.plot(places, cells[metric], ".", color=colour, alpha=0.55, markersize=4)
            line = axes.plot(x, mean, color=colour, marker=marker, markersize=6, linewidth=2,
                             markeredgecolor=PAPER, markeredgewidth=0.6)  # fmt: skip
            mark(strategy, *dots)
            mark(strategy, *line, values=[_value(row, metric) for row in rows_of(mine)])
        ends.append((strategy, x[-1], mean[-1]))
    mark_changes(axes, changes_of(numbers, metric))
    label_ends(axes, ends, everyone, leaders=True)


def _value(row: Any, metric: str) -> str:
    """What the page says of a point."""
    spread = f" ± {words.points(row.spread)}" if math.isfinite(row.spread) else ""
    return (
        f"{words.strategy_name(row.strategy)}, {words.count(row.n)} labels: "
        f"{words.percent(getattr(row, metric))}{spread} ({words.plural(int(row.seeds), 'seed')})"
    )


# --- words ------------------------------------------------------------------------------------------------


def _accuracy_in_words(numbers: pd.DataFrame, metric: str) -> str:
    largest = numbers[numbers["fraction"] == numbers["fraction"].max()]
    several = several_backbones(zip(largest["backbone"], largest["weights"], strict=True))
    best = largest.sort_values(metric, ascending=False).head(8)
    values = [f"{row_name(row, several)} {words.percent(getattr(row, metric))}" for row in rows_of(best)]
    return f"With {words.count(largest['n'].iloc[0])} labels: {words.listed(values)}."


def _accuracy_conclusion(numbers: pd.DataFrame, metric: str, noun: Noun) -> str:
    trained = numbers[numbers["strategy"] != "majority"]
    if trained.empty:
        return "Only the majority class was measured, so there is nothing to compare yet."
    several = several_backbones(zip(trained["backbone"], trained["weights"], strict=True))
    best = trained.loc[trained.groupby("fraction")[metric].idxmax()].sort_values("fraction")
    first, last = best.iloc[0], best.iloc[-1]
    text = (
        f"With {words.count(last['n'])} labelled {noun.many}, {row_name(last, several)} has the highest mean: "
        f"{words.percent(last[metric])}."
    )
    if len(best) == 1:
        return f"{text} One label count cannot show whether more labels would help."
    same = (first[CONFIGURATION] == last[CONFIGURATION]).all()
    start = "it reached" if same else f"{row_name(first, several)} leads with"
    text += f" With {words.count(first['n'])}, {start} {words.percent(first[metric])}."
    changes = any(
        changes_of(panel, metric) for _, panel in trained.groupby(["backbone", "weights"], sort=False)
    )
    return text + (" Rings mark where the highest mean changes." if changes else "")
