"""A backbone: a few convolutions, with weights of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.backbones.plugin import BackbonePlugin

if TYPE_CHECKING:
    import keras


class SmallNet(BackbonePlugin):
    summary = "Four convolutions."
    minimum_size = 16
    options: ClassVar = {"width": 1.0}

    def build(self, image: keras.KerasTensor, **options: Any) -> keras.KerasTensor:
        from keras import layers

        x = layers.Rescaling(1 / 127.5, -1.0)(image)
        for i, channels in enumerate((8, 12, 16, 24), 1):
            channels = max(1, round(options["width"] * channels))
            x = layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False, name=f"block{i}_conv")(
                x
            )
            x = layers.BatchNormalization(name=f"block{i}_norm")(x)
            x = layers.ReLU(name=f"block{i}_relu")(x)
        return x

    def weights(self, **options: Any) -> Path:
        if options["width"] != 1:
            raise ValueError("there are weights of width=1 only")
        return Path(__file__).with_name("small_net.weights.h5")
