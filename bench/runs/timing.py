"""A few batches of each backbone, timed by workers before hours are spent, and remembered."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from bench.execution.executor import Executor
from bench.execution.jobs import TimeBatches
from bench.modalities.registry import size_of
from bench.records import Cell
from bench.runs.lengths import typical_lengths
from bench.runs.reckoning import TIMED_BATCH, Timing
from bench.system import machine, provenance, sealed
from bench.system.files import cache_dir, digest

TIMING_SECONDS = 600.0
"""After which the timing of a backbone is given up where no cell waits for the worker."""


def here() -> list[str]:
    """What tells this machine from others."""
    return [platform.node(), platform.machine()]


def at_once_here(threads: int) -> int:
    """How many cells of so many threads this machine computes without one waiting for another."""
    return len(machine.gpus()) or max(1, machine.cores() // threads)


def timing_key(cell: Cell) -> str:
    """Under which the timed batches of a cell's backbone are kept."""
    plugins = [cell.plugins[part] for part in ("backbone",) if part in cell.plugins]
    return digest(
        [_named(_job(cell)), cell.backend, cell.threads, _versions(), machine.gpus(), *here(), *plugins]
    )


def kept_timing(key: str) -> Timing | None:
    """The timed batches that are kept under a key."""
    kept = sealed.read(_path(key))
    return None if kept is None else Timing(**json.loads(kept))


def time_batches(cells: Iterable[Cell], executor: Executor, say: Callable[[str], None]) -> None:
    """Times batches of the backbones of some cells and keeps the times; what fails is left unknown."""
    jobs = {timing_key(cell): _job(cell) for cell in cells}
    if not jobs:
        return
    names = ", ".join(dict.fromkeys(job.backbone for job in jobs.values()))
    say(f"Timing batches of {names} for a forecast ...")
    for key, found in zip(jobs, executor.time_batches(list(jobs.values())), strict=True):
        if found is not None:
            sealed.write(_path(key), json.dumps(found))


def _named(job: TimeBatches) -> dict[str, Any]:
    """What names the times of a job: lengths only where there are some, so that those of old stay known."""
    return {name: value for name, value in vars(job).items() if name != "lengths" or value}


def _job(cell: Cell) -> TimeBatches:
    size, most = size_of(cell.examples, cell.modality), cell.batch_size
    batches = (min(TIMED_BATCH, most), *([most] if most > 2 * TIMED_BATCH else []))
    lengths = typical_lengths(cell)
    return TimeBatches(
        cell.backbone, cell.modality, size, cell.precision, cell.head["pooling"], batches, lengths
    )


def _path(key: str) -> Path:
    return cache_dir() / "timings" / f"{key}.json"


@cache
def _versions() -> dict[str, str]:
    found = provenance.versions()
    return {name: found[name] for name in ("keras", "tensorflow", "torch", "jax") if name in found}
