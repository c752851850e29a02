"""What aligns two domains. All in ``keras.ops``: it trains on any backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import keras
from keras import ops


class Alignment:
    """A loss that makes features of two domains alike, with a weight that rises.

    Args:
        loss: of the features of the source and of the target, float32 (N, D) and (M, D), N, M > 1.

    Attributes:
        strength: its weight, a variable that is set before each step.
    """

    def __init__(self, loss: Callable[[Any, Any], Any]) -> None:
        self.loss = loss
        self.strength = keras.Variable(0.0, trainable=False, name="strength")

    def of(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """What it looks at, from the features below the classifier; its layers are called ``domain_...``."""
        return features

    def __call__(self, source: Any, target: Any) -> Any:
        return self.strength * self.loss(ops.cast(source, "float32"), ops.cast(target, "float32"))


def alignment(name: str) -> Alignment:
    """The one that a stage calls so: ``made()`` in the file of this name."""
    found: Alignment = import_module(f"bench.training.losses.alignment.{name}").made()
    return found


def strength(progress: float) -> float:
    """The share of its weight that an alignment has: a rise from 0 to 1 (Ganin et al. 2016, section 5.2.2).

    At first features are of no use to the task, and making them alike would only be in its way.

    Args:
        progress: share of the stage that is over, 0..1.
    """
    return 2 / (1 + math.exp(-10 * progress)) - 1
