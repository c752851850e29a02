"""What tuning chose, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.records import Record
from reports import words
from reports.phrases import cell_label
from reports.results import Results
from reports.sections import Section


def section(run: Results) -> Section | None:
    """The settings with which each cell was trained again; None where none were chosen."""
    content = _hyperparameters(run.records)
    if not content:
        return None
    return Section(
        "chosen",
        "Hyperparameters",
        link="Hyperparameters",
        template="hyperparameters.html.j2",
        content=content,
        folded=f"Show the hyperparameters of {words.plural(len(content), 'cell')}",
    )


def _hyperparameters(records: Sequence[Record]) -> list[list[str]]:
    return [
        [
            cell_label(record),
            words.clean(
                ", ".join(f"{k} = {_short(v)}" for k, v in sorted(record.hyperparameters.items())), 400
            ),
            "–" if record.epochs is None else str(record.epochs),
            str(len(record.trials)),
        ]
        for record in records
        if record.status == "ok" and record.hyperparameters
    ]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
