"""What a parent asks of a worker, and what it hears back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.records import Cell

ANSWERS = ("done", "latency", "ready", "fetched", "ranked", "unstored")
"""Messages with which a worker has finished a job."""


@dataclass(frozen=True)
class Event:
    """Something to show: ``started``, ``tick`` or ``note``, of the worker ``worker``."""

    kind: str
    worker: int
    text: str
    cell: Cell | None = None


def _cell_fields(cell: Cell) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in cell.__dataclass_fields__}
