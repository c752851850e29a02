"""The shape of a vision transformer, and how a ``config.json`` describes it. Imports no Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.backbones.families.encoder_config import known_activation, layer_pieces
from bench.backbones.families.pieces import Piece, Shape, needed

DINOV2 = ("dinov2", "dinov2_with_registers")
KINDS = ("vit", "deit", *DINOV2)
"""The kinds of ``config.json`` that are built here."""


@dataclass(frozen=True)
class ViTConfig:
    """The shape of a vision transformer.

    Attributes:
        kind: one of KINDS, which names its weights in files.
        layers: how many there are.
        width: of the hidden states.
        heads: of attention in each layer.
        feedforward: units between the two dense layers behind attention.
        patch: side of a patch, in pixels.
        image: side of the images of its pretraining, in pixels.
        registers: tokens without a place, beside that of the class.
        dropout: behind embeddings, attention and feed-forward layers, in training.
        epsilon: of layer normalisation.
        activation: a key of ``encoder_config.ACTIVATIONS``.
        spread: standard deviation of random initial weights.
    """

    kind: str
    layers: int
    width: int
    heads: int
    feedforward: int
    patch: int
    image: int
    registers: int = 0
    dropout: float = 0.0
    epsilon: float = 1e-12
    activation: str = "gelu"
    spread: float = 0.02

    @property
    def extra(self) -> int:
        """Tokens before those of patches: that of the class, and DeiT's of its teacher, or registers."""
        return 1 + self.registers + (self.kind == "deit")


def config_of(found: Mapping[str, Any]) -> ViTConfig:
    """The shape that a ``config.json`` describes.

    Raises:
        KeyError: it lacks a value.
        ValueError: it describes a network that is not built here.
    """
    kind, width = found["model_type"], int(found["hidden_size"])
    is_dinov2 = kind in DINOV2
    if found.get("use_swiglu_ffn") or not found.get("qkv_bias", True) or found.get("num_channels", 3) != 3:
        raise ValueError("a variant that is not built here (use_swiglu_ffn, qkv_bias or num_channels)")
    return ViTConfig(
        kind,
        int(found["num_hidden_layers"]),
        width,
        int(found["num_attention_heads"]),
        int(found["mlp_ratio"] * width) if is_dinov2 else int(found["intermediate_size"]),
        int(found["patch_size"]),
        int(found["image_size"]),
        registers=int(found["num_register_tokens"]) if kind == "dinov2_with_registers" else 0,
        dropout=float(found.get("hidden_dropout_prob", 0.0)),
        epsilon=float(found.get("layer_norm_eps", 1e-6 if is_dinov2 else 1e-12)),
        activation=known_activation(found.get("hidden_act", "gelu")),
        spread=float(found.get("initializer_range", 0.02)),
    )


_ATTENTION = {f"attention_{name}": f"attention.attention.{name}" for name in ("query", "key", "value")}
_VIT = {
    **_ATTENTION,
    "attention_output": "attention.output.dense",
    "attention_norm": "layernorm_before",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "norm": "layernorm_after",
}
_DINOV2 = {
    **_ATTENTION,
    "attention_output": "attention.output.dense",
    "attention_norm": "norm1",
    "inner": "mlp.fc1",
    "outer": "mlp.fc2",
    "norm": "norm2",
}
"""What the parts of a layer are called here, and there."""

CLASS, PLACES = "embeddings.cls_token", "embeddings.position_embeddings"
TEACHER, REGISTERS = "embeddings.distillation_token", "embeddings.register_tokens"


def patches(config: ViTConfig) -> Piece:
    """The layer that makes tokens of patches."""
    shape = (config.width, 3, config.patch, config.patch)
    return Piece("embeddings_patches", "embeddings.patch_embeddings.projection", shape)


def pieces(config: ViTConfig) -> list[Piece]:
    """All layers but embeddings."""
    names = _DINOV2 if config.kind in DINOV2 else _VIT
    return [
        *layer_pieces(config.layers, names, config.width, config.feedforward),
        Piece("norm", "layernorm", (config.width,)),
    ]


def scales(config: ViTConfig) -> dict[str, str]:
    """By the names of DINOv2's layers that end a branch, there, the factors of their channels."""
    if config.kind not in DINOV2:
        return {}
    return {
        f"layer.{i}.{theirs}": f"layer.{i}.layer_scale{number}.lambda1"
        for i in range(config.layers)
        for number, theirs in enumerate((_DINOV2["attention_output"], _DINOV2["outer"]), 1)
    }


def weights_of(config: ViTConfig) -> dict[str, Shape]:
    """Plain names and shapes of the weights that a file has to hold."""
    width = config.width
    placed = (config.image // config.patch) ** 2 + 1 + (config.kind == "deit")
    found: dict[str, Shape] = {CLASS: (1, 1, width), PLACES: (1, placed, width)}
    if config.kind == "deit":
        found[TEACHER] = (1, 1, width)
    if config.registers:
        found[REGISTERS] = (1, config.registers, width)
    return (
        found | dict.fromkeys(scales(config).values(), (width,)) | needed([patches(config), *pieces(config)])
    )
