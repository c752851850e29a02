"""The cells that wait, ordered so that workers keep what they have loaded."""

from __future__ import annotations

from collections.abc import Sequence

from bench.modalities.registry import input_of
from bench.records import Cell


class Queue:
    """Cells that wait. A worker stays with cells that share its networks and caches while there are any."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = list(cells)
        self.last: dict[int, tuple[object, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self.cells)

    def take(self, worker: int) -> Cell | None:
        """The next cell for a worker: of its last kind, else of a kind that no other worker is at, else any."""
        if not self.cells:
            return None
        others = {kind for number, kind in self.last.items() if number != worker}

        def preference(cell: Cell) -> int:
            kind = self._kind(cell)
            return 0 if kind == self.last.get(worker) else 1 if kind not in others else 2

        best = min(range(len(self.cells)), key=lambda i: (preference(self.cells[i]), i))
        cell = self.cells.pop(best)
        self.last[worker] = self._kind(cell)
        return cell

    def put_back(self, cell: Cell) -> None:
        self.cells.insert(0, cell)

    @staticmethod
    def _kind(cell: Cell) -> tuple[object, ...]:
        return (cell.backbone, cell.weights, input_of(cell.examples, cell.modality), cell.strategy)
