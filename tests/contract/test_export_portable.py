"""What an exported model computes without what converters do not know."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from keras import ops

from bench.commands.export.portable import portable

FORBIDDEN = {True: {"STFT", "Resize", "Normalization", "Activation"}, False: {"Resize"}}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    samples = keras.Input((2_000,))
    real, imaginary = ops.stft(samples, 400, 160, 512, window="hann", center=False)
    image = ops.expand_dims(ops.log(real * real + imaginary * imaginary + 1e-3), -1)
    image = ops.image.resize(image, (7, 20), antialias=True)
    values = keras.layers.Activation("gelu")(keras.layers.GlobalAveragePooling2D()(image * 3 - 1))
    scaled = keras.layers.Normalization(mean=[0.5], variance=[4.0])(values)
    return keras.Model(samples, keras.layers.Concatenate()([scaled, keras.layers.Flatten()(image)]))


@pytest.mark.parametrize("onnx", [True, False])
def test_the_values_stay_and_the_operations_go(model: keras.Model, onnx: bool) -> None:
    clips = np.random.default_rng(0).normal(size=(3, 2_000)).astype(np.float32)
    other = portable(model, onnx)
    assert not FORBIDDEN[onnx] & {type(operation).__name__ for operation in other.operations}
    assert {"STFT", "Resize"} <= {type(operation).__name__ for operation in model.operations}
    assert np.allclose(model.predict_on_batch(clips), other.predict_on_batch(clips), atol=1e-3)


def test_an_approximate_gelu_is_no_gelu_to_replace() -> None:
    tokens = keras.Input((4,))
    network = keras.Model(tokens, ops.gelu(tokens, approximate=True))
    assert [type(operation).__name__ for operation in portable(network, True).operations][-1] == "Gelu"
