"""A small network for them."""

from __future__ import annotations

from typing import Any

from bench.backbones.plugin import BackbonePlugin


class NumbersNet(BackbonePlugin):
    summary = "Three dense layers."
    modality = "numbers"
    minimum_size = 1

    def build(self, image: Any, **options: Any) -> Any:
        from keras import layers

        x = image
        for i in range(3):
            x = layers.Dense(16, name=f"dense_{i}")(x)
            x = layers.BatchNormalization(name=f"dense_{i}_bn")(x)
            x = layers.ReLU(name=f"dense_{i}_relu")(x)
        return x
