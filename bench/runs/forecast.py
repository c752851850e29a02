"""What cells will take, from what such cells took before on this machine or else from a few timed batches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from bench.modalities.registry import size_of
from bench.plans.lengths import default_stages, training
from bench.plans.protocol import protocol
from bench.plans.strategies import get_strategy
from bench.records import Cell
from bench.runs.reckoning import Bill, Counts, Timing, can_reckon, is_skipped, reckon, together
from bench.runs.timing import at_once_here, here, kept_timing, timing_key
from bench.system import sealed
from bench.system.files import cache_dir, digest
from strategies.base import Stage

if TYPE_CHECKING:
    from bench.runs.prepare import Prepared

KEPT = 40
"""Measurements kept of each kind of cell, the latest."""
NEAR = 1.5
"""How far from the work of cells that were measured a cell may be and still be forecast by them alone."""
START = 6.0
"""Seconds in which a worker loads Keras."""
SHORT = 2e7
"""Work times the area of an input below which no batches are timed: such cells end within seconds to minutes,
and the timing of a network alone takes ten seconds."""
LEAST_TEST = 0.25
"""Test examples for each of the pool, where they are not told: a fifth of all is drawn to test."""


class Forecast:
    """Seconds by cell, from measurements that are kept in the cache.

    What was measured is kept for each strategy, backbone, input size, backend and thread count. A cell takes some
    seconds whatever its size (compiling, above all) and some for each training example, of which there are at
    most steps times the batch times (trials + 1, for the refit). Both are fitted to what was measured. A cell that
    is unlike all of these is reckoned from a few batches of its backbone, timed by ``bench.runs.timing``.

    Args:
        sizes: labelled examples of the pool by dataset fingerprint, those of a source dataset too.
        tests: examples of the test part by dataset fingerprint; what is not there is taken to be as usual.
    """

    def __init__(self, sizes: dict[str, int], tests: Mapping[str, int] | None = None) -> None:
        self.sizes, self.tests = sizes, tests or {}
        self._path = cache_dir() / "speeds.json"
        self._measured: dict[str, list[tuple[float, float]]] = {}
        self._timings: dict[str, Timing] = {}
        self._bills: dict[str, Bill] = {}
        for key, pairs in json.loads(sealed.read(self._path) or "{}").items():
            self._measured[key] = [(work, seconds) for work, seconds in pairs]

    @classmethod
    def of_plan(cls, prepared: Prepared) -> Forecast:
        """That of a plan's cells."""
        return cls(prepared.sizes, {d.fingerprint: len(d.test.ids) for d in prepared.datasets})

    def work(self, cell: Cell) -> float:
        """Training examples of a cell, at most; 0 if it trains no network."""
        if not cell.backbone:
            return 0.0
        trainings = cell.tuning["trials"] + 1
        n, n_source = self._labels(cell)
        if not stages_of(cell):
            return float((n + n_source) * cell.epochs * cell.length * trainings)
        return float(self._training(cell)[1] * trainings)

    def steps(self, cell: Cell) -> int:
        """Optimizer steps of the last stage of a cell's refit; 0 if it is no schedule of stages."""
        return self._training(cell)[0]

    def _training(self, cell: Cell) -> tuple[int, int]:
        return training(stages_of(cell), *self._labels(cell), cell.batch_size, cell.epochs, cell.length)

    def _labels(self, cell: Cell) -> tuple[int, int]:
        """Labelled examples of the target and of its companions."""
        beside = (stamp.get("fingerprint", "") for stamp in cell.companions.values())
        n = round(cell.fraction * self.sizes[cell.fingerprint])
        return n, sum(self.sizes.get(key, 0) for key in beside)

    def add(self, cell: Cell, seconds: float) -> None:
        """Learns from a cell that has run."""
        if cell.backbone:
            measured = self._measured.setdefault(self._key(cell), [])
            measured.append((self.work(cell), seconds))
            del measured[:-KEPT]
            self._bills.clear()

    def save(self) -> None:
        """Keeps what was learnt for later runs."""
        sealed.write(self._path, json.dumps(self._measured))

    def seconds(self, cells: Iterable[Cell]) -> tuple[float, bool]:
        """What ``cells`` will take one after the other, in seconds, and whether all of their kinds are known."""
        found = [(self._bill(cell), cell.seed) for cell in cells]
        known = [(bill, seed) for bill, seed in found if bill is not None]
        return together(known), len(known) == len(found)

    def _bill(self, cell: Cell) -> Bill | None:
        """What a cell will take; None if that cannot be told. What is reckoned is the same for all seeds."""
        kind = str([value for name, value in vars(cell).items() if name not in ("seed", "id")])
        if kind not in self._bills:
            if (seconds := self._from_measured(cell)) is not None:
                return Bill(seconds)
            if self._needs_timing(cell):
                return None
            counts = self._counts(cell)
            skipped = is_skipped(cell, counts)
            self._bills[kind] = Bill() if skipped else reckon(cell, self._timing(cell), counts)
        return self._bills[kind]

    def elapsed(self, cells: Sequence[Cell], workers: int, started: bool = False) -> tuple[float, bool]:
        """What ``cells`` will take with so many workers, in seconds, and whether all of their kinds are known.

        Args:
            cells: what there is to run.
            workers: cells at a time.
            started: whether the workers have loaded Keras.
        """
        total, known = self.seconds(cells)
        if not total:
            return 0.0, known
        at_once = max(1, min(workers, len(cells), at_once_here(cells[0].threads)))
        longest = max(self.seconds([cell])[0] for cell in cells)
        return max(total / at_once, longest) + (0.0 if started else START), known

    def is_measured(self, cells: Iterable[Cell]) -> bool:
        """Whether such cells have all run on this machine, and nothing is reckoned."""
        bills = [self._bill(cell) for cell in cells if cell.backbone]
        return all(bill is not None and not bill.shared for bill in bills)

    def is_short(self, cells: Iterable[Cell]) -> bool:
        """Whether cells train so little that a forecast of them is not worth its time."""
        return sum(self.work(cell) * size_of(cell.examples, cell.modality) ** 2 for cell in cells) < SHORT

    def unknown(self, cells: Iterable[Cell]) -> list[Cell]:
        """Those of ``cells`` of which nothing can be told."""
        return [cell for cell in cells if not self.seconds([cell])[1]]

    def untimed(self, cells: Iterable[Cell]) -> list[Cell]:
        """Those of ``cells`` that need timed batches to be forecast, and have none; of a short run, none."""
        cells = list(cells)
        if self.is_short(cells):
            return []
        return [
            cell
            for cell in cells
            if not self._is_near(cell) and self._needs_timing(cell) and can_reckon(cell)
        ]

    def _from_measured(self, cell: Cell) -> float | None:
        """From cells that have run, if there are such; from far smaller or larger ones only for want of others."""
        measured = self._measured.get(self._key(cell)) if cell.backbone else None
        if not measured or not (self._is_near(cell) or self._needs_timing(cell)):
            return None
        start, each = _line(measured)
        return start + each * self.work(cell)

    def _is_near(self, cell: Cell) -> bool:
        """Whether cells of this kind and of about as much work have run."""
        works = [work for work, _ in self._measured.get(self._key(cell), ())]
        return bool(works) and min(works) / NEAR <= self.work(cell) <= max(works) * NEAR

    def _needs_timing(self, cell: Cell) -> bool:
        """Whether a cell cannot be reckoned, for want of timed batches or of knowing how it trains."""
        if not cell.backbone or (can_reckon(cell) and self._timing(cell) is not None):
            return False
        return not is_skipped(cell, self._counts(cell))

    def _timing(self, cell: Cell) -> Timing | None:
        if not cell.backbone:
            return None
        key = timing_key(cell)
        if key not in self._timings and (kept := kept_timing(key)) is not None:
            self._timings[key] = kept
        return self._timings.get(key)

    def _counts(self, cell: Cell) -> Counts:
        n, n_source = self._labels(cell)
        pool = self.sizes[cell.fingerprint]
        return Counts(n, n_source, pool, self.tests.get(cell.fingerprint, round(LEAST_TEST * pool)))

    @staticmethod
    def _key(cell: Cell) -> str:
        kind = [
            cell.strategy,
            cell.strategy_version,
            cell.backbone,
            size_of(cell.examples, cell.modality),
            cell.head,
            cell.batch_size,
            not protocol(cell.protocol).shares_labels,
        ]
        return digest([*kind, cell.backend, cell.precision, cell.threads, *here()])


@cache
def _stages(strategy: str, protocol_name: str) -> list[Stage]:
    found = get_strategy(strategy)
    return default_stages(found, partial(protocol(protocol_name).declare, found))


def stages_of(cell: Cell) -> list[Stage]:
    """The schedule of a cell's strategy at its defaults; empty if it is none."""
    return _stages(cell.strategy, cell.protocol)


def _line(measured: list[tuple[float, float]]) -> tuple[float, float]:
    """Seconds a cell and seconds an example, neither below 0, that come nearest to what was measured.

    In relative terms: a small cell that is off by half counts as much as a large one that is.
    """
    work, seconds = np.array(measured).T
    weights = 1 / np.maximum(seconds, 0.1)
    target, by_cell, by_example = seconds * weights, weights, work * weights
    start, each = np.linalg.lstsq(np.stack([by_cell, by_example], axis=1), target)[0].tolist()
    if start < 0:
        start, each = 0.0, float(by_example @ target / max(by_example @ by_example, 1e-30))
    elif each < 0:
        start, each = float(by_cell @ target / (by_cell @ by_cell)), 0.0
    return start, each
