"""Feature extraction: a new head on the frozen backbone, trained on features that are computed once."""

from __future__ import annotations

from typing import Any

import numpy as np

from strategies.base import Embedding, Info, Limit, Limits, Stage, Strategy, Task
from strategies.on_features import frozen_features, linear, logistic_regression

STEPS = 800
"""Of a head on stored features: with its weight decay it has then converged, so more of them change nothing."""


def head_stage(learning_rate: float = 3e-2, weight_decay: float = 0.3, **changes: Any) -> Stage:
    """The stage that trains a new head alone."""
    values = {"learning_rate": learning_rate, "weight_decay": weight_decay, "steps": STEPS}
    return Stage(**{"name": "head", "cut": "top", **values, **changes})


def warm_up_stage(**changes: Any) -> Stage:
    """The same before fine-tuning. Short: the head is to be sensible before it sends gradients down, not fitted to
    the few labels there are."""
    return head_stage(**{"weight_decay": 1e-2, "steps": 80, "epochs": 5, **changes})


class FeatureExtraction(Strategy):
    name = "feature_extraction"
    summary = "Only a new head trains, on stored features of the frozen backbone: cheap, hard to get wrong."
    when = "First of all. With few labels, little time, or images like those of the source."
    cost = "The unit of all other costs: one pass over the images, then a head on stored features."
    reference = "Donahue et al. 2014, DeCAF, arXiv:1310.1531; Kornblith et al. 2019, arXiv:1805.08974"

    few_shot = True
    trains = False
    limits = Limits(penalty=Limit(1e-9, 1e9))

    def space(self, hp: Any) -> None:
        hp.Float("learning_rate", 1e-2, 1e-1, sampling="log", default=3e-2)
        hp.Float("weight_decay", 3e-2, 1.0, sampling="log", default=0.3)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [head_stage(hp.get("learning_rate"), hp.get("weight_decay"))]

    def few_shot_space(self, hp: Any) -> None:
        hp.Float("penalty", 1e-4, 1.0, sampling="log", default=1e-2)

    def embed(self, task: Task, hp: Any) -> Embedding:
        return frozen_features(task)

    def classify(
        self, support: np.ndarray, labels: np.ndarray, queries: np.ndarray, classes: int, hp: Any
    ) -> np.ndarray:
        # The same linear head, solved exactly: of a few examples that takes milliseconds.
        return linear(logistic_regression(support, labels, classes, hp.get("penalty")))(queries)
