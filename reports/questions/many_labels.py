"""How well each label is recognised, where an example has any number of them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from bench.modalities.nouns import Noun
from reports import words
from reports.drawing import INK, MUTED, PAPER, Frame, Plan, mark
from reports.statistics.predictions import Predictions, label_numbers

SHOWN_LABELS = 20
"""Of the figure: those with the lowest average precision; all are in its CSV file."""

_BLUE = "#0072B2"


def label_plan(predictions: Predictions, noun: Noun) -> Plan | None:
    """Average precision by label with its F1 and test examples; None where no label is tested."""
    numbers = label_numbers(predictions)
    known = numbers.dropna(subset="average_precision")
    known = known.sort_values("average_precision", ascending=False, kind="stable")
    if known.empty:
        return None
    shown = known.tail(SHOWN_LABELS)
    frame = Frame(
        width=5.8, height=1.3 + 0.24 * max(4, len(shown)), left=2.4, right=0.25, bottom=0.62, top=0.42
    )
    conclusion = _conclusion(known, len(numbers) - len(known), len(shown), noun)
    where = f"{predictions.who} on {words.clean(predictions.dataset, 60)}"
    return Plan(
        "labels-each",
        "Average precision by label",
        f"Dot chart of average precision by label of {where}. {conclusion}",
        conclusion,
        [lambda axes: _draw(axes, shown, noun)],
        numbers,
        frame,
    )


def _conclusion(known: pd.DataFrame, untested: int, shown: int, noun: Noun) -> str:
    best, worst = (_said(known.iloc[place]) for place in (0, -1))
    text = f"Best at {best}, worst at {worst}. F1 is at a threshold of 0.5, which is not tuned."
    if untested:
        verb = "is" if untested == 1 else "are"
        text += f" {words.plural(untested, 'label')} without a test {noun.one} {verb} left out."
    if shown < len(known):
        text += f" The figure shows the {shown} worst of {len(known)} labels."
    return f"{text} Lines are 95% CIs over test {noun.many}, crosses are chance."


def _said(row: pd.Series[Any]) -> str:
    figures = f"{words.percent(row['average_precision'])}, F1 {words.percent(row['f1'])}"
    return f"{words.clean(row['label'], 30)} ({figures})"


def _draw(axes: Axes, shown: pd.DataFrame, noun: Noun) -> None:
    for place, row in enumerate(shown.to_dict("records")):
        axes.plot([row["low"], row["high"]], [place, place], color=MUTED, linewidth=1)
        axes.plot(row["chance"], place, "x", color=MUTED, markersize=5)
        dot = axes.plot(
            row["average_precision"], place, "o", color=_BLUE, markersize=6, markeredgecolor=PAPER
        )
        interval = f"{words.percent(row['low'])} to {words.percent(row['high'])}"
        values = f"{words.percent(row['average_precision'])} ({interval}), F1 {words.percent(row['f1'])}"
        mark("", *dot, values=[f"{row['label']}: {values}"])
    names = [
        f"{words.clean(row['label'], 20)} ({words.count(row['labelled'])}, {row['test']})"
        if math.isfinite(row["labelled"])
        else f"{words.clean(row['label'], 20)} ({row['test']})"
        for row in shown.to_dict("records")
    ]
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_yticks(range(len(shown)), names)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.percent(value, 0)))
    axes.set_xlabel("average precision of the label")
    axes.set_title(f"label (labelled and test {noun.many} with it)", pad=10)
    axes.grid(visible=False, axis="y")
