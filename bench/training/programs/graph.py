"""Parts of a backbone's graph: what lies above a cut, low-rank updates, pooling, and how outputs are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from bench.backbones.cuts import Cut, split
from bench.training.programs.optimizer import root_mean_square

NORMALISATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
)

EVALUATION_BATCH = 64
SHORT = 8
"""How long a ragged axis is where nothing is on it."""
LARGE = 1e9
"""Above any feature."""


@dataclass(frozen=True)
class Body:
    """What of a backbone lies above a cut, with what comes of it pooled; at the top, nothing does."""

    inputs: list[keras.KerasTensor]
    features: keras.KerasTensor
    network: keras.Model | None = None
    layers: list[keras.layers.Layer] = field(default_factory=list)
    adapters: list[Adapter] = field(default_factory=list)


def body_above(backbone: keras.Model, cut: Cut | None, pooling: str, rank: int) -> Body:
    """What lies above ``cut``, with low-rank updates of this ``rank`` (0: none); None: above the pooled output."""
    if cut is None:
        features = keras.Input((features_of(backbone.outputs).shape[-1],))
        return Body([features], features)
    _, above = split(backbone, cut)
    adapters: list[Adapter] = []
    if rank:
        above, adapters = with_adapters(above, rank, backbone.layers)
    return Body(above.inputs, pool(above.outputs, pooling), above, above.layers, adapters)


def parts(layers: Sequence[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Layers and all that they are made of: ConvNeXt has small models among its layers."""
    return [part for layer in layers for part in layer._flatten_layers()]


def trainable_of(layer: keras.layers.Layer, only: str) -> list[keras.Variable]:
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


@dataclass(frozen=True)
class Adapter:
    """A low-rank update of a layer: the kernels of its two halves, and the kernel that they update."""

    down: keras.Variable
    up: keras.Variable
    kernel: keras.Variable

    def scale(self) -> float:
        """For ``up``, which starts at zero: such that one learning rate is one relative change of the product."""
        rank, inputs = self.up.shape[-2], self.kernel.shape[-2]
        return root_mean_square(self.kernel) * float(np.sqrt(inputs / rank))


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
        axes = tuple(range(1, len(outputs.shape) - 1))
        return keras.ops.mean(outputs, axis=axes) if axes else outputs


def features_of(tensors: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    """The features among what a network gives, or what crosses a cut; a mask has an axis less."""
    return max(tensors, key=lambda tensor: len(tensor.shape))


def mask_of(tensors: Sequence[keras.KerasTensor]) -> list[keras.KerasTensor]:
    """Beside a sequence (t, c) the mask of what of it counts, (t,), 0 or 1; else nothing."""
    if len(features_of(tensors).shape) != 3:
        return []
    return [tensor for tensor in tensors if len(tensor.shape) == 2]


def pool(tensors: Sequence[keras.KerasTensor], pooling: str, name: str = "head") -> keras.KerasTensor:
    """Global pooling, ``avg`` or ``max``, of a map (h, w, c) or a sequence (t, c) to (c,), in float32.

    Args:
        tensors: the features, and of a sequence its mask, if it has one.
        pooling: ``avg`` or ``max``.
        name: what those of the layers begin with.
    """
    features, layers = features_of(tensors), keras.layers
    if mask := mask_of(tensors):
        return _pool_masked(features, mask[0], pooling)
    by_axes: dict[int, dict[str, Any]] = {
        2: {"avg": layers.Identity, "max": layers.Identity},
        3: {"avg": layers.GlobalAveragePooling1D, "max": layers.GlobalMaxPooling1D},
        4: {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D},
    }
    layer = by_axes[len(features.shape)][pooling]
    return layer(dtype="float32", name=f"{name}_{pooling}_pool")(features)


def _pool_masked(features: keras.KerasTensor, mask: keras.KerasTensor, pooling: str) -> keras.KerasTensor:
    """Of standard operations, so that an exported model needs nothing else to be read."""
    ops = keras.ops
    features, counts = ops.cast(features, "float32"), ops.expand_dims(ops.cast(mask, "float32"), -1)
    if pooling == "max":
        return ops.max(features + (counts - 1) * LARGE, axis=1)
    # One at least: what only fills a batch up has nothing that counts.
    return ops.sum(features * counts, axis=1) / ops.maximum(ops.sum(counts, axis=1), 1.0)


def in_batches(
    model: keras.Model, batch: Callable[[np.ndarray], list[np.ndarray]], count: int
) -> list[list[np.ndarray]]:
    """The model's outputs in batches of one fixed size (the last is padded, and cut), so nothing retraces."""
    results = []
    for first in range(0, count, EVALUATION_BATCH):
        index = np.arange(first, min(first + EVALUATION_BATCH, count))
        padded = np.resize(index, EVALUATION_BATCH)
        outputs = model.predict_on_batch(one_or_list(batch(padded)))
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        results.append([np.asarray(output)[: len(index)] for output in outputs])
    return results


def one_or_list(tensors: list[np.ndarray]) -> np.ndarray | list[np.ndarray]:
    return tensors if len(tensors) > 1 else tensors[0]
