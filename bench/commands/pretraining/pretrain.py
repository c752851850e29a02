"""``bench pretrain``: a source of one's own, a backbone trained on a dataset of one's own to transfer from.

The training is one cell, with the protocol of every cell: ``scratch`` (or ``full_finetune``, where it begins with
other weights) on all labels. So it is tuned inside them, stops early, trains again on all of them, is scored once
on held-out images, and leaves a record. What is added is that its weights are kept, and what it is compared with.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.backbones.own import (
    BASELINES,
    CARD,
    CONTENT,
    IMAGES,
    PIXELS,
    WEIGHTS,
    Baseline,
    SourceData,
    WeightSource,
    read_source,
)
from bench.backbones.spec import parse_backbone
from bench.datasets import Dataset
from bench.errors import BenchError, RequestError, RunLocked, StoreError
from bench.execution.jobs import Event
from bench.execution.local import LocalExecutor
from bench.modalities.image.looks import square_hashes
from bench.plans.plan import load_plan
from bench.records import Cell, Record
from bench.runs.forecast import Forecast
from bench.runs.prepare import prepare
from bench.store import Store
from bench.system import provenance
from bench.system.files import TEMPORARY_PREFIX, sha256_file, sync_folder, write_atomic
from bench.system.names import OPTION, PREFIX, names_weights, titled, with_weights
from bench.system.templates import markdown, template
from reports import words
from reports.statistics.answers import difference_of_two, interval_of_one

TEMPLATES = Path(__file__).parent / "templates"
EPOCHS = 60
"""Of the default: from random weights more are needed than the 20 of a run; early stopping ends sooner."""
TRIALS = 1
"""Of the default: a trial takes as long as the training itself."""

FIXED = ("datasets", "backbones", "weights", "strategies", "fractions", "seeds", "report")
"""Keys of a plan that a pretraining decides by itself, or has no use for."""


def pretrain(
    dataset: str,
    backbone: str,
    out: str | Path,
    weights: str = "none",
    settings: dict[str, Any] | None = None,
    say: Callable[[str], None] = lambda text: None,
    notify: Callable[[Event], None] = lambda event: None,
) -> WeightSource:
    """Trains a backbone on a dataset, in a child process, and writes it as a source.

    Nothing is at ``out`` until all of it is.

    Args:
        dataset: what to train on; its test part (a fifth, if it has none) is held out.
        backbone: which, without weights.
        out: the folder to write; must not exist yet.
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
    tuning = settings.get("tuning", {})
    folder = Path(out).expanduser().resolve()
    if folder.exists():
        expected = "a folder that does not exist yet"
        raise RequestError("out", str(out), expected, "Delete it, or choose another.")
    if OPTION.search(str(folder)):
        raise RequestError("out", str(out), "a path without ',NAME=', which no backbone's text can hold")
    if names_weights(backbone):
        raise RequestError(
            "backbone", backbone, "a backbone without weights", "--weights says what it is to begin with."
        )
    for key in settings:
        if key in FIXED:
            raise RequestError(
                "--set", key, f"a key other than {', '.join(FIXED)}: a pretraining has its own"
            )
    spec = parse_backbone(with_weights(backbone, weights))
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
    with (
        _being_written(folder) as made,
        tempfile.TemporaryDirectory(prefix="transfer-bench-") as scratch,
        LocalExecutor(
            Store(Path(scratch)),
            1,
            plan.threads,
            plan.backend,
            plan.limits.cell_seconds if "limits" in settings else math.inf,
            provenance.of_here(),
            notify=notify,
            source=made,
        ) as executor,
    ):
        prepared = prepare(plan, say, executor.fetch)
        for warning in prepared.warnings:
            say(f"Warning: {warning}")
        (cell,), (data,) = prepared.cells, prepared.datasets
        forecast = Forecast({data.fingerprint: len(data.pool.ids)})
        seconds, known = forecast.seconds([cell])
        expected = f"; forecast: {words.duration(seconds)}" if known and seconds else ""
        say(f"Training {cell.backbone} on {words.count(len(data.pool.ids))} images of {data.name}{expected}.")
        (record,) = executor.run([cell], {})
        if record.status != "ok":
            problem = record.error or {}
            raise BenchError(f"The training ended as {record.status}: {problem.get('message', 'no message')}")
        executor.store.write(record)
        forecast.add(cell, record.costs.get("wall_seconds") or 0.0)
        forecast.save()
        predictions = executor.store.predictions(cell.id)
        source = _source(cell, record, data, spec.weights, predictions, made, folder)
        with _writing(folder):
            with (made / IMAGES).open("wb") as file:
                np.savez(file, **_hashes(data, spec.weights, cell))  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            write_atomic(made / CONTENT, json.dumps(source.to_json(), indent=1, allow_nan=False))
            write_atomic(made / CARD, _card(source))
    return source


