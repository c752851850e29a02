"""What cells will take, from what such cells took before on this machine."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from bench.modalities.registry import size_of
from bench.plans.lengths import default_stages, training
from bench.plans.protocol import protocol
from bench.plans.strategies import get_strategy
from bench.records import Cell
from bench.system import sealed
from bench.system.files import cache_dir, digest
from strategies.base import Stage

if TYPE_CHECKING:
    from bench.plans.plan import Plan

CALIBRATION_LENGTH = 0.1
KEPT = 40
"""Measurements kept of each kind of cell, the latest."""


class Forecast:
    """Seconds by cell, from measurements that are kept in the cache.

    Measurements are kept for each strategy, backbone, input size, backend and thread count. A cell takes some
    seconds whatever its size (compiling, above all) and some for each training example, of which there are at
    most steps times the batch times (trials + 1, for the refit). Both are fitted to what was measured.

    Args:
        sizes: labelled examples of the pool by dataset fingerprint, those of a source dataset too.
    """

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes = sizes
        self._path = cache_dir() / "speeds.json"
        self._measured: dict[str, list[tuple[float, float]]] = {}
        for key, pairs in json.loads(sealed.read(self._path) or "{}").items():
            self._measured[key] = [(work, seconds) for work, seconds in pairs]

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

    def save(self) -> None:
        """Keeps what was learnt for later runs."""
        sealed.write(self._path, json.dumps(self._measured))

    def seconds(self, cells: Iterable[Cell]) -> tuple[float, bool]:
        """What ``cells`` will take one after the other, in seconds, and whether all of their kinds are known."""
        total, known = 0.0, True
        for cell in cells:
            if not cell.backbone:
                continue
            measured = self._measured.get(self._key(cell))
            if measured:
                start, each = _line(measured)
                total += start + each * self.work(cell)
            else:
                known = False
        return total, known

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
        return digest(
            [*kind, cell.backend, cell.precision, cell.threads, platform.node(), platform.machine()]
        )


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


def calibration(plan: Plan) -> Plan:
    """A small plan whose cells tell what those of ``plan`` will take: two label counts, short, one trial."""
    fractions = sorted(plan.fractions)
    return plan.model_copy(
        update={
            "fractions": sorted({fractions[0], fractions[len(fractions) // 2]}),
            "seeds": 1,
            "length": min(plan.length, CALIBRATION_LENGTH),
            "strategies": [name for name in plan.strategies if name != "majority"] or plan.strategies,
            "tuning": plan.tuning.model_copy(update={"trials": 1}),
        }
    )
