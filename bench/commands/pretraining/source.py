"""A source of what a training has left: its weights, how good they are, and the examples that it has seen."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

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
from bench.commands.pretraining.card import card
from bench.commands.pretraining.folder import writing
from bench.datasets import Dataset
from bench.records import Cell, Record
from bench.system.files import sha256_file, write_atomic
from bench.system.names import PREFIX
from reports.statistics.answers import difference_of_two, interval_of_one


@dataclass(frozen=True)
class Training:
    """A cell that was trained, for its weights.

    Attributes:
        start: the weights that it began with, as a plan names them.
        predictions: of the held-out examples, as the store keeps them.
    """

    cell: Cell
    record: Record
    dataset: Dataset
    start: str
    predictions: dict[str, np.ndarray]


def write_source(training: Training, made: Path, folder: Path) -> WeightSource:
    """Completes the source whose weights and baselines lie in ``made``, and which is to lie in ``folder``.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    source = _source(training, _baselines(training, made), made, folder)
    with writing(folder):
        with (made / IMAGES).open("wb") as file:
            np.savez(file, **_hashes(training))  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        write_atomic(made / CONTENT, json.dumps(source.to_json(), indent=1, allow_nan=False))
        write_atomic(made / CARD, card(source))
    return source


def _source(training: Training, baselines: tuple[Baseline, ...], made: Path, folder: Path) -> WeightSource:
    cell, dataset, right = training.cell, training.dataset, _right(training)
    low, high = interval_of_one(right, dataset.test.groups)
    return WeightSource(
        backbone=cell.backbone,
        weights_sha256=sha256_file(made / WEIGHTS),
        image_size=cell.examples["image_size"],
        resizing=cell.examples["resizing"],
        start=training.start,
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
        baselines=baselines,
        learned=all(b.high >= 0 if b.name == PIXELS else b.low > 0 for b in baselines),
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        record=training.record.to_json(),
        directory=folder,
    )


def _right(training: Training) -> np.ndarray:
    """1 for each held-out example that is classified correctly, else 0."""
    predictions = training.predictions
    right: np.ndarray = predictions["probabilities"].argmax(axis=1) == predictions["labels"]
    return right.astype(float)


def _baselines(training: Training, made: Path) -> tuple[Baseline, ...]:
    """What the training is measured against; the file of their answers is used up."""
    with np.load(made / BASELINES, allow_pickle=False) as file:
        answers = dict(zip(file["names"].tolist(), file["answers"], strict=True))
    (made / BASELINES).unlink()
    right, groups = _right(training), training.dataset.test.groups
    found = []
    for name, answer in answers.items():
        theirs = (answer == training.predictions["labels"]).astype(float)
        found.append(Baseline(name, float(theirs.mean()), *difference_of_two(right, theirs, groups)))
    return tuple(found)


def _hashes(training: Training) -> dict[str, np.ndarray]:
    """The hashes of the examples that a source was trained on, and of those of a source that it began with."""
    start = training.start
    found = dict(read_source(start).hashes()) if start.startswith(PREFIX) else {}
    key = training.dataset.input.name
    own = training.dataset.kind.hashes(training.dataset.pool.data)
    found[key] = np.unique(np.concatenate([own, found[key]]) if key in found else own, axis=0)
    return found
