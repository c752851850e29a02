"""What is told while a run goes on."""

from __future__ import annotations

from collections.abc import Sequence

from bench.execution.jobs import Event
from bench.execution.queue import Queue
from bench.records import Cell, Record
from bench.runs.prepare import Prepared
from bench.store import Store


class Reporter:
    """Is told what happens; this one says nothing."""

    def say(self, text: str) -> None:
        """A step of the preparation."""

    def begin(
        self, prepared: Prepared, store: Store, todo: Sequence[Cell], workers: int, queue: Queue
    ) -> None:
        """Before the first cell."""

    def event(self, event: Event) -> None:
        """A worker has begun or gone on."""

    def record(self, record: Record) -> None:
        """A cell has ended."""

    def end(self) -> None:
        """After the last cell, whatever happened."""
