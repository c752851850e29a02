"""How a stage trains: how long and at which rates, how what it has trained is judged, and which state is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from bench.training.losses.alignment.base import strength
from bench.training.metrics import example_weights, log_loss
from bench.training.programs.config import State
from bench.training.programs.program import Program
from strategies.base import Stage

STATISTICS_EXAMPLES = 256
"""Training examples on which batch statistics are re-estimated before an evaluation during training."""
MINIMUM_BATCH = 8
STEPS_AN_EPOCH = 8
"""With few labels the batch shrinks, down to MINIMUM_BATCH, until an epoch has this many steps."""
HEAD_STEPS_AN_EPOCH = 16
HEAD_BATCH = 128
MINIMUM_PATIENCE = 5
"""Epochs without a better validation loss before a stage ends; its own ``patience``, half of its epochs, if that is
more: under a falling learning rate the best often comes late."""
LEAST_OF_TWO = 4
"""Labelled examples of a batch that holds two domains, at least: what aligns them needs two of each."""


class NotFinite(ArithmeticError):
    """The loss became infinite or not a number, after ``seconds`` of training on ``prefixes``."""

    seconds = 0.0
    prefixes: dict[str, float] = {}


# --- how long a stage trains, and how its rate goes -----------------------------------------------------------


def batch_size_of(stage: Stage, n: int, most: int, n_source: int = 0) -> int:
    """Labelled examples of a batch of a stage, the same in search and refit, so that nothing is traced again.

    Args:
        stage: which.
        n: labelled examples of the cell.
        most: the plan's ``batch_size``.
        n_source: labelled examples of the source.
    """
    labels = int(0.8 * {"target": n, "source": n_source, "both": n + n_source}[stage.data])
    if stage.cut == "top":
        size = 2 ** math.floor(math.log2(max(labels / HEAD_STEPS_AN_EPOCH, 1)))
        return max(MINIMUM_BATCH, min(size, HEAD_BATCH))
    least = min(MINIMUM_BATCH, most)
    return max(
        least if stage.data == "target" else max(least, LEAST_OF_TWO), min(most, labels // STEPS_AN_EPOCH)
    )


def schedule(progress: float, warmup: float) -> float:
    """The learning rate as a share of its peak: a linear rise, then half a cosine (arXiv:1608.03983).

    Args:
        progress: share of the stage that is over, 0..1.
        warmup: share over which the rate rises.
    """
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


@dataclass(frozen=True)
class Course:
    """How long a stage trains, and how its rates go over its steps.

    Args:
        stage: which.
        epochs: along which its learning rate falls.
        steps_an_epoch: of the optimizer.
        taken: epochs that it takes of these; None: all, if it does not end early.
    """

    stage: Stage
    epochs: int
    steps_an_epoch: int
    taken: int | None = None

    @property
    def steps(self) -> int:
        """How many it takes at most."""
        return (self.epochs if self.taken is None else self.taken) * self.steps_an_epoch

    @property
    def patience(self) -> int:
        """Epochs without a better one before it ends."""
        return max(MINIMUM_PATIENCE, math.ceil(self.stage.patience * self.epochs))

    def rates(self, step: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the next steps: learning rates, and how strong what stands beside the stage's own loss is."""
        over = (np.arange(step, step + count) + 0.5) / (self.epochs * self.steps_an_epoch)
        rates = [self.stage.learning_rate * schedule(share, self.stage.warmup) for share in over]
        return np.array(rates), _strengths(self.stage, over)


def _strengths(stage: Stage, over: np.ndarray) -> np.ndarray:
    """At these shares of the stage's steps; 0 where it is learned."""
    if stage.auxiliary:
        return np.full(len(over), 0.0 if stage.auxiliary == "learned" else stage.auxiliary)
    return np.array([stage.align_weight * strength(share) for share in over])


# --- how a trained state is judged ----------------------------------------------------------------------------


def selection_score(probabilities: np.ndarray, labels: np.ndarray, metric: str) -> float:
    """What the best epoch and the best trial maximise, on validation: the negative log loss, in [-16.2, 0].

    With another ``metric`` than accuracy, each class counts the same in it.

    Not accuracy: with 100 labels the validation part has 20 examples, and an accuracy on them moves in steps of
    5 points. The log loss of the same examples tells networks apart that agree on every one of them.
    """
    return -log_loss(probabilities, labels, example_weights(labels, metric))


class Judge(NamedTuple):
    """Judges the present state of a program on validation, by its ``predictions`` or ``features``."""

    what: str
    score: Callable[[], tuple[float, dict[str, float]]]
    """The score, nan where these are not finite, and what a point of the curve says."""


@dataclass(frozen=True)
class Statistics:
    """The examples that statistics of batch normalisation are those of: their inputs, and how many there are."""

    batch: Callable[[np.ndarray], list[np.ndarray]]
    count: int


# --- which state is kept --------------------------------------------------------------------------------------


