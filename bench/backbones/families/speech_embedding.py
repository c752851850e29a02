"""Google's speech embedding: 20 small convolutions on log-mel spectrograms, learned from 125 million clips.

Lin et al., Training Keyword Spotters with Limited and Synthesized Speech Data, ICASSP 2020, arXiv:2002.01322;
https://www.kaggle.com/models/google/speech-embedding (Apache-2.0). In its file batch normalisations are part of the
convolutions. They are here again, as identities, because from random weights nothing is learned without them.
Each vector is of 76 frames, 0.78 s, and the next begins 8 frames later. The original takes 16-bit samples.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from bench.backbones.families.tflite_reader import read_tensors
from bench.backbones.log_mel import DEPTH, banded, decibels, power, slaney

# Filters, how many convolutions, and the pooling (frames, bands) behind them; the first block begins with 3 x 3.
BLOCKS = ((24, 3, (2, 2)), (48, 4, (1, 2)), (72, 4, (2, 2)), (96, 4, (1, 2)), (96, 4, (2, 2)))
WIDTH = 96
BANDS, LOWEST, HIGHEST = 32, 60.0, 3_800.0
FULL = 2.0**15
"""What a sample of 1 is in 16 bits."""
LEAST = 1e-10
EPSILON = 2.0**-10
"""Of batch normalisations: binary, so that they change no bit of what the file gives."""


def speech_embedding(samples: keras.KerasTensor) -> keras.KerasTensor:
    """The network.

    Args:
        samples: float32 (batch, samples), -1..1.

    Returns:
        The feature map (batch, frames, 1, 96), one every 0.08 s.
    """
    x = ops.expand_dims(spectrogram(samples), -1)
    for number, (filters, count, pooling) in enumerate(BLOCKS, 1):
        for index in range(1, count + 1):
            kernel = (3, 3) if number == index == 1 else (1, 3) if index % 2 == (number > 1) else (3, 1)
            x = _convolved(x, filters, kernel, f"block{number}_conv{index}")
        x = layers.MaxPooling2D(pooling, name=f"block{number}_pool")(x)
    return layers.Conv2D(WIDTH, (3, 1), use_bias=False, kernel_initializer="he_normal", name="block6_conv1")(
        x
    )


def spectrogram(samples: keras.KerasTensor) -> keras.KerasTensor:
    """What the convolutions take: (batch, frames, 32), decibels / 10 + 2, of a clip's upper 80 dB."""
    level = decibels(banded(power(samples * FULL), slaney(BANDS, LOWEST, HIGHEST)), LEAST)
    level = ops.maximum(level, ops.max(level, axis=(1, 2), keepdims=True) - DEPTH)
    return level * 0.1 + 2.0


def load(model: keras.Model, path: Path) -> None:
    """Copies the weights of a ``embedding_model.tflite`` of pinned content into a network of these layers."""
    tensors = read_tensors(path)
    biases = {name.rpartition(";")[2]: value for name, value in tensors.items() if ";" in name}
    names = [
        f"block{number}_conv{i + 1}" for number, (_, count, _) in enumerate(BLOCKS, 1) for i in range(count)
    ]
    for place, name in enumerate(names):
        source = f"model/conv2d_{place}/Conv2D" if place else "model/conv2d/Conv2D"
        # The file keeps (out, height, width, in).
        model.get_layer(name).set_weights([tensors[source].transpose(1, 2, 3, 0), biases[source]])
        norm = model.get_layer(f"{name}_norm")
        norm.moving_variance.assign(np.full(norm.moving_variance.shape, 1 - EPSILON, np.float32))
    model.get_layer("block6_conv1").set_weights([tensors["model/conv2d_19/Conv2D1"].transpose(1, 2, 3, 0)])


def _convolved(x: keras.KerasTensor, filters: int, kernel: tuple[int, int], name: str) -> keras.KerasTensor:
    """A convolution that keeps the bands and no frame that it would have to fill up, with its activation."""
    if kernel == (3, 3):
        x = layers.ZeroPadding2D((0, 1), name=f"{name}_pad")(x)
    padding = "same" if kernel == (1, 3) else "valid"
    x = layers.Conv2D(filters, kernel, padding=padding, kernel_initializer="he_normal", name=name)(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_norm")(x)
    return ops.maximum(layers.LeakyReLU(0.2, name=f"{name}_relu")(x), -0.4)
