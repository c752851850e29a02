"""A linear head on the features of all layers, of which the most useful are kept.

A simplification of Head2Toe: features are pooled over the whole example, and one counts by the length of its
weights in a logistic regression with an L2 penalty, not with a group lasso, which would take a solver of its own.
With ``class_weight = "balanced"`` the loss of each example is weighted in both.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from strategies.base import Limit, Limits
from strategies.on_features import Classify, OnFeatures, linear, logistic_regression


class AllLayerProbe(OnFeatures):
    name = "all_layer_probe"
    summary = "A linear head on the best features of all layers, for tasks far from the source."
    when = "Images or labels unlike those of the source, and too few of them to fine-tune."
    cost = "As cheap for a small network, a few times as much for a deep one: all its layers are stored."
    reference = "After Evci et al. 2022, Head2Toe, arXiv:2201.03529 (simplified: no group lasso)"
    layers = "all"
    limits = Limits(kept=Limit(1e-6, 1), penalty=Limit(1e-9, 1e9))

    def space(self, hp: Any) -> None:
        hp.Choice("kept", [0.05, 0.2, 0.5, 1.0], default=0.2)
        hp.Float("penalty", 1e-4, 1.0, sampling="log", default=1e-2)

    def learn(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        classes: int,
        hp: Any,
        weights: np.ndarray | None = None,
    ) -> tuple[Classify, int]:
        # A feature counts by the length of its weights in a linear head on all of them.
        first = logistic_regression(features, labels, classes, hp.get("penalty"), weights)
        relevance = np.linalg.norm(first[:-1], axis=1)
        kept = max(1, round(hp.get("kept") * len(relevance)))
        chosen = np.sort(np.argsort(-relevance, kind="stable")[:kept])
        layer = logistic_regression(features[:, chosen], labels, classes, hp.get("penalty"), weights)
        classify = linear(layer)
        return lambda x: classify(x[:, chosen]), layer.size
