"""Logistic regression on stored features, solved exactly.

With ``class_weight = "balanced"`` the loss of each example is weighted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from strategies.base import Limit, Limits
from strategies.on_features import Classify, OnFeatures, linear, logistic_regression


class Logistic(OnFeatures):
    name = "logistic"
    summary = "The linear head of feature extraction, solved exactly: no epochs, no learning rate."
    when = "In place of feature extraction wherever its exact head is no worse."
    cost = "As cheap: the same features, a head that is solved instead of trained."
    reference = "Kornblith et al. 2019, Do better ImageNet models transfer better?, arXiv:1805.08974"
    limits = Limits(penalty=Limit(1e-9, 1e9))

    def space(self, hp: Any) -> None:
        hp.Float("penalty", 1e-4, 1.0, sampling="log", default=1e-2)

    def learn(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        classes: int,
        hp: Any,
        weights: np.ndarray | None = None,
    ) -> tuple[Classify, int]:
        layer = logistic_regression(features, labels, classes, hp.get("penalty"), weights)
        return linear(layer), layer.size
