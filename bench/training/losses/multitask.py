"""Several tasks on one backbone: their losses in ``keras.ops``, the model that trains on them, their examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from bench.datasets.companions.auxiliary import Auxiliary
from bench.training.examples import PartExamples
from bench.training.losses.own_loss import OwnLoss


def cross_entropy(targets: Any, logits: Any, smoothing: float) -> tuple[Any, Any]:
    """Mean cross-entropy over the examples whose label is known, and whether there are any (1 or 0).

    Args:
        targets: one-hot (N, classes), multiplied by the weights of examples; zeros where no label is known.
        logits: (N, classes).
        smoothing: of the labels (Szegedy et al. 2016, arXiv:1512.00567).
    """
    weights, known = ops.sum(targets, axis=-1), ops.max(ops.sign(targets), axis=-1)
    # TensorFlow's gradient is wrong for rows that do not add up to 1.
    unit = targets / ops.expand_dims(ops.where(known > 0, weights, 1.0), -1)
    losses = keras.losses.categorical_crossentropy(unit, logits, from_logits=True, label_smoothing=smoothing)
    count = ops.sum(known)
    return ops.sum(losses * weights) / ops.maximum(count, 1.0), ops.minimum(count, 1.0)


def weighted(losses: Sequence[Any], weight: Any) -> Any:
    """The first loss, the target's, and so many times each of the others."""
    return losses[0] + weight * sum(losses[1:])


def by_uncertainty(losses: Sequence[Any], present: Sequence[Any], log_variances: Any) -> Any:
    """The sum of ``exp(-s) L + s / 2`` over tasks, with ``s`` the logarithm of a task's variance.

    Kendall, Gal & Cipolla 2018, Multi-task learning using uncertainty to weigh losses, arXiv:1705.07115, equation
    10: of a classification ``L / sigma^2 + log sigma``; with logarithms, as its section 3.2 advises.
    At its minimum ``exp(-s)`` is ``1 / (2 L)``: the harder a task, the less it counts.

    Args:
        losses: of the tasks.
        present: 1, or 0 for a task without a label in this batch, which then says nothing about its variance.
        log_variances: (tasks,).
    """
    terms = (
        here * (ops.exp(-log_variances[i]) * loss + log_variances[i] / 2)
        for i, (loss, here) in enumerate(zip(losses, present, strict=True))
    )
    return sum(terms)


class LogVariances(keras.layers.Layer):
    """Hands on the logarithms of the variances of so many tasks, which are its weights: (tasks,) for each example.

    A layer, not a variable of the model: its weights are then kept, reset and trained like all others.
    """

    def __init__(self, tasks: int, **options: Any) -> None:
        super().__init__(**options)
        self.values = self.add_weight(shape=(tasks,), initializer="zeros", name="log_variances")

    def call(self, features: Any) -> Any:
        return ops.broadcast_to(self.values, (ops.shape(features)[0], self.values.shape[0]))

    def compute_output_shape(self, shape: Any) -> Any:
        return shape[0], self.values.shape[0]


class MultiTask(OwnLoss):
    """A classifier that learns other labels of the same or of other examples beside its own.

    Outputs are the logits of the target, then those of each auxiliary task, then log variances where these are
    learned. Labels come one-hot, a tensor a task, with zeros where none is known. Loss and accuracy are told of the
    target alone, so that they mean what they mean without auxiliary tasks.
    """

    def __init__(self, inputs: Any, outputs: Any, tasks: int, smoothing: float) -> None:
        super().__init__(inputs, outputs, name="network")
        self.tasks, self.smoothing = tasks, smoothing
        self.strength = keras.Variable(0.0, trainable=False, name="strength")
        """The weight of the auxiliary losses, where it is given."""
        self.of_target = keras.metrics.Mean(name="of_target")
        self.accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")

    def own_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        found = [cross_entropy(y[k], y_pred[k], self.smoothing) for k in range(self.tasks)]
        losses, present = zip(*found, strict=True)
        if len(y_pred) > self.tasks:
            return by_uncertainty(losses, present, y_pred[-1][0])
        return weighted(losses, self.strength)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        known = ops.max(ops.sign(y[0]), axis=-1)
        self.of_target.update_state(cross_entropy(y[0], y_pred[0], self.smoothing)[0])
        self.accuracy.update_state(y[0], y_pred[0], sample_weight=known)
        return {"loss": self.of_target.result(), "accuracy": self.accuracy.result()}


