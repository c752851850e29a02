"""A dataset: drawings of stripes. ``plugin:stripes:40`` has 40 of each class."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.datasets.plugin import DatasetPlugin
from bench.datasets.source import Contents
from bench.modalities.image.pictures import RowPicture

SIDE = 32
CLASSES = ("across", "along", "both")


class Stripes(DatasetPlugin):
    summary = "Drawings of stripes, 32 px, 3 classes; plugin:stripes:40 has 40 of each."

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self.count = int(argument or 40)

    def stamp(self) -> list[Any]:
        return [self.count]

    def contents(self) -> Contents:
        labels = np.repeat(np.arange(len(CLASSES)), self.count)
        rng = np.random.default_rng(0)
        return Contents(
            ids=[f"{i:05d}" for i in range(len(labels))],
            labels=labels.tolist(),
            class_names=list(CLASSES),
            in_test=None,
            groups=None,
            group_names=(),
            pictures=[RowPicture(_drawing(CLASSES[label], rng), 1.0) for label in labels],
        )


def _drawing(kind: str, rng: np.random.Generator) -> np.ndarray:
    wave = np.sin(np.arange(SIDE) * rng.uniform(0.5, 1.5) + rng.uniform(0, 6))
    rows, columns = wave[:, None] * np.ones((1, SIDE)), np.ones((SIDE, 1)) * wave[None]
    picture = {"across": rows, "along": columns, "both": (rows + columns) / 2}[kind]
    return np.clip(127 + 80 * picture + rng.normal(0, 20, (SIDE, SIDE)), 0, 255).astype(np.uint8)
