"""Which questions stand on the page of each protocol, from top to bottom.

A new section is one file in ``reports/questions``, with a function ``section(run: Results) -> Section | None``, and
one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING

import pandas as pd

from bench.records import FRACTIONS
from reports.next_steps import next_steps
from reports.questions import answer, summary
from reports.questions.few_shot import accuracy as few_shot_accuracy
from reports.questions.few_shot import answer as few_shot_answer
from reports.questions.few_shot import tiles as few_shot_tiles
from reports.questions.few_shot.measurements import few_shot_frame, measurements
from reports.results import Results
from reports.sections import Answer, Grid, Section
from reports.tables import terminal_table

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class Page:
    """What is shown of a run.

    Attributes:
        sections: modules of ``reports.questions``. Of several in one line, the first that has something to say has
            the heading, and the others stand below it.
        figures: the one of them with most figures; it is asked first, so that other processes may begin to draw.
        answers, summary: what a notebook shows.
        next_steps: commands to go on with, and what each is for.
        tables: the files of numbers beside the page.
        terminal: the numbers for a terminal.
    """

    sections: tuple[str | tuple[str, ...], ...]
    figures: str
    answers: Callable[[Results], list[Answer]]
    summary: Callable[[Results], list[Grid]]
    next_steps: Callable[[Results], list[tuple[str, str]]]
    tables: Mapping[str, Callable[[Results], pd.DataFrame]]
    terminal: Callable[[Results], Group]

    @property
    def questions(self) -> list[str]:
        """All modules, in the order in which they are asked."""
        names = [name for line in self.sections for name in ([line] if isinstance(line, str) else line)]
        return sorted(names, key=lambda name: name != self.figures)

    def arranged(self, found: Mapping[str, Section | None]) -> list[Section]:
        """The sections that have something to say, as they stand on the page."""
        arranged = []
        for line in self.sections:
            asked = [found[name] for name in ([line] if isinstance(line, str) else line)]
            told = [section for section in asked if section is not None and section.shown]
            if told:
                arranged.append(replace(told[0], below=tuple(told[1:])))
        return arranged


def ask(question: str, run: Results) -> Section | None:
    """The section of a question; None: this run has nothing to say to it."""
    section: Section | None = import_module(f"reports.questions.{question}").section(run)
    return section


PAGES = {
    FRACTIONS: Page(
        sections=(
            "answer",
            "alerts",
            "labels",
            ("transfer", "adaptation", "auxiliary", "pictures"),
            "depth",
            "standings",
            "weights",
            "cost",
            "learning",
            ("mistakes", "overfitting"),
            "summary",
            "cells",
            "course",
            "failures",
            "hyperparameters",
            "ranking",
            "method",
        ),
        figures="learning",
        answers=answer.answers_of,
        summary=summary.grids,
        next_steps=next_steps,
        tables={"results.csv": lambda run: run.frame},
        terminal=lambda run: terminal_table(run.frame),
    ),
    "few-shot": Page(
        sections=(
            "few_shot.answer",
            "alerts",
            "few_shot.accuracy",
            "few_shot.figures",
            "few_shot.verification",
            "failures",
            "hyperparameters",
            "ranking",
            "few_shot.method",
        ),
        figures="few_shot.figures",
        answers=few_shot_answer.answers_of,
        summary=few_shot_accuracy.grids,
        next_steps=few_shot_tiles.next_steps,
        tables={
            "results.csv": lambda run: run.frame,
            "few_shot.csv": lambda run: few_shot_frame(run.records),
        },
        terminal=lambda run: few_shot_accuracy.few_shot_terminal(measurements(run.records, run.directory)),
    ),
}
"""By protocol; any other has the page of the first."""


def page_of(run: Results) -> Page:
    """The page of a run's protocol."""
    return PAGES.get(run.protocol, PAGES[FRACTIONS])
