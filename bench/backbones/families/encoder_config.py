"""The shape of an encoder of text, and how a ``config.json`` describes it. Imports no Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ACTIVATIONS = {"gelu": False, "gelu_new": True, "gelu_pytorch_tanh": True}
"""The names of GELU; whether it is the approximate one."""


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
        activation: one of ACTIVATIONS, or a name that Keras knows.
        spread: standard deviation of random initial weights.
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


ROBERTA_LIKE = ("roberta", "xlm-roberta", "camembert")
KINDS = ("bert", "distilbert", *ROBERTA_LIKE)
"""The kinds of ``config.json`` that are built here."""


_BERT = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "hidden_dropout_prob",
    "hidden_act",
)
_DISTILBERT = ("n_layers", "dim", "n_heads", "hidden_dim", "dropout", "activation")
"""What a ``config.json`` calls the fields."""


def config_of(found: Mapping[str, Any]) -> EncoderConfig:
    """The shape that a ``config.json`` describes.

    Raises:
        KeyError: it lacks a value.
        ValueError: it describes a network that is not built here.
    """
    kind = found.get("model_type")
    if kind not in KINDS:
        raise ValueError(f"model_type {kind!r}")
    if found.get("position_embedding_type", "absolute") != "absolute" or found.get("is_decoder"):
        raise ValueError("another kind of attention")
    names = _DISTILBERT if kind == "distilbert" else _BERT
    layers, width, heads, feedforward = (int(found[name]) for name in names[:4])
    dropout, activation = names[4:]
    pad = int(found.get("pad_token_id") or 0)
    # RoBERTa numbers positions from behind the number that fills up.
    positions = int(found["max_position_embeddings"]) - (pad + 1 if kind in ROBERTA_LIKE else 0)
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
        activation=str(found.get(activation, "gelu")),
        spread=float(found.get("initializer_range", 0.02)),
    )
