"""A network and a cell so small that a strategy can be tried within seconds."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np

from bench.backbones.spec import BackboneSpec
from bench.backbones.weights import Weights
from bench.datasets import Dataset
from bench.datasets.companions.auxiliary import Auxiliary
from bench.datasets.companions.source import SourceDomain
from bench.records import Cell
from bench.system.files import digest
from bench.training.engine import Engine, Network
from strategies.base import Strategy

NAME = "tiny"
CHANNELS = (12, 16, 24, 32)
"""After the stem and after each block of a depthwise and a pointwise convolution, as in MobileNet."""
SHA256 = "0" * 64


def build_tiny(spec: BackboneSpec, image_size: int, weights: Weights) -> keras.Model:
    """A network with all that a strategy may train: blocks, normalisations, biases, pointwise convolutions."""
    layers = keras.layers
    image = keras.Input((image_size, image_size, 3), dtype="float32", name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="preprocessing")(image)
    x = layers.Conv2D(CHANNELS[0], 3, strides=2, padding="same", name="stem")(x)
    for i, channels in enumerate(CHANNELS[1:], 1):
        x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, name=f"conv_dw_{i}")(x)
        x = layers.Conv2D(channels, 1, use_bias=False, name=f"conv_pw_{i}")(x)
        x = layers.BatchNormalization(name=f"conv_pw_{i}_bn")(x)
        x = layers.ReLU(name=f"conv_pw_{i}_relu")(x)
    return keras.Model(image, x, name=NAME)


class TinyEngine(Engine):
    """Has one network only, whose random weights count as pretrained.

    Args:
        image_size: side of its input in pixels.
        images: uint8 (N, S, S, 3), for the statistics of its batch normalisation.
    """

    def __init__(self, image_size: int, images: np.ndarray) -> None:
        super().__init__()
        keras.utils.set_random_seed(1)
        weights = Weights("file", SHA256, None)
        self.tiny = Network(BackboneSpec(NAME), image_size, weights, 1, build_tiny)
        for layer in self.tiny.model.layers:
            layer.momentum = 0.0
        self.tiny.model(np.asarray(images, np.float32), training=True)

    def network(self, backbone: str, weights: str, image_size: int, precision: str = "float32") -> Network:
        """See ``Engine.network``."""
        return self.tiny


def tiny_cell(strategy: Strategy, dataset: Dataset, image_size: int) -> Cell:
    """A cell of some seventy labels and two trials, with a twentieth of the steps: it shows mistakes as well."""
    uses_weights = strategy.uses_backbone and strategy.uses_weights
    return Cell(
        strategy=getattr(strategy, "name", ""),
        strategy_version=strategy.version,
        dataset=dataset.spec,
        dataset_name=dataset.name,
        fingerprint=dataset.fingerprint,
        modality=dataset.modality,
        backbone=NAME if strategy.uses_backbone else "",
        weights="pretrained" if uses_weights else "",
        weights_sha256=SHA256 if uses_weights else "",
        fraction=0.05,
        seed=0,
        examples={"image_size": image_size, "resizing": "crop", "augmentation": "light", "flip": False},
        epochs=3,
        length=0.05,
        batch_size=32,
        threads=1,
        head={"pooling": "avg", "hidden_units": 0, "dropout": 0.0},
        tuning={"algorithm": "random", "trials": 2},
    )


def parity(target: Dataset) -> Auxiliary:
    """Whether a label is odd, for all but every seventh image of the pool, as an auxiliary task."""
    labels = np.where(np.arange(len(target.pool.ids)) % 7 == 6, -1, target.pool.labels % 2)
    return Auxiliary("parity", ("even", "odd"), digest(["parity", target.fingerprint]), labels=labels)


def negatives(target: Dataset) -> SourceDomain:
    """The pool of a dataset, dark for light, as a source for it."""
    part = replace(target.pool, data=255 - target.pool.data)
    source = replace(
        target, name="negatives", fingerprint=digest(["negatives", target.fingerprint]), pool=part
    )
    rows = np.arange(len(part.ids))
    return SourceDomain(source, part, "none", rows, rows + len(rows), rows, target.class_names)
