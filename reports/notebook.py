"""A run as a notebook shows it: the answer, what speaks against it, and the summary by strategy and label count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from bench.records import Record
from reports import words
from reports.pages import page_of
from reports.questions.alerts import sorted_alerts
from reports.results import Results
from reports.statistics.decisions import EQUIVALENCE

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
        region: a difference in the metric that decides within plus or minus this counts as none.
        price_per_hour: of the machine; 0 shows no money.
        run_info: the content of run.json.
        plan_toml: the text of plan.toml.
    """
    run = Results(records, run_info or {}, plan_toml, directory, region, price_per_hour)
    page = page_of(run)
    answers = page.answers(run)
    warned = [alert for alert in sorted_alerts(run) if alert.level != "note"]
    more = len(warned) - SHOWN_ALERTS
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    return environment.get_template("notebook.html.j2").render(
        answers=answers,
        several=len(answers) > 1,
        alerts=warned[:SHOWN_ALERTS],
        more_alerts=words.plural(more, "more warning") if more > 0 else "",
        summaries=page.summary(run),
        report=words.clean(directory / "report.html"),
    )
