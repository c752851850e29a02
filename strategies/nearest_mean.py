"""Nearest class mean on stored features: one prototype a class.

Every class counts the same, however many labels it has: ``class_weight`` changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from strategies.base import Limit, Limits
from strategies.on_features import Classify, OnFeatures, normalised, softmax


class NearestMean(OnFeatures):
    name = "nearest_mean"
    summary = "The class whose mean is nearest, on stored features: strong with a few labels a class."
    when = "A few labels a class."
    cost = "Less: the same features, no training."
    reference = "Mensink et al. 2013, Distance-based image classification, doi:10.1109/TPAMI.2013.83"
    limits = Limits(sharpness=Limit(1e-3, 1e3))

    def space(self, hp: Any) -> None:
        hp.Choice("sharpness", [3.0, 10.0, 30.0], default=10.0)

    def few_shot_space(self, hp: Any) -> None:
        hp.Fixed("sharpness", 10.0)  # what is nearest does not depend on it

    def learn(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        classes: int,
        hp: Any,
        weights: np.ndarray | None = None,
    ) -> tuple[Classify, int]:
        unit, sharpness = normalised(features), hp.get("sharpness")
        counts = np.bincount(labels, minlength=classes)
        sums = np.zeros((classes, features.shape[1]))
        np.add.at(sums, labels, unit)
        means = normalised(sums / np.maximum(counts, 1)[:, None])
        missing = np.where(counts == 0, -20.0, 0.0)
        return lambda x: softmax(sharpness * normalised(x) @ means.T + missing), means.size
