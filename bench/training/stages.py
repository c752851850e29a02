"""Training a schedule of stages, in the search and in the refit alike: each to its end."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.schemas import WEIGHT_OF
from bench.system.seeds import generator
from bench.tasks.registry import TASKS
from bench.training.batches import Batches
from bench.training.context import Context
from bench.training.examples import Inputs, PartExamples
from bench.training.loop import (
    Course,
    Judge,
    NotFinite,
    Progress,
    Statistics,
    Training,
)
from bench.training.losses.multitask import AuxiliaryLabels, learned_weights
from bench.training.prefixes import VIEWS
from bench.training.programs.config import LOG_VARIANCES, State, Trained
from bench.training.programs.program import Program
from strategies.base import Examples, Fitted, Stage
from strategies.class_weight import balanced
from strategies.lengths import batch_size_of, epochs_of, steps_an_epoch
from strategies.refuse import stage_problems

SIMILARITY_EXAMPLES = 256
SIMILARITY_LEAST = 20
"""Examples that similarity is measured on: so many if there are, none if there are not as many as these."""

Finished = dict[tuple[Any, ...], Progress]
"""What fits have come to, by the stages behind them: warm starts of later trials."""


def fit_stages(context: Context, stages: list[Stage], finished: Finished) -> Fitted:
    """See ``strategies.base.Task.fit_stages``.

    Raises:
        NotFinite: a loss was infinite or not a number.
        ValueError: this is no schedule that can be trained.
    """
    if problems := stage_problems(stages):
        raise ValueError(" ".join(problems))
    progress, program = _trained(context, stages, finished)
    return Fitted(
        predictor=NetworkPredictor(context, stages[-1], program, program.state()),
        params=context.needed_network().params + _head_params(program),
        trainable_params=program.trainable_params,
        epochs=progress.epochs,
        steps=progress.steps,
        curve=progress.curve,
        seconds=progress.seconds - progress.reused,
        prefixes=progress.prefixes,
        notes=_notes(context, stages),
        similarity=_similarity(context, stages, progress.state),
        auxiliary_labels=_auxiliary_labels(context, stages),
    )


def _trained(context: Context, stages: list[Stage], finished: Finished) -> tuple[Progress, Program]:
    """Trains one stage after the other, each from the weights of the one before."""
    network = context.needed_network()
    start = network.random(context.seed) if stages[0].weights == "random" else network.pretrained
    progress = Progress(start)
    data = context.source.key if context.source is not None else ""
    last = len(stages) - 1
    for i, stage in enumerate(stages):
        key = (context.head, data, context.length, *stages[: i + 1])
        if i < last and key in finished:  # a warm start that an earlier trial has computed
            progress = finished[key].copy()
            progress.reused = progress.seconds
            continue
        try:
            program = _StageTraining(context, stage, i, progress).run()
        except NotFinite as error:
            error.seconds, error.prefixes = progress.seconds - progress.reused, progress.prefixes
            raise
        if i < last:
            finished[key] = progress.copy()
    return progress, program


class _StageTraining:
    """The training of one stage of a schedule.

    Args:
        context: of the fit.
        stage: which.
        index: its place in the schedule.
        progress: of the fit, which goes on with it.
    """

    def __init__(self, context: Context, stage: Stage, index: int, progress: Progress) -> None:
        self.context, self.stage, self.index, self.progress = context, stage, index, progress
        network = context.needed_network()
        self.cut = network.cut(stage.cut)
        self.batch_size = batch_size_of(stage, context.info.n, context.batch_size, context.n_source)
        labelled = _labelled(context, stage)
        self.auxiliary = _auxiliary(context, stage)
        classes = tuple(task.classes for task in self.auxiliary)
        self.class_weights = (
            balanced(*(part.labels for part in labelled)) if context.info.class_weight == "balanced" else None
        )
        self.trained = Trained.of(stage, len(labelled) > 1, classes, self.class_weights is not None)
        self.program = network.program(
            self.cut, context.head, self.trained, TASKS[context.head.task].label_smoothing
        )
        self.batches = Batches(context, stage, index, labelled, self.auxiliary, self.batch_size)
        self.val: Inputs | None = None
        spent = self.batches.prefix_seconds
        if context.val is not None:
            self.val, seconds = context.inputs(stage, context.val, augmented=False)
            spent += seconds
        if spent:
            progress.prefixes[self.cut.name if self.cut else "top"] = spent
        count, size = self.batches.labelled, self.batch_size
        epochs = epochs_of(stage, count, size, context.epochs, context.length)
        self.course = Course(stage, epochs, steps_an_epoch(count, size))

    def run(self) -> Program:
        """Trains it; the program then has its last weights, and the progress goes on from them."""
        start = self._reset()
        statistics = self._statistics()
        training = Training(
            program=self.program,
            course=self.course,
            judge=None if self.val is None else Judge("predictions", self._judged),
            statistics=statistics,
            draw=self.batches.draw,
            batch_size=self.batch_size,
            progress=self.progress,
            tick=self.context.tick,
            told=self._told,
        )
        self.progress.start()
        try:
            state = self._finished(start, training.run(), statistics)
            self.program.reset(state, self.context.seed, self.stage.weight_decay)
        finally:
            self.progress.count()
        self.progress.state = {**self.progress.state, **self.program.merged(state)}
        return self.program

    def _reset(self) -> State:
        """Brings the program to where the stage starts; gives its weights, if they are needed at the end."""
        self.program.class_weights = self.class_weights
        self.program.warm(self.batches.whole)
        stage, before = self.stage, self.progress.state
        self.program.reset(before, self.context.seed, self.course.weight_decay, stage.rate_decay)
        if self.cut is None and "head_standardise:0" not in before:
            self.program.standardise(lambda rows: self.batches.inputs(rows, None), self.batches.labelled)
        return self.program.state() if stage.mix != 1 else {}

    def _statistics(self) -> Statistics:
        """The examples that the stage's statistics of batch normalisation are those of."""
        if self.stage.statistics == "target" and not self.context.validates_source:
            target = self.context.target
            inputs, _ = self.context.inputs(self.stage, target, augmented=False)
            return Statistics(self.context.shuffled(inputs, len(target)), len(target))
        return self._of_training()

    def _of_training(self) -> Statistics:
        """The labelled training examples."""
        count = self.batches.labelled
        return Statistics(self.context.shuffled(self.batches.inputs, count), count)

    def _judged(self) -> tuple[float, dict[str, float]]:
        """The score of the present weights on validation, and what the curve says of it."""
        inputs, val = self.val, self.context.val
        assert inputs is not None
        assert val is not None
        probabilities = self.program.probabilities(lambda rows: inputs(rows, None), len(val))
        if not np.isfinite(probabilities).all():
            return math.nan, {}
        labels, task = val.labels, self.program.task
        return task.selection_score(probabilities, labels, self.context.info.metric), {
            "val_loss": task.log_loss(probabilities, labels),
            "val_accuracy": task.accuracy(probabilities, labels),
        }

    def _told(self, measured: np.ndarray) -> dict[str, float]:
        """Mean loss and accuracy of the steps since the last point of the curve, and weights that are learned."""
        loss, right = measured.mean(axis=1)
        found = {"train_loss": float(loss), "train_accuracy": float(right)}
        if self.trained.learned:
            weights = learned_weights(np.array(self.program.variables[LOG_VARIANCES]))
            found |= {f"{WEIGHT_OF}{t.name}": w for t, w in zip(self.auxiliary, weights, strict=True)}
        return found

    def _finished(self, start: State, state: State, statistics: Statistics) -> State:
        """What becomes of the last weights at the end of the stage."""
        stage = self.stage
        if stage.mix != 1:
            state = {place: mixed(start[place], value, stage.mix, place) for place, value in state.items()}
        if stage.statistics == "target" and stage.batch_norm == "frozen" and self.context.val is None:
            # The search knows nothing of it: its choices are those that are made without.
            moving = replace(self.trained, batch_norm=True)
            network = self.context.needed_network()
            smoothing = self.program.task.label_smoothing
            program = network.program(self.cut, self.context.head, moving, smoothing)
            domains = ((seen.batch, seen.count) for seen in (self._of_training(), statistics))
            state = program.between_domains(state, *domains)
        return state


