"""What a pretraining leaves beside the record of its cell: the backbone's weights, and what baselines answer.

The training itself is that of any cell. Whether it has taught the backbone anything is told on the held-out
examples, against what needs no training of the backbone: the most frequent class, and linear models on pixels and
on what the backbone made of the examples before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from bench.backbones.build import build_backbone
from bench.backbones.own import BASELINES, BEFORE, MAJORITY, PIXELS, WEIGHTS
from bench.backbones.weights import Weights
from bench.datasets import Dataset, Part
from bench.protocols.outcome import Outcome
from bench.records import Cell
from bench.system.files import rows_of
from bench.system.seeds import generator
from bench.training.engine import Network
from bench.training.loop import STATISTICS_EXAMPLES
from bench.training.programs.config import HeadConfig, State, Trained
from bench.training.programs.graph import in_batches

PROBE_EXAMPLES = 10_000
"""Labelled examples that a linear model learns from at most; more make it little better."""
PROBE_SIDE = 16
"""Side in pixels that images are brought to for the linear model on pixels."""
PENALTIES = np.geomspace(1e-3, 10, 9)
"""Of the linear models, for each example that they learn from; the best is taken."""


def keep(cell: Cell, dataset: Dataset, outcome: Outcome, folder: Path, tick: Callable[[str], None]) -> None:
    """Leaves in a folder what a source is made of: the weights of its backbone, and what baselines answer.

    Args:
        cell, dataset: of the pretraining.
        outcome: of the cell.
        folder: of the source that is being made.
        tick: called with what is being done.
    """
    assert outcome.network is not None
    assert outcome.state is not None
    save_backbone(outcome.network, outcome.state, folder / WEIGHTS)
    tick("measuring what needs no training")
    answers = baselines(cell, dataset, outcome.network)
    np.savez(folder / BASELINES, names=list(answers), answers=np.stack(list(answers.values())))


def save_backbone(network: Network, state: State, path: Path) -> None:
    """Writes a ``.weights.h5`` of a trained backbone, without its head.

    Args:
        network: that it was trained with.
        state: its weights after training; what is not in it is as the network has it.
        path: ends in ``.weights.h5``.
    """
    weights = {**network.pretrained, **state}
    model = build_backbone(network.spec, network.size, Weights("none", "", None))
    for i, layer in enumerate(model.layers):
        for k, variable in enumerate(layer.weights):
            variable.assign(weights[f"{i}:{k}"])
    model.save_weights(path)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def baselines(cell: Cell, dataset: Dataset, network: Network) -> dict[str, np.ndarray]:
    """What each baseline answers to the test examples, by the name that a reader is given: class indices (N,)."""
    pool, test, classes = dataset.pool, dataset.test, len(dataset.class_names)
    rows = generator(cell.seed, "probe").permutation(len(pool.ids))[:PROBE_EXAMPLES]
    labels = pool.labels[rows]
    everything = np.arange(len(test.ids))
    most = int(np.bincount(pool.labels, minlength=classes).argmax())
    found = {MAJORITY: np.full(len(test.ids), most)}
    pixels = _pixels(pool, rows), _pixels(test, everything)
    found[PIXELS] = _probe(*pixels, labels, classes)
    untrained = _untrained(cell, dataset, network)
    features = _features(untrained, pool, rows), _features(untrained, test, everything)
    found[BEFORE] = _probe(*features, labels, classes)
    return found


def _pixels(part: Part, rows: np.ndarray) -> np.ndarray:
    """Small images as rows of numbers, float32 (N, PROBE_SIDE * PROBE_SIDE * 3)."""
    side = (PROBE_SIDE, PROBE_SIDE)
    small = [
        np.asarray(Image.fromarray(part.data[row]).resize(side, Image.Resampling.BOX)).ravel() for row in rows
    ]
    return np.stack(small).astype(np.float32)


def _untrained(cell: Cell, dataset: Dataset, network: Network) -> keras.Model:
    """The backbone that the training began with, up to its pooled features."""
    random = not cell.weights
    start = network.random(cell.seed) if random else network.pretrained
    head = HeadConfig(cell.head["pooling"], 0, 0.0, len(dataset.class_names))
    program = network.program(network.cut("input"), head, Trained(batch_norm=True), 0.0)
    program.reset(start, cell.seed, 0.0)
    if random:  # without statistics of the examples nothing comes through that many layers
        examples = dataset.pool.data
        count = min(len(examples), STATISTICS_EXAMPLES)
        shuffled = generator(cell.seed, "statistics").permutation(len(examples))
        program.reestimate(lambda index: [examples[np.sort(shuffled[index])].astype(np.float32)], count)
    return keras.Model(program.model.input, program.model.get_layer(f"head_{head.pooling}_pool").output)


def _features(model: keras.Model, part: Part, rows: np.ndarray) -> np.ndarray:
    def batch(index: np.ndarray) -> list[np.ndarray]:
        return [rows_of(part.data, rows[index]).astype(np.float32)]

    return np.concatenate([out[0] for out in in_batches(model, batch, len(rows))])


def _probe(learned: np.ndarray, asked: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The answers of a ridge classifier on standardised features: exact, in seconds, and with the penalty that is
    best when each example is left out in turn (Allen 1974, PRESS)."""
    mean, scale = learned.mean(axis=0), 1 / np.maximum(learned.std(axis=0), 1e-5)
    x = ((learned - mean) * scale).astype(np.float64)
    shares = np.bincount(labels, minlength=classes) / len(labels)
    targets = np.eye(classes)[labels] - shares
    values, vectors = np.linalg.eigh(x.T @ x)
    rotated = x @ vectors
    projected = rotated.T @ targets
    best, coefficients = -1.0, projected
    for penalty in PENALTIES * len(x):
        shrink = 1 / (np.maximum(values, 0) + penalty)
        found = shrink[:, None] * projected
        leverage = (rotated**2 * shrink).sum(axis=1) + 1 / len(x)
        left_out = targets - (targets - rotated @ found) / np.maximum(1 - leverage, 1e-9)[:, None]
        right = float(((left_out + shares).argmax(axis=1) == labels).mean())
        if right > best:
            best, coefficients = right, found
    return np.asarray(((asked - mean) * scale @ vectors @ coefficients + shares).argmax(axis=1))
