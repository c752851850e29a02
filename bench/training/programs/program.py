"""Compiled networks that are reused: built and traced once, then reset for each trial, fraction and seed.

Tracing a training step takes 8 to 25 seconds on two cores, as long as training a small cell. So a network is
compiled once for each graph, and a fit starts by writing initial values into its variables: weights,
optimizer state, seed generators, learning rate and weight decay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from bench.backbones.cuts import Cut, block_of, split
from bench.system.seeds import derived_seed, generator
from bench.training.losses.alignment import Alignment, ReverseGradient
from bench.training.losses.metric_losses import BATCH_IMAGES, LOSSES, ON_SPHERE, Unit, prototype_logits
from bench.training.losses.multitask import LogVariances, MultiTask
from bench.training.losses.own_loss import OwnLoss
from strategies.base import Stage

NORMALISATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
)

State = dict[str, np.ndarray]
"""Weights by place: ``"12:0"`` is weight 0 of the backbone's layer 12, ``"head_logits:0"`` one of the head."""

EVALUATION_BATCH = 64
CLIP_NORM = 1.0
TYPICAL_RMS = 0.1
"""Root mean square of a typical kernel; stands in where there is none."""
SMALLEST_RMS = 1e-3
STEPS_A_CALL = 16
"""How many steps of a head alone are done together; their images are drawn together, with any backend."""
DOMAIN_UNITS = 64
"""Of the hidden layer of the classifier of domains."""
NEW = ("head_", "lora_", "domain_", "auxiliary_")
"""How the names of layers begin that no backbone has."""
APART = ("domain_", "auxiliary_")
"""How the names of those begin that are no part of the classifier."""
LOG_VARIANCES = "auxiliary_log_variances:0"


@dataclass(frozen=True)
class HeadConfig:
    """The head: pooling ``avg`` or ``max``, hidden units (0: none), dropout rate, classes."""

    pooling: str
    hidden_units: int
    dropout: float
    classes: int


@dataclass(frozen=True)
class Trained:
    """What of a network above a cut trains: all that changes the graph of a training step; see ``Stage``."""

    batch_norm: bool = False
    blocks: int = 0
    only: str = "all"
    anchored: bool = False
    """Whether weight decay pulls towards the start of the stage."""
    rank: int = 0
    align: str = "none"
    mixed: bool = False
    """Whether half of the labelled examples of an aligned batch are of the target."""
    auxiliary: tuple[int, ...] = ()
    """The classes of each auxiliary task."""
    learned: bool = False
    """Whether the weights of their losses are learned."""
    embedding_loss: str = ""
    """The loss of ``losses.metric_losses`` if there is no classifier: outputs are features then, and a
    batch is one image of each class after the other."""

    @classmethod
    def of(cls, stage: Stage, mixed: bool = False, auxiliary: tuple[int, ...] = ()) -> Trained:
        return cls(
            stage.batch_norm == "trained",
            stage.blocks,
            stage.only,
            stage.decay_to == "start",
            stage.rank,
            stage.align,
            mixed and stage.align != "none",
            auxiliary,
            bool(auxiliary) and stage.auxiliary == "learned",
        )


class _Aligned(OwnLoss):
    """A classifier that is trained on two domains at once, and is to see no difference between them.

    Outputs are logits (N, classes), and features (N, D) or the logit of being of the target (N, 1). A batch is in
    two halves, labelled examples and then target images whose labels are zeros; if it is ``mixed``, the labelled
    half is itself in two, of the source and of the target.
    """

    def __init__(self, inputs: Any, outputs: Any, trained: Trained, loss: keras.losses.Loss) -> None:
        super().__init__(inputs, outputs, name="network")
        self.alignment = Alignment(trained.align)
        self.mixed = trained.mixed
        self.classify = loss
        self.strength = keras.Variable(0.0, trainable=False, name="strength")
        self.accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")

    def own_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        logits, other = y_pred
        labelled = keras.ops.shape(logits)[0] // 2
        of_source = labelled - labelled // 2 if self.mixed else labelled
        loss = self.classify(y[:labelled], logits[:labelled])
        return loss + self.alignment(other[:of_source], other[of_source:], self.strength)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        labelled = keras.ops.shape(y)[0] // 2
        self.accuracy.update_state(y[:labelled], y_pred[0][:labelled])
        return self.get_metrics_result()


