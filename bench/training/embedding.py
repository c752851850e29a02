"""Training an embedding: a network whose features are near each other for examples of one class.

Each step takes as many examples of each of some classes, drawn anew. A class turned by a quarter, a half and three
quarters may count as three more classes (Santoro et al. 2016, arXiv:1605.06065; Snell et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bench.system.files import rows_of
from bench.system.seeds import generator
from bench.tasks.single_label import SingleLabel, accuracy, log_loss
from bench.training.context import Context
from bench.training.examples import Augmentation, PartExamples
from bench.training.loop import (
    STATISTICS_EXAMPLES,
    Course,
    Judge,
    NotFinite,
    Progress,
    Statistics,
    Training,
)
from bench.training.losses.metric_losses import BATCH_EXAMPLES, ON_SPHERE
from bench.training.programs.config import Trained
from bench.training.programs.graph import in_batches
from bench.training.programs.program import Program
from strategies.base import Classify, Embedding, Examples, Stage
from strategies.lengths import epochs_of, steps_an_epoch

TYPICAL_DISTANCE = 20.0
"""As far apart as two directions at right angles, times the usual sharpness of 10."""


def fit_embedding(context: Context, stage: Stage, loss: str, turns: int, classify: Classify) -> Embedding:
    """See ``strategies.base.Task.fit_embedding``.

    Raises:
        NotFinite: a loss was infinite or not a number.
    """
    network = context.needed_network()
    examples = context.train if context.source is None else context.source
    batches = ClassBatches(examples, turns, context.batch_size)
    program = network.program(
        network.cut("input"),
        replace(context.head, classes=batches.ways),
        replace(Trained.of(stage), embedding_loss=loss),
        0.0,
    )
    program.warm(batches.size)
    start = network.pretrained if context.info.has_weights else network.random(context.seed)
    # Statistics are those of the examples that are to be told apart, or of others if none of these may be seen.
    seen = context.train
    statistics = Statistics(context.shuffled(seen.inputs(), len(seen)), len(seen))
    progress = Progress(start)
    training = _training(context, stage, program, batches, statistics, progress, classify)
    program.reset(start, context.seed, training.course.weight_decay)
    progress.start()
    try:
        if loss not in ON_SPHERE:
            _scale(program, statistics)
        state = training.run()
    except NotFinite as error:
        progress.count()
        error.seconds = progress.seconds
        raise
    progress.count()

    def embed(some: Examples) -> np.ndarray:
        program.reset(state, context.seed, stage.weight_decay)
        return _features(program, some)

    return Embedding(
        embed,
        params=network.params,
        trainable_params=program.trainable_params,
        epochs=progress.epochs,
        steps=progress.steps,
        curve=progress.curve,
        seconds=progress.seconds,
    )


def _training(
    context: Context,
    stage: Stage,
    program: Program,
    batches: ClassBatches,
    statistics: Statistics,
    progress: Progress,
    classify: Classify,
) -> Training:
    """The loop over batches of classes."""
    shown = len(batches.examples) * batches.turns
    epochs = epochs_of(stage, shown, batches.size, context.epochs, context.length)
    course = Course(stage, epochs, steps_an_epoch(shown, batches.size))
    rng = generator(context.seed, "embedding", context.searches)

    def draw(steps: int) -> tuple[list[np.ndarray], np.ndarray]:
        assert steps == 1
        return [batches.next(context.augmentation, rng)[None]], batches.labels[None]

    def judged() -> tuple[float, dict[str, float]]:
        return _validated(context, lambda some: _features(program, some), classify)

    def told(measured: np.ndarray) -> dict[str, float]:
        loss, right = np.mean(measured.T.tolist(), axis=0)
        return {"train_loss": float(loss), "train_accuracy": float(right)}

    return Training(
        program=program,
        course=course,
        judge=None if context.val is None else Judge("features", judged),
        statistics=statistics,
        draw=draw,
        batch_size=batches.size,
        progress=progress,
        tick=context.tick,
        told=told,
        place="step {step}",
    )


def _scale(program: Program, statistics: Statistics) -> None:
    """Brings the squared distance of two examples to ``TYPICAL_DISTANCE`` on average, before the first step.

    Lengths of features differ between networks by orders of magnitude. Where distances are logits, the loss of
    long ones is so steep that the first steps undo the pretrained weights, and no probability can be believed.
    """
    count = min(statistics.count, STATISTICS_EXAMPLES)
    program.reestimate(statistics.batch, count)
    batches = in_batches(program.model, statistics.batch, count)
    features = np.concatenate([batch[0] for batch in batches]).astype(np.float64)
    spread = 2 * features.var(axis=0).sum()
    if math.isfinite(spread) and spread > 0:
        divisor = program.variables["head_standardise:1"]
        divisor.assign(np.full(divisor.shape, spread / TYPICAL_DISTANCE))


def _validated(
    context: Context, embed: Callable[[Examples], np.ndarray], classify: Classify
) -> tuple[float, dict[str, float]]:
    """The score of an embedding on validation, and what a point of the curve says of it."""
    val = context.val
    assert val is not None
    embedded = embed(val)
    if not np.isfinite(embedded).all():
        return math.nan, {}
    if context.judge is not None:
        right = context.judge(embedded, classify)
        return right, {"val_accuracy": right}
    probabilities = classify(embed(context.train), context.train.labels, embedded, context.info.classes)
    found = {
        "val_loss": log_loss(probabilities, val.labels),
        "val_accuracy": accuracy(probabilities, val.labels),
    }
    return SingleLabel().selection_score(probabilities, val.labels, context.info.metric), found


class ClassBatches:
    """Batches of ``BATCH_EXAMPLES`` examples of each of some classes, one of each after the other.

    Args:
        examples: those of classes with a single one are left out.
        turns: 4: a class turned by quarters is four classes; 1: it is not turned; 1 to 4.
        size: of a batch, at most (but two classes at least).

    Raises:
        ValueError: fewer than two classes have two examples, or there are no such turns.
    """

    def __init__(self, examples: PartExamples, turns: int, size: int) -> None:
        found, counts = np.unique(examples.labels, return_counts=True)
        self.classes = [np.flatnonzero(examples.labels == c) for c in found[counts > 1]]
        if not 1 <= turns <= 4:
            raise ValueError(f"turns is {turns}; there are four quarters, so it has to be 1 to 4")
        if len(self.classes) < 2:
            many = examples.kind.noun.many
            raise ValueError(f"an embedding is learned from two {many} of each of two classes, at least")
        self.examples, self.turns = examples, turns
        self.ways = min(len(self.classes) * turns, max(2, size // BATCH_EXAMPLES))
        self.size = self.ways * BATCH_EXAMPLES
        self.labels = np.tile(np.arange(self.ways), BATCH_EXAMPLES)

    def next(self, augmentation: Augmentation, rng: np.random.Generator) -> np.ndarray:
        """A batch of a network's inputs, (size, ...), augmented and then turned."""
        drawn = rng.permutation(len(self.classes) * self.turns)[: self.ways]
        classes, turned = drawn // self.turns, drawn % self.turns
        # A class with fewer examples repeats some, in other views.
        each = [np.resize(rng.permutation(self.classes[c]), BATCH_EXAMPLES) for c in classes]
        index = self.examples.index[np.stack(each, axis=1).ravel()]
        rows = rows_of(self.examples.data, index)
        rows = augmentation(rows, rng) if augmentation else rows
        (inputs,) = self.examples.tensors(rows)
        inputs = inputs.reshape(BATCH_EXAMPLES, self.ways, *inputs.shape[1:])
        for quarter in range(1, self.turns):  # of images alone: nothing else can be turned
            chosen = turned == quarter
            inputs[:, chosen] = np.rot90(inputs[:, chosen], quarter, axes=(2, 3))
        return inputs.reshape(self.size, *inputs.shape[2:])


def _features(program: Program, examples: Examples) -> np.ndarray:
    """Of the network as it is, float32 (N, D)."""
    assert isinstance(examples, PartExamples)
    inputs = examples.inputs()
    batches = in_batches(program.model, lambda rows: inputs(rows, None), len(examples))
    return np.concatenate([batch[0] for batch in batches])
