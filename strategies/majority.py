"""Majority: the class frequencies of the training labels, whatever the example. The floor of every table.

Of any number of labels each, it is the frequency of each label.

It stays the most frequent class with ``class_weight = "balanced"``: a floor has to be the same for everyone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from strategies.base import Examples, Fitted, Strategy, Task


class _Constant:
    def __init__(self, probabilities: np.ndarray) -> None:
        self.probabilities = probabilities

    def predict(self, examples: Examples) -> np.ndarray:
        return np.tile(self.probabilities, (len(examples), 1))


class Majority(Strategy):
    name = "majority"
    summary = "Predicts the class frequencies and looks at no image: the baseline for any strategy."
    when = "Always: a strategy that does not beat it has learned nothing."
    cost = "Nothing."
    uses_backbone = False
    uses_weights = False

    many_labels = True

    def fit(self, task: Task, hp: Any) -> Fitted:
        labels = task.train.labels
        if labels.ndim == 2:
            shares = (labels.sum(axis=0) + 1.0) / (len(labels) + 2)
            return Fitted(_Constant(shares.astype(np.float32)))
        # One added to each count (Laplace), so that no class is impossible and the log loss is finite.
        counts = np.bincount(labels, minlength=task.info.classes) + 1.0
        return Fitted(_Constant((counts / counts.sum()).astype(np.float32)))
