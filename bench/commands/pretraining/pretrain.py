"""``bench pretrain``: a source of one's own, a backbone trained on a dataset of one's own to transfer from.

The training is one cell, with the protocol of every cell: ``scratch`` (or ``full_finetune``, where it begins with
other weights) on all labels. So it is tuned inside them, trains again on all of them, is scored once
on held-out examples, and leaves a record. What is added is that its weights are kept, and what it is compared with.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.backbones.own import WeightSource
from bench.backbones.spec import BackboneSpec, parse_backbone
from bench.commands.pretraining.folder import being_written
from bench.commands.pretraining.source import Training, write_source
from bench.errors import BenchError, RequestError
from bench.execution.jobs import Event
from bench.execution.local import LocalExecutor
from bench.execution.queue import Queue
from bench.modalities.registry import DEFAULT, modality
from bench.plans.loading import load_plan
from bench.plans.plan import Plan
from bench.records import Cell, Record
from bench.runs.forecast import Forecast
from bench.runs.prepare import prepare
from bench.runs.timing import time_batches
from bench.store import Store
from bench.system import provenance
from bench.system.names import OPTION, at_home, names_weights, with_weights
from reports import words

EPOCHS = 60
"""Of the default: from random weights more are needed than the 20 of a run."""
KEEP = "bench.commands.pretraining.worker:keep"
"""What a worker does with a network that it has trained."""
TRIALS = 1
"""Of the default: a trial takes as long as the training itself."""

FIXED = ("datasets", "backbones", "weights", "strategies", "fractions", "seeds", "report", "task")
"""Keys of a plan that a pretraining decides by itself, or has no use for."""


def pretrain(
    dataset: str | Path,
    backbone: str,
    out: str | Path,
    weights: str | Path = "none",
    settings: dict[str, Any] | None = None,
    say: Callable[[str], None] = lambda text: None,
    notify: Callable[[Event], None] = lambda event: None,
) -> WeightSource:
    """Trains a backbone on a dataset, in a child process, and writes it as a source.

    Nothing is at ``out`` until all of it is.

    Args:
        dataset: what to train on. Its test part (a fifth, if it has none) is held out.
        backbone: which, without weights.
        out: the folder to write, which must not exist yet.
        weights: what the training begins with: ``none`` (random weights), ``imagenet``, ``source:DIR`` or a file.
        settings: other keys of a plan: ``image_size``, ``epochs``, ``tuning``, ``augmentation``, ...
        say: called with what is being done.
        notify: called with events of the worker.

    Returns:
        The source, also one that has learned nothing (``learned``).

    Raises:
        RequestError: something cannot be used as asked for.
        RunLocked: another process is writing this source.
        BenchError: the training failed.
        StoreError: the disk is full, or the folder cannot be written.
    """
    settings = settings or {}
    folder = at_home(str(out)).resolve()
    _check_out(folder, str(out))
    _check_settings(backbone, settings)
    spec = parse_backbone(with_weights(backbone, str(weights)))
    plan = _plan(dataset, spec, settings)
    with being_written(folder) as made, _executor(plan, settings, made, notify) as executor:
        training = _train(plan, spec.weights, executor, say)
        return write_source(training, made, folder)


def _check_out(folder: Path, out: str) -> None:
    if os.path.lexists(folder):
        expected = "a folder that does not exist yet"
        raise RequestError("out", out, expected, "Delete it, or choose another.")
    if OPTION.search(str(folder)):
        raise RequestError("out", out, "a path without ',NAME=', which no backbone's text can hold")


def _check_settings(backbone: str, settings: dict[str, Any]) -> None:
    if names_weights(backbone):
        remedy = "Say what it starts from with --weights."
        raise RequestError("backbone", backbone, "a backbone without weights", remedy)
    for key in settings:
        if key in FIXED:
            expected = f"a key other than {', '.join(FIXED)}"
            raise RequestError("--set", key, expected, "A pretraining sets these itself.")


def _plan(dataset: str | Path, spec: BackboneSpec, settings: dict[str, Any]) -> Plan:
    """A plan of the one cell that the training is.

    Raises:
        RequestError: a setting cannot be used.
    """
    tuning = settings.get("tuning", {})
    plan = load_plan(
        {
            "epochs": EPOCHS,
            **settings,
            "tuning": {"trials": TRIALS, **tuning} if isinstance(tuning, dict) else tuning,
            "datasets": [dataset],
            "backbones": [spec.text],
            "strategies": ["scratch" if spec.weights == "none" else "full_finetune"],
            "fractions": [1.0],
            "seeds": 1,
        }
    )
    if not plan.tuning.trials:
        raise RequestError("tuning.trials", 0, "at least 1: a trial tells how good the source is")
    return plan


@contextlib.contextmanager
def _executor(
    plan: Plan, settings: dict[str, Any], made: Path, notify: Callable[[Event], None]
) -> Iterator[LocalExecutor]:
    """A worker that leaves weights and baselines in ``made``; without a limit of time unless one is set."""
    seconds = plan.limits.cell_seconds if "limits" in settings else math.inf
    with (
        tempfile.TemporaryDirectory(prefix="transfer-bench-") as scratch,
        LocalExecutor(
            Store(Path(scratch)),
            1,
            plan.threads,
            plan.backend,
            seconds,
            provenance.of_here(),
            notify=notify,
            after=(KEEP, made),
        ) as executor,
    ):
        yield executor


def _train(plan: Plan, start: str, executor: LocalExecutor, say: Callable[[str], None]) -> Training:
    prepared = prepare(plan, say, executor.fetch)
    for warning in prepared.warnings:
        say(f"Warning: {warning}")
    (cell,), (data,) = prepared.cells, prepared.datasets
    if data.modality != DEFAULT:
        expected = f"a dataset of {modality(DEFAULT).noun.many}"
        raise RequestError("dataset", data.spec, expected, "No other kind of source can be written yet.")
    count = len(data.pool.ids)
    forecast = Forecast.of_plan(prepared)
    time_batches(forecast.untimed([cell]), executor, say)
    seconds, known = forecast.seconds([cell])
    expected = f"; forecast: {words.duration(seconds)}" if known and seconds else ""
    say(f"Training {cell.backbone} on {words.count(count)} {data.kind.noun.many} of {data.name}{expected}.")
    record = _record(cell, executor)
    forecast.add(cell, record.costs.get("wall_seconds") or 0.0)
    forecast.save()
    return Training(cell, record, data, start, executor.store.predictions(cell.id))


def _record(cell: Cell, executor: LocalExecutor) -> Record:
    """The record of a cell that is run; kept in the executor's store.

    Raises:
        BenchError: it came to no result.
    """
    (record,) = executor.run(Queue([cell]), {})
    if record.status != "ok":
        problem = record.error or {}
        raise BenchError(f"The training ended as {record.status}: {problem.get('message', 'no message')}")
    executor.store.write(record)
    return record
