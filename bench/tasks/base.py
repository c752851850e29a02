"""What differs between kinds of labels: how a network answers, what it is trained by and how answers are scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from bench.records import Metric


class TaskKind(ABC):
    """What is learned of an example. numpy only.

    Labels are what the kind says: class indices (N,), or 0 and 1 by class (N, classes).
    """

    name: ClassVar[str]
    """The value of a plan's ``task``."""
    told: ClassVar[str]
    """What its classes are called, several of them."""
    metrics: ClassVar[tuple[Metric, ...]]
    """Those that can decide; the first does unless a plan says otherwise."""
    activation: ClassVar[Literal["softmax", "sigmoid"]]
    """What makes probabilities of the network's logits."""
    label_smoothing: ClassVar[float]
    """Of the cross-entropy (Szegedy et al. 2016, arXiv:1512.00567)."""
    class_weights: ClassVar[bool]
    """Whether classes can weigh the same in training."""

    @abstractmethod
    def targets(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """What the loss is given: float32 (..., classes)."""

    @abstractmethod
    def counts(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """How many examples have each class, (classes,)."""

    @abstractmethod
    def said(self, label: Any, names: Sequence[str]) -> str:
        """What an example is called by its label, one of the array's."""

    @abstractmethod
    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Of logits (N, classes)."""

    @abstractmethod
    def log_losses(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The negative log-likelihood of the labels of each example, in nats, (N,)."""

    @abstractmethod
    def example_weights(self, labels: np.ndarray, metric: str) -> np.ndarray:
        """How much each validation example counts where trials are chosen, (N,) with a mean of 1."""

    @abstractmethod
    def answers(self, probabilities: np.ndarray) -> np.ndarray:
        """The labels that probabilities (N, classes) stand for."""

    @abstractmethod
    def class_accuracy(self, probabilities: np.ndarray, labels: np.ndarray) -> list[float | None]:
        """The same by class; None for one without an example."""

    @abstractmethod
    def score(self, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """The test-set metrics of a record. What is not defined is left out."""

    def right(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Share of right answers about each example, float64 (N,)."""
        equal = self.answers(probabilities) == labels
        return np.asarray(equal.reshape(len(equal), -1).mean(axis=1))

    def accuracy(self, probabilities: np.ndarray, labels: np.ndarray) -> float:
        """Share of right answers, for learning curves."""
        return float(self.right(probabilities, labels).mean())

    def log_loss(self, probabilities: np.ndarray, labels: np.ndarray) -> float:
        """The mean of ``log_losses``."""
        return float(self.log_losses(probabilities, labels).mean())

    def selection_score(self, probabilities: np.ndarray, labels: np.ndarray, metric: str) -> float:
        """What the best trial maximises, on validation: the negative log loss, in [-16.2, 0].

        With another ``metric`` than accuracy, each class counts the same in it.

        Not accuracy: with 100 labels the validation part has 20 examples, and an accuracy on them moves in steps of
        5 points. The log loss of the same examples tells networks apart that agree on every one of them.
        """
        losses = self.log_losses(probabilities, labels) * self.example_weights(labels, metric)
        return -float(losses.mean())
