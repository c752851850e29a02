"""What all strategies have in common that learn which examples are alike, and then look for the nearest class.

Each training batch draws its classes evenly, and a class is one mean: ``class_weight`` changes nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from strategies.base import Embedding, Examples, Fitted, Info, Limit, Limits, Stage, Strategy, Task
from strategies.on_features import softmax

STEPS = 300


class MetricLearning(Strategy):
    """Trains an embedding on the classes of a source dataset; a class is then the mean of its labelled examples.

    Without a source the embedding is learned from the labels of the target itself.
    """

    version = 3
    limits = Limits(turns=Limit(1, 4))
    needs_weights = False
    uses_source = True
    few_shot = True

    def skip(self, info: Info) -> str | None:
        if info.has_source:
            return None
        if info.few_shot:
            return "there is no source dataset (--source-dataset) of other classes to learn from"
        if int(0.8 * info.n) < 2 * info.classes:
            return (
                f"of {info.n} labels for {info.classes} classes, too few are left for two training images of a "
                "class, and there is no source dataset (--source-dataset) to learn from instead"
            )
        return None

    def space(self, hp: Any) -> None:
        hp.Float("learning_rate", 1e-3, 3e-2, sampling="log", default=5e-3)
        hp.Float("weight_decay", 1e-4, 1e-1, sampling="log", default=1e-3)
        hp.Fixed("turns", 1)  # a photograph on its head is no other class

    def few_shot_space(self, hp: Any) -> None:
        hp.Float("learning_rate", 3e-3, 1e-1, sampling="log", default=3e-2)
        hp.Float("weight_decay", 1e-4, 1e-1, sampling="log", default=1e-3)
        hp.Choice("turns", [1, 4], default=4)

    @abstractmethod
    def loss(self, hp: Any) -> str:
        """The name of the loss."""

    def sharpness(self, hp: Any) -> float:
        """How fast the probability of a class falls with the squared distance to its mean."""
        return 1.0

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [
            Stage(
                "embedding",
                cut="input",
                batch_norm="trained",
                steps=STEPS,
                learning_rate=hp.get("learning_rate"),
                weight_decay=hp.get("weight_decay"),
            )
        ]

    def embed(self, task: Task, hp: Any) -> Embedding:
        (stage,) = self.stages(hp, task.info)
        return task.fit_embedding(stage, self.loss(hp), hp.get("turns"), partial(self.classify, hp=hp))

    def classify(
        self, support: np.ndarray, labels: np.ndarray, queries: np.ndarray, classes: int, hp: Any
    ) -> np.ndarray:
        return nearest_prototype(support, labels, queries, classes, self.sharpness(hp))

    def fit(self, task: Task, hp: Any) -> Fitted:
        return kept(self, self.embed(task, hp), task, hp)


def kept(strategy: Strategy, embedding: Embedding, task: Task, hp: Any) -> Fitted:
    """A classifier that keeps the embedded training examples, and learns from them anew for each answer."""
    known = embedding.embed(task.train)
    classify = partial(strategy.classify, known, task.train.labels, classes=task.info.classes, hp=hp)
    return embedding.fitted(_Embedded(embedding.embed, classify))


def nearest_prototype(
    support: np.ndarray, labels: np.ndarray, queries: np.ndarray, classes: int, sharpness: float
) -> np.ndarray:
    """Probabilities that fall with the squared distance to the mean of each class (Snell et al. 2017, eq. 2).

    Args:
        support: (N, D), with labels (N,); a class may be missing.
        queries: (M, D).
        classes: how many.
        sharpness: of the fall.
    """
    of = np.eye(classes, dtype=np.float64)[labels]
    counts = of.sum(axis=0)
    means = of.T @ support / np.maximum(counts, 1)[:, None]
    scores = -sharpness * squared_distances(queries, means)
    # No example: next to impossible.
    return softmax(np.where(counts > 0, scores, scores.min(axis=1, keepdims=True) - 20.0))


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (N, M) of x (N, D) and y (M, D)."""
    lengths = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)
    return np.asarray(np.maximum(lengths - 2 * x @ y.T, 0))


class _Embedded:
    def __init__(
        self, embed: Callable[[Examples], np.ndarray], classify: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self.embed, self.classify = embed, classify

    def predict(self, examples: Examples) -> np.ndarray:
        return self.classify(self.embed(examples)).astype(np.float32)
