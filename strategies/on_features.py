"""What all methods have in common that look at stored features of the frozen backbone and train no network."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np

from strategies.base import Embedding, Examples, Fitted, Strategy, Task
from strategies.class_weight import balanced

SMALLEST_DEVIATION = 1e-5
"""Of a feature; what varies less is taken to vary as much."""

Classify = Callable[[np.ndarray], np.ndarray]
"""From features (N, D) to class probabilities (N, classes)."""


class OnFeatures(Strategy):
    """A strategy that learns from features, standardised by the mean and deviation of the training examples."""

    layers: ClassVar[Literal["last", "all"]] = "last"
    few_shot = True
    trains = False

    @abstractmethod
    def learn(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        classes: int,
        hp: Any,
        weights: np.ndarray | None = None,
    ) -> tuple[Classify, int]:
        """Learns to classify.

        Args:
            features: float32 (N, D), standardised.
            labels: (N,), indices of classes; a class may be missing.
            classes: how many there are.
            hp: hyperparameters.
            weights: of the examples, (N,), where classes are to count the same; None: all examples do.

        Returns:
            The classifier, and how many numbers it has learnt.
        """

    def fit(self, task: Task, hp: Any) -> Fitted:
        features = task.features(task.train, self.layers)
        if task.val is not None:
            task.features(task.val, self.layers)
        start = time.perf_counter()
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        scale = 1 / np.maximum(deviation, SMALLEST_DEVIATION)
        labels = task.train.labels
        weights = balanced(labels)[labels] if task.info.class_weight == "balanced" else None
        classify, learnt = self.learn((features - mean) * scale, labels, task.info.classes, hp, weights)
        seconds = time.perf_counter() - start
        predictor = _Predictor(task, self.layers, lambda x: classify((x - mean) * scale))
        return Fitted(
            predictor,
            params=task.info.backbone_params + learnt + 2 * len(mean),
            trainable_params=learnt,
            seconds=seconds,
            prefixes=dict(task.prefixes),
        )

    def embed(self, task: Task, hp: Any) -> Embedding:
        return frozen_features(task, self.layers)

    def classify(
        self, support: np.ndarray, labels: np.ndarray, queries: np.ndarray, classes: int, hp: Any
    ) -> np.ndarray:
        return self.learn(support, labels, classes, hp)[0](queries)


def frozen_features(task: Task, layers: Literal["last", "all"] = "last") -> Embedding:
    """The frozen backbone's features in the few-shot protocol: standardised by examples of the source, if there are
    any (Wang et al. 2019, SimpleShot, arXiv:1911.04623), for a few labelled examples tell no deviation."""
    centre, scale = np.float32(0), np.float32(1)
    if len(task.train):
        known = task.features(task.train, layers)
        centre, deviation = known.mean(axis=0), known.std(axis=0)
        # What hardly ever differs on the source would drown all else where it does.
        scale = 1 / np.maximum(deviation, 0.1 * deviation.mean() + 1e-12)
    if task.val is not None:
        task.features(task.val, layers)
    return Embedding(
        lambda examples: (task.features(examples, layers) - centre) * scale,
        params=task.info.backbone_params,
        prefixes=dict(task.prefixes),
    )


class _Predictor:
    def __init__(self, task: Task, layers: Literal["last", "all"], classify: Classify) -> None:
        self.task, self.layers, self.classify = task, layers, classify

    def predict(self, examples: Examples) -> np.ndarray:
        probabilities = self.classify(self.task.features(examples, self.layers)).astype(np.float32)
        return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))


def softmax(scores: np.ndarray) -> np.ndarray:
    """Of each row."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def normalised(features: np.ndarray) -> np.ndarray:
    """Rows of length one."""
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12))


def logistic_regression(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    penalty: float,
    of_examples: np.ndarray | None = None,
) -> np.ndarray:
    """Weights (D + 1, classes), the offsets last, of multinomial logistic regression with an L2 penalty.

    Args:
        penalty: mean squared weights' price beside the mean loss of an example.
        of_examples: the weights of examples in that mean, (N,); None: all count the same.
    """
    from sklearn.linear_model import LogisticRegression

    weights = np.full((features.shape[1] + 1, classes), 0.0)
    present = np.unique(labels)
    weights[-1, np.setdiff1d(np.arange(classes), present)] = -20.0  # no example: next to impossible
    if len(present) == 1:
        return weights
    model = LogisticRegression(C=1 / (penalty * len(labels)), max_iter=500, tol=1e-4)
    model.fit(features, labels, of_examples)
    coefficients, offsets = model.coef_, model.intercept_
    if len(present) == 2:  # scikit-learn gives the second class only
        coefficients, offsets = (
            np.stack([-coefficients[0], coefficients[0]]) / 2,
            np.array([-1, 1]) * offsets / 2,
        )
    weights[:-1, present], weights[-1, present] = coefficients.T, offsets
    return weights


def linear(weights: np.ndarray) -> Classify:
    """The classifier of ``logistic_regression``."""
    return lambda x: softmax(x @ weights[:-1] + weights[-1])
