"""k nearest neighbours on stored features: nothing is trained.

With ``class_weight = "balanced"`` each neighbour's vote has the weight of its class.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from strategies.base import Limit, Limits
from strategies.on_features import Classify, OnFeatures, normalised, softmax

TEMPERATURE = 0.07


class NearestNeighbours(OnFeatures):
    name = "knn"
    summary = (
        "The labels of the most similar images, on stored features. No training: a baseline for any head."
    )
    when = "To see within seconds what features are worth, or if classes come and go without training."
    cost = "Less: the same features, no training."
    reference = "Wu et al. 2018, Instance discrimination, arXiv:1805.01978 (weighted k nearest neighbours)"
    limits = Limits(neighbours=Limit(1))

    def space(self, hp: Any) -> None:
        hp.Choice("neighbours", [1, 3, 5, 10, 20, 50], default=10)

    def learn(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        classes: int,
        hp: Any,
        weights: np.ndarray | None = None,
    ) -> tuple[Classify, int]:
        known, k = normalised(features), min(hp.get("neighbours"), len(features))
        votes = np.eye(classes, dtype=np.float32)[labels]
        if weights is not None:
            votes *= weights[:, None]

        def classify(x: np.ndarray) -> np.ndarray:
            found = []
            for first in range(0, len(x), 1024):
                similar = normalised(x[first : first + 1024]) @ known.T
                nearest = np.argpartition(-similar, k - 1, axis=1)[:, :k]
                closeness = softmax(np.take_along_axis(similar, nearest, axis=1) / TEMPERATURE)
                found.append((closeness[:, :, None] * votes[nearest]).sum(axis=1))
            shares = np.concatenate(found)
            if weights is not None:
                shares /= shares.sum(axis=1, keepdims=True)
            # One vote shared by all classes: none is impossible, and the log loss stays finite.
            return np.asarray((shares * k + 1 / classes) / (k + 1))

        return classify, features.size