class Best:
    """The state of a stage that is kept, if it is judged: that of its best epoch.

    Args:
        course: of the stage.
        first: the epoch from which on states may be kept. What no stage has trained yet is no candidate, though its
            log loss may be the best when labels are few: the refit would train nothing and predict chance.
        to_the_end: the last state is kept, however it is judged.
    """

    def __init__(self, course: Course, first: int = 1, to_the_end: bool = False) -> None:
        self.course, self.first, self.to_the_end = course, first, to_the_end
        self.score, self.epoch = -math.inf, 0
        self.state: State | None = None

    def see(self, program: Program, score: float, epoch: int, step: int) -> None:
        """Keeps the program's state if it is better."""
        better = step >= self.course.steps if self.to_the_end else score > self.score
        if better and epoch >= self.first:
            self.score, self.epoch, self.state = score, epoch, program.state()

    def stalls(self, epoch: int) -> bool:
        """Whether patience is over."""
        return not self.to_the_end and epoch - self.epoch >= self.course.patience


# --- the loop itself ------------------------------------------------------------------------------------------


@dataclass
class Progress:
    """What a fit has been through, stage after stage."""

    state: State
    curve: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    examples: int = 0
    seconds: float = 0.0
    reused: float = 0.0
    """Seconds of ``seconds`` that an earlier trial has spent."""
    prefixes: dict[str, float] = field(default_factory=dict)
    _counted: float = 0.0

    def copy(self) -> Progress:
        return replace(
            self,
            state=dict(self.state),
            curve=list(self.curve),
            epochs=list(self.epochs),
            prefixes=dict(self.prefixes),
        )

    def start(self) -> None:
        """Counts seconds from now on."""
        self._counted = time.perf_counter()

    def count(self) -> None:
        """Adds the seconds since ``start`` or since they were last counted."""
        now = time.perf_counter()
        self.seconds, self._counted = self.seconds + now - self._counted, now


@dataclass
class Training:
    """The training of one stage, epoch after epoch.

    Args:
        program: what trains; it has been reset.
        course: how long, and at which rates.
        best: which state is kept.
        judge: of its states; None in the refit, which keeps the last one.
        statistics: of batch normalisation.
        draw: the tensors and labels of the next so many batches, (steps, batch, ...) each.
        batch_size: of how many examples a step is counted to learn.
        progress: of the fit; its clock runs.
        tick: called after each epoch with what is being done.
        told: what a point of the curve says of the losses and accuracies of an epoch's steps, (2, steps).
        place: how an error names a step.
    """

    program: Program
    course: Course
    best: Best
    judge: Judge | None
    statistics: Statistics
    draw: Callable[[int], tuple[list[np.ndarray], np.ndarray]]
    batch_size: int
    progress: Progress
    tick: Callable[[str], None]
    told: Callable[[np.ndarray], dict[str, float]]
    place: str = "epoch {epoch}, step {step}"
    step: int = 0
    epoch: int = 0

    def run(self) -> tuple[State, int]:
        """Trains, and gives the state that is kept and the epoch that it is of.

        Raises:
            NotFinite: a loss or an evaluation was infinite or not a number.
        """
        point: dict[str, Any] = {}
        while True:
            self.progress.curve.append(point | self._evaluated())
            stalls = self.judge is not None and self.best.stalls(self.epoch)
            if self.step >= self.course.steps or stalls:
                return self._kept()
            point = self.told(self._epoch())
            self.epoch += 1
            self.tick(f"{self.course.stage.name} epoch {self.epoch}/{self.course.epochs}")

    def _evaluated(self) -> dict[str, Any]:
        """Where the training is, for a point of the curve, and how its state is judged."""
        name = self.course.stage.name
        self.progress.count()
        point: dict[str, Any] = {
            "stage": name,
            "epoch": self.epoch,
            "images": self.progress.examples,
            "seconds": self.progress.seconds + sum(self.progress.prefixes.values()),
        }
        if self.judge is not None:
            seen = self.statistics
            self.program.reestimate(seen.batch, min(seen.count, STATISTICS_EXAMPLES))
            score, measured = self.judge.score()
            if not math.isfinite(score):
                raise NotFinite(
                    f"{self.judge.what} are not finite after epoch {self.epoch} of stage {name!r}"
                )
            point |= measured
            self.best.see(self.program, score, self.epoch, self.step)
        return point

    def _epoch(self) -> np.ndarray:
        """Trains for an epoch, and gives the losses and accuracies of its steps, (2, steps)."""
        measured: list[np.ndarray] = []
        end = min(self.step + self.course.steps_an_epoch, self.course.steps)
        while self.step < end:
            count = min(self.program.steps_a_call, end - self.step)
            rates, strengths = self.course.rates(self.step, count)
            tensors, labels = self.draw(count)
            both = np.stack(self.program.train_steps(tensors, labels, rates, strengths))
            if not np.isfinite(both[0]).all():
                bad = int(np.flatnonzero(~np.isfinite(both[0]))[0])
                place = self.place.format(epoch=self.epoch + 1, step=self.step + bad + 1)
                raise NotFinite(f"loss is {both[0, bad]} in {place} of stage {self.course.stage.name!r}")
            measured.append(both)
            self.step += count
            self.progress.examples += count * self.batch_size
        return np.concatenate(measured, axis=1)

    def _kept(self) -> tuple[State, int]:
        if self.best.state is not None:
            return self.best.state, self.best.epoch
        # The refit: the last weights, with statistics of all examples.
        self.program.reestimate(self.statistics.batch, self.statistics.count)
        return self.program.state(), self.epoch
