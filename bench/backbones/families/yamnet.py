"""YAMNet: MobileNet on log-mel spectrograms, learned from the sounds of AudioSet.

Architecture and weights: https://github.com/tensorflow/models/tree/master/research/audioset/yamnet (Apache-2.0).
There it hears patches of 0.96 s one by one; here one clip as a whole, which is the same for clips of 0.96 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import keras
import numpy as np
from keras import layers, ops

from bench.backbones.log_mel import FRAME, WINDOW, banded, htk, power

# Stride and filters of each layer; all but the first are depthwise separable.
LAYERS = (
    (2, 32), (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *[(1, 512)] * 5, (2, 1024), (1, 1024)
)  # fmt: skip
BANDS, LOWEST, HIGHEST = 64, 125.0, 7_500.0
OFFSET = 0.001
"""Added before the logarithm."""


def yamnet(samples: keras.KerasTensor) -> keras.KerasTensor:
    """The network without its classifier.

    Args:
        samples: float32 (batch, samples), -1..1.

    Returns:
        The feature map (batch, frames, 2, 1024), one every 0.32 s.
    """
    x = ops.expand_dims(spectrogram(samples), -1)
    for number, (stride, filters) in enumerate(LAYERS, 1):
        name, strides = f"block{number}", stride
        if number > 1:
            deep = layers.DepthwiseConv2D(
                3, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
            )
            x, strides = _activated(deep(x), f"{name}_depthwise_conv"), 1
        what = f"{name}_pointwise_conv" if number > 1 else f"{name}_conv"
        wide = layers.Conv2D(
            filters, 1 if number > 1 else 3, strides, padding="same", use_bias=False, name=what
        )
        x = _activated(wide(x), what)
    return x


def spectrogram(samples: keras.KerasTensor) -> keras.KerasTensor:
    """What the convolutions take: (batch, frames, 64)."""
    # There a frame begins with its window, here with the zeros before it.
    edge = (FRAME - WINDOW) // 2
    magnitude = ops.sqrt(power(ops.pad(samples, ((0, 0), (edge, edge)))))
    return ops.log(banded(magnitude, htk(BANDS, LOWEST, HIGHEST)) + OFFSET)


def load(model: keras.Model, path: Path) -> None:
    """Copies the weights of a file laid out as ``yamnet.h5`` into a network of these layers.

    Raises:
        ValueError: a layer is missing or has another shape.
        OSError: it is no HDF5 file.
    """
    with h5py.File(path, "r") as file:
        for ours, theirs in _names():
            layer = model.get_layer(ours)
            if theirs not in file:
                raise ValueError(f"it has no layer {theirs}")
            group = file[theirs]
            values = [np.asarray(group[name]) for name in group.attrs.get("weight_names", ())]
            shapes, expected = [value.shape for value in values], [tuple(w.shape) for w in layer.weights]
            if shapes != expected:
                raise ValueError(f"its layer {theirs} has weights of shapes {shapes} in place of {expected}")
            layer.set_weights(values)


def _names() -> Iterator[tuple[str, str]]:
    """Each layer with weights, and what the file calls it."""
    for number in range(1, len(LAYERS) + 1):
        for part in ("depthwise_conv", "pointwise_conv") if number > 1 else ("conv",):
            yield f"block{number}_{part}", f"layer{number}/{part}"
            yield f"block{number}_{part}_bn", f"layer{number}/{part}/bn"


def _activated(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = layers.BatchNormalization(scale=False, epsilon=1e-4, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
