"""Would more labels help? The metric that decides against labels, fitted, extrapolated and back-tested."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.modalities.nouns import Noun
from bench.records import ACCURACY
from reports import words
from reports.drawing import (
    PAPER,
    Plan,
    frame_of,
    label_ends,
    limits,
    mark,
    mark_changes,
    of_each_dataset,
    round_ticks,
    set_up,
    stands_back,
    style_of,
    ticks,
)
from reports.questions.accuracy import accuracy_plan, changes_of
from reports.results import Results
from reports.sections import Part, Section, Table
from reports.statistics.credits import metric_of
from reports.statistics.decisions import CONFIGURATION, EQUIVALENCE
from reports.statistics.intervals import LEVEL
from reports.statistics.label_curves import (
    FARTHEST,
    MINIMUM_COUNTS,
    LabelCurve,
    Prediction,
    crossing,
    label_curves,
)
from reports.tables import Panel, configuration_name, ordered, panels, several_backbones


def section(run: Results) -> Section | None:
    """What was measured against labels, the fitted curves, and what more labels would bring."""
    curves, why_none = run.once(fitted)
    measured = of_each_dataset(run.frame, lambda mine: accuracy_plan(mine, run.noun, run.strategies))
    table = labels_table(curves, why_none, run.several, run.region, run.metric)
    parts: list[Part] = [*measured, *label_plans(run.frame, curves, run.noun, run.strategies)]
    if not parts:
        return None
    # With a single label count there is nothing to see; the figure lies in its files.
    shown = bool((run.frame[run.frame["status"] == "ok"].groupby("dataset")["fraction"].nunique() > 1).any())
    title = "Would more labels help?"
    return Section("labels", title, [*parts, table], "More labels?", run.several, shown=shown)


def fitted(run: Results) -> tuple[list[LabelCurve], str]:
    """See ``label_curves``; to be asked for by ``run.once``."""
    return label_curves(run.frame, run.directory)


def label_plans(
    results: pd.DataFrame, fitted: Sequence[LabelCurve], noun: Noun, everyone: Sequence[str] = ()
) -> Iterator[Plan]:
    """The fitted learning curves of each dataset that has some.

    Args:
        results: the frame of ``tables.results_frame``.
        fitted: of ``label_curves``.
        noun: what examples are called.
        everyone: all strategies of the run, those that matter first; empty: those of the dataset.
    """

    def figure(mine: pd.DataFrame) -> Plan | None:
        curves = [curve for curve in fitted if curve.key[0] == mine["dataset"].iloc[0]]
        return _labels_figure(mine, curves, noun, everyone) if curves else None

    return of_each_dataset(results, figure)


def label_numbers(fitted: Sequence[LabelCurve], metric: str = ACCURACY) -> pd.DataFrame:
    """The fitted curves at 40 label counts each: median and 95% CI; ``measured`` where it was."""
    rows = []
    for curve in fitted:
        measured = dict(zip(curve.n, curve.values, strict=True))
        grid = np.unique([*np.geomspace(curve.n[0], curve.n[-1] * FARTHEST, 40), *curve.n])
        tail = (1 - LEVEL) / 2
        low, value, high = np.quantile(curve.fitted.at(grid), [tail, 0.5, 1 - tail], axis=0)
        for i, n in enumerate(grid.tolist()):
            rows.append((*curve.key, n, value[i], low[i], high[i], measured.get(n, np.nan)))
    return pd.DataFrame(rows, columns=[*CONFIGURATION, "n", metric, "low", "high", "measured"])


def _labels_figure(
    results: pd.DataFrame, fitted: Sequence[LabelCurve], noun: Noun, everyone: Sequence[str]
) -> Plan:
    metric = metric_of(results)
    numbers, labelled, name = (
        label_numbers(fitted, metric),
        f"labelled {noun.many}",
        words.metric_name(metric),
    )
    between = limits([*numbers["low"], *numbers["high"], *numbers["measured"].dropna()])
    everyone = everyone or ordered(results["strategy"])

    def panel_of(panel: Panel) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            set_up(axes, panel.title, f"{labelled} (training and validation)", f"test {name}", *between)
            _draw_labels(axes, panel.select(numbers), metric, everyone)

        return draw

    some = [panel for panel in panels(results) if len(panel.select(numbers))]
    dataset = words.clean(results["dataset"].iloc[0], 60)
    return Plan(
        "labels",
        "Learning curves over labels",
        f"Line chart of test {name} on {dataset} against the number of {labelled}: measured means as dots, "
        f"fitted curves with 95% bands up to {FARTHEST:g} times the most labels, dashed beyond what was measured.",
        f"Dots were measured. The dashed lines beyond them extrapolate up to {FARTHEST:g} times the most labels, "
        "with 95% CIs.",
        [panel_of(panel) for panel in some],
        numbers,
        frame_of(len(some), numbers["strategy"].nunique()),
    )


def _draw_labels(axes: Axes, numbers: pd.DataFrame, metric: str, everyone: Sequence[str]) -> None:
    axes.set_xscale("log")
    left, right = numbers["n"].min(), numbers["n"].max()
    axes.set_xlim(left, right)
    ticks(axes, round_ticks(left, right), words.magnitude)
    ends = []
    for strategy in ordered(numbers["strategy"]):
        colour, marker = style_of(strategy, everyone)
        mine = numbers[numbers["strategy"] == strategy]
        known, most = mine.dropna(subset="measured"), mine.loc[mine["measured"].notna(), "n"].max()
        inside, beyond = mine[mine["n"] <= most], mine[mine["n"] >= most]
        behind = stands_back(strategy, everyone)
        width = 0.9 if behind else 1.8
        if not behind:
            band = axes.fill_between(
                mine["n"], mine["low"], mine["high"], color=colour, alpha=0.12, linewidth=0
            )
            mark(strategy, band)
        lines = axes.plot(inside["n"], inside[metric], color=colour, linewidth=width)
        lines += axes.plot(beyond["n"], beyond[metric], color=colour, linewidth=width, linestyle=(0, (4, 2)))
        dots = axes.plot(known["n"], known["measured"], marker=marker, color=colour,
                         markersize=3 if behind else 6, markeredgecolor=PAPER, linestyle="none")  # fmt: skip
        end = axes.plot(right, mine[metric].iloc[-1], marker=".", color=colour, markersize=4, clip_on=False)
        mark(strategy, *lines)
        name = words.strategy_name(strategy)
        mark(strategy, *dots, values=[
            f"{name}, {words.count(n)} labels: {words.percent(value)} measured"
            for n, value in zip(known["n"], known["measured"], strict=True)
        ])  # fmt: skip
        last = mine.iloc[-1]
        mark(strategy, *end, values=[
            f"{name}, {words.count(last['n'])} labels: {words.percent(last[metric])} expected "
            f"({words.percent(last['low'])} to {words.percent(last['high'])})"
        ])  # fmt: skip
        ends.append((strategy, right, float(mine[metric].iloc[-1])))
    mark_changes(axes, changes_of(numbers, metric))
    label_ends(axes, ends, everyone, leaders=True)


def labels_table(
    curves: Sequence[LabelCurve],
    reason: str,
    several: bool,
    region: float = EQUIVALENCE,
    metric: str = ACCURACY,
) -> Table:
    """What more labels would bring, by configuration, and how far off the curves were when tested.

    Args:
        curves, reason: what ``label_curves`` returned.
        several: whether there is more than one dataset.
        region: of practical equivalence.
        metric: that decides.
    """
    if not curves:
        return Table([reason])
    backbones = several_backbones((curve.key[1], curve.key[2]) for curve in curves)

    def name(curve: LabelCurve, of: str = "") -> str:
        _, backbone, weights, strategy = curve.key
        return configuration_name(strategy, backbone, weights, backbones, of)

    conclusions = _back_tested(curves)
    for dataset in dict.fromkeys(curve.key[0] for curve in curves):
        mine = [curve for curve in curves if curve.key[0] == dataset]
        told = [_twice(mine, name), *_overtakings(mine, name, region)]
        conclusions += [words.sentence(text, dataset if several else "") for text in told]
    return Table(
        conclusions,
        [
            "strategy",
            "now",
            "with 2 times the labels",
            "with 4 times",
            "labels for 2 points more",
            "back-test",
        ],
        [
            [
                name(curve, curve.key[0] if several else ""),
                words.percent(curve.values[-1]),
                _predicted(curve.predict(2 * curve.n[-1])),
                _predicted(curve.predict(4 * curve.n[-1])),
                _labels_for(curve, curve.values[-1] + 0.02),
                _hidden(curve),
            ]
            for curve in curves
        ],
        f"Curves are fitted to {words.metric_name(metric)} against labels: a power law, an exponential or a "
        "logarithm. Forecasts have 95% CIs. The back-test hides the largest label count and predicts its result.",
        [curve.key[3] for curve in curves],
        "Forecast with more labels",
    )


def _predicted(p: Prediction) -> str:
    return f"{words.percent(p.value)} ({words.percent(p.low)} to {words.percent(p.high)})"


def _labels_for(curve: LabelCurve, target: float) -> str:
    """How many labels a target needs."""
    if target >= 1:
        return "–"
    needed, beyond = curve.needed(target), f"more than {words.count(curve.n[-1] * FARTHEST)}"
    if math.isinf(needed.value):
        return beyond
    high = beyond if math.isinf(needed.high) else words.count(needed.high)
    return f"{words.count(needed.value)} ({words.count(needed.low)} to {high})"


def _hidden(curve: LabelCurve) -> str:
    """The back-test of one curve."""
    if curve.back_test is None:
        return f"needs {MINIMUM_COUNTS + 1} label counts"
    predicted, measured = curve.back_test
    return f"{_predicted(predicted)}; measured {words.percent(measured)}"


def _back_tested(curves: Sequence[LabelCurve]) -> list[str]:
    """How far off the curves were when tested, where they were."""
    tests = [curve.back_test for curve in curves if curve.back_test is not None]
    if not tests:
        return []
    worst = max(abs(predicted.value - measured) for predicted, measured in tests)
    inside = sum(predicted.low <= measured <= predicted.high for predicted, measured in tests)
    return [
        f"Back-test: fitted without the largest label count, the curves missed it by {words.in_points(worst)} at "
        f"most. {inside} of {len(tests)} intervals hold the measured value."
    ]


def _twice(curves: Sequence[LabelCurve], name: Callable[[LabelCurve], str]) -> str:
    """What the best would reach with twice the labels."""
    best = max(curves, key=lambda curve: curve.predict(2 * curve.n[-1]).value)
    ahead = best.predict(2 * best.n[-1])
    return (
        f"with twice the labels ({words.count(2 * best.n[-1])}), {name(best)} would reach about "
        f"{_predicted(ahead)}: {words.in_points(ahead.value - best.values[-1], True)}."
    )


OVERTAKINGS = 6
"""Of a dataset so many are told."""


def _overtakings(curves: Sequence[LabelCurve], name: Callable[[LabelCurve], str], region: float) -> list[str]:
    """Who overtakes whom on the same backbone, more likely than not; the surest first."""
    found = []
    for first, second in itertools.permutations(curves, 2):
        crossed = crossing(first, second, region) if first.key[1] == second.key[1] else None
        if crossed is None or crossed[0] < 0.5 or crossed[1].high <= first.n[0]:
            continue
        share, place = crossed
        sure = "" if share > 0.95 else f"probably ({words.percent(share, 0)}) "
        beyond = ", more than were measured" if place.value > first.n[-1] else ""
        text = (
            f"{name(second)} {sure}overtakes {name(first)}, at about {words.count(place.value)} labels "
            f"({words.count(place.low)} to {words.count(place.high)}){beyond}."
        )
        found.append((share, text))
    told = [text for _, text in sorted(found, key=lambda item: -item[0])]
    more = len(told) - OVERTAKINGS
    return [*told[:OVERTAKINGS], *([f"{more} more pairs cross, less surely."] if more > 0 else [])]
