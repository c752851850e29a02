"""A model without what converters do not know: the same values from operations that every format has."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from bench.commands.export.formats import INT8

LEAST_INT8 = 1024
"""Numbers of a constant from which on LiteRT's converter makes it int8."""


def portable(model: Any, name: str) -> Any:
    """The model with the same layers and weights, for ``Model.export``.

    tf2onnx takes the constants of ``Normalization`` for inputs and knows neither Fourier transforms of real
    numbers nor the complementary error function of GELU. LiteRT cannot resize with antialiasing. What is linear is
    done by constants of the model.
    Where weights are to be int8, power is summed into bands by matrices too small for it: 256 steps do not hold the
    80 dB of a clip.

    Args:
        name: of the format.
    """

    numbers = itertools.count()

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        replacement = _replacement(operation, args, name)
        if replacement is None:
            return operation(*args, **kwargs)
        # A layer, because operations within would be named as others of the model are.
        return keras.layers.Lambda(replacement, name=f"portable_{next(numbers)}")(args[0])

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def _replacement(operation: Any, args: Any, name: str) -> Callable[[Any], Any] | None:
    """What gives the values of an operation for the tensor that it is given first; None where it stays."""
    kind = type(operation).__name__
    if kind == "Resize" and operation.antialias:
        return _resizing(operation, args[0].shape)
    if name == INT8 and kind == "Matmul" and isinstance(args[1], np.ndarray):
        return _in_strips(args[1])
    if name != "onnx":
        return None
    if kind == "Normalization":
        return _normalization(operation)
    if kind in ("Activation", "Gelu") and _is_exact_gelu(operation):
        return _gelu
    if kind == "STFT" and not operation.center:
        return _spectra(operation)
    return None


def _is_exact_gelu(operation: Any) -> bool:
    if isinstance(operation, keras.layers.Activation):
        return bool(operation.activation is keras.activations.gelu)
    return not operation.approximate


def _gelu(values: Any) -> Any:
    return values * (0.5 * (1 + ops.erf(values * 0.5**0.5)))


def _normalization(layer: Any) -> Callable[[Any], Any]:
    mean, variance = (np.asarray(ops.convert_to_numpy(each)) for each in (layer.mean, layer.variance))
    scale = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
    return lambda values: (values - mean) * scale


def _spectra(operation: Any) -> Callable[[Any], tuple[Any, Any]]:
    """The real and the imaginary part of each frame's spectrum, as one convolution."""
    length, step, frame = operation.sequence_length, operation.sequence_stride, operation.fft_length
    unit = ops.convert_to_tensor(np.eye(frame, dtype=np.float32))
    parts = ops.stft(unit, length, step, frame, window=operation.window, center=False)
    kernel = np.concatenate([ops.convert_to_numpy(part)[:, 0] for part in parts], axis=-1)[:, None]

    def spectra(samples: Any) -> tuple[Any, Any]:
        both = ops.conv(ops.expand_dims(samples, -1), kernel, strides=step, padding="valid")
        return both[..., : frame // 2 + 1], both[..., frame // 2 + 1 :]

    return spectra


def _in_strips(matrix: np.ndarray) -> Callable[[Any], Any]:
    """The product with a matrix (rows, columns), some columns at a time and only the rows that they need."""
    strips = []  # first row, values
    start = 0
    while start < matrix.shape[1]:
        end, strip = start, (0, matrix[:0, :0])
        while end < matrix.shape[1]:
            rows = np.flatnonzero(matrix[:, start : end + 1].any(axis=1))
            first, last = (rows[0], rows[-1] + 1) if rows.size else (0, 1)
            if end > start and (last - first) * (end + 1 - start) >= LEAST_INT8:
                break
            end, strip = end + 1, (first, matrix[first:last, start : end + 1])
        strips.append(strip)
        start = end

    def product(values: Any) -> Any:
        parts = [ops.matmul(values[..., row : row + len(part)], part) for row, part in strips]
        return ops.concatenate(parts, axis=-1)

    return product


def _resizing(operation: Any, shape: tuple[int, ...]) -> Callable[[Any], Any]:
    """Images (N, height, width, channels) by one matrix for their rows and one for their columns."""
    rows, columns = (
        _matrix(operation, size, given) for size, given in zip(operation.size, shape[1:3], strict=True)
    )

    def resized(images: Any) -> Any:
        wide = ops.matmul(ops.transpose(images, (0, 3, 1, 2)), columns.T)  # N, channels, rows, new columns
        both = ops.matmul(ops.transpose(wide, (0, 1, 3, 2)), rows.T)
        return ops.transpose(both, (0, 3, 2, 1))

    return resized


def _matrix(operation: Any, size: int, given: int) -> np.ndarray:
    """What resizing does to one side, (size, given)."""
    unit = np.eye(given, dtype=np.float32)[None, :, None, :]
    resized = ops.image.resize(unit, (size, 1), interpolation=operation.interpolation, antialias=True)
    return np.asarray(ops.convert_to_numpy(resized))[0, :, 0]