def mixed(start: np.ndarray, end: np.ndarray, share: float, place: str) -> np.ndarray:
    """Weights so far on the way from ``start`` to ``end``; of a low-rank product, one factor goes back alone."""
    return end if place.endswith("_down:0") else end + (1 - share) * (start - end)


def _labelled(context: Context, stage: Stage) -> list[PartExamples]:
    """The labelled examples that a stage trains on, of one domain or of two."""
    found: list[PartExamples] = []
    if stage.data != "target":
        if context.source is None:
            raise ValueError(f"stage {stage.name!r} trains on a source, and there is none")
        if not len(context.source):
            one = context.train.kind.noun.one
            raise ValueError(f"every {one} of the source shares a group with one that validates")
        found.append(context.source)
    if stage.data == "target" or (stage.data == "both" and len(context.train)):
        found.append(context.train)
    return found


def _auxiliary(context: Context, stage: Stage) -> tuple[AuxiliaryLabels, ...]:
    """The auxiliary tasks that a stage learns."""
    if not stage.auxiliary:
        return ()
    if not context.auxiliary:
        raise ValueError(f"stage {stage.name!r} learns auxiliary labels, and there are none")
    return context.auxiliary


def _auxiliary_labels(context: Context, stages: list[Stage]) -> int:
    """How many auxiliary labels stages learn from."""
    return max(sum(a.count(stage.auxiliary_images) for a in _auxiliary(context, stage)) for stage in stages)


def _notes(context: Context, stages: list[Stage]) -> list[str]:
    if not context.augmentation or all(stage.cut == "input" for stage in stages):
        return []
    return [
        f"Frozen layers use {VIEWS} cached augmentations of each {context.train.kind.noun.one} "
        f"({context.augmentation.kind}). Trained layers see a new one every epoch."
    ]


def _similarity(context: Context, stages: list[Stage], state: State) -> list[dict[str, Any]]:
    """How far a refit has led a pretrained backbone away, on a sample of its own training examples."""
    adapts = any(stage.cut != "top" for stage in stages) and stages[0].weights == "pretrained"
    count = len(context.train)
    if context.searches or not adapts or count < SIMILARITY_LEAST:
        return []
    rows = np.sort(generator(context.seed, "similarity").permutation(count)[:SIMILARITY_EXAMPLES])
    inputs = context.train.inputs()
    return context.needed_network().similarity(state, lambda some: inputs(rows[some], None), len(rows))


def _head_params(program: Program) -> int:
    own = (v for place, v in program.variables.items() if place.startswith(("head_", "lora_")))
    return int(sum(np.prod(v.shape) for v in own))


@dataclass
class NetworkPredictor:
    """The network of a finished fit. Its weights are put back if the program has been used since."""

    context: Context
    stage: Stage
    program: Program
    state: State

    def predict(self, examples: Examples) -> np.ndarray:
        assert isinstance(examples, PartExamples)
        self.program.reset(self.state, self.context.seed, self.stage.weight_decay)
        inputs, _ = self.context.inputs(self.stage, examples, augmented=False)
        return self.program.probabilities(lambda rows: inputs(rows, None), len(examples))
