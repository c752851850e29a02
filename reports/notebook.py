"""A run as a notebook shows it: the answer, and the summary by strategy and label count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jinja2

from bench.records import Record
from reports import words
from reports.answer import answers
from reports.few_shot import few_shot_answers, few_shot_tables, is_few_shot, measurements
from reports.html import summary_tables
from reports.statistics import EQUIVALENCE, Missing, decide
from reports.tables import results_frame

_TEMPLATES = Path(__file__).parent / "templates"


def fragment(records: Sequence[Record], directory: Path, region: float = EQUIVALENCE) -> str:
    """HTML without styles or scripts; the notebook brings its own. All text is escaped.

    Args:
        records: of the run.
        directory: the run directory, for predictions.
        region: a difference in accuracy within plus or minus this counts as none.
    """
    results = results_frame(records)
    if is_few_shot(records):
        measured = measurements(records, directory)
        found = few_shot_answers(measured, region, Missing(results, directory))
        summaries = few_shot_tables(measured)
    else:
        found = answers(results, decide(results, directory, region))
        summaries = summary_tables(results)
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    return environment.get_template("notebook.html.j2").render(
        answers=found,
        several=len(found) > 1,
        summaries=summaries,
        report=words.clean(directory / "report.html"),
    )
