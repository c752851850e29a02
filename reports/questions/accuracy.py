"""The figures: functions that return numbers, and thin functions that draw them.

Every figure is small multiples of one panel a backbone (or a measure), all with the same y axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.modalities.nouns import Noun
from reports import words
from reports.drawing import (
    PAPER,
    Plan,
    count_ticks,
    label_ends,
    limits,
    mark,
    on_log_axis,
    set_up,
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


# --- figures ----------------------------------------------------------------------------------------------


def accuracy_plan(results: pd.DataFrame, curves: pd.DataFrame, noun: Noun) -> Plan | None:
    many = noun.many
    numbers = accuracy_numbers(results)
    if numbers.empty:
        return None
    metric = metric_of(results)
    name = words.metric_name(metric)
    low, high = limits([*results[metric].dropna(), *(numbers[metric] - numbers["half_width"]).dropna(),
                         *(numbers[metric] + numbers["half_width"]).dropna()])  # fmt: skip
    everyone = ordered(results["strategy"])

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
        else:
            cells = panel.results[(panel.results["strategy"] == strategy) & (panel.results["status"] == "ok")]
            if np.isfinite(half).any():
                band = axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.14, linewidth=0)
                mark(strategy, band)
            places = on_log_axis(cells["n"].to_numpy(), sizes)
            dots = axes.plot(places, cells[metric], ".", color=colour, alpha=0.55, markersize=4)
            line = axes.plot(x, mean, color=colour, marker=marker, markersize=5, linewidth=1.8,
                             markeredgecolor=PAPER, markeredgewidth=0.6)  # fmt: skip
            mark(strategy, *dots, *line)
        ends.append((strategy, x[-1], mean[-1]))
    label_ends(axes, ends, everyone, leaders=True)


# --- words ------------------------------------------------------------------------------------------------


def _accuracy_in_words(numbers: pd.DataFrame, metric: str) -> str:
    largest = numbers[numbers["fraction"] == numbers["fraction"].max()]
    several = several_backbones(zip(largest["backbone"], largest["weights"], strict=True))
    best = largest.sort_values(metric, ascending=False).head(8)
    values = [f"{row_name(row, several)} {words.percent(getattr(row, metric))}" for row in rows_of(best)]
    return f"With {words.count(largest['n'].iloc[0])} labels: {words.listed(values)}."


def _accuracy_conclusion(numbers: pd.DataFrame, metric: str, noun: Noun) -> str:
    many = noun.many
    trained = numbers[numbers["strategy"] != "majority"]
    if trained.empty:
        return "Only the majority class was measured: there is nothing to compare yet."
    several = several_backbones(zip(trained["backbone"], trained["weights"], strict=True))
    best = trained.loc[trained.groupby("fraction")[metric].idxmax()].sort_values("fraction")
    first, last = best.iloc[0], best.iloc[-1]
    text = (
        f"With {words.count(last['n'])} labelled {many} {row_name(last, several)} has the highest mean, "
        f"{words.percent(last[metric])}"
    )
    if len(best) == 1:
        return f"{text}. One label count says nothing about what more labels would bring."
    same = (first[CONFIGURATION] == last[CONFIGURATION]).all()
    start = (
        f"with {words.count(first['n'])} {'it reached' if same else f'{row_name(first, several)} leads with'}"
    )
    text += f"; {start} {words.percent(first[metric])}."
    before = best.iloc[-2]
    gain = last[metric] - before[metric]
    verb = f"added {words.points(gain)} points" if gain > 0 else "added nothing"
    return f"{text} The last step, from {words.count(before['n'])} labels on, {verb} to the best mean."
