"""The promises of a backbone, as ``tests/contract/test_backbones.py`` tests them on those that are built in.

Each method says in a sentence what holds, or raises ``Broken`` with what does not. Its docstring ends the sentence
"It failed where ...".
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bench.backbones.cuts import find_cuts, split
from bench.backbones.spec import parse_backbone
from bench.backbones.weights import resolve_weights
from bench.datasets import open_dataset
from bench.modalities.findings import count
from bench.modalities.image.augment import Augmentation
from bench.modalities.image.input import ImageInput
from bench.training.engine import Network
from bench.training.examples import PartExamples
from bench.training.programs.config import HeadConfig
from bench.training.task import CellTask
from strategies.base import Info, Stage

HEAD = Stage("head", cut="top", learning_rate=3e-2, weight_decay=1e-2, epochs=1)
UPPER = Stage("finetune", cut=0.25, learning_rate=1e-3, weight_decay=1e-2, epochs=1)
CLASSES = 2
IMAGES = 32
"""Labelled images that it is trained on."""
SHOWN = 12
"""Cuts that are named."""


class Broken(Exception):
    """A promise that does not hold, as a sentence."""


class Promises:
    """A backbone on images of digits.

    Args:
        name: as in a plan.
        size: side of the images, in pixels.
        folder: for files.
    """

    def __init__(self, name: str, size: int, folder: Path) -> None:
        self.spec, self.size, self.folder = parse_backbone(name), size, folder

    @cached_property
    def network(self) -> Network:
        return self._network()

    @cached_property
    def images(self) -> np.ndarray:
        return np.asarray(open_dataset("digits", ImageInput(self.size)).pool.data[:IMAGES])

    @cached_property
    def features(self) -> np.ndarray:
        return _output(self.network.model, self.images[:4])

    def map(self) -> str:
        """images go through it"""
        shape = self.features.shape[1:]
        if len(shape) != 3:
            raise Broken(f"It gives features of shape {shape}, and no map of rows, columns and channels.")
        if not np.isfinite(self.features).all():
            raise Broken("Some of its features are no numbers (NaN or infinite). Check its preprocessing.")
        if not np.ptp(self.features, axis=0).any():
            raise Broken("It gives the same features for different images. Check its preprocessing.")
        params = count(self.network.params, "parameter")
        return f"Images of {self.size} px become a feature map of {' x '.join(map(str, shape))}, by {params}."

    def cuts(self) -> str:
        """it is cut"""
        names = [cut.name for cut in self.network.cuts[1:-1]]
        if not names:
            raise Broken("It cannot be cut: nothing but all of it could be frozen or trained.")
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        return f"It can be cut at {count(len(names), 'place')}: {', '.join(names[:SHOWN])}{more}."

    def halves(self) -> str:
        """its halves are put together"""
        for cut in self.network.cuts[1:-1]:
            below, above = split(self.network.model, cut)
            assert below is not None
            found = np.asarray(above(below(_float(self.images[:4]), training=False), training=False))
            if not np.array_equal(found, self.features):
                raise Broken(f"Cut at {cut.name}, its two halves give other features than the whole.")
        return "Cut anywhere, its two halves give the same features as the whole, to the bit."

    def saved(self) -> str:
        """it is saved and loaded"""
        path = self.folder / "saved.keras"
        self.network.model.save(path)
        loaded = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not np.array_equal(_output(loaded, self.images[:4]), self.features):
            raise Broken("Saved and loaded again, it gives other features.")
        if len(find_cuts(loaded)) != len(self.network.cuts):
            raise Broken("Saved and loaded again, it has other cuts.")
        return "Saved and loaded again, it gives the same features, to the bit."

    def frozen(self) -> str:
        """its upper part is trained"""
        before = [np.array(weights) for weights in self.network.model.weights]
        state, start = self._trained(self.network), self.network.pretrained
        if not all(np.isfinite(value).all() for value in state.values()):
            raise Broken("Trained for a few steps, some weights are no numbers. Check its preprocessing.")
        inside = [place for place in state if place in start]
        if all(np.array_equal(state[place], start[place]) for place in inside):
            raise Broken("Its upper quarter does not learn: no weight of it moved.")
        after = [np.asarray(weights) for weights in self.network.model.weights]
        if not all(map(np.array_equal, before, after)):
            raise Broken("Frozen weights changed. Some layer writes to its weights whenever it is called.")
        return "Its upper quarter learns, and frozen layers stay the same to the bit."

    def again(self) -> str:
        """the same is trained again"""
        first, second = self._trained(self.network), self._trained(self.network)
        if not all(np.array_equal(first[place], second[place]) for place in first):
            raise Broken(
                "The same training again gives other weights. Some layer draws unseeded random numbers."
            )
        return "The same training again gives the same weights, to the bit."

    def precision(self) -> str:
        """it computes in mixed precision"""
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            mixed = self._network()
            features = _output(mixed.model, self.images[:4])
        finally:
            keras.config.set_dtype_policy("float32")
        if not np.isfinite(features).all():
            raise Broken(
                "In mixed precision, some of its features are no numbers. Leave precision at float32."
            )
        scale = float(np.abs(self.features).max()) or 1.0
        most = np.abs(features - self.features).max() / scale
        return f"In mixed precision, features differ by at most {most:.1%} of the largest."

    def _network(self) -> Network:
        keras.utils.set_random_seed(0)
        return Network(self.spec, self.size, resolve_weights(self.spec, self.size), threads=1)

    def _trained(self, network: Network) -> dict[str, np.ndarray]:
        """The weights after a few steps of a head, and of the upper quarter with it."""
        rows, nothing = np.arange(IMAGES), np.arange(0)
        train, none = (
            PartExamples(self.images, [str(i) for i in rows], f"check {self.size}", r, r % CLASSES)
            for r in (rows, nothing)
        )
        info = Info("image", ("a", "b"), IMAGES, True, self.size, 32, **network.traits)
        head = HeadConfig("avg", 0, 0.0, CLASSES)
        task = CellTask(network, train, None, none, info, head, Augmentation(), 0, 1, 32)
        state: dict[str, Any] = task.fit_stages([HEAD, UPPER]).predictor.state  # type: ignore[attr-defined]
        return {place: np.array(value) for place, value in state.items()}


def _float(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32)


def _output(model: keras.Model, images: np.ndarray) -> np.ndarray:
    found = model(_float(images), training=False)
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(found, "float32")))
