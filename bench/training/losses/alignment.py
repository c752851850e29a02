"""Losses that make features of two domains alike. All in ``keras.ops``: they train on any backend.

``source`` and ``target`` are features (N, D) and (M, D), N, M > 1.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the kernels of ``mmd``, as multiples of the median squared distance."""


def reverse_gradient(features: Any, strength: Any = 1.0) -> Any:
    """The same values with gradients times ``-strength`` (Ganin et al. 2016, arXiv:1505.07818, section 4.2)."""
    return ops.stop_gradient(features * (1 + strength)) - features * strength


def coral(source: Any, target: Any) -> Any:
    """Squared distance of covariances over 4 D^2 (Deep CORAL, Sun & Saenko 2016, arXiv:1607.01719, eq. 1).

    Otherwise than in the paper, where it acts on the last layer's outputs with a constant weight, it acts here on
    the pooled features, and its weight rises as DANN's does (``strength``).
    """
    width = source.shape[-1]
    return ops.sum(ops.square(_covariance(source) - _covariance(target))) / (4 * width**2)


def _covariance(features: Any) -> Any:
    centred = features - ops.mean(features, axis=0, keepdims=True)
    count = ops.cast(ops.shape(features)[0], features.dtype)
    return ops.matmul(ops.transpose(centred), centred) / (count - 1)


def mmd(source: Any, target: Any) -> Any:
    """Squared maximum mean discrepancy, unbiased, with a mean of Gaussian kernels of several widths.

    Gretton et al. 2012, A kernel two-sample test, lemma 6; several widths as in Long et al. 2015, Learning
    transferable features with deep adaptation networks, arXiv:1502.02791. The widths follow the data and are
    not differentiated.
    """
    both = ops.concatenate([source, target], axis=0)
    squares = ops.sum(ops.square(both), axis=1, keepdims=True)
    distances = ops.maximum(squares + ops.transpose(squares) - 2 * ops.matmul(both, ops.transpose(both)), 0.0)
    scale = ops.stop_gradient(ops.median(distances)) + 1e-6
    kernel = sum(ops.exp(-distances / (scale * width)) for width in BANDWIDTHS) / len(BANDWIDTHS)
    n, m = ops.shape(source)[0], ops.shape(target)[0]
    a, b = ops.cast(n, both.dtype), ops.cast(m, both.dtype)
    # The diagonals are ones.
    within_source = (ops.sum(kernel[:n, :n]) - a) / (a * (a - 1))
    within_target = (ops.sum(kernel[n:, n:]) - b) / (b * (b - 1))
    return within_source + within_target - 2 * ops.mean(kernel[:n, n:])


class ReverseGradient(keras.layers.Layer):
    """``reverse_gradient`` as a layer, with its strength in a variable."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.strength = self.add_weight(shape=(), initializer="ones", trainable=False, name="strength")

    def call(self, features: Any) -> Any:
        return reverse_gradient(features, self.strength)


def confusion(source: Any, target: Any) -> Any:
    """Mean cross-entropy of logits (N, 1) and (M, 1) of being of the target; both domains weigh the same."""
    of_source = ops.mean(ops.softplus(ops.cast(source, "float32")))
    of_target = ops.mean(ops.softplus(-ops.cast(target, "float32")))
    return (of_source + of_target) / 2


class Alignment:
    """The loss that aligns domains, by what a stage calls it (``dann``, ``coral`` or ``mmd``).

    With ``dann`` the strength acts where gradients are reversed, on the network alone: the classifier of domains
    learns at full strength throughout.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.loss = {"dann": confusion, "coral": coral, "mmd": mmd}[kind]

    def __call__(self, source: Any, target: Any, strength: Any) -> Any:
        loss = self.loss(ops.cast(source, "float32"), ops.cast(target, "float32"))
        return loss if self.kind == "dann" else strength * loss


def strength(progress: float) -> float:
    """The share of its weight that an alignment has: a rise from 0 to 1 (Ganin et al. 2016, section 5.2.2).

    At first features are of no use to the task, and making them alike would only be in its way.

    Args:
        progress: share of the stage that is over, 0..1.
    """
    return 2 / (1 + math.exp(-10 * progress)) - 1
