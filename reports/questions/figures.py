"""The figures at the top of the page."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.modalities.nouns import Noun
from reports import words
from reports.drawing import Plan
from reports.questions.accuracy import accuracy_plan
from reports.questions.cost import cost_plan
from reports.questions.learning import curves_plan
from reports.results import Results
from reports.sections import Section
from reports.tables import ordered, places
from reports.words import IMAGES


def section(run: Results) -> Section:
    """Accuracy, cost and learning curves."""
    plans = [*main_plans(run.frame, run.curves, run.noun)]
    strategies = [(words.clean(s), words.strategy_name(s)) for s in ordered(run.frame["strategy"])]
    return Section(
        "figures",
        "Figures",
        plans,
        "Figures",
        run.several,
        "There is nothing to draw yet.",
        "figures.html.j2",
        strategies,
    )


def main_plans(results: pd.DataFrame, curves: pd.DataFrame, noun: Noun = IMAGES) -> Iterator[Plan]:
    """Accuracy, cost and learning curves of each dataset, as far as the results allow.

    Args:
        results, curves: the frames of ``tables``.
        noun: what examples are called.
    """
    for dataset, place in places(results).items():
        of_dataset = results[results["dataset"] == dataset]
        for figure in (accuracy_plan, cost_plan, curves_plan):
            plan = figure(of_dataset, curves, noun)
            if plan is not None:
                yield plan.of(dataset, place)
