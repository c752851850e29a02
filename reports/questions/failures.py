"""Failures, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.records import Record
from reports import words
from reports.phrases import cell_label
from reports.results import Results
from reports.sections import Section
from reports.tables import backbone_title

LIMIT = 200
"""Rows of the lists of what failed; the rest is in results.csv."""


def section(run: Results) -> Section | None:
    """The cells without a result, and why; None where there are none."""
    content = {"failures": _failures(run.records), "skipped": _skipped(run.records), "limit": LIMIT}
    if not content["failures"] and not content["skipped"]:
        return None
    return Section("failed", "Failures", link="Failures", template="failures.html.j2", content=content)


def _failures(records: Sequence[Record]) -> list[dict[str, str]]:
    return [
        {
            "label": cell_label(record),
            "status": record.status,
            "message": words.clean(_error(record, "message") or "no message", 1000),
            "type": words.clean(_error(record, "type"), 60),
            "traceback": _error(record, "traceback")[-4000:],
        }
        for record in records
        if record.status not in ("ok", "skipped")
    ]


def _skipped(records: Sequence[Record]) -> list[str]:
    """The reasons, each once with the number of its cells."""
    reasons = Counter(
        f"{words.strategy_name(record.cell['strategy'])} on "
        f"{backbone_title(record.cell['backbone'], record.cell['weights']) or 'no backbone'}: "
        f"{words.clean(_error(record, 'message'), 400)}"
        for record in records
        if record.status == "skipped"
    )
    return [f"{reason} ({words.plural(number, 'cell')})" for reason, number in reasons.items()]


def _error(record: Record, key: str) -> str:
    return str((record.error or {}).get(key, ""))