@contextlib.contextmanager
def _being_written(folder: Path) -> Iterator[Path]:
    """A hidden folder beside ``folder`` that takes its place if all goes well, and else is deleted.

    It is locked by the kernel for the process that fills it, so what a killed one has left is known for that, and
    is deleted by the next.

    Raises:
        RunLocked: another process is at it.
        RequestError: the folder cannot be made.
    """
    made = folder.parent / f"{TEMPORARY_PREFIX}{folder.name}"
    try:
        made.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(made, os.O_RDONLY)
    except OSError as error:
        raise RequestError("out", str(folder), f"a folder that can be written ({error.strerror})") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunLocked(
                f"{folder}: another process is writing this source. Choose another --out."
            ) from None
        late = RunLocked(f"{folder}: another process has just written this source. Choose another --out.")
        if not _is_at(descriptor, made):
            raise late
        try:
            if folder.exists():
                raise late
            for stale in made.iterdir():
                shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
            yield made
            with _writing(folder):
                sync_folder(made)
                os.rename(made, folder)  # refused if there is something by now
                sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open folder is still the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"{folder}: the source could not be written ({reason}); there is nothing of it."
        ) from error


def _source(
    cell: Cell,
    record: Record,
    dataset: Dataset,
    start: str,
    predictions: dict[str, np.ndarray],
    made: Path,
    folder: Path,
) -> WeightSource:
    """What is known of the source whose weights and baselines lie in ``made``; the baselines' file is used up."""
    labels, groups = predictions["labels"], dataset.test.groups
    right = (predictions["probabilities"].argmax(axis=1) == labels).astype(float)
    low, high = interval_of_one(right, groups)
    with np.load(made / BASELINES, allow_pickle=False) as file:
        answers = dict(zip(file["names"].tolist(), file["answers"], strict=True))
    (made / BASELINES).unlink()
    baselines = []
    for name, answer in answers.items():
        theirs = (answer == labels).astype(float)
        baselines.append(Baseline(name, float(theirs.mean()), *difference_of_two(right, theirs, groups)))
    return WeightSource(
        backbone=cell.backbone,
        weights_sha256=sha256_file(made / WEIGHTS),
        image_size=cell.image_size,
        resizing=cell.resizing,
        start=start,
        start_sha256=cell.weights_sha256,
        data=SourceData(
            name=dataset.name,
            spec=dataset.spec,
            fingerprint=dataset.fingerprint,
            class_names=dataset.class_names,
            n=len(dataset.pool.ids),
            n_test=len(dataset.test.ids),
        ),
        accuracy=float(right.mean()),
        low=low,
        high=high,
        baselines=tuple(baselines),
        learned=all(b.high >= 0 if b.name == PIXELS else b.low > 0 for b in baselines),
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        record=record.to_json(),
        directory=folder,
    )


def _hashes(dataset: Dataset, start: str, cell: Cell) -> dict[str, np.ndarray]:
    """The hashes of the images that a source was trained on, and of those of a source that it began with."""
    found = dict(read_source(start).image_hashes()) if start.startswith(PREFIX) else {}
    key = f"{cell.image_size}-{cell.resizing}"
    own = square_hashes(dataset.pool.images)
    found[key] = np.unique(np.concatenate([own, found[key]]) if key in found else own, axis=0)
    return found


