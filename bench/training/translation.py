"""Images of one domain in the style of another: a small CycleGAN (Zhu et al. 2017, arXiv:1703.10593).

Two generators translate there and back, two discriminators judge patches. Losses are those of the paper: least
squares for the discriminators' answers (LSGAN), distances for what comes back from a round trip (cycle) and for
what is in the style already (identity). What is smaller fits minutes on a CPU: 64 pixels, few filters, and
generators that give a *change* to the image, which is zero at first. So training starts from images that are right
in content, and a short one leaves them recognisable. Discriminators judge the newest translations alone: there is
no buffer of the last 50, which in the paper is to keep long trainings from oscillating.

Nothing in it is particular to a backend: the two halves of a step are two compiled Keras models that share layers,
each with variables of its own that train.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from PIL import Image

from bench.system.seeds import generator
from bench.training.context import Context
from bench.training.loop import NotFinite
from bench.training.losses.own_loss import OwnLoss
from strategies.base import Examples

SIDE = 64
"""Pixels of the images that it sees, at most; a change is enlarged to larger images."""
FILTERS = 16
BLOCKS = 3
"""Residual ones of a generator, with 4 x FILTERS channels at a quarter of the side."""
BATCH = 8
STEPS_AN_EPOCH = 40
"""Training steps for each epoch of a trial: 800 for 20."""
CYCLE, IDENTITY = 10.0, 5.0
"""Weights of the losses, as in the paper."""
LEARNING_RATE, MOMENTUM = 1e-3, 0.5
"""Of Adam; falls to zero over the second half, as in the paper, which begins with 2e-4 and takes far longer."""
SAMPLES = 8


@dataclass(frozen=True)
class Translation:
    """Source images as they would look in the target.

    Attributes:
        images: uint8 (N, S, S, 3), in the order of the source.
        samples: uint8 (8 or less, 2, S, S, 3): source images beside their translations.
    """

    images: np.ndarray
    samples: np.ndarray


class Translator:
    """Translates the sources of a cell's tasks.

    What is trained on the first task of so many epochs stays as it is for all others. So trials share it, and the
    refit takes that of the winner: images that this has not seen, because they validate or share a group with one
    that does, are translated like all others.
    """

    def __init__(self) -> None:
        self._trained: dict[int, list[np.ndarray]] = {}
        self._last: tuple[int, Examples, Translation] | None = None
        self._seconds = 0.0

    def translation(self, task: Context) -> Translation:
        """The task's source in the style of its target; no label is used.

        Raises:
            NotFinite: training it diverged.
        """
        source, epochs = task.source, max(1, round(task.epochs * task.length))
        assert source is not None
        if self._last is not None and self._last[0] == epochs and self._last[1] is source:
            return self._last[2]
        self._last = None  # what it holds may be large
        images = source.images()
        size = images.shape[1]
        networks = _networks(min(SIDE, size - size % 4))
        networks.reset(task.seed)
        networks.warm()
        start = time.perf_counter()
        if epochs in self._trained:
            networks.parts[0].set_weights(self._trained[epochs])
        else:
            networks.train(
                _small(images, networks.side),
                _small(task.target.images(), networks.side),
                epochs * STEPS_AN_EPOCH,
                task.seed,
                task.tick,
            )
            weights = networks.parts[0].get_weights()
            if not all(np.isfinite(weight).all() for weight in weights):
                raise NotFinite("the weights of the translator are not finite")
            self._trained[epochs] = weights
        made = networks.translated(images)
        self._seconds += time.perf_counter() - start
        chosen = np.sort(generator(task.seed, "samples").permutation(len(made))[:SAMPLES])
        translation = Translation(made, np.stack([images[chosen], made[chosen]], axis=1))
        self._last = epochs, source, translation
        return translation

    def seconds(self) -> float:
        """Of training and translating, without tracing, since it was last asked for them."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


class _Half(OwnLoss):
    """Of two models that share layers: only the variables that are its own train, whatever their layers say."""

    chosen: frozenset[int] = frozenset()

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        return [v for v in self.variables if id(v) in self.chosen]

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        return [v for v in self.variables if id(v) not in self.chosen]

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        return [v for v in self.weights if id(v) in self.chosen]

    @property
    def non_trainable_weights(self) -> list[keras.Variable]:
        return [v for v in self.weights if id(v) not in self.chosen]


