"""What a network is trained for: its head, and the models whose losses are their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from bench.tasks.registry import TASKS
from bench.training.losses.alignment.base import Alignment, alignment
from bench.training.losses.metric_losses import BATCH_EXAMPLES, LOSSES, ON_SPHERE, Unit, prototype_logits
from bench.training.losses.multitask import LogVariances, MultiTask
from bench.training.losses.own_loss import OwnLoss
from bench.training.programs.config import HeadConfig, Trained


@dataclass(frozen=True)
class Head:
    """The tensors of a head, from the body upward; without hidden units or dropout, of the layer below."""

    standardised: keras.KerasTensor
    hidden: keras.KerasTensor
    logits: keras.KerasTensor | None
    """None without a classifier."""


def put_head(features: keras.KerasTensor, head: HeadConfig, classifies: bool) -> Head:
    """Puts a head on pooled features.

    It computes in float32 whatever the precision of the backbone: it costs nothing. Features of a frozen backbone
    differ in scale by orders of magnitude; one learning rate for all of them needs them standardised. Mean and
    variance are set once, from training examples.
    """
    standardised = keras.layers.BatchNormalization(
        center=False, scale=False, epsilon=1e-5, trainable=False, dtype="float32", name="head_standardise"
    )(features)
    hidden = standardised
    if head.hidden_units:
        units = keras.layers.Dense(head.hidden_units, "relu", dtype="float32", name="head_hidden")
        hidden = units(standardised)
    if not classifies:
        return Head(standardised, hidden, None)
    kept = hidden
    if head.dropout:
        kept = keras.layers.Dropout(head.dropout, dtype="float32", name="head_dropout")(hidden)
    logits = keras.layers.Dense(head.classes, dtype="float32", name="head_logits")(kept)
    return Head(standardised, hidden, logits)


def network_for(
    inputs: Any, head: Head, config: HeadConfig, trained: Trained, label_smoothing: float
) -> tuple[keras.Model, dict[str, Any]]:
    """The network with the loss that it is to be trained by, and what it is to be compiled with."""
    if TASKS[config.task].activation == "sigmoid":
        loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=label_smoothing)
        # Of logits: at 0, a label is as probable as not.
        right = keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")
        return keras.Model(inputs, head.logits, name="network"), {"loss": loss, "metrics": [right]}
    kind = WeightedCrossentropy if trained.weighted else keras.losses.CategoricalCrossentropy
    loss = kind(from_logits=True, label_smoothing=label_smoothing)
    if trained.align != "none":
        return Aligned(inputs, head, alignment(trained.align), trained.mixed, loss), {}
    if trained.embedding_loss:
        return Embedded(inputs, head.hidden, trained.embedding_loss, config.classes), {}
    if trained.auxiliary:
        outputs = [head.logits, *_auxiliary_heads(head.standardised, trained)]
        return MultiTask(inputs, outputs, 1 + len(trained.auxiliary), label_smoothing), {}
    return keras.Model(inputs, head.logits, name="network"), {"loss": loss, "metrics": ["accuracy"]}


class WeightedCrossentropy(keras.losses.CategoricalCrossentropy):
    """Cross-entropy of one-hot labels (N, classes) that come multiplied by the weights of their examples.

    They are divided by these before they are smoothed: TensorFlow's gradient is wrong for rows that do not add up
    to 1.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        weights = keras.ops.sum(y_true, axis=-1)
        return weights * super().call(y_true / keras.ops.expand_dims(weights, -1), y_pred)


class Aligned(OwnLoss):
    """A classifier that is trained on two domains at once, and is to see no difference between them.

    Outputs are logits (N, classes), and what the alignment looks at. A batch is in two halves, labelled examples
    and then those of the target, whose labels are zeros; if it is ``mixed``, the labelled half is itself in two,
    of the source and of the target.
    """

    def __init__(
        self, inputs: Any, head: Head, alignment: Alignment, mixed: bool, loss: keras.losses.Loss
    ) -> None:
        super().__init__(inputs, [head.logits, alignment.of(head.hidden)], name="network")
        self.alignment, self.mixed, self.classify = alignment, mixed, loss
        self.strength = alignment.strength
        self.accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")

    def own_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        logits, other = y_pred
        labelled = keras.ops.shape(logits)[0] // 2
        of_source = labelled - labelled // 2 if self.mixed else labelled
        loss = self.classify(y[:labelled], logits[:labelled])
        return loss + self.alignment(other[:of_source], other[of_source:])

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        labelled = keras.ops.shape(y)[0] // 2
        self.accuracy.update_state(y[:labelled], y_pred[0][:labelled])
        return self.get_metrics_result()


class Embedded(OwnLoss):
    """A network that is trained to bring examples of one class together; its outputs are features (N, D)."""

    def __init__(self, inputs: Any, features: Any, loss: str, classes: int) -> None:
        super().__init__(
            inputs,
            Unit(dtype="float32", name="head_unit")(features) if loss in ON_SPHERE else features,
            name="network",
        )
        self.of_features = LOSSES[loss]
        self.classes = classes
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")

    def _by_class(self, features: Any) -> Any:
        return keras.ops.reshape(features, (BATCH_EXAMPLES, self.classes, features.shape[-1]))

    def own_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        return self.of_features(self._by_class(y_pred))

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        logits = prototype_logits(self._by_class(y_pred))
        of = keras.ops.arange(logits.shape[0]) % self.classes
        self.accuracy.update_state(of, logits)
        return self.get_metrics_result()


def _auxiliary_heads(features: keras.KerasTensor, trained: Trained) -> list[keras.KerasTensor]:
    """The logits of each auxiliary task, and log variances where the weights of losses are learned."""
    found = [
        keras.layers.Dense(classes, dtype="float32", name=f"auxiliary_logits_{i}")(features)
        for i, classes in enumerate(trained.auxiliary)
    ]
    if trained.learned:
        tasks = 1 + len(trained.auxiliary)
        found.append(LogVariances(tasks, dtype="float32", name="auxiliary_log_variances")(features))
    return found
