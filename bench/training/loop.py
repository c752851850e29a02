"""How a stage trains: how long and at which rates, and how what it has trained is judged."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from bench.training.losses.alignment.base import strength
from bench.training.programs.config import State
from bench.training.programs.program import Program
from strategies.base import Stage
from strategies.lengths import decay_of

STATISTICS_EXAMPLES = 256
"""Training examples on which batch statistics are re-estimated before an evaluation during training."""
POINTS = 12
"""Points of a stage's learning curve, at most: so often it is judged on validation while it trains."""


class NotFinite(ArithmeticError):
    """The loss became infinite or not a number, after ``seconds`` of training on ``prefixes``."""

    seconds = 0.0
    prefixes: dict[str, float] = {}


# --- how long a stage trains, and how its rate goes -----------------------------------------------------------


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
        epochs: passes over the examples, along which its learning rate falls.
        steps_an_epoch: of the optimizer.
    """

    stage: Stage
    epochs: int
    steps_an_epoch: int

    @property
    def steps(self) -> int:
        """How many it takes."""
        return self.epochs * self.steps_an_epoch

    @property
    def weight_decay(self) -> float:
        """See ``decay_of``."""
        return decay_of(self.stage, self.steps)

    @property
    def epochs_a_point(self) -> int:
        """Epochs between two points of the learning curve."""
        return math.ceil(self.epochs / POINTS)

    def rates(self, step: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the next steps: learning rates, and how strong what stands beside the stage's own loss is."""
        over = (np.arange(step, step + count) + 0.5) / self.steps
        rates = [self.stage.learning_rate * schedule(share, self.stage.warmup) for share in over]
        return np.array(rates), _strengths(self.stage, over)


def _strengths(stage: Stage, over: np.ndarray) -> np.ndarray:
    """At these shares of the stage's steps; 0 where it is learned."""
    if stage.auxiliary:
        return np.full(len(over), 0.0 if stage.auxiliary == "learned" else stage.auxiliary)
    return np.array([stage.align_weight * strength(share) for share in over])


# --- how a trained state is judged ----------------------------------------------------------------------------


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


# --- the loop itself ------------------------------------------------------------------------------------------


@dataclass
class Progress:
    """What a fit has been through, stage after stage."""

    state: State
    curve: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
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
            steps=list(self.steps),
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
    """The training of one stage, from its first step to its last.

    Args:
        program: what trains; it has been reset.
        course: how long, and at which rates.
        judge: of its states, for the learning curve; None in the refit.
        statistics: of batch normalisation.
        draw: the tensors and labels of the next so many batches, (steps, batch, ...) each.
        batch_size: of how many examples a step is counted to learn.
        progress: of the fit; its clock runs.
        tick: called at each point of the curve with what is being done.
        told: what a point of the curve says of the losses and accuracies of the steps before it, (2, steps).
        place: how an error names a step.
    """

    program: Program
    course: Course
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

    def run(self) -> State:
        """Trains, and gives the weights at the end, with statistics of batch normalisation of all examples.

        Raises:
            NotFinite: a loss or an evaluation was infinite or not a number.
        """
        course = self.course
        point: dict[str, Any] = {}
        while True:
            self.progress.curve.append(point | self._evaluated())
            if self.epoch >= course.epochs:
                break
            point = self.told(self._epochs(min(course.epochs_a_point, course.epochs - self.epoch)))
            self.tick(f"{course.stage.name} epoch {self.epoch}/{course.epochs}")
        self.program.reestimate(self.statistics.batch, self.statistics.count)
        self.progress.epochs.append(course.epochs)
        self.progress.steps.append(course.steps)
        return self.program.state()

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
        return point

    def _epochs(self, epochs: int) -> np.ndarray:
        """Trains for some epochs, and gives the losses and accuracies of their steps, (2, steps)."""
        measured: list[np.ndarray] = []
        end = self.step + epochs * self.course.steps_an_epoch
        while self.step < end:
            # Never across the end of an epoch: what is drawn at once must not depend on how often there is a point.
            left = self.course.steps_an_epoch - self.step % self.course.steps_an_epoch
            count = min(self.program.steps_a_call, left)
            rates, strengths = self.course.rates(self.step, count)
            tensors, labels = self.draw(count)
            both = np.stack(self.program.train_steps(tensors, labels, rates, strengths))
            if not np.isfinite(both[0]).all():
                bad = int(np.flatnonzero(~np.isfinite(both[0]))[0])
                step = self.step + bad + 1
                place = self.place.format(epoch=math.ceil(step / self.course.steps_an_epoch), step=step)
                raise NotFinite(f"loss is {both[0, bad]} in {place} of stage {self.course.stage.name!r}")
            measured.append(both)
            self.step += count
            self.progress.examples += count * self.batch_size
        self.epoch += epochs
        return np.concatenate(measured, axis=1)
