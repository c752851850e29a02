"""The nearest image, pixel by pixel: what any learned similarity has to beat.

One image alone answers, so that there are no votes to weigh: ``class_weight`` changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from strategies.base import Embedding, Examples, Fitted, Strategy, Task
from strategies.metric import kept, squared_distances

CHUNK = 256


class NearestPixel(Strategy):
    name = "nearest_pixel"
    summary = "The label of the image with the nearest pixels: the baseline of one-shot learning."
    when = "Always, beside any few-shot strategy: it has to be beaten."
    cost = "None, but every labelled image is looked at for each answer."
    reference = "Lake et al. 2015, Human-level concept learning, doi:10.1126/science.aab3050 (its baseline)"
    modalities = frozenset({"image"})
    uses_backbone = False
    uses_weights = False
    few_shot = True
    trains = False

    def embed(self, task: Task, hp: Any) -> Embedding:
        return Embedding(pixels)

    def classify(
        self, support: np.ndarray, labels: np.ndarray, queries: np.ndarray, classes: int, hp: Any
    ) -> np.ndarray:
        nearest = [
            squared_distances(queries[i : i + CHUNK], support).argmin(axis=1)
            for i in range(0, len(queries), CHUNK)
        ]
        # As in knn, one vote shared by all classes: none is impossible.
        votes = np.eye(classes)[labels[np.concatenate(nearest)]]
        return np.asarray((votes + 1 / classes) / 2)

    def fit(self, task: Task, hp: Any) -> Fitted:
        # What it keeps is what it is made of: limits on parameters are meant for it too.
        size = len(task.train) * task.info.image_size**2
        return replace(kept(self, self.embed(task, hp), task, hp), params=size, trainable_params=size)


def pixels(examples: Examples) -> np.ndarray:
    """Grey values from 0 to 1 as features, float32 (N, S * S)."""
    images = examples.images()
    return images.mean(axis=3, dtype=np.float32).reshape(len(images), -1) / 255
