"""The shape of an encoder of text, and how a ``config.json`` describes it. Imports no Keras."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.backbones.families.pieces import Piece, Shape, needed

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_approximate",
    "gelu_fast": "gelu_approximate",
    "gelu_pytorch_tanh": "gelu_approximate",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Activations in a ``config.json``, and which function of Keras they are; ``gelu_approximate`` is one of GELU's."""


@dataclass(frozen=True)
class EncoderConfig:
    """The shape of an encoder.

    Attributes:
        layers: how many there are.
        width: of the hidden states.
        heads: of attention in each layer.
        feedforward: units between the two dense layers behind attention.
        vocabulary: how many numbers tokens have.
        positions: how many tokens a text may have.
        pad: the number that fills texts up.
        dropout: behind embeddings, attention and feed-forward layers, in training.
        epsilon: of layer normalisation.
        activation: a key of ACTIVATIONS.
        spread: standard deviation of random initial weights.
        kind: one of KINDS, which names its weights in files.
        embedding: width of the embeddings; None: that of the hidden states.
        buckets: of distances between tokens, each of which adds something to attention; 0: none.
    """

    layers: int
    width: int
    heads: int
    feedforward: int
    vocabulary: int
    positions: int = 512
    pad: int = 0
    dropout: float = 0.1
    epsilon: float = 1e-12
    activation: str = "gelu"
    spread: float = 0.02
    kind: str = "bert"
    embedding: int | None = None
    buckets: int = 0

    @property
    def embedded(self) -> int:
        """Width of the embeddings."""
        return self.embedding or self.width


ROBERTA_LIKE = ("roberta", "xlm-roberta", "camembert", "mpnet")
KINDS = ("bert", "distilbert", "electra", *ROBERTA_LIKE)
"""The kinds of ``config.json`` that are built here."""

_BERT_FIELDS = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "hidden_dropout_prob",
    "hidden_act",
)
_DISTILBERT_FIELDS = ("n_layers", "dim", "n_heads", "hidden_dim", "dropout", "activation")
"""What a ``config.json`` calls the fields."""


def config_of(found: Mapping[str, Any]) -> EncoderConfig:
    """The shape that a ``config.json`` describes.

    Raises:
        KeyError: it lacks a value.
        ValueError: it describes a network that is not built here.
    """
    kind = found["model_type"]
    if found.get("position_embedding_type", "absolute") != "absolute" or found.get("is_decoder"):
        raise ValueError("another kind of attention")
    names = _DISTILBERT_FIELDS if kind == "distilbert" else _BERT_FIELDS
    layers, width, heads, feedforward = (int(found[name]) for name in names[:4])
    dropout, activation = names[4:]
    pad = int(found.get("pad_token_id") or 0)
    # RoBERTa numbers positions from behind the number that fills up.
    positions = int(found["max_position_embeddings"]) - (pad + 1 if kind in ROBERTA_LIKE else 0)
    embedding = int(found.get("embedding_size", width)) if kind == "electra" else width
    return EncoderConfig(
        layers,
        width,
        heads,
        feedforward,
        vocabulary=int(found["vocab_size"]),
        positions=positions,
        pad=pad,
        dropout=float(found.get(dropout, 0.1)),
        epsilon=float(found.get("layer_norm_eps", 1e-12)),
        activation=known_activation(found.get(activation, "gelu")),
        spread=float(found.get("initializer_range", 0.02)),
        kind=kind,
        embedding=embedding if embedding != width else None,
        buckets=int(found.get("relative_attention_num_buckets", 32)) if kind == "mpnet" else 0,
    )


def known_activation(name: object) -> str:
    """The name of an activation in a ``config.json``.

    Raises:
        ValueError: it is not built here.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"the activation {name!r}, of which {', '.join(ACTIVATIONS)} are built here")
    return str(name)


_BERT = {
    "attention_query": "attention.self.query",
    "attention_key": "attention.self.key",
    "attention_value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "norm": "output.LayerNorm",
}
_DISTILBERT = {
    "attention_query": "attention.q_lin",
    "attention_key": "attention.k_lin",
    "attention_value": "attention.v_lin",
    "attention_output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "inner": "ffn.lin1",
    "outer": "ffn.lin2",
    "norm": "output_layer_norm",
}
_MPNET = {
    **_BERT,
    **{f"attention_{part}": f"attention.attn.{part[0]}" for part in ("query", "key", "value", "output")},
    "attention_norm": "attention.LayerNorm",
}
_NAMES = {"distilbert": _DISTILBERT, "mpnet": _MPNET}
"""What the parts of a layer are called here, and there. ELECTRA and RoBERTa have BERT's names."""


def pieces(config: EncoderConfig) -> list[Piece]:
    """All layers but embeddings."""
    result = [Piece("embeddings_norm", "embeddings.LayerNorm", (config.embedded,))]
    if config.embedding:
        result.append(Piece("embeddings_project", "embeddings_project", (config.width, config.embedding)))
    names = _NAMES.get(config.kind, _BERT)
    return result + layer_pieces(config.layers, names, config.width, config.feedforward)


def layer_pieces(layers: int, names: Mapping[str, str], width: int, feedforward: int) -> list[Piece]:
    """The parts of the layers of a transformer.

    Args:
        layers: how many there are.
        names: of the parts of a layer, here and there.
        width: of the hidden states.
        feedforward: units between the two dense layers behind attention.
    """
    shapes: dict[str, Shape] = {"inner": (feedforward, width), "outer": (width, feedforward)}
    return [
        Piece(
            f"layer_{i}_{ours}",
            f"layer.{i}.{theirs}",
            shapes.get(ours, (width,) if ours.endswith("norm") else (width, width)),
        )
        for i in range(layers)
        for ours, theirs in names.items()
    ]


DISTANCES = "relative_attention_bias.weight"
WORDS, POSITIONS, KINDS_OF_SENTENCES = (
    f"embeddings.{name}_embeddings.weight" for name in ("word", "position", "token_type")
)


def weights_of(config: EncoderConfig) -> dict[str, Shape]:
    """Plain names and shapes of the weights that a file has to hold."""
    offset = config.pad + 1 if config.kind in ROBERTA_LIKE else 0
    embeddings: dict[str, Shape] = {
        WORDS: (config.vocabulary, config.embedded),
        POSITIONS: (config.positions + offset, config.embedded),
    }
    if config.buckets:
        embeddings[DISTANCES] = (config.buckets, config.heads)
    return embeddings | needed(pieces(config))


FARTHEST = 128
"""All distances from here on are one."""


def distances(buckets: int) -> tuple[list[int], list[int]]:
    """Which distances between tokens are one to MPNet: each short one, and ever more of the long ones.

    Args:
        buckets: half of them are of tokens behind the one that looks.

    Returns:
        The first distance of each bin but the lowest, ascending, and which row of the file's table a bin has.
    """
    half = buckets // 2
    alone = half // 2
    ratio = FARTHEST / alone
    first = [
        i if i <= alone else math.ceil(alone * ratio ** ((i - alone) / (half - alone)) - 1e-6)
        for i in range(half)
    ]
    ahead = first[1:]
    rows = [*reversed(range(half)), *range(half + 1, 2 * half)]
    return [*(1 - distance for distance in reversed(ahead)), *ahead], rows
