"""Encoders of text in the style of BERT, of standard Keras layers and operations alone.

The network that Devlin et al. 2018 (arXiv:1810.04805) call BERT, with the variations of

- RoBERTa (Liu et al. 2019, arXiv:1907.11692): other numbers of positions,
- DistilBERT (Sanh et al. 2019, arXiv:1910.01108): no kinds of sentences,
- ELECTRA (Clark et al. 2020, arXiv:2003.10555): embeddings of a width of their own,
- MPNet (Song et al. 2020, arXiv:2004.09297): distances between tokens add to attention. Its layers share one table
  of them. Here each has its own, with the same numbers at first: so the network can be cut between any two layers.

Every dense layer stands in the graph by itself: cuts, low-rank updates and partial training reach into attention.
Numbers are those of the originals: GELU is exact unless a configuration says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import keras
import numpy as np
from keras import layers, ops

from bench.backbones.families.encoder_config import (
    ACTIVATIONS,
    DISTANCES,
    KINDS_OF_SENTENCES,
    POSITIONS,
    WORDS,
    EncoderConfig,
    distances,
    pieces,
)
from bench.backbones.families.pieces import Piece


class Attentive(Protocol):
    """What attention needs of a configuration, see ``EncoderConfig``."""

    @property
    def width(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def epsilon(self) -> float: ...
    @property
    def spread(self) -> float: ...


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
    words = layers.Embedding(config.vocabulary, config.embedded, normal(config), name="embeddings_words")
    positions = layers.Embedding(
        config.positions, config.embedded, normal(config), name="embeddings_positions"
    )
    x = layers.Add(name="embeddings_sum")([words(tokens), positions(places)])
    x = normalised(x, config, "embeddings")
    x = layers.Dropout(config.dropout, name="embeddings_dropout")(x)
    if config.embedding:
        x = dense(config.width, config, "embeddings_project")(x)
    for i in range(config.layers):
        x = _layer(x, mask, config, f"layer_{i}")
    # Another tensor than the one that layers use: Keras cannot cut a graph at a tensor that it also gives.
    return [x, layers.Identity(name="mask")(mask)]


def _layer(
    x: keras.KerasTensor, mask: keras.KerasTensor, config: EncoderConfig, name: str
) -> keras.KerasTensor:
    """Attention and a feed-forward network, each added to what came in and normalised."""
    visible = ops.greater(ops.expand_dims(ops.expand_dims(mask, 1), 1), 0.5)
    near = nearness(x, config, f"{name}_attention") if config.buckets else None
    attended = attention(x, config, f"{name}_attention", visible, near)
    attended = layers.Dropout(config.dropout, name=f"{name}_attention_dropout")(attended)
    x = normalised(layers.Add(name=f"{name}_attention_sum")([x, attended]), config, f"{name}_attention")
    inner = dense(config.feedforward, config, f"{name}_inner")(x)
    outer = dense(config.width, config, f"{name}_outer")(activated(inner, config.activation))
    outer = layers.Dropout(config.dropout, name=f"{name}_dropout")(outer)
    return normalised(layers.Add(name=f"{name}_sum")([x, outer]), config, name)


def nearness(x: keras.KerasTensor, config: EncoderConfig, name: str) -> keras.KerasTensor:
    """What the distance between two tokens adds to their attention.

    Args:
        x: float (batch, tokens, width); its length alone counts.
        config: of the network.
        name: what the names of its layers begin with.

    Returns:
        float (1, heads, tokens, tokens).
    """
    starts, rows = distances(config.buckets)
    places = ops.cumsum(ops.ones_like(x[:1, :, 0], dtype="int32"), axis=1)
    apart = ops.expand_dims(places, 1) - ops.expand_dims(places, 2)
    bins = layers.Discretization([float(start) for start in starts], name=f"{name}_bins")(apart)
    table = layers.Embedding(len(rows), config.heads, normal(config), name=f"{name}_distances")
    return ops.transpose(table(bins), (0, 3, 1, 2))


def attention(
    x: keras.KerasTensor,
    config: Attentive,
    name: str,
    visible: keras.KerasTensor | None = None,
    near: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """Attention of every token to all that are visible.

    Args:
        x: float (batch, tokens, width).
        config: of the network.
        name: what the names of its layers begin with.
        visible: bool (batch, 1, 1, tokens), of every token, whether others may look at it; None: all.
        near: float (1, heads, tokens, tokens), added to the scores of two tokens; None: nothing.
    """

    def heads(what: str) -> keras.KerasTensor:
        projected = dense(config.width, config, f"{name}_{what}")(x)
        shape = (-1, config.heads, config.width // config.heads)
        return layers.Reshape(shape, name=f"{name}_{what}_heads")(projected)

    seen = ops.dot_product_attention(heads("query"), heads("key"), heads("value"), bias=near, mask=visible)
    joined = layers.Reshape((-1, config.width), name=f"{name}_joined")(seen)
    return dense(config.width, config, f"{name}_output")(joined)


def activated(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """An activation by its name in a ``config.json``, of what Keras can read back without this package."""
    function = ACTIVATIONS[name]
    # An operation and not a layer: layers know the exact GELU alone by its name.
    return ops.gelu(x, approximate=True) if function == "gelu_approximate" else layers.Activation(function)(x)


def dense(units: int, config: Attentive, name: str) -> layers.Dense:
    """A dense layer with the random initial weights of the configuration."""
    return layers.Dense(units, kernel_initializer=normal(config), name=name)


def normalised(x: keras.KerasTensor, config: Attentive, name: str) -> keras.KerasTensor:
    """Layer normalisation."""
    return layers.LayerNormalization(epsilon=config.epsilon, name=f"{name}_norm")(x)


def normal(config: Attentive) -> keras.initializers.Initializer:
    """Random initial weights."""
    return keras.initializers.TruncatedNormal(stddev=config.spread)


def load(model: keras.Model, found: Mapping[str, np.ndarray], config: EncoderConfig) -> None:
    """Writes weights of a file of Hugging Face into a network of ``encoder``.

    Args:
        model: it has the layers of ``encoder``.
        found: ``weights_of(config)`` by their plain names, and others.
        config: of the network.
    """
    positions = found[POSITIONS][-config.positions :]
    kinds = found.get(KINDS_OF_SENTENCES)
    # Texts are of one sentence: its kind is part of every position.
    positions = positions if kinds is None else positions + kinds[0]
    model.get_layer("embeddings_words").set_weights([found[WORDS]])
    model.get_layer("embeddings_positions").set_weights([positions])
    if config.buckets:
        _, rows = distances(config.buckets)
        for i in range(config.layers):
            model.get_layer(f"layer_{i}_attention_distances").set_weights([found[DISTANCES][rows]])
    assign(model, pieces(config), found)


def assign(model: keras.Model, parts: Iterable[Piece], found: Mapping[str, np.ndarray]) -> None:
    """Writes weights into layers."""
    for piece in parts:
        weight, bias = (found[name] for name in piece.needs())
        # Kernels of dense layers lie the other way round.
        model.get_layer(piece.ours).set_weights([weight.T if weight.ndim == 2 else weight, bias])