class _Generators(_Half):
    """From source and target images to all that the generators' loss is made of."""

    def own_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        source, target = x
        judged, back, same = y_pred[:2], y_pred[2:4], y_pred[4:]
        loss = sum(ops.mean(ops.square(answer - 1)) for answer in judged)
        for weight, made in ((CYCLE, back), (IDENTITY, same)):
            loss += weight * (_distance(source, made[0]) + _distance(target, made[1]))
        return loss


class _Discriminators(_Half):
    """From real and made images of both styles to what the discriminators say of them: real first, then made."""

    def own_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        real, made = y_pred[:2], y_pred[2:]
        loss = sum(ops.mean(ops.square(answer - 1)) for answer in real)
        return (loss + sum(ops.mean(ops.square(answer)) for answer in made)) / 2


def _distance(first: Any, second: Any) -> Any:
    return ops.mean(ops.absolute(first - second))


class Networks:
    """The four networks of a translator for images of one size, compiled once and reset for each translation.

    Images are float32 (N, side, side, 3) in [-1, 1].
    """

    def __init__(self, side: int) -> None:
        self.side = side
        shape = (side, side, 3)
        there, back = _generator(shape, "there"), _generator(shape, "back")
        of_source, of_target = _discriminator(shape, "of_source"), _discriminator(shape, "of_target")
        self.parts = (there, back, of_source, of_target)
        source, target, made_source, made_target = (keras.Input(shape) for _ in range(4))
        redrawn, undone = there(source), back(target)
        self.make = keras.Model([source, target], [redrawn, undone])
        self.generators = _Generators(
            [source, target],
            [
                of_target(redrawn),
                of_source(undone),
                back(redrawn),
                there(undone),
                back(source),
                there(target),
            ],
            name="generators",
        )
        self.discriminators = _Discriminators(
            [source, target, made_source, made_target],
            [of_source(source), of_target(target), of_source(made_source), of_target(made_target)],
            name="discriminators",
        )
        for model, trained in ((self.generators, self.parts[:2]), (self.discriminators, self.parts[2:])):
            model.chosen = frozenset(id(v) for part in trained for v in part.trainable_variables)
            model.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE, MOMENTUM), jit_compile=False)
            model.optimizer.build(model.trainable_variables)
        self._is_warm = False

    def reset(self, seed: int) -> None:
        """Starts afresh: kernels drawn from the seed, changes that are zero, optimizers that have done nothing."""
        for part in self.parts:
            for i, layer in enumerate(part.layers):  # not by their names, which count on in a process
                for k, variable in enumerate(layer.weights):
                    variable.assign(_initial(layer, variable, generator(seed, part.name, i, k)))
        for model in (self.generators, self.discriminators):
            for variable in model.optimizer.variables:
                variable.assign(ops.zeros_like(variable))

    def warm(self) -> None:
        """Traces everything, and leaves all as it was."""
        if self._is_warm:
            return
        kept = [[np.array(v) for v in part.weights] for part in self.parts]
        zeros = np.zeros((BATCH, self.side, self.side, 3), np.float32)
        self._step(zeros, zeros, 0.0)
        self.parts[0].predict_on_batch(zeros)
        for part, values in zip(self.parts, kept, strict=True):
            part.set_weights(values)
        for model in (self.generators, self.discriminators):
            for variable in model.optimizer.variables:
                variable.assign(ops.zeros_like(variable))
        self._is_warm = True

    def train(
        self, source: np.ndarray, target: np.ndarray, steps: int, seed: int, tick: Callable[[str], None]
    ) -> None:
        """Alternates steps of the generators and of the discriminators.

        Args:
            source, target: images of either style.
            steps: of each.
            seed: of the order of images.
            tick: called now and then with what is being done.
        """
        rng = generator(seed, "translation")
        for step in range(steps):
            if step % STEPS_AN_EPOCH == 0:
                tick(f"translation step {step}/{steps}")
            first, second = (images[rng.integers(len(images), size=BATCH)] for images in (source, target))
            self._step(first, second, LEARNING_RATE * min(1.0, 2 * (1 - step / steps)))

    def _step(self, source: np.ndarray, target: np.ndarray, rate: float) -> None:
        made_target, made_source = self.make.predict_on_batch([source, target])
        for model in (self.generators, self.discriminators):
            model.optimizer.learning_rate.assign(rate)
        self.generators.train_on_batch([source, target])
        self.discriminators.train_on_batch([source, target, made_source, made_target])

    def translated(self, images: np.ndarray) -> np.ndarray:
        """Images of the source, uint8 (N, S, S, 3) of any size, in the target's style."""
        result = np.empty_like(images)
        for first in range(0, len(images), BATCH):
            some = images[first : first + BATCH]
            small = _small(np.resize(some, (BATCH, *some.shape[1:])), self.side)
            change = self.parts[0].predict_on_batch(small)[: len(some)] - small[: len(some)]
            for i, image in enumerate(some):
                wide = _enlarged(change[i], image.shape[0]) * 127.5
                result[first + i] = np.clip(np.rint(image + wide), 0, 255).astype(np.uint8)
        return result


