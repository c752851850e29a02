"""A run as a notebook shows it: the answer, what speaks against it, and the summary by strategy and label count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from bench.records import Record
from reports import words
from reports.alerts import LEVELS, alerts
from reports.answer import answers
from reports.few_shot import few_shot_answers, few_shot_tables, is_few_shot, measurements
from reports.html import summary_tables
from reports.statistics.decisions import EQUIVALENCE, Decision, decide
from reports.statistics.missing import Missing
from reports.tables import results_frame

_TEMPLATES = Path(__file__).parent / "templates"


SHOWN_ALERTS = 5
"""The gravest; the rest are counted."""


def fragment(
    records: Sequence[Record],
    directory: Path,
    region: float = EQUIVALENCE,
    price_per_hour: float = 0.0,
    run_info: dict[str, Any] | None = None,
    plan_toml: str = "",
) -> str:
    """HTML without styles or scripts; the notebook brings its own. All text is escaped.

    Args:
        records: of the run.
        directory: the run directory, for predictions.
        region: a difference in accuracy within plus or minus this counts as none.
        price_per_hour: of the machine; 0 shows no money.
        run_info: the content of run.json.
        plan_toml: the text of plan.toml.
    """
    results = results_frame(records)
    decisions: list[Decision] = []
    if is_few_shot(records):
        measured = measurements(records, directory)
        found = few_shot_answers(measured, region, Missing(results, directory))
        summaries = few_shot_tables(measured)
    else:
        decisions = decide(results, directory, region)
        found = answers(results, decisions, price_per_hour)
        summaries = summary_tables(results)
    warned = [a for a in alerts(records, results, decisions, run_info or {}, plan_toml) if a.level != "note"]
    warned.sort(key=lambda alert: LEVELS.index(alert.level))
    more = len(warned) - SHOWN_ALERTS
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    return environment.get_template("notebook.html.j2").render(
        answers=found,
        several=len(found) > 1,
        alerts=warned[:SHOWN_ALERTS],
        more_alerts=words.plural(more, "more warning") if more > 0 else "",
        summaries=summaries,
        report=words.clean(directory / "report.html"),
    )
