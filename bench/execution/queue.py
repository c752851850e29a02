"""The cells that wait, ordered so that workers keep what they have loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.modalities.registry import input_of
from bench.records import Cell, Record

BATCHES_A_SLOT = 2
"""More would balance better, but each starts Keras anew."""


class Queue:
    """Cells that wait, in rounds. In a round, a worker stays with cells that share its networks and caches while
    there are any.

    Args:
        rounds: lists of cells; those of a later one begin when none of an earlier one waits.
    """

    def __init__(self, *rounds: Sequence[Cell]) -> None:
        self.rounds = [list(cells) for cells in rounds if cells]
        self.last: dict[int, tuple[object, ...]] = {}

    def __bool__(self) -> bool:
        """Whether there is a cell to take now."""
        return bool(self.rounds)

    def __len__(self) -> int:
        """How many cells wait, at most."""
        return sum(map(len, self.rounds))

    def batch_size(self, slots: int) -> int:
        """How many cells to hand out together to each of so many slots; more would balance worse."""
        return max(1, math.ceil(len(self) / (slots * BATCHES_A_SLOT)))

    def peek(self) -> Cell | None:
        """The next cell, as far as is known."""
        return self.rounds[0][0] if self.rounds else None

    def upcoming(self) -> Cell | None:
        """What was last known to be the next: for a display, which asks from a thread of its own."""
        return next((cells[0] for cells in [*self.rounds] if cells), None)

    def take(self, worker: int) -> Cell | None:
        """The next cell for a worker: of its last kind, else of a kind that no other worker is at, else any."""
        if not self.rounds:
            return None
        cells = self.rounds[0]
        others = {kind for number, kind in self.last.items() if number != worker}

        def preference(cell: Cell) -> int:
            kind = self._kind(cell)
            return 0 if kind == self.last.get(worker) else 1 if kind not in others else 2

        best = min(range(len(cells)), key=lambda i: (preference(cells[i]), i))
        cell = cells.pop(best)
        self.rounds = [some for some in self.rounds if some]
        self.last[worker] = self._kind(cell)
        return cell

    def put_back(self, cell: Cell) -> None:
        """Takes back a cell that has to run once more: it is the next."""
        self.rounds.insert(0, [cell])

    def add(self, record: Record) -> None:
        """Learns what became of a cell: of no use here."""

    @staticmethod
    def _kind(cell: Cell) -> tuple[object, ...]:
        return (cell.backbone, cell.weights, input_of(cell.examples, cell.modality), cell.strategy)