class _Embedding(OwnLoss):
    """A network that is trained to bring images of one class together; its outputs are features (N, D)."""

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
        return keras.ops.reshape(features, (BATCH_IMAGES, self.classes, features.shape[-1]))

    def own_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        return self.of_features(self._by_class(y_pred))

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        logits = prototype_logits(self._by_class(y_pred))
        of = keras.ops.arange(logits.shape[0]) % self.classes
        self.accuracy.update_state(of, logits)
        return self.get_metrics_result()


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


class Program:
    """A compiled network above a cut of a backbone.

    Args:
        backbone: a backbone of its own: no other program may share its layers, since whether a layer trains
            is fixed when the training step is traced.
        cuts: of ``find_cuts``, for the same backbone.
        cut: the one where it is cut; None: above the pooled output, only the head trains.
        head: what stands on top.
        trained: what of it trains.
        label_smoothing: of the cross-entropy (Szegedy et al. 2016, arXiv:1512.00567).
    """

    def __init__(
        self,
        backbone: keras.Model,
        cuts: Sequence[Cut],
        cut: Cut | None,
        head: HeadConfig,
        trained: Trained,
        label_smoothing: float,
    ) -> None:
        self.head = head
        self.classes = (head.classes, *trained.auxiliary)
        """Of the target, and of each auxiliary task."""
        self._adapters: list[Adapter] = []
        if cut is None:
            inputs = [keras.Input((backbone.output.shape[-1],))]
            features, body = inputs[0], []
        else:
            _, above = split(backbone, cut)
            if trained.rank:
                above, self._adapters = with_adapters(above, trained.rank, backbone.layers)
            inputs, body = above.inputs, above.layers
            features = pool(above.output, head.pooling)
        # The head computes in float32 whatever the precision of the backbone: it costs nothing.
        # Features of a frozen backbone differ in scale by orders of magnitude; one learning rate for all of
        # them needs them standardised. Mean and variance are set once, from training images.
        features = keras.layers.BatchNormalization(
            center=False, scale=False, epsilon=1e-5, trainable=False, dtype="float32", name="head_standardise"
        )(features)
        shared = features
        if head.hidden_units:
            features = keras.layers.Dense(
                head.hidden_units, activation="relu", dtype="float32", name="head_hidden"
            )(features)
        aligned = features
        if head.dropout and not trained.embedding_loss:
            features = keras.layers.Dropout(head.dropout, dtype="float32", name="head_dropout")(features)
        if not trained.embedding_loss:
            logits = keras.layers.Dense(head.classes, dtype="float32", name="head_logits")(features)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)
        align = trained.align != "none"
        ends = inputs if len(inputs) > 1 else inputs[0]
        self._reverse: keras.Variable | None = None
        if align:
            if trained.align == "dann":
                aligned, self._reverse = _domain_classifier(aligned)
            self.model = _Aligned(ends, [logits, aligned], trained, loss)
        elif trained.embedding_loss:
            self.model = _Embedding(ends, features, trained.embedding_loss, head.classes)
        elif trained.auxiliary:
            outputs = [logits, *_auxiliary_heads(shared, trained)]
            self.model = MultiTask(ends, outputs, 1 + len(trained.auxiliary), label_smoothing)
        else:
            self.model = keras.Model(ends, logits, name="network")

        places = {id(layer): str(i) for i, layer in enumerate(backbone.layers)}
        own = {id(layer) for layer in body} & places.keys()  # but for the inputs of a part
        self.variables: dict[str, keras.Variable] = {}
        self._batch_norms: list[keras.layers.BatchNormalization] = []
        for layer in self.model.layers:
            place = places[id(layer)] if id(layer) in own else layer.name
            self.variables |= {f"{place}:{k}": variable for k, variable in enumerate(layer.weights)}
            for part in parts([layer]) if id(layer) in own else []:
                if isinstance(part, keras.layers.BatchNormalization):
                    part.trainable = trained.batch_norm
                    if trained.batch_norm:
                        self._batch_norms.append(part)
        self._head_variables = {
            id(v) for place, v in self.variables.items() if place.startswith(("head_", *APART))
        }
        blocks = block_of(list(cuts))
        self._depths = {
            id(v): len(cuts) - 1 - blocks[layer.name]
            for layer in body
            if id(layer) in own
            for v in layer.weights
        }
        """How many blocks lie above a variable's own."""
        if trained.blocks or trained.only != "all" or trained.rank:
            chosen = {
                id(v)
                for layer in self.model.layers
                if layer.name.startswith(NEW)
                for v in layer.trainable_variables
            }
            for layer in [] if trained.rank else [layer for layer in body if id(layer) in own]:
                above_cut = blocks[layer.name] - list(cuts).index(cut) if cut is not None else 0
                if not trained.blocks or 0 < above_cut <= trained.blocks:
                    chosen |= {id(v) for v in _trainable(layer, trained.only)}
            # Of the variables, not of their layers: batch normalisation that is not trainable uses its moving
            # statistics and leaves them alone, and its scale and offset may train all the same.
            for variable in self.model.variables:
                variable.trainable = id(variable) in chosen
        for layer in self.model._flatten_layers():
            if hasattr(layer, "seed_generator"):
                # Keras on PyTorch drops by PyTorch's own generator, which ``reset`` cannot set, unless this says
                # that there was a seed.
                layer.seed_generator._initial_seed = 0
        self.optimizer = AdamW()
        self.model.compile(
            optimizer=self.optimizer,
            # JAX compiles with XLA or not at all; with TensorFlow, XLA is five times slower on a CPU.
            jit_compile=keras.backend.backend() == "jax",
            **(
                {}
                if align or trained.auxiliary or trained.embedding_loss
                else {"loss": loss, "metrics": ["accuracy"]}
            ),
        )
        # With float16 Keras wraps the optimizer in one that scales the loss (Micikevicius et al. 2018,
        # arXiv:1710.03740), by a factor that it adapts.
        self.model.optimizer.build(self.model.trainable_variables)
        if trained.anchored:
            self.optimizer.anchor(
                [i for i, v in enumerate(self.model.trainable_variables) if id(v) not in self._head_variables]
            )
        self._statistics = TrainingForward(above) if self._batch_norms else None
        self._fused = (
            _fused_steps(self.model)
            if cut is None and keras.backend.backend() == "tensorflow" and not trained.auxiliary
            else None
        )
        self.steps_a_call = STEPS_A_CALL if cut is None else 1
        """How many steps ``train_steps`` is best given at once."""
        self._warm: set[int] = set()

    @property
    def trainable_params(self) -> int:
        """Of the classifier: what only tells domains apart is no part of it."""
        apart = {id(v) for place, v in self.variables.items() if place.startswith(APART)}
        return int(sum(np.prod(v.shape) for v in self.model.trainable_variables if id(v) not in apart))

    def warm(self, batch: int) -> None:
        """Traces everything that a fit with this batch size runs; weights are whatever they are afterwards."""
        if batch in self._warm:
            return
        shapes = [tuple(tensor.shape[1:]) for tensor in self.model.inputs]
        steps = [np.zeros((1, batch, *s), np.float32) for s in shapes]
        self.train_steps(steps, np.zeros((1, batch, len(self.classes)), np.int64), np.zeros(1))
        if not self._warm:
            zeros = [np.zeros((EVALUATION_BATCH, *s), np.float32) for s in shapes]
            self.model.predict_on_batch(_one_or_list(zeros))
            if self._statistics is not None:
                self._statistics.predict_on_batch(_one_or_list(zeros))
        self._warm.add(batch)

    def reset(self, state: State, seed: int, weight_decay: float, rate_decay: float = 1.0) -> None:
        """Starts afresh: weights from ``state`` (a head or adapter that is not in it is drawn from ``seed``)."""
        for place, variable in self.variables.items():
            if place in state:
                variable.assign(state[place])
            elif place.startswith(NEW):
                variable.assign(self._initial(place, variable, seed))
            else:
                raise KeyError(place)
        for variable in self.optimizer.variables:
            _zero(variable)
        if isinstance(scaling := self.model.optimizer, keras.optimizers.LossScaleOptimizer):
            scaling.step_counter.assign(0)
            scaling.dynamic_scale.assign(scaling.initial_scale)
        trained = self.model.trainable_variables
        for i, anchor in self.optimizer.anchors.items():
            anchor.assign(trained[i])
        for variable, scale, decay in zip(trained, self.optimizer.scales, self.optimizer.decays, strict=True):
            share = rate_decay ** self._depths.get(id(variable), 0)
            scale.assign(self._scale(variable) * share)
            decay.assign(weight_decay * share)
        for adapter in self._adapters:
            self.optimizer.scales[self.optimizer._get_variable_index(adapter.up)].assign(adapter.scale())
        for i, layer in enumerate(self.model._flatten_layers()):
            if hasattr(layer, "seed_generator"):
                # Each layer its own: with one seed for all, what one block drops is dropped by all others.
                own = derived_seed("dropout", seed, i) % 2**31
                layer.seed_generator.state.assign(np.array([own, 0], np.uint32))

    def _scale(self, variable: keras.Variable) -> float:
        """What the learning rate is relative to; for vectors and the head, which may start at zero, fixed."""
        if variable is self.variables.get(LOG_VARIANCES):
            return 1.0  # of logarithms: a learning rate is itself a relative change of the weights of losses
        if len(variable.shape) < 2 or id(variable) in self._head_variables:
            return TYPICAL_RMS
        return max(float(np.sqrt(np.mean(np.square(np.array(variable))))), SMALLEST_RMS)

    def _initial(self, place: str, variable: keras.Variable, seed: int) -> np.ndarray:
        shape = tuple(variable.shape)
        if place.endswith("_down:0"):
            return generator(seed, place).normal(0, shape[-2] ** -0.5, shape).astype(np.float32)
        if place in ("head_hidden:0", "domain_hidden:0"):
            limit = np.sqrt(6 / sum(shape))  # Glorot & Bengio 2010
            return generator(seed, place).uniform(-limit, limit, shape).astype(np.float32)
        # The linear layer starts at zero: the first predictions are uniform, the first steps cannot explode.
        return np.ones(shape, np.float32) if place == "head_standardise:1" else np.zeros(shape, np.float32)

    def state(self) -> State:
        """A copy of all weights."""
        return {place: np.array(variable) for place, variable in self.variables.items()}

    def merged(self, state: State) -> State:
        """The same network without adapters: their products are in the kernels."""
        places = {id(variable): place for place, variable in self.variables.items()}
        result = {place: value for place, value in state.items() if not place.startswith("lora_")}
        for adapter in self._adapters:
            kernel, down, up = (places[id(v)] for v in (adapter.kernel, adapter.down, adapter.up))
            result[kernel] = state[kernel] + state[down] @ state[up]
        return result

    def train_steps(
        self,
        inputs: list[np.ndarray],
        labels: np.ndarray,
        rates: np.ndarray,
        strengths: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Optimizer steps, one after the other.

        Args:
            inputs: float32, (steps, batch, ...) each.
            labels: integers, (steps, batch), with auxiliary tasks (steps, batch, tasks); -1 for an example that has
                none.
            rates: the learning rate of each step, (steps,).
            strengths: of what aligns the domains, or the weight of auxiliary losses, in each step, (steps,);
                None: 0.

        Returns:
            Mean loss and accuracy of each batch, (steps,) both; with auxiliary tasks, of the target alone.
        """
        of_tasks = labels if labels.ndim == 3 else labels[..., None]
        targets = [_one_hot(of_tasks[..., k], classes) for k, classes in enumerate(self.classes)]
        if self._fused is not None:
            losses, accuracies = self._fused(inputs[0], targets[0], rates.astype(np.float32))
            return np.asarray(losses), np.asarray(accuracies)
        measured = []
        for i, rate in enumerate(rates):
            self.optimizer.learning_rate.assign(rate)
            if isinstance(self.model, (_Aligned, MultiTask)):
                strength = 0.0 if strengths is None else float(strengths[i])
                (self.model.strength if self._reverse is None else self._reverse).assign(strength)
            batch = _one_or_list([tensor[i] for tensor in inputs])
            labelled = _one_or_list([target[i] for target in targets])
            told = self.model.train_on_batch(batch, labelled, return_dict=True)
            measured.append([float(told["loss"]), float(told["accuracy"])])
        losses, accuracies = np.array(measured).T
        return losses, accuracies

    def probabilities(self, batch: Callable[[np.ndarray], list[np.ndarray]], count: int) -> np.ndarray:
        """Class probabilities of ``count`` examples, float32 (count, classes); ``batch`` gives their inputs."""
        logits = np.concatenate([out[0] for out in in_batches(self.model, batch, count)])
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    def standardise(self, batch: Callable[[np.ndarray], list[np.ndarray]], count: int) -> None:
        """Sets the head's mean and variance from the pooled features of ``count`` examples (cut at the top)."""
        width = self.variables["head_standardise:0"].shape[0]
        first, second = np.zeros(width), np.zeros(width)
        for i in range(0, count, 1024):
            features = batch(np.arange(i, min(i + 1024, count)))[0].astype(np.float64)
            first += features.sum(axis=0)
            second += np.square(features).sum(axis=0)
        mean = first / count
        self.variables["head_standardise:0"].assign(mean)
        self.variables["head_standardise:1"].assign(np.maximum(second / count - mean**2, 0))

    def reestimate(self, batch: Callable[[np.ndarray], list[np.ndarray]], count: int) -> None:
        """Sets the statistics of batch normalisation to those of ``count`` examples under present weights.

        What moves along during training lags behind the weights, which over few steps leaves a trained
        network at chance. Each batch's moments are read off exactly: with moving statistics at zero, one
        forward pass leaves ``(1 - momentum)`` times the moments in them. Pooled over batches by the law of
        total variance.
        """
        if self._statistics is None:
            return
        means: list[list[np.ndarray]] = [[] for _ in self._batch_norms]
        variances: list[list[np.ndarray]] = [[] for _ in self._batch_norms]
        for first in range(0, count, EVALUATION_BATCH):
            for layer in self._batch_norms:
                _zero(layer.moving_mean)
                _zero(layer.moving_variance)
            # The last batch is filled up with the first images: batches of one size weigh the same.
            rows = np.arange(first, first + EVALUATION_BATCH) % count
            self._statistics.predict_on_batch(_one_or_list(batch(rows)))
            for i, layer in enumerate(self._batch_norms):
                means[i].append(np.array(layer.moving_mean, np.float64) / (1 - layer.momentum))
                variances[i].append(np.array(layer.moving_variance, np.float64) / (1 - layer.momentum))
        for i, layer in enumerate(self._batch_norms):
            layer.moving_mean.assign(np.mean(means[i], axis=0))
            layer.moving_variance.assign(np.mean(variances[i], axis=0) + np.var(means[i], axis=0))

    def between_domains(
        self, state: State, *domains: tuple[Callable[[np.ndarray], list[np.ndarray]], int]
    ) -> State:
        """The state with batch normalisation that sees a second domain as it has seen the first.

        Adaptive batch normalisation (Li et al. 2016, arXiv:1603.04779) takes the second domain's statistics in
        place of the first one's. Where a layer's statistics are neither, as of frozen pretrained weights, they are
        moved and stretched as the domains' differ: what the layer gives has one mean and variance in both.

        Args:
            state: weights, trained on the first domain.
            domains: of each, what gives its images, and how many there are; see ``reestimate``.
        """
        found = []
        for batch, count in domains:
            self.reset(state, 0, 0.0)
            self.reestimate(batch, count)
            found.append([(np.array(n.moving_mean), np.array(n.moving_variance)) for n in self._batch_norms])
        self.reset(state, 0, 0.0)
        for layer, (mean, variance), (new_mean, new_variance) in zip(self._batch_norms, *found, strict=True):
            stretch = (new_variance + layer.epsilon) / (variance + layer.epsilon)
            offset = (mean - np.array(layer.moving_mean)) * np.sqrt(stretch)
            layer.moving_mean.assign(new_mean - offset)
            layer.moving_variance.assign(np.array(layer.moving_variance) * stretch)
        return self.state()


def _domain_classifier(features: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.Variable]:
    """The logit of being of the target, with gradients reversed (Ganin et al. 2016), and by how much they are."""
    reverse = ReverseGradient(dtype="float32", name="domain_reverse")
    hidden = keras.layers.Dense(DOMAIN_UNITS, activation="relu", dtype="float32", name="domain_hidden")
    logit = keras.layers.Dense(1, dtype="float32", name="domain_logit")
    return logit(hidden(reverse(features))), reverse.strength


def _zero(variable: keras.Variable) -> None:
    variable.assign(keras.ops.zeros(variable.shape, variable.dtype))


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


def _one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """float32 (..., classes); zeros where a label is -1."""
    targets = np.eye(classes, dtype=np.float32)[labels]
    targets[labels < 0] = 0
    return targets


def _trainable(layer: keras.layers.Layer, only: str) -> list[keras.Variable]:
    """Those variables of a layer that train."""
    if only == "all":
        return list(layer.trainable_variables)
    found = []
    for part in parts([layer]):
        normalises = isinstance(part, NORMALISATIONS)
        found += [part.beta] if normalises else []
        found += [part.gamma] if normalises and only == "norm" else []
        found += [getattr(part, "bias", None)] if only == "bias" and not normalises else []
    return [v for v in found if v is not None]


def parts(layers: Sequence[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Layers and all that they are made of: ConvNeXt has small models among its layers."""
    return [part for layer in layers for part in layer._flatten_layers()]


@dataclass(frozen=True)
class Adapter:
    """A low-rank update of a layer: the kernels of its two halves, and the kernel that they update."""

    down: keras.Variable
    up: keras.Variable
    kernel: keras.Variable

    def scale(self) -> float:
        """For ``up``, which starts at zero: such that one learning rate is one relative change of the product."""
        rank, inputs = self.up.shape[-2], self.kernel.shape[-2]
        rms = float(np.sqrt(np.mean(np.square(np.array(self.kernel)))))
        return max(rms, SMALLEST_RMS) * float(np.sqrt(inputs / rank))


def with_adapters(
    network: keras.Model, rank: int, layers: Sequence[keras.layers.Layer]
) -> tuple[keras.Model, list[Adapter]]:
    """The same layers with a low-rank update beside every dense layer and 1 x 1 convolution (Hu et al. 2021,
    arXiv:2106.09685), which begins at zero.

    Args:
        network: a part of the backbone.
        rank: of the updates.
        layers: of the whole backbone. An update is named by its layer's place among them: names that Keras gives
            depend on what else the process has built.
    """
    places = {id(layer): i for i, layer in enumerate(layers)}
    made: list[tuple[keras.layers.Layer, keras.layers.Layer, keras.layers.Layer]] = []

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        output = layer(*arguments, **options)
        if not takes_adapter(layer):
            return output
        name = f"lora_{places[id(layer)]}"
        if isinstance(layer, keras.layers.Dense):
            down = keras.layers.Dense(rank, use_bias=False, name=f"{name}_down")
            up = keras.layers.Dense(
                layer.units, use_bias=False, kernel_initializer="zeros", name=f"{name}_up"
            )
        else:
            down = keras.layers.Conv2D(rank, 1, layer.strides, use_bias=False, name=f"{name}_down")
            up = keras.layers.Conv2D(
                layer.filters, 1, use_bias=False, kernel_initializer="zeros", name=f"{name}_up"
            )
        made.append((layer, down, up))
        return keras.layers.Add(name=f"{name}_sum")([output, up(down(arguments[0]))])

    adapted = keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)
    return adapted, [Adapter(down.kernel, up.kernel, layer.kernel) for layer, down, up in made]


def takes_adapter(layer: Any) -> bool:
    """Whether a layer is a linear map of channels that a low-rank update fits."""
    linear = getattr(layer, "activation", None) in (None, keras.activations.linear)
    if isinstance(layer, keras.layers.Dense):
        return linear
    return type(layer) is keras.layers.Conv2D and layer.kernel_size == (1, 1) and layer.groups == 1 and linear


def _fused_steps(model: keras.Model) -> Callable[..., Any]:
    """Several training steps in one call of TensorFlow: of a step of a head alone, the call is nine tenths."""
    import tensorflow as tf

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
            hits = tf.equal(tf.argmax(logits, axis=1), tf.argmax(targets[i], axis=1))
            accuracy = tf.reduce_mean(tf.cast(hits, tf.float32))
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


class TrainingForward(keras.Model):
    """Runs a network as in training, without dropout and without training it."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.network = network

    def call(self, inputs: object, training: bool | None = None) -> object:
        dropouts = [layer for layer in parts(self.network.layers) if hasattr(layer, "rate")]
        rates = [layer.rate for layer in dropouts]
        for layer in dropouts:
            layer.rate = 0.0  # as this is traced; put back at once, so that no other graph sees it
        try:
            outputs = self.network(inputs, training=True)
        finally:
            for layer, rate in zip(dropouts, rates, strict=True):
                layer.rate = rate
        return keras.ops.mean(outputs, axis=(1, 2))


def pool(features: keras.KerasTensor, pooling: str, name: str = "head") -> keras.KerasTensor:
    """Global pooling, ``avg`` or ``max``, of a feature map (h, w, c) to (c,), in float32."""
    layer = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}[pooling]
    return layer(dtype="float32", name=f"{name}_{pooling}_pool")(features)


def in_batches(
    model: keras.Model, batch: Callable[[np.ndarray], list[np.ndarray]], count: int
) -> list[list[np.ndarray]]:
    """The model's outputs in batches of one fixed size (the last is padded, and cut), so nothing retraces."""
    results = []
    for first in range(0, count, EVALUATION_BATCH):
        index = np.arange(first, min(first + EVALUATION_BATCH, count))
        padded = np.resize(index, EVALUATION_BATCH)
        outputs = model.predict_on_batch(_one_or_list(batch(padded)))
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        results.append([np.asarray(output)[: len(index)] for output in outputs])
    return results


def _one_or_list(tensors: list[np.ndarray]) -> np.ndarray | list[np.ndarray]:
    return tensors if len(tensors) > 1 else tensors[0]
