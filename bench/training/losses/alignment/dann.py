"""A classifier of domains, and features that it cannot tell apart."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from bench.training.losses.alignment.base import Alignment

DOMAIN_UNITS = 64
"""Of the hidden layer of the classifier of domains."""


def reverse_gradient(features: Any, strength: Any = 1.0) -> Any:
    """The same values with gradients times ``-strength`` (Ganin et al. 2016, arXiv:1505.07818, section 4.2)."""
    return ops.stop_gradient(features * (1 + strength)) - features * strength


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


class Adversary(Alignment):
    """Looks at the logit of being of the target, with gradients reversed (Ganin et al. 2016).

    The strength acts where gradients are reversed, on the network alone: the classifier of domains learns at full
    strength throughout.
    """

    def __init__(self) -> None:
        self.loss = confusion
        self.reverse = ReverseGradient(dtype="float32", name="domain_reverse")
        self.strength = self.reverse.strength

    def of(self, features: keras.KerasTensor) -> keras.KerasTensor:
        hidden = keras.layers.Dense(DOMAIN_UNITS, activation="relu", dtype="float32", name="domain_hidden")
        logit = keras.layers.Dense(1, dtype="float32", name="domain_logit")
        return logit(hidden(self.reverse(features)))

    def __call__(self, source: Any, target: Any) -> Any:
        return self.loss(ops.cast(source, "float32"), ops.cast(target, "float32"))


def made() -> Alignment:
    return Adversary()