def verdict(source: WeightSource) -> str:
    """What the source has learned, in words."""
    rival = source.rival
    quality = (
        f"{words.percent(source.accuracy)} of the {words.count(source.data.n_test)} held-out images correctly (95% "
        f"interval {words.percent(source.low)} to {words.percent(source.high)})"
    )
    lead = (
        f"{rival.name}, {words.percent(rival.accuracy)} ({words.points(rival.difference, True)} points; "
        f"{words.points(rival.low, True)} to {words.points(rival.high, True)})"
    )
    if source.learned:
        easy = f" But {PIXELS} is about as good: this dataset asks little of a backbone, and may teach it little."
        return f"It classifies {quality}, more than {lead}.{easy if source.pixels.low <= 0 else ''}"
    return (
        f"Nothing was learned: it classifies {quality}, which is not beyond noise more than {lead}. Do not "
        "transfer from it. More images, more epochs or a larger image_size may help."
    )


def _card(source: WeightSource) -> str:
    data, record = source.data, source.record
    cell, costs, versions = record["cell"], record["costs"], record["provenance"]["versions"]
    random = source.start == "none"
    start = titled("", source.start).strip(" ()") or "ImageNet weights"
    epochs = [point["epoch"] for point in record["curves"] if point["run"] == "refit"]
    hyperparameters = ", ".join(
        f"{key} = {value:.3g}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in sorted(record["hyperparameters"].items())
    )
    training = [
        f"From {'random weights' if random else _text(start)}, all of it, by the stages of "
        f"{words.strategy_name(cell['strategy'])} with {_text(hyperparameters)}.",
        f"First on {words.count(record['n_train'])} images, to find out with {words.count(record['n_val'])} others "
        f"how many epochs are best ({words.plural(len(record['trials']), 'trial')}, at most "
        f"{words.plural(cell['epochs'], 'epoch')}); then again on all {words.count(record['n'])}, for "
        f"{words.plural(max(epochs), 'epoch')}, the learning rate falling along a cosine.",
        f"Augmentation {cell['augmentation']}{', mirrored too' if cell['flip'] else ''}, batches of "
        f"{record['batch_size'] or cell['batch_size']}, seed {cell['seed']}.",
        f"It took {words.duration(costs['wall_seconds'])} with {words.plural(cell['threads'], 'thread')}.",
    ]
    limits = [
        f"It was trained at {source.image_size} pixels; at other sizes it may be worse.",
        "Its accuracy is that on images like the held-out ones. What it brings on another dataset is for a run to "
        "say: transfer may do harm.",
    ]
    if not random:
        limits.append(f"It began with {_text(start)}, whose licence and biases it inherits.")
    return template(TEMPLATES, "source.md.j2").render(
        title=f"{_text(source.name)}: a source to transfer from",
        sentence=f"{_text(source.backbone)}, trained on {_text(data.name)}."
        + ("" if source.learned else " **Nothing was learned.**"),
        facts=[
            ("backbone", _text(source.backbone)),
            ("images", f"{source.image_size} x {source.image_size} pixels ({source.resizing})"),
            ("trained on", f"{words.count(data.n)} images of {len(data.class_names)} classes"),
            ("accuracy", f"{words.percent(source.accuracy)} on {words.count(data.n_test)} held-out images"),
            ("sha256 of its weights", source.weights_sha256),
            ("made", source.created),
            ("made with", ", ".join(f"{name} {versions.get(name, '?')}" for name in ("keras", cell["backend"]))),
        ],
        quality=verdict(source),
        n_test=words.count(data.n_test),
        baselines=[
            ("**this source**", words.percent(source.accuracy), ""),
            *(
                (
                    b.name,
                    words.percent(b.accuracy),
                    f"{words.points(b.difference, True)} ({words.points(b.low, True)} to "
                    f"{words.points(b.high, True)})",
                )
                for b in source.baselines
            ),
        ],
        training=training,
        data=[
            f"{_text(data.name)}: {words.count(data.n)} labelled images to train on, {words.count(data.n_test)} "
            "held out: neither tuning nor training has seen them.",
            f"Fingerprint {data.fingerprint}.",
        ],
        classes=", ".join(_text(name) for name in data.class_names),
        limits=limits,
        backbone=source.backbone,
        folder=words.clean(source.name, 80),
    )  # fmt: skip


def _text(text: str) -> str:
    """A user's text in Markdown."""
    return markdown(words.clean(text, 80))
