"""Training an embedding: a network whose features are near each other for images of one class.

Each step takes as many images of each of some classes, drawn anew. A class turned by a quarter, a half and three
quarters may count as three more classes (Santoro et al. 2016, arXiv:1605.06065; Snell et al. 2017).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.system.files import rows_of
from bench.system.seeds import generator
from bench.training.examples import PartExamples
from bench.training.losses.metric_losses import BATCH_IMAGES, ON_SPHERE
from bench.training.metrics import accuracy, log_loss
from bench.training.programs.program import Program, Trained, in_batches
from strategies.base import Classify, Embedding, Examples, Stage

if TYPE_CHECKING:
    from bench.training.task import CellTask

TYPICAL_DISTANCE = 20.0
"""As far apart as two directions at right angles, times the usual sharpness of 10."""


def fit_embedding(task: CellTask, stage: Stage, loss: str, turns: int, classify: Classify) -> Embedding:
    """See ``strategies.base.Task.fit_embedding``.

    Raises:
        NotFinite: a loss was infinite or not a number.
    """
    from bench.training.task import MINIMUM_PATIENCE, STATISTICS_IMAGES, NotFinite, schedule

    network = task.network
    assert network is not None
    examples = task.train if task.source is None else task.source
    batches = ClassBatches(examples, turns, task.batch_size)
    program = network.program(
        network.cut("input"),
        replace(task.head, classes=batches.ways),
        replace(Trained.of(stage), embedding_loss=loss),
        0.0,
    )
    program.warm(batches.size)
    start = network.pretrained if task.info.has_weights else network.random(task.seed)
    program.reset(start, task.seed, stage.weight_decay)
    searching = task.refit_epochs is None
    steps_an_epoch = math.ceil(len(examples) * turns / batches.size)
    # The refit anneals over its own epochs: what stops at half of the learning rate gives away some points.
    epochs = task.epochs if task.refit_epochs is None else task.refit_epochs[0]
    budget = epochs * steps_an_epoch
    patience = max(MINIMUM_PATIENCE, math.ceil(epochs / 2))
    rng = generator(task.seed, "embedding", searching)
    # Statistics are those of the images that are to be told apart, or of others if none of these may be seen.
    seen = task.train
    mixed = generator(task.seed, "statistics").permutation(len(seen))

    def statistics(rows: np.ndarray) -> list[np.ndarray]:
        return [_pixels(seen, mixed[rows])]

    curve: list[dict[str, Any]] = []
    best_score, best_epoch, best_state = -math.inf, 0, None
    step = epoch = 0
    point: dict[str, Any] = {}
    clock = time.perf_counter()
    if loss not in ON_SPHERE:
        count = min(len(seen), STATISTICS_IMAGES)
        program.reestimate(statistics, count)
        _scale(program, in_batches(program.model, statistics, count))
    try:
        while True:
            point |= {
                "stage": stage.name,
                "epoch": epoch,
                "images": step * batches.size,
                "seconds": time.perf_counter() - clock,
            }
            if task.val is not None:
                program.reestimate(statistics, min(len(seen), STATISTICS_IMAGES))
                score, measured = _validated(task, lambda x: _features(program, x), classify)
                if not math.isfinite(score):
                    raise NotFinite(f"features are not finite after epoch {epoch} of stage {stage.name!r}")
                point |= measured
                if score > best_score and epoch:
                    best_score, best_epoch, best_state = score, epoch, program.state()
            curve.append(point)
            if step >= budget or (task.val is not None and epoch - best_epoch >= patience):
                break
            losses = []
            end = min(step + steps_an_epoch, budget)
            while step < end:
                rate = stage.learning_rate * schedule((step + 0.5) / budget, stage.warmup)
                images = batches.next(task.augmentation, rng)
                values = program.train_steps([images[None]], batches.labels[None], np.array([rate]))
                if not np.isfinite(values[0][0]):
                    raise NotFinite(f"loss is {values[0][0]} in step {step + 1} of stage {stage.name!r}")
                losses.append([float(v[0]) for v in values])
                step += 1
            train_loss, train_accuracy = np.mean(losses, axis=0)
            epoch += 1
            point = {"train_loss": float(train_loss), "train_accuracy": float(train_accuracy)}
            task.tick(f"{stage.name} epoch {epoch}/{epochs}")
        if best_state is None:  # the refit
            program.reestimate(statistics, len(seen))
            best_state, best_epoch = program.state(), epoch
    except NotFinite as error:
        error.seconds = time.perf_counter() - clock
        raise
    state = best_state

    def embed(some: Examples) -> np.ndarray:
        program.reset(state, task.seed, stage.weight_decay)
        return _features(program, some)

    return Embedding(
        embed,
        params=network.params,
        trainable_params=program.trainable_params,
        epochs=[best_epoch],
        curve=curve,
        seconds=time.perf_counter() - clock,
    )


def _scale(program: Program, batches: list[list[np.ndarray]]) -> None:
    """Brings the squared distance of two images to ``TYPICAL_DISTANCE`` on average, before the first step.

    Lengths of features differ between networks by orders of magnitude. Where distances are logits, the loss of
    long ones is so steep that the first steps undo the pretrained weights, and no probability can be believed.
    """
    features = np.concatenate([batch[0] for batch in batches]).astype(np.float64)
    spread = 2 * features.var(axis=0).sum()
    if math.isfinite(spread) and spread > 0:
        divisor = program.variables["head_standardise:1"]
        divisor.assign(np.full(divisor.shape, spread / TYPICAL_DISTANCE))


def _validated(
    task: CellTask, embed: Callable[[Examples], np.ndarray], classify: Classify
) -> tuple[float, dict[str, float]]:
    """The score of an embedding on validation, and what a point of the curve says of it."""
    from bench.training.task import selection_score

    val = task.val
    assert val is not None
    embedded = embed(val)
    if not np.isfinite(embedded).all():
        return math.nan, {}
    if task.judge is not None:
        right = task.judge(embedded, classify)
        return right, {"val_accuracy": right}
    probabilities = classify(embed(task.train), task.train.labels, embedded, task.info.classes)
    found = {
        "val_loss": log_loss(probabilities, val.labels),
        "val_accuracy": accuracy(probabilities, val.labels),
    }
    return selection_score(probabilities, val.labels), found


class ClassBatches:
    """Batches of ``BATCH_IMAGES`` images of each of some classes, one image of each after the other.

    Args:
        examples: those of classes with a single image are left out.
        turns: 4: a class turned by quarters is four classes; 1: it is not turned; 1 to 4.
        images: of a batch, at most (but two classes at least).

    Raises:
        ValueError: fewer than two classes have two images, or there are no such turns.
    """

    def __init__(self, examples: PartExamples, turns: int, images: int) -> None:
        found, counts = np.unique(examples.labels, return_counts=True)
        self.classes = [np.flatnonzero(examples.labels == c) for c in found[counts > 1]]
        if not 1 <= turns <= 4:
            raise ValueError(f"turns is {turns}; there are four quarters, so it has to be 1 to 4")
        if len(self.classes) < 2:
            raise ValueError("an embedding is learned from two images of each of two classes, at least")
        self.examples, self.turns = examples, turns
        self.ways = min(len(self.classes) * turns, max(2, images // BATCH_IMAGES))
        self.size = self.ways * BATCH_IMAGES
        self.labels = np.tile(np.arange(self.ways), BATCH_IMAGES)

    def next(self, augment: Callable[..., np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """A batch: float32 (size, S, S, 3), augmented and then turned."""
        drawn = rng.permutation(len(self.classes) * self.turns)[: self.ways]
        classes, turned = drawn // self.turns, drawn % self.turns
        # A class with fewer images repeats some, in other views.
        rows = [np.resize(rng.permutation(self.classes[c]), BATCH_IMAGES) for c in classes]
        images = augment(_pixels(self.examples, np.stack(rows, axis=1).ravel(), np.uint8), rng)
        images = images.reshape(BATCH_IMAGES, self.ways, *images.shape[1:]).astype(np.float32)
        for quarter in range(1, self.turns):
            chosen = turned == quarter
            images[:, chosen] = np.rot90(images[:, chosen], quarter, axes=(2, 3))
        return images.reshape(self.size, *images.shape[2:])


def _pixels(examples: PartExamples, rows: np.ndarray, kind: type = np.float32) -> np.ndarray:
    return rows_of(examples.pixels, examples.rows[rows]).astype(kind, copy=False)


def _features(program: Program, examples: Examples) -> np.ndarray:
    """Of the network as it is, float32 (N, D)."""
    assert isinstance(examples, PartExamples)
    batches = in_batches(program.model, lambda rows: [_pixels(examples, rows)], len(examples))
    return np.concatenate([batch[0] for batch in batches])
