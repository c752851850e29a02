"""A Keras model whose loss is made from its outputs by a method of its own."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class OwnLoss(keras.Model):
    """Trains by ``own_loss`` in place of a loss that it is compiled with."""

    strength: keras.Variable | None = None
    """The weight of what stands beside the first loss, set before each step, where it has one."""

    def own_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        """The loss, a scalar, of inputs, labels and outputs of a batch, tensors all."""
        raise NotImplementedError(f"{type(self).__name__} has no own_loss()")

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        # Keras on PyTorch hands inputs and labels on as they came, as NumPy.
        x, y = (keras.tree.map_structure(_tensor, given) for given in (x, y))
        return self.own_loss(x, y, y_pred)


def _tensor(given: Any) -> Any:
    return None if given is None else ops.convert_to_tensor(given)
