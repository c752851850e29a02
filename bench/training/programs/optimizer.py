"""AdamW with rates that are relative to what they change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

CLIP_NORM = 1.0
TYPICAL_RMS = 0.1
"""Root mean square of a typical kernel; stands in where there is none."""
SMALLEST_RMS = 1e-3


def root_mean_square(variable: keras.Variable) -> float:
    """What a kernel's learning rate is relative to."""
    return max(float(np.sqrt(np.mean(np.square(np.array(variable))))), SMALLEST_RMS)


class AdamW(keras.optimizers.AdamW):
    """AdamW with learning rates relative to the size of what they change, all of it in variables.

    Adam moves every weight by about the learning rate, whatever its size, so a rate that suits one network
    wrecks another: ImageNet weights of MobileNet's depthwise kernels are ten times those of EfficientNet's.
    Here a kernel's rate is the learning rate times the root mean square of its initial values (as in
    Adafactor, Shazeer & Stern 2018, arXiv:1804.04235, section 8, but of the initial values): one learning
    rate means one relative change, in any network and layer. Weight decay is decoupled from the scales. It pulls
    what has an anchor to that, and kernels alone to zero, whatever vectors are called: ConvNeXt's have no name.
    """

    def __init__(self) -> None:
        super().__init__(learning_rate=1e-3, weight_decay=0.0, global_clipnorm=CLIP_NORM, name="adamw")
        self.scales: list[keras.Variable] = []
        """By index of a variable, what its learning rate is multiplied by."""
        self.decays: list[keras.Variable] = []
        """Likewise, its weight decay: one for each, as that falls with the rates from block to block."""
        self.anchors: dict[int, keras.Variable] = {}
        """By index of a variable: what weight decay pulls it to."""

    def build(self, variables: Sequence[keras.Variable]) -> None:
        super().build(variables)
        self.scales, self.decays = (
            [
                self.add_variable(shape=(), name=f"{name}_{i}", initializer=start)
                for i in range(len(variables))
            ]
            for name, start in (("scale", "ones"), ("decay", "zeros"))
        )

    def anchor(self, indices: Sequence[int]) -> None:
        """Lets weight decay pull these variables to ``anchors``, which are to be set."""
        for i in indices:
            shape = self._momentums[i].shape
            self.anchors[i] = self.add_variable(shape=shape, name=f"anchor_{i}", initializer="zeros")

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        rate = learning_rate * self.scales[index]
        if keras.backend.backend() != "tensorflow":
            super().update_step(gradient, variable, rate)
            return
        # The same arithmetic in one operation instead of a dozen for each variable: with a small network on
        # one core these are 7% of a training step.
        import tensorflow as tf

        step = keras.ops.cast(self.iterations + 1, "float32")
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=keras.ops.power(self.beta_1, step),
            beta2_power=keras.ops.power(self.beta_2, step),
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _backend_update_step(
        self, grads: Sequence[Any], trainable_variables: Sequence[keras.Variable], learning_rate: Any
    ) -> None:
        if keras.backend.backend() != "torch":
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        # The same arithmetic for all variables together: one by one they are 40% of a training step.
        import torch

        places = [self._get_variable_index(variable) for variable in trainable_variables]
        momentums, velocities, scales = (
            [kept[i].value for i in places] for kept in (self._momentums, self._velocities, self.scales)
        )
        torch._foreach_lerp_(momentums, grads, 1 - self.beta_1)
        torch._foreach_mul_(velocities, self.beta_2)
        torch._foreach_addcmul_(velocities, grads, grads, 1 - self.beta_2)
        step = self.iterations.value + 1
        rate = learning_rate * torch.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        changes = torch._foreach_div(
            momentums, torch._foreach_add(torch._foreach_sqrt(velocities), self.epsilon)
        )
        torch._foreach_mul_(changes, torch._foreach_mul(scales, rate))
        torch._foreach_sub_([variable.value for variable in trainable_variables], changes)

    def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
        for variable in variables:
            index = self._get_variable_index(variable)
            anchor = self.anchors.get(index)
            if len(variable.shape) > 1 or anchor is not None:
                factor = keras.ops.cast(self.learning_rate * self.decays[index], variable.dtype)
                away = variable if anchor is None else variable - anchor
                variable.assign(variable - away * factor)


def _handle(variable: Any) -> Any:
    """TensorFlow's own variable behind one of Keras."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
