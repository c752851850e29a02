"""Keras models of the user's as backbones: the same features, the promises of every backbone, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import bench
from bench.backbones.build import build_backbone
from bench.backbones.cuts import find_cuts
from bench.backbones.spec import parse_backbone
from bench.backbones.weight_files import check_fit
from bench.backbones.weights import resolve_weights
from bench.commands.backbone_check.promises import Broken, Promises
from bench.errors import RequestError
from bench.system.names import divided

layers = keras.layers
SIZE = 32


def body(size: int | None = SIZE) -> keras.Model:
    """Two residual blocks that share a normalisation's name with whoever uses them."""
    image = keras.Input((size, size, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(image)
    for i in range(2):
        y = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
        y = layers.BatchNormalization(momentum=0.0, name=f"norm_{i}")(y)
        x = keras.ops.relu(x + y) if i else layers.Add()([x, y])
    return keras.Model(image, layers.MaxPooling2D()(x), name="body")


def nested() -> keras.Model:
    """A classifier with its preprocessing, and a network within the network."""
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(image)
    x = body()(x)
    x = layers.Conv2D(12, 3, name="stem")(x)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Dense(5, activation="softmax")(x), name="nested")


def chain() -> keras.Sequential:
    """A Sequential classifier of any size that takes standardised pixels."""
    parts = [
        layers.Conv2D(8, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(8, 3),
        layers.ReLU(),
    ]
    top = [layers.GlobalAveragePooling2D(), layers.Dense(3)]
    return keras.Sequential([keras.Input((None, None, 3)), *parts, *top], name="chain")


def pixels(size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype(np.float32)


def features(text: str, size: int = SIZE) -> tuple[np.ndarray, keras.Model]:
    spec = parse_backbone(text)
    model = build_backbone(spec, size, resolve_weights(spec, size))
    return np.asarray(keras.ops.convert_to_numpy(model(pixels(size), training=False))), model


@pytest.fixture(autouse=True)
def _seeded() -> None:
    keras.utils.set_random_seed(0)


def test_features_are_those_of_the_network_without_its_classifier() -> None:
    model = nested()
    found, copy = features(bench.own_backbone(model))
    part = keras.Model(model.inputs[0], model.get_layer("stem").output)
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(part(pixels())), atol=1e-5)
    assert {"stem", "stem_2", "norm_0"} <= {layer.name for layer in copy.layers}
    assert len(find_cuts(copy)) >= 4


def test_pixels_are_prepared_as_given_at_any_size() -> None:
    model = chain()
    text = bench.own_backbone(model, "0..1", mean=(0.5, 0.4, 0.3), std=0.2)
    part = keras.Model(model.inputs[0], model.layers[3].output)
    for size in (SIZE, 48):
        given = (pixels(size) / 255 - np.float32([0.5, 0.4, 0.3])) / np.float32(0.2)
        expected = keras.ops.convert_to_numpy(part(given))
        np.testing.assert_allclose(features(text, size)[0], expected, rtol=1e-4, atol=1e-5)


def test_the_same_model_is_the_same_file() -> None:
    model = chain()
    text = bench.own_backbone(model, "0..1")
    path = Path(divided(text)[0].removeprefix("keras:"))
    before = path.read_bytes()
    model.compile("adam", "mse")
    assert bench.own_backbone(model, "0..1") == text
    path.unlink()
    assert bench.own_backbone(model, "0..1") == text
    assert path.read_bytes() == before
    model.layers[0].set_weights([weights + 1 for weights in model.layers[0].get_weights()])
    assert bench.own_backbone(model, "0..1") != text


@pytest.mark.parametrize("make", [nested, lambda: body(None)], ids=["nested", "body"])
def test_every_promise_holds(make: Callable[[], keras.Model], tmp_path: Path) -> None:
    model = make()
    made = Promises(bench.own_backbone(model, "" if model.name == "nested" else "0..1"), SIZE, tmp_path)
    said = [
        made.map(),
        made.cuts(),
        made.halves(),
        made.saved(),
        made.frozen(),
        made.again(),
        made.precision(),
    ]
    assert "Images of 32 px become a feature map of" in said[0]
    assert "It can be cut at" in said[1]


def test_broken_promises_are_said(tmp_path: Path) -> None:
    dead = chain()
    dead.layers[2].set_weights([np.zeros_like(weights) for weights in dead.layers[2].get_weights()])
    with pytest.raises(Broken, match="the same features for different images"):
        Promises(bench.own_backbone(dead, "0..1"), SIZE, tmp_path).map()
    lost = chain()
    lost.layers[0].set_weights([np.full_like(weights, np.nan) for weights in lost.layers[0].get_weights()])
    with pytest.raises(Broken, match="no numbers"):
        Promises(bench.own_backbone(lost, "0..1"), SIZE, tmp_path).map()
    image = keras.Input((SIZE, SIZE, 3))
    single = keras.Model(image, layers.Conv2D(4, 3)(image))
    with pytest.raises(Broken, match="It cannot be cut"):
        Promises(bench.own_backbone(single, "0..1"), SIZE, tmp_path).cuts()


def two_inputs() -> keras.Model:
    inputs = [keras.Input((SIZE, SIZE, 3)) for _ in range(2)]
    return keras.Model(inputs, layers.Add()(inputs))


def with_lambda() -> keras.Model:
    image = keras.Input((SIZE, SIZE, 3))
    return keras.Model(image, layers.Conv2D(4, 3)(layers.Lambda(lambda x: x / 255, name="scale")(image)))


class OfYourOwn(keras.Model):
    def call(self, inputs: Any) -> Any:
        return inputs


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (two_inputs, "It has 2 inputs"),
        (with_lambda, "'scale' is a Lambda, whose code would come out of the file"),
        (lambda: OfYourOwn(), "It has no graph. Build it as keras.Model(inputs, outputs)"),
        (lambda: keras.Sequential([keras.Input((32, 32, 1)), layers.Conv2D(4, 3)]), "It takes (batch, 32, 32, 1)"),
    ],
    ids=["two-inputs", "lambda", "subclass", "gray"],
)  # fmt: skip
def test_a_model_that_cannot_serve_is_refused(make: Callable[[], Any], said: str) -> None:
    found = bench.check_backbone(make())
    assert not found.ok
    assert said in str(found)
    assert "1 problem\n- " in str(found)


def test_a_network_without_a_map_or_of_another_size_is_refused_before_any_cell() -> None:
    flat = [layers.Reshape((SIZE * SIZE, 3)), layers.Conv1D(4, 3), layers.Reshape((2, 511, 4))]
    fixed = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *flat, layers.Conv2D(4, 2)], name="fixed")
    text = bench.own_backbone(fixed, "0..1")
    features(text)
    with pytest.raises(RequestError, match=r"images of 48 px.*It was saved for 32 px"):
        features(text, 48)
    spec = parse_backbone(text)
    asked = []

    def ask(spec: Any, size: int) -> dict[str, Any]:
        from bench.backbones.fetch import fetch

        asked.append(size)
        return dict(fetch(spec.text, size))

    for _ in range(2):  # what fits is kept
        check_fit(spec, SIZE, resolve_weights(spec, SIZE), ask)
    with pytest.raises(RequestError, match="It was saved for 32 px"):
        check_fit(spec, 48, resolve_weights(spec, 48), ask)
    assert asked == [SIZE, 48]
    upper = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Flatten(), layers.Dense(3)], name="upper")
    with pytest.raises(RequestError, match="a network with a last feature map"):
        features(bench.own_backbone(upper, "0..1"))
