"""Compiled networks that are reused: built and traced once, then reset for each trial, fraction and seed.

Tracing a training step takes 8 to 25 seconds on two cores, as long as training a small cell. So a network is
compiled once for each graph, and a fit starts by writing initial values into its variables: weights,
optimizer state, seed generators, learning rate and weight decay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from bench.backbones.cuts import Cut, block_of
from bench.system.seeds import derived_seed, generator
from bench.tasks.registry import TASKS
from bench.training.programs.config import APART, LOG_VARIANCES, NEW, HeadConfig, State, Trained
from bench.training.programs.fused import STEPS_A_CALL, fused_steps
from bench.training.programs.graph import (
    EVALUATION_BATCH,
    SHORT,
    Body,
    TrainingForward,
    body_above,
    in_batches,
    one_or_list,
    parts,
    trainable_of,
)
from bench.training.programs.objectives import network_for, put_head
from bench.training.programs.optimizer import TYPICAL_RMS, AdamW, root_mean_square


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
        self.classes = (head.classes, *trained.auxiliary)
        """Of the target, and of each auxiliary task."""
        self.task = TASKS[head.task]
        body = body_above(backbone, cut, head.pooling, trained.rank)
        top = put_head(body.features, head, classifies=not trained.embedding_loss)
        self.model, options = network_for(one_or_list(body.inputs), top, head, trained, label_smoothing)
        self._strength: keras.Variable | None = getattr(self.model, "strength", None)
        self._adapters = body.adapters
        own = self._collect(backbone, body, trained.batch_norm)
        blocks = block_of(list(cuts))
        self._depths = {id(v): len(cuts) - 1 - blocks[layer.name] for layer in own for v in layer.weights}
        """How many blocks lie above a variable's own."""
        if trained.blocks or trained.only != "all" or trained.rank:
            first = list(cuts).index(cut) if cut is not None else 0
            self._choose(own, {layer.name: blocks[layer.name] - first for layer in own}, trained)
        self._compile(options, trained.anchored)
        self._statistics = TrainingForward(body.network) if self._batch_norms else None
        fuses = cut is None and keras.backend.backend() == "tensorflow" and not trained.auxiliary
        self._fused = fused_steps(self.model, self.task.activation) if fuses else None
        self.steps_a_call = STEPS_A_CALL if cut is None else 1
        """How many steps ``train_steps`` is best given at once."""
        self.class_weights: np.ndarray | None = None
        """How much each class of the target weighs in the loss, where ``trained.weighted``; set before training."""
        self._warm: set[int] = set()

    def _collect(
        self, backbone: keras.Model, body: Body, batch_norm_trains: bool
    ) -> list[keras.layers.Layer]:
        """Names all variables and notes batch normalisation; gives the layers of the body that the backbone has."""
        places = {id(layer): str(i) for i, layer in enumerate(backbone.layers)}
        own = [layer for layer in body.layers if id(layer) in places]  # but for the inputs of a part
        of_backbone = {id(layer) for layer in own}
        self.variables: dict[str, keras.Variable] = {}
        self._batch_norms: list[keras.layers.BatchNormalization] = []
        for layer in self.model.layers:
            place = places[id(layer)] if id(layer) in of_backbone else layer.name
            self.variables |= {f"{place}:{k}": variable for k, variable in enumerate(layer.weights)}
            for part in parts([layer]) if id(layer) in of_backbone else []:
                if isinstance(part, keras.layers.BatchNormalization):
                    part.trainable = batch_norm_trains
                    if batch_norm_trains:
                        self._batch_norms.append(part)
        self._head_variables = {
            id(v) for place, v in self.variables.items() if place.startswith(("head_", *APART))
        }
        return own

    def _choose(
        self, layers: Sequence[keras.layers.Layer], above_cut: dict[str, int], trained: Trained
    ) -> None:
        """Lets only some variables of the body train, and all of the head.

        Args:
            layers: of the body.
            above_cut: by the name of a layer, which block above the cut it is of, from 1.
            trained: what trains.
        """
        new = [layer for layer in self.model.layers if layer.name.startswith(NEW)]
        chosen = {id(v) for layer in new for v in layer.trainable_variables}
        for layer in [] if trained.rank else layers:
            if not trained.blocks or 0 < above_cut[layer.name] <= trained.blocks:
                chosen |= {id(v) for v in trainable_of(layer, trained.only)}
        # Of the variables, not of their layers: batch normalisation that is not trainable uses its moving
        # statistics and leaves them alone, and its scale and offset may train all the same.
        for variable in self.model.variables:
            variable.trainable = id(variable) in chosen

    def _compile(self, options: dict[str, Any], anchored: bool) -> None:
        for layer in self.model._flatten_layers():
            if hasattr(layer, "seed_generator"):
                # Keras on PyTorch drops by PyTorch's own generator, which ``reset`` cannot set, unless this says
                # that there was a seed.
                layer.seed_generator._initial_seed = 0
        self.optimizer = AdamW()
        # JAX compiles with XLA or not at all; with TensorFlow, XLA is five times slower on a CPU.
        xla = keras.backend.backend() == "jax"
        self.model.compile(optimizer=self.optimizer, jit_compile=xla, **options)
        # With float16 Keras wraps the optimizer in one that scales the loss (Micikevicius et al. 2018,
        # arXiv:1710.03740), by a factor that it adapts.
        trained = self.model.trainable_variables
        self.model.optimizer.build(trained)
        if anchored:
            self.optimizer.anchor([i for i, v in enumerate(trained) if id(v) not in self._head_variables])

    @property
    def trainable_params(self) -> int:
        """Of the classifier: what only tells domains apart is no part of it."""
        apart = {id(v) for place, v in self.variables.items() if place.startswith(APART)}
        return int(sum(np.prod(v.shape) for v in self.model.trainable_variables if id(v) not in apart))

    def warm(self, batch: int) -> None:
        """Traces everything that a fit with this batch size runs; weights are whatever they are afterwards."""
        if batch in self._warm:
            return
        steps = [blank(tensor, 1, batch) for tensor in self.model.inputs]
        self.train_steps(steps, self._no_labels(batch), np.zeros(1))
        if not self._warm:
            zeros = [blank(tensor, EVALUATION_BATCH) for tensor in self.model.inputs]
            self.model.predict_on_batch(one_or_list(zeros))
            if self._statistics is not None:
                self._statistics.predict_on_batch(one_or_list(zeros))
        self._warm.add(batch)

    def _no_labels(self, batch: int) -> np.ndarray:
        """Labels of a step of which only the shape matters."""
        width = self.classes[0] if self.task.activation == "sigmoid" else len(self.classes)
        return np.zeros((1, batch, width), np.int64)

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
        return root_mean_square(variable)

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
            inputs: (steps, batch, ...) each.
            labels: integers, (steps, batch), with auxiliary tasks (steps, batch, tasks); -1 for an example that has
                none. Of any number of labels each, 0 and 1, (steps, batch, classes).
            rates: the learning rate of each step, (steps,).
            strengths: of what aligns the domains, or the weight of auxiliary losses, in each step, (steps,);
                None: 0.

        Returns:
            Mean loss and accuracy of each batch, (steps,) both; with auxiliary tasks, of the target alone.
        """
        many = self.task.activation == "sigmoid"
        of_tasks = labels if labels.ndim == 3 and not many else labels[..., None]
        targets = [self.task.targets(of_tasks[..., k], classes) for k, classes in enumerate(self.classes)]
        if self.class_weights is not None:
            targets[0] *= self.class_weights.astype(np.float32)[of_tasks[..., 0], None]
        if self._fused is not None:
            losses, accuracies = self._fused(inputs[0], targets[0], rates.astype(np.float32))
            return np.asarray(losses), np.asarray(accuracies)
        measured = []
        for i, rate in enumerate(rates):
            self.optimizer.learning_rate.assign(rate)
            if self._strength is not None:
                self._strength.assign(0.0 if strengths is None else float(strengths[i]))
            batch = one_or_list([tensor[i] for tensor in inputs])
            labelled = one_or_list([target[i] for target in targets])
            told = self.model.train_on_batch(batch, labelled, return_dict=True)
            measured.append([float(told["loss"]), float(told["accuracy"])])
        losses, accuracies = np.array(measured).T
        return losses, accuracies

    def probabilities(self, batch: Callable[[np.ndarray], list[np.ndarray]], count: int) -> np.ndarray:
        """Class probabilities of ``count`` examples, float32 (count, classes); ``batch`` gives their inputs."""
        logits = np.concatenate([out[0] for out in in_batches(self.model, batch, count)])
        return self.task.probabilities(logits)

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
            # The last batch is filled up with the first examples: batches of one size weigh the same.
            rows = np.arange(first, first + EVALUATION_BATCH) % count
            self._statistics.predict_on_batch(one_or_list(batch(rows)))
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
            domains: of each, what gives its inputs, and how many there are; see ``reestimate``.
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


def blank(tensor: keras.KerasTensor, *batch: int) -> np.ndarray:
    """Zeros for an input of a network; a ragged axis is short."""
    axes = (SHORT if side is None else side for side in tensor.shape[1:])
    return np.zeros((*batch, *axes), tensor.dtype)


def _zero(variable: keras.Variable) -> None:
    variable.assign(keras.ops.zeros(variable.shape, variable.dtype))
