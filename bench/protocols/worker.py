"""How a worker runs a cell, whatever its protocol: open its data, run it, leave what belongs to its record."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import IO, Any

import numpy as np
from PIL import Image

from bench.datasets import Dataset, Part
from bench.datasets.companions.base import reopened
from bench.execution.jobs import Place, Unstored
from bench.modalities.registry import input_of
from bench.plans.protocol import protocol
from bench.plans.strategies import ask_for_any
from bench.protocols.outcome import Outcome
from bench.records import Cell
from bench.system.files import digest
from bench.training.workplace import Workplace, workplace

TRACEBACK_LINES = 12
OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")
OUT_OF_MEMORY_WORDS = ("RESOURCE_EXHAUSTED", "not enough memory", "can't allocate memory", "out of memory")
"""Of JAX, and of PyTorch on a CPU, which raise errors of a general kind."""


def run_cell(
    place: Place, cell: dict[str, Any], inference_ms: float | None, predictions: str, after: str, folder: str
) -> dict[str, Any]:
    """Runs a cell, see ``bench.execution.jobs.RunCell``.

    Returns:
        The fields of its record; whatever went wrong is one of them.

    Raises:
        Unstored: what belongs to the record cannot be written.
    """
    ask_for_any()  # the parent has loaded it
    try:
        known, here = Cell.of(cell), workplace(place)
        dataset = _opened(here, known, known.dataset, known.fingerprint)
        run = resolve_name(protocol(known.protocol).handler)
        outcome = run(
            known, dataset, here.engine, inference_ms, place.tick, **_companions(place, known, dataset)
        )
        _write(outcome, Path(predictions), dataset)
        if after and outcome.fields["status"] == "ok":
            resolve_name(after)(known, dataset, outcome, Path(folder), place.tick)
        return outcome.fields
    except Unstored:
        raise
    except Exception as error:
        return _failure(error)


def _opened(here: Workplace, cell: Cell, spec: str, fingerprint: str | None = None) -> Dataset:
    """A dataset, decoded as the cell says."""
    return here.dataset(spec, input_of(cell.examples, cell.modality), fingerprint, cell.groups, cell.task)


def _companions(place: Place, cell: Cell, dataset: Dataset) -> dict[str, Any]:
    """What a cell learns beside its dataset, by kind; kept for the next cell with the same."""
    relation = protocol(cell.protocol).relation_of(cell)
    key = f"companions {digest([cell.fingerprint, cell.examples, cell.groups, relation, cell.companions])}"
    if key not in place.kept:
        here = workplace(place)
        place.kept[key] = reopened(cell.companions, dataset, relation, lambda spec: _opened(here, cell, spec))
    found: dict[str, Any] = place.kept[key]
    return found


def _failure(error: Exception) -> dict[str, Any]:
    """The fields of a record that say what went wrong."""
    lines = traceback.format_exc().strip().splitlines()
    problem = {
        "type": type(error).__name__,
        "message": str(error)[:2000] or repr(error),
        "traceback": "\n".join(lines[-TRACEBACK_LINES:]),
    }
    return {"status": "oom" if is_out_of_memory(error) else "failed", "error": problem}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether too little memory is the cause, with any Keras backend."""
    if isinstance(error, MemoryError) or type(error).__name__ in OUT_OF_MEMORY:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY_WORDS)


def _write(outcome: Outcome, path: Path, dataset: Dataset) -> None:
    """Leaves arrays and pictures beside where the record will be."""
    if outcome.arrays is not None:
        _write_arrays(path, outcome.arrays)
    if outcome.probabilities is not None:
        _write_arrays(path, _of_test(outcome.probabilities, dataset.test))
    if outcome.samples is not None:
        _write_samples(path.with_suffix(".png"), outcome.samples)


def _of_test(probabilities: np.ndarray, test: Part) -> dict[str, np.ndarray]:
    """Probabilities with what says which examples they are of."""
    content = {"probabilities": probabilities, "labels": test.labels, "ids": np.array(test.ids, np.str_)}
    return content if test.groups is None else content | {"groups": test.groups}


def _write_arrays(path: Path, content: dict[str, np.ndarray]) -> None:
    _stored(path, lambda file: np.savez_compressed(file, **content))  # type: ignore[arg-type]


def _write_samples(path: Path, samples: np.ndarray) -> None:
    """Pictures in two rows: what there was, and under it what was made of it."""
    rows = [np.concatenate(list(samples[:, i]), axis=1) for i in (0, 1)]
    _stored(path, lambda file: Image.fromarray(np.concatenate(rows)).save(file, "PNG"))


def _stored(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    try:
        path.parent.mkdir(exist_ok=True)  # the run directory itself is there, unless it was moved
        path.unlink(missing_ok=True)  # what a link leads to is not ours
        with path.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Unstored(error.strerror or str(error)) from error
