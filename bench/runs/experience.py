"""What all labels added to the fewest in earlier runs on this machine, which orders the cells of the next one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from statistics import median

from bench.records import Cell, Record
from bench.system import sealed
from bench.system.files import cache_dir

KEPT = 40
"""Gains kept of each strategy, the latest."""


Place = tuple[str, str, str, str]
"""Fingerprint of the dataset, strategy, backbone, weights."""


class Experience:
    """Gains by strategy, in the metric that decided, kept in the cache. Claims never use them."""

    def __init__(self) -> None:
        self._path = cache_dir() / "gains.json"
        self._gains: dict[str, list[float]] = json.loads(sealed.read(self._path) or "{}")

    def gain(self, cell: Cell) -> float | None:
        """What all labels typically add for the strategy of a cell; None if that was never seen."""
        found = self._gains.get(_key(cell))
        return median(found) if found else None

    def learn(self, records: Iterable[Record]) -> None:
        """Keeps what a run shows: of each candidate the mean with the most labels over that with the fewest."""
        values: dict[Place, dict[float, list[float]]] = {}
        keys: dict[Place, str] = {}
        for record in records:
            cell = Cell.of(record.cell)
            if record.status == "ok" and cell.backbone and cell.metric in record.metrics:
                place = (cell.fingerprint, cell.strategy, cell.backbone, cell.weights)
                keys[place] = _key(cell)
                values.setdefault(place, {}).setdefault(cell.fraction, []).append(record.metrics[cell.metric])
        for place, by_share in values.items():
            if len(by_share) > 1:
                most, fewest = by_share[max(by_share)], by_share[min(by_share)]
                gains = self._gains.setdefault(keys[place], [])
                gains.append(sum(most) / len(most) - sum(fewest) / len(fewest))
                del gains[:-KEPT]
        sealed.write(self._path, json.dumps(self._gains))


def _key(cell: Cell) -> str:
    return f"{cell.strategy} {cell.metric}"
