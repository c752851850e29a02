"""Several training steps of a head in one call of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

STEPS_A_CALL = 16
"""How many steps of a head alone are done together; their examples are drawn together, with any backend."""


def fused_steps(model: keras.Model, activation: str) -> Callable[..., Any]:
    """Several training steps in one call of TensorFlow: of a step of a head alone, the call is nine tenths.

    Args:
        activation: of the logits, see ``TaskKind``.
    """
    import tensorflow as tf

    def right(logits: Any, targets: Any) -> Any:
        if activation == "sigmoid":
            return tf.equal(logits > 0, targets > 0.5)
        return tf.equal(tf.argmax(logits, axis=1), tf.argmax(targets, axis=1))

    # A free number of steps: only another batch size is another graph.
    @tf.function(autograph=False, reduce_retracing=True)
    def steps(inputs: Any, targets: Any, rates: Any) -> Any:
        def step(i: Any, losses: Any, accuracies: Any) -> Any:
            model.optimizer.learning_rate.assign(rates[i])
            with tf.GradientTape() as tape:
                logits = model(inputs[i], training=True)
                loss = model.compute_loss(y=targets[i], y_pred=logits)
                scaled = model.optimizer.scale_loss(loss)
            variables = model.trainable_variables
            model.optimizer.apply(tape.gradient(scaled, variables), variables)
            accuracy = tf.reduce_mean(tf.cast(right(logits, targets[i]), tf.float32))
            return i + 1, losses.write(i, loss), accuracies.write(i, accuracy)

        count = tf.shape(rates)[0]
        measured = (tf.TensorArray(tf.float32, count), tf.TensorArray(tf.float32, count))
        _, losses, accuracies = tf.while_loop(lambda i, *rest: i < count, step, (0, *measured))
        return losses.stack(), accuracies.stack()

    def call(inputs: np.ndarray, targets: np.ndarray, rates: np.ndarray) -> Any:
        signature = (tf.TensorSpec((None, *inputs.shape[1:])), tf.TensorSpec((None, *targets.shape[1:])))
        key = inputs.shape[1:]
        if key not in graphs:
            graphs[key] = steps.get_concrete_function(*signature, tf.TensorSpec((None,)))
        return graphs[key](*map(tf.constant, (inputs, targets, rates)))

    graphs: dict[tuple[int, ...], Any] = {}
    return call