@lru_cache(maxsize=1)
def _networks(side: int) -> Networks:
    return Networks(side)


def _generator(shape: tuple[int, int, int], name: str) -> keras.Model:
    """An image plus a change to it: two steps down, residual blocks, two steps up."""
    inputs = keras.Input(shape)
    x = _convolved(inputs, FILTERS, 7)
    x = _convolved(x, 2 * FILTERS, 3, strides=2)
    x = _convolved(x, 4 * FILTERS, 3, strides=2)
    for _ in range(BLOCKS):
        x = layers.Add()(
            [
                x,
                _normalised(
                    layers.Conv2D(4 * FILTERS, 3, padding="same", use_bias=False)(
                        _convolved(x, 4 * FILTERS, 3)
                    )
                ),
            ]
        )
    for filters in (2 * FILTERS, FILTERS):
        x = layers.ReLU()(_normalised(layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=False)(x)))
    change = layers.Conv2D(3, 7, padding="same", name=f"{name}_change")(x)
    return keras.Model(inputs, layers.Add()([inputs, change]), name=name)


def _discriminator(shape: tuple[int, int, int], name: str) -> keras.Model:
    """Whether each patch of an image is real: (N, side / 8, side / 8, 1)."""
    inputs = keras.Input(shape)
    x = layers.LeakyReLU(0.2)(layers.Conv2D(2 * FILTERS, 4, 2, "same")(inputs))
    for filters in (4 * FILTERS, 8 * FILTERS):
        x = layers.LeakyReLU(0.2)(_normalised(layers.Conv2D(filters, 4, 2, "same", use_bias=False)(x)))
    return keras.Model(inputs, layers.Conv2D(1, 3, padding="same", name=f"{name}_answer")(x), name=name)


def _convolved(x: Any, filters: int, size: int, strides: int = 1) -> Any:
    return layers.ReLU()(_normalised(layers.Conv2D(filters, size, strides, "same", use_bias=False)(x)))


def _normalised(x: Any) -> Any:
    """Instance normalisation."""
    return layers.GroupNormalization(groups=-1)(x)


def _initial(layer: keras.layers.Layer, variable: keras.Variable, rng: np.random.Generator) -> np.ndarray:
    shape = tuple(variable.shape)
    if len(shape) > 1 and not layer.name.endswith("_change"):
        return rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype(np.float32)
    return np.ones(shape, np.float32) if variable.name == "gamma" else np.zeros(shape, np.float32)


def _small(images: np.ndarray, side: int) -> np.ndarray:
    """uint8 images at ``side`` pixels, float32 in [-1, 1]."""
    if images.shape[1] != side:
        resized = [
            np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
            for image in images
        ]
        images = np.stack(resized)
    return images.astype(np.float32) / 127.5 - 1


def _enlarged(change: np.ndarray, size: int) -> np.ndarray:
    """A change (side, side, 3) of any numbers at another size."""
    if change.shape[0] == size:
        return change
    planes = [
        np.asarray(Image.fromarray(change[..., c]).resize((size, size), Image.Resampling.BILINEAR))
        for c in range(3)
    ]
    return np.stack(planes, axis=-1)
