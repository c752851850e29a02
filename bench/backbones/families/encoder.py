"""Encoders of text in the style of BERT, of standard Keras layers and operations alone.

The network that Devlin et al. 2018 (arXiv:1810.04805) call BERT, with the variations of RoBERTa (Liu et al. 2019,
arXiv:1907.11692: other numbers of positions) and DistilBERT (Sanh et al. 2019, arXiv:1910.01108: no kinds of
sentences). Every dense layer stands in the graph by itself: cuts, low-rank updates and partial training reach into
attention. Numbers are those of the originals: GELU is exact unless a configuration says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from bench.backbones.families.encoder_config import ACTIVATIONS, EncoderConfig


def encoder(tokens: keras.KerasTensor, config: EncoderConfig) -> list[keras.KerasTensor]:
    """The hidden states and the mask of a text.

    Args:
        tokens: int32 (batch, tokens).
        config: of the network.

    Returns:
        float (batch, tokens, width) and float32 (batch, tokens): 1 for tokens, 0 for what fills up.
    """
    mask = ops.cast(ops.not_equal(tokens, config.pad), "float32")
    places = ops.maximum(ops.cast(ops.cumsum(mask, axis=1), "int32") - 1, 0)
    words = layers.Embedding(config.vocabulary, config.width, _normal(config), name="embeddings_words")
    positions = layers.Embedding(config.positions, config.width, _normal(config), name="embeddings_positions")
    x = layers.Add(name="embeddings_sum")([words(tokens), positions(places)])
    x = _normalised(x, config, "embeddings")
    x = layers.Dropout(config.dropout, name="embeddings_dropout")(x)
    for i in range(config.layers):
        x = _layer(x, mask, config, f"layer_{i}")
    # Another tensor than the one that layers use: Keras cannot cut a graph at a tensor that it also gives.
    return [x, layers.Identity(name="mask")(mask)]


def _layer(
    x: keras.KerasTensor, mask: keras.KerasTensor, config: EncoderConfig, name: str
) -> keras.KerasTensor:
    """Attention and a feed-forward network, each added to what came in and normalised."""
    attended = _attention(x, mask, config, f"{name}_attention")
    attended = layers.Dropout(config.dropout, name=f"{name}_attention_dropout")(attended)
    x = _normalised(layers.Add(name=f"{name}_attention_sum")([x, attended]), config, f"{name}_attention")
    inner = _dense(config.feedforward, config, f"{name}_inner")(x)
    inner = layers.Activation(_activation(config.activation), name=f"{name}_activation")(inner)
    outer = _dense(config.width, config, f"{name}_outer")(inner)
    outer = layers.Dropout(config.dropout, name=f"{name}_dropout")(outer)
    return _normalised(layers.Add(name=f"{name}_sum")([x, outer]), config, name)


def _attention(
    x: keras.KerasTensor, mask: keras.KerasTensor, config: EncoderConfig, name: str
) -> keras.KerasTensor:
    def heads(what: str) -> keras.KerasTensor:
        projected = _dense(config.width, config, f"{name}_{what}")(x)
        shape = (-1, config.heads, config.width // config.heads)
        return layers.Reshape(shape, name=f"{name}_{what}_heads")(projected)

    # (batch, 1, 1, tokens): of every token, whether others may look at it
    visible = ops.greater(ops.expand_dims(ops.expand_dims(mask, 1), 1), 0.5)
    seen = ops.dot_product_attention(heads("query"), heads("key"), heads("value"), mask=visible)
    joined = layers.Reshape((-1, config.width), name=f"{name}_joined")(seen)
    return _dense(config.width, config, f"{name}_output")(joined)


def _activation(name: str) -> Any:
    if name not in ACTIVATIONS:
        return name
    return keras.activations.gelu if not ACTIVATIONS[name] else _gelu_approximate


@keras.saving.register_keras_serializable("transfer_bench")
def _gelu_approximate(x: Any) -> Any:
    return keras.activations.gelu(x, approximate=True)


def _dense(units: int, config: EncoderConfig, name: str) -> layers.Dense:
    return layers.Dense(units, kernel_initializer=_normal(config), name=name)


def _normalised(x: keras.KerasTensor, config: EncoderConfig, name: str) -> keras.KerasTensor:
    return layers.LayerNormalization(epsilon=config.epsilon, name=f"{name}_norm")(x)


def _normal(config: EncoderConfig) -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(stddev=config.spread)


_BERT = {
    "attention.self.query": "attention_query",
    "attention.self.key": "attention_key",
    "attention.self.value": "attention_value",
    "attention.output.dense": "attention_output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "inner",
    "output.dense": "outer",
    "output.LayerNorm": "norm",
}
_DISTILBERT = {
    "attention.q_lin": "attention_query",
    "attention.k_lin": "attention_key",
    "attention.v_lin": "attention_value",
    "attention.out_lin": "attention_output",
    "sa_layer_norm": "attention_norm",
    "ffn.lin1": "inner",
    "ffn.lin2": "outer",
    "output_layer_norm": "norm",
}
"""What the parts of a layer are called there, and here. RoBERTa has BERT's names."""


def load(model: keras.Model, tensors: Mapping[str, np.ndarray], config: EncoderConfig) -> None:
    """Writes weights of Hugging Face's names into a network of ``encoder``.

    Args:
        model: it has the layers of ``encoder``.
        tensors: by their names in the file.
        config: of the network.

    Raises:
        KeyError: a weight is missing.
        ValueError: a weight has another shape.
    """
    found = {_plain(name): value for name, value in tensors.items()}
    words = found["embeddings.word_embeddings.weight"]
    positions = found["embeddings.position_embeddings.weight"][-config.positions :]
    kinds = found.get("embeddings.token_type_embeddings.weight")
    # Texts are of one sentence: its kind is part of every position.
    positions = positions if kinds is None else positions + kinds[0]
    model.get_layer("embeddings_words").set_weights([words])
    model.get_layer("embeddings_positions").set_weights([positions])
    _assign(model, "embeddings_norm", found, "embeddings.LayerNorm")
    names = _DISTILBERT if "layer.0.attention.q_lin.weight" in found else _BERT
    for i in range(config.layers):
        for theirs, ours in names.items():
            _assign(model, f"layer_{i}_{ours}", found, f"layer.{i}.{theirs}")


def _assign(model: keras.Model, name: str, found: Mapping[str, np.ndarray], prefix: str) -> None:
    old = {"weight": "gamma", "bias": "beta"}  # of layer normalisation in files of 2018
    first, second = (found.get(f"{prefix}.{key}", found.get(f"{prefix}.{old[key]}")) for key in old)
    if first is None or second is None:
        raise KeyError(prefix)
    # Kernels of dense layers lie the other way round.
    model.get_layer(name).set_weights([first.T if first.ndim == 2 else first, second])


def _plain(name: str) -> str:
    """A weight's name without what stands before ``embeddings.`` or ``layer.``."""
    for start in ("embeddings.", "layer."):
        before, found, rest = name.partition(start)
        if found and (not before or before.endswith(".")):
            return found + rest
    return name
