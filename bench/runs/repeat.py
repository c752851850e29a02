"""One cell of a finished run once more: did it come out the same?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets import Dataset, open_dataset
from bench.datasets.companions.base import reopened
from bench.errors import RequestError, did_you_mean
from bench.execution.jobs import Event
from bench.execution.local import LocalExecutor
from bench.execution.queue import Queue
from bench.plans.loading import load_plan
from bench.plans.protocol import protocol
from bench.plans.strategies import ask_for_any
from bench.plans.values import check_cell
from bench.protocols.cells import check_unchanged
from bench.records import PROTOCOL_VERSION, Cell, Record
from bench.runs.results import load
from bench.store import Store
from bench.system import backend, provenance

COMPARED = (
    "status",
    "metrics",
    "episodes",
    "hyperparameters",
    "epochs",
    "steps",
    "n_train",
    "n_val",
    "n_test",
)


@dataclass(frozen=True)
class Repetition:
    """A cell's record and that of its repetition.

    Attributes:
        differences: field (``metrics.accuracy``) -> (then, now), of all that does not depend on the clock.
        surroundings: the same of versions, commit and hardware.
    """

    then: Record
    now: Record
    differences: dict[str, tuple[Any, Any]]
    surroundings: dict[str, tuple[Any, Any]]


def repeat(
    cell_id: str,
    directory: str | Path,
    notify: Callable[[Event], None] = lambda event: None,
    trust: bool = False,
) -> Repetition:
    """Runs one cell of a run directory again, in a child process; writes nothing into the directory.

    Args:
        cell_id: 16 hexadecimal digits, or the first few of them if no other cell's id begins so.
        directory: the run directory.
        notify: called with events.
        trust: whether a strategy ``module:Class`` is imported.

    Raises:
        RequestError: there is no such cell, it is of another protocol version, its data or the code of a plug-in
            have changed, or its backend is not installed.
    """
    if trust:
        ask_for_any()
    run = load(directory)
    ids = [record.cell_id for record in run.records]
    found = [record for record in run.records if record.cell_id.startswith(cell_id)] if cell_id else []
    if len(found) != 1:
        expected = "the id of one cell of this run (first column of results.csv)"
        remedy = " ".join([did_you_mean(cell_id, ids), *run.warnings]).strip()
        raise RequestError("cell", cell_id, expected, remedy)
    (then,) = found
    cell = Cell.of(then.cell)
    if cell.protocol_version != PROTOCOL_VERSION:
        expected = f"a cell of protocol version {PROTOCOL_VERSION}, not {cell.protocol_version}"
        raise RequestError("cell", cell_id, expected, "Repeat it with the version that made it.")
    if cell.id != then.cell_id:
        raise RequestError(
            "cell", cell_id, "a cell of this version's protocol", "Repeat it with the version that made it."
        )
    check_cell(cell)
    backend.check(cell.backend)
    check_unchanged(cell)
    _check_data(cell)
    store = Store(Path(directory))
    limit = load_plan(store.plan_path).limits.cell_seconds
    with tempfile.TemporaryDirectory(prefix="transfer-bench-") as folder:
        again = Store(Path(folder))
        with LocalExecutor(
            again, 1, cell.threads, cell.backend, limit, provenance.of_here(), notify=notify
        ) as e:
            (now,) = e.run(Queue([cell]), {cell.id: then.costs.get("inference_ms_per_image")})
        again.write(now)
        differences = _differences(
            {name: getattr(then, name) for name in COMPARED}, {name: getattr(now, name) for name in COMPARED}
        )
        if then.status == now.status == "ok" and store.predictions_path(cell.id).exists():
            name = protocol(cell.protocol).predicts
            old, new = (s.predictions(cell.id).get(name, np.empty(0)) for s in (store, again))
            differences |= _of_predictions(old, new)
    return Repetition(then, now, differences, _differences(then.provenance, now.provenance))


def _check_data(cell: Cell) -> None:
    """Refuses a cell whose data are no longer what they were.

    Raises:
        RequestError: they are not.
    """

    def open_(spec: str) -> Dataset:
        return open_dataset(spec, cell.examples, groups=cell.groups, task=cell.task)

    dataset = open_(cell.dataset)
    dataset.check_unchanged(cell.fingerprint, "dataset")
    relation = protocol(cell.protocol).relation_of(cell)
    reopened(cell.companions, dataset, relation, open_)


def _of_predictions(old: np.ndarray, new: np.ndarray) -> dict[str, tuple[Any, Any]]:
    """The same of predictions; a directory of somebody else may hold those of other examples."""
    if old.shape != new.shape:
        return {"predictions": (f"of shape {old.shape}", f"of shape {new.shape}")}
    if np.array_equal(old, new):
        return {}
    return {"predictions": ("", f"differ by up to {np.abs(old - new).max():.2g}")}


def _differences(then: Any, now: Any, where: str = "") -> dict[str, tuple[Any, Any]]:
    if isinstance(then, dict) and isinstance(now, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in sorted({*then, *now}):
            found |= _differences(then.get(key), now.get(key), f"{where}.{key}" if where else key)
        return found
    return {} if then == now else {where: (then, now)}