@dataclass(frozen=True)
class AuxiliaryLabels:
    """An auxiliary task of a search or refit; see ``strategies.base.AuxiliaryLabels``."""

    name: str
    classes: int
    of_train: np.ndarray
    pool: PartExamples | None = None
    others: PartExamples | None = None

    def beside(self, rows: str) -> PartExamples | None:
        """The examples that are learned from beside those of ``train``; None if there are none."""
        more = self.pool if rows == "pool" and self.others is None else self.others
        return more if more is not None and len(more) else None

    def count(self, rows: str) -> int:
        """How many labels it has, of ``train`` and beside."""
        more = self.beside(rows)
        return int((self.of_train >= 0).sum()) + (0 if more is None else len(more))


def labels_of(
    task: Auxiliary,
    train: np.ndarray,
    val: np.ndarray | None,
    groups: np.ndarray | None,
    pool: Callable[[np.ndarray], PartExamples],
    others: Callable[[np.ndarray], PartExamples],
) -> AuxiliaryLabels:
    """What a search or a refit may know of an auxiliary task: nothing of what validates, or of its groups.

    Args:
        task: which.
        train: rows of the target's pool that are trained on, sorted.
        val: those that validate; None in the refit.
        groups: of the target's pool.
        pool: gives examples of the target's pool by rows, labelled by this task.
        others: gives examples of the other dataset by rows.
    """
    if task.domain is not None:
        rows = task.domain.rows if val is None else task.domain.without(val)
        if not len(rows):
            one = task.domain.dataset.kind.noun.one
            raise ValueError(f"every {one} of {task.name} shares a group with one that validates")
        nothing = np.full(len(train), -1, np.int64)
        return AuxiliaryLabels(task.name, len(task.class_names), nothing, others=others(rows))
    assert task.labels is not None
    rest = task.labels >= 0
    rest[train] = False
    if val is not None:
        rest[val] = False
        if groups is not None:
            rest &= ~np.isin(groups, groups[val])
    rows = np.flatnonzero(rest)
    return AuxiliaryLabels(task.name, len(task.class_names), task.labels[train], pool=pool(rows))


def learned_weights(log_variances: np.ndarray) -> list[float]:
    """What each auxiliary loss weighs beside the target's, (tasks - 1,), from the logarithms of all variances."""
    return [float(weight) for weight in np.exp(log_variances[0] - log_variances[1:])]


class Beside:
    """Adds examples with auxiliary labels alone to batches, as many of each task's as there are of the target's.

    They are drawn and augmented with random numbers of their own: the target's examples are those of the same
    training without them, in the same order and views.

    Args:
        parts: of each task that has such examples: their inputs, their labels by all tasks (N, tasks), and what
            gives the next so many of their rows.
        size: examples of each in a batch.
        rng: of their augmentation.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Callable[..., list[np.ndarray]], np.ndarray, Callable[[int], np.ndarray]]],
        size: int,
        rng: np.random.Generator,
    ) -> None:
        self.parts, self.size, self.rng = parts, size, rng

    def added(
        self, tensors: list[np.ndarray], labels: np.ndarray, steps: int
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """The batches of so many steps, (steps, batch, ...) each, with the next examples behind the target's."""
        for inputs, known, draw in self.parts:
            rows = draw(steps * self.size)
            more = [x.reshape(steps, -1, *x.shape[1:]) for x in inputs(rows, self.rng)]
            tensors = [np.concatenate(pair, axis=1) for pair in zip(tensors, more, strict=True)]
            labels = np.concatenate([labels, known[rows].reshape(steps, -1, known.shape[1])], axis=1)
        return tensors, labels
