"""What cells will take, from what such cells took before on this machine."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Iterable

from bench.files import cache_dir, digest, write_atomic
from bench.records import Cell


class Forecast:
    """Seconds by cell, from measured speeds that are kept in the cache.

    Speeds are kept for each strategy, backbone, image size, backend and thread count. A cell's work is counted
    in training images: n times epochs times (trials + 1, for the refit).

    Args:
        sizes: labelled images of the pool by dataset fingerprint.
    """

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes = sizes
        self._path = cache_dir() / "speeds.json"
        self._speeds: dict[str, list[float]] = {}
        try:
            content = json.loads(self._path.read_text())
            self._speeds = {key: [float(seconds), float(work)] for key, (seconds, work) in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            pass  # nothing measured yet, or damaged: it is measured again

    def work(self, cell: Cell) -> float:
        """Training images of a cell, at most; 0 if it trains no network."""
        if not cell.backbone:
            return 0.0
        return float(cell.fraction * self.sizes[cell.fingerprint] * cell.epochs * (cell.tuning["trials"] + 1))

    def add(self, cell: Cell, seconds: float) -> None:
        """Learns from a cell that has run; kept for later runs."""
        if cell.backbone:
            speed = self._speeds.setdefault(self._key(cell), [0.0, 0.0])
            speed[0] += seconds
            speed[1] += self.work(cell)
            with contextlib.suppress(OSError):  # a cache that cannot be written must not cost a run
                write_atomic(self._path, json.dumps(self._speeds))

    def seconds(self, cells: Iterable[Cell]) -> tuple[float, bool]:
        """What ``cells`` will take one after the other, in seconds, and whether all of their kinds are known."""
        total, known = 0.0, True
        for cell in cells:
            if not cell.backbone:
                continue
            seconds, work = self._speeds.get(self._key(cell), (0.0, 0.0))
            if work:
                total += self.work(cell) * seconds / work
            else:
                known = False
        return total, known

    @staticmethod
    def _key(cell: Cell) -> str:
        kind = [
            cell.strategy,
            cell.strategy_version,
            cell.backbone,
            cell.image_size,
            cell.head,
            cell.batch_size,
        ]
        return digest(
            [*kind, cell.backend, cell.precision, cell.threads, platform.node(), platform.machine()]
        )
