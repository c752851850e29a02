"""What an exported model computes without what converters do not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from keras import ops

from bench.backbones import log_mel
from bench.commands.export.conversion import OPENERS, _options
from bench.commands.export.portable import LEAST_INT8, _in_strips, portable

FORBIDDEN = {
    "onnx": {"STFT", "Resize", "Normalization", "Activation"},
    "litert": {"Resize"},
    "int8": {"Resize", "Matmul"},
}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    samples = keras.Input((2_000,))
    bands = log_mel.banded(log_mel.power(samples), log_mel.slaney(40, 20.0, 8_000.0))
    image = ops.expand_dims(ops.log(bands + 1e-3), -1)
    image = ops.image.resize(image, (7, 20), antialias=True)
    values = keras.layers.Activation("gelu")(keras.layers.GlobalAveragePooling2D()(image * 3 - 1))
    scaled = keras.layers.Normalization(mean=[0.5], variance=[4.0])(values)
    return keras.Model(samples, keras.layers.Concatenate()([scaled, keras.layers.Flatten()(image)]))


@pytest.mark.parametrize("name", list(FORBIDDEN))
def test_the_values_stay_and_the_operations_go(model: keras.Model, name: str) -> None:
    clips = np.random.default_rng(0).normal(size=(3, 2_000)).astype(np.float32)
    other = portable(model, name)
    assert not FORBIDDEN[name] & {type(operation).__name__ for operation in other.operations}
    assert {"STFT", "Resize", "Matmul"} <= {type(operation).__name__ for operation in model.operations}
    assert np.allclose(model.predict_on_batch(clips), other.predict_on_batch(clips), atol=1e-3)


def test_an_approximate_gelu_is_no_gelu_to_replace() -> None:
    tokens = keras.Input((4,))
    network = keras.Model(tokens, ops.gelu(tokens, approximate=True))
    assert [type(operation).__name__ for operation in portable(network, "onnx").operations][-1] == "Gelu"


@pytest.mark.parametrize("bands", [8, 32, 128])
def test_strips_of_a_matrix_give_its_product_and_are_too_small_for_int8(
    bands: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    filters = log_mel.slaney(bands, 20.0, 8_000.0)
    values = np.random.default_rng(0).uniform(0, 1, (2, 5, len(filters))).astype(np.float32)
    sizes = []
    matmul = ops.matmul
    monkeypatch.setattr(ops, "matmul", lambda left, right: sizes.append(right.size) or matmul(left, right))
    found = _in_strips(filters)(values)
    np.testing.assert_allclose(ops.convert_to_numpy(found), values @ filters, rtol=1e-5)
    assert max(sizes) < LEAST_INT8
    assert sum(sizes) < filters.size


@pytest.mark.filterwarnings("ignore")
def test_pictures_of_clips_stay_the_same_where_weights_are_int8(tmp_path: Path) -> None:
    samples = keras.Input((8_000,))
    model = keras.Model(samples, log_mel.picture(samples, 32))
    time = np.arange(8_000) / 16_000
    sweeps = np.sin(2 * np.pi * np.array([[400], [3_000]]) * time**2) * np.exp(-5 * time)
    clips = sweeps.astype(np.float32)
    other = portable(model, "int8")
    other(clips)
    other.export(tmp_path / "picture.tflite", **_options("int8"))
    found = OPENERS["litert"](tmp_path / "picture.tflite", 1)(clips)
    assert np.abs(found - model.predict_on_batch(clips)).max() < 0.02 * 255
