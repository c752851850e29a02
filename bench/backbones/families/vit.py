"""Vision transformers, of standard Keras layers and operations alone.

The network of Dosovitskiy et al. 2021 (arXiv:2010.11929), with the variations of DeiT (Touvron et al. 2021,
arXiv:2012.12877: a token for the teacher) and DINOv2 (Oquab et al. 2023, arXiv:2304.07193: scaled branches, which
are part of the kernels here, and registers). Images may be of any size: places are interpolated, as there.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import layers, ops

from bench.backbones.families.encoder import activated, assign, attention, dense, normal, normalised
from bench.backbones.families.pieces import Piece
from bench.backbones.families.vit_config import (
    CLASS,
    PLACES,
    REGISTERS,
    TEACHER,
    ViTConfig,
    patches,
    pieces,
    scales,
)


def vit(image: keras.KerasTensor, config: ViTConfig) -> keras.KerasTensor:
    """The feature map of an image: of each patch its own features, then those of the whole image.

    Its average is what DINOv2's authors give a linear classifier: the mean of all patches, and the token of the
    class.

    Args:
        image: float (batch, S, S, 3), standardised; S is ``config.patch`` at least.
        config: of the network.

    Returns:
        float (batch, S // patch, S // patch, 2 * width).
    """
    x = layers.Conv2D(
        config.width,
        config.patch,
        strides=config.patch,
        kernel_initializer=normal(config),
        name="embeddings_patches",
    )(image)
    rows, columns = x.shape[1:3]
    extra, count = config.extra, config.extra + rows * columns
    # Tokens without patches begin as nothing: all that they are is in what is added for their place.
    x = ops.pad(layers.Reshape((rows * columns, config.width))(x), ((0, 0), (extra, 0), (0, 0)))
    places = ops.cumsum(ops.ones_like(x[:, :, 0], dtype="int32"), axis=1) - 1
    placed = layers.Embedding(count, config.width, normal(config), name="embeddings_positions")(places)
    x = layers.Add(name="embeddings_sum")([x, placed])
    x = layers.Dropout(config.dropout, name="embeddings_dropout")(x)
    for i in range(config.layers):
        x = _layer(x, config, f"layer_{i}")
    x = layers.LayerNormalization(epsilon=config.epsilon, name="norm")(x)
    of_patches = layers.Reshape((rows, columns, config.width))(x[:, extra:])
    of_all = layers.UpSampling2D((rows, columns), name="of_all")(x[:, :1, None])
    return layers.Concatenate(name="map")([of_patches, of_all])


def _layer(x: keras.KerasTensor, config: ViTConfig, name: str) -> keras.KerasTensor:
    """Attention and a feed-forward network, each of what is normalised, and added to what came in."""
    attended = attention(normalised(x, config, f"{name}_attention"), config, f"{name}_attention")
    attended = layers.Dropout(config.dropout, name=f"{name}_attention_dropout")(attended)
    x = layers.Add(name=f"{name}_attention_sum")([x, attended])
    inner = dense(config.feedforward, config, f"{name}_inner")(normalised(x, config, name))
    outer = dense(config.width, config, f"{name}_outer")(activated(inner, config.activation))
    outer = layers.Dropout(config.dropout, name=f"{name}_dropout")(outer)
    return layers.Add(name=f"{name}_sum")([x, outer])


def load(model: keras.Model, found: Mapping[str, np.ndarray], config: ViTConfig) -> None:
    """Writes weights of a file of Hugging Face into a network of ``vit``.

    Args:
        model: it has the layers of ``vit``.
        found: ``weights_of(config)`` by their plain names, and others.
        config: of the network.
    """
    rows = model.get_layer("embeddings_patches").output.shape[1]
    model.get_layer("embeddings_positions").set_weights([_placed(found, config, rows)])
    kernel, bias = (found[name] for name in patches(config).needs())
    model.get_layer("embeddings_patches").set_weights([kernel.transpose(2, 3, 1, 0), bias])
    of_branches = scales(config)
    for piece in pieces(config):
        scale = found[of_branches[piece.theirs]] if piece.theirs in of_branches else None
        assign(model, [piece], found if scale is None else _scaled(piece, found, scale))


def _scaled(piece: Piece, found: Mapping[str, np.ndarray], scale: np.ndarray) -> dict[str, np.ndarray]:
    weight, bias = piece.needs()
    return {weight: found[weight] * scale[:, None], bias: found[bias] * scale}


def _placed(found: Mapping[str, np.ndarray], config: ViTConfig, rows: int) -> np.ndarray:
    """What is added to each token, (tokens, width), for images of so many rows of patches."""
    places = found[PLACES][0]
    special = [found[name][0] for name in (CLASS, TEACHER) if name in found]
    first = places[: len(special)] + np.concatenate(special)
    before = config.image // config.patch
    grid = places[len(special) :].reshape(before, before, -1)
    if rows != before:
        to = _bicubic(before, rows, smooth=config.kind == "dinov2_with_registers")
        grid = np.einsum("ih,jw,hwc->ijc", to, to, grid, optimize=True)
    registers = [found[REGISTERS][0]] if config.registers else []
    return np.concatenate([first, *registers, grid.reshape(rows * rows, -1)])


def _bicubic(before: int, after: int, smooth: bool) -> np.ndarray:
    """The matrix (after, before) that interpolates a row as torch's bicubic does.

    Args:
        before, after: how many numbers the row has.
        smooth: as torch does with ``antialias``: another cubic, which is wider where there are fewer numbers after
            than before, and ends at the border. Without, the number at the border goes on behind it.
    """
    a, width = (-0.5, max(before / after, 1.0)) if smooth else (-0.75, 1.0)
    outside = 2
    centres = (np.arange(after) + 0.5) * before / after - 0.5
    far = np.abs(centres[:, None] - np.arange(-outside, before + outside)) / width
    near = (a + 2) * far**3 - (a + 3) * far**2 + 1
    weights = np.where(far <= 1, near, np.where(far < 2, a * (far**3 - 5 * far**2 + 8 * far - 4), 0.0))
    matrix = weights[:, outside:-outside]
    if smooth:
        return matrix / matrix.sum(axis=1, keepdims=True)
    matrix[:, 0] += weights[:, :outside].sum(axis=1)
    matrix[:, -1] += weights[:, -outside:].sum(axis=1)
    return matrix
