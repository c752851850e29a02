"""A model without what converters do not know: the same values from operations that every format has."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


def portable(model: Any, with_spectra: bool) -> Any:
    """The model with the same layers and weights, for ``Model.export``.

    tf2onnx takes the constants of ``Normalization`` for inputs and knows no Fourier transform of real numbers.
    LiteRT cannot resize with antialiasing. All three are linear maps, here by constants of the model.

    Args:
        with_spectra: whether the format has Fourier transforms of real numbers.
    """

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        kind = type(operation).__name__
        if kind == "Normalization":
            return _normalized(operation, *args)
        if kind == "STFT" and not with_spectra and not operation.center:
            return _spectra(operation, *args)
        if kind == "Resize" and operation.antialias:
            return _resized(operation, *args)
        return operation(*args, **kwargs)

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def _normalized(layer: Any, values: Any) -> Any:
    mean, variance = (np.asarray(ops.convert_to_numpy(given)) for given in (layer.mean, layer.variance))
    return (values - mean) * (1 / np.maximum(np.sqrt(variance), keras.config.epsilon()))


def _spectra(operation: Any, samples: Any) -> tuple[Any, Any]:
    """The real and the imaginary part of each frame's spectrum, as one convolution."""
    length, step, frame = operation.sequence_length, operation.sequence_stride, operation.fft_length
    unit = ops.convert_to_tensor(np.eye(frame, dtype=np.float32))
    parts = ops.stft(unit, length, step, frame, window=operation.window, center=False)
    kernel = np.concatenate([ops.convert_to_numpy(part)[:, 0] for part in parts], axis=-1)
    both = ops.conv(ops.expand_dims(samples, -1), kernel[:, None], strides=step, padding="valid")
    return both[..., : frame // 2 + 1], both[..., frame // 2 + 1 :]


def _resized(operation: Any, images: Any) -> Any:
    """Images (N, height, width, channels) by one matrix for their rows and one for their columns."""
    rows, columns = (
        _matrix(operation, size, given) for size, given in zip(operation.size, images.shape[1:3], strict=True)
    )
    tall = ops.einsum("oh,nhwc->nowc", rows, images)
    return ops.einsum("pw,nowc->nopc", columns, tall)


def _matrix(operation: Any, size: int, given: int) -> np.ndarray:
    """What resizing does to one side, (size, given)."""
    unit = np.eye(given, dtype=np.float32)[None, :, None, :]
    resized = ops.image.resize(unit, (size, 1), interpolation=operation.interpolation, antialias=True)
    return np.asarray(ops.convert_to_numpy(resized))[0, :, 0]
