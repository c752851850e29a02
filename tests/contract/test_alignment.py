"""The losses of domain adaptation against numerical derivatives and their definitions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from keras import ops  # noqa: E402

from bench.training.alignment import BANDWIDTHS, ReverseGradient, coral, mmd, reverse_gradient  # noqa: E402

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.normal(size=(7, 3)), RNG.normal(1, 2, size=(5, 3))


def gradient(function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    """The derivative of a scalar function, by the backend."""
    variable = keras.Variable(at.astype(np.float64), dtype="float64")
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = function(variable.value)
        return np.asarray(tape.gradient(value, variable.value))
    if backend == "torch":
        value = function(variable.value)
        value.backward()
        return variable.value.grad.numpy()
    import jax

    return np.asarray(jax.grad(lambda x: function(x))(variable.value))


def numerical(function: Callable[[Any], Any], at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    result = np.zeros_like(at)
    for index in np.ndindex(*at.shape):
        ends = []
        for sign in (1, -1):
            moved = at.copy()
            moved[index] += sign * step
            ends.append(float(function(ops.convert_to_tensor(moved, dtype="float64"))))
        result[index] = (ends[0] - ends[1]) / (2 * step)
    return result


def _fixed_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widths of the kernels are not differentiated, so they may not follow the data here."""
    monkeypatch.setattr(ops, "median", lambda distances: ops.ones((), dtype=distances.dtype))


@pytest.mark.parametrize("loss", [coral, mmd])
@pytest.mark.parametrize("side", ["source", "target"])
def test_gradients_are_the_numerical_ones(
    loss: Callable[..., Any], side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fixed_width(monkeypatch)

    def of(x: Any) -> Any:
        fixed = ops.convert_to_tensor(TARGET if side == "source" else SOURCE, dtype="float64")
        return loss(x, fixed) if side == "source" else loss(fixed, x)

    at = SOURCE if side == "source" else TARGET
    assert np.allclose(gradient(of, at), numerical(of, at), rtol=1e-5, atol=1e-8)


def test_coral_is_its_formula() -> None:
    expected = np.sum((np.cov(SOURCE.T) - np.cov(TARGET.T)) ** 2) / (4 * 3**2)
    assert np.isclose(float(coral(ops.array(SOURCE), ops.array(TARGET))), expected)
    shifted = ops.array(SOURCE + 100)
    assert float(coral(shifted, ops.array(SOURCE))) < 1e-9  # of means it knows nothing


def test_mmd_is_its_formula() -> None:
    both = np.concatenate([SOURCE, TARGET])
    scale = np.median(((both[:, None] - both[None]) ** 2).sum(-1)) + 1e-6

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean([np.exp(-((x - y) ** 2).sum() / (scale * w)) for w in BANDWIDTHS]))

    expected = np.mean([kernel(x, y) for x, y in permutations(SOURCE, 2)])
    expected += np.mean([kernel(x, y) for x, y in permutations(TARGET, 2)])
    expected -= 2 * np.mean([kernel(x, y) for x in SOURCE for y in TARGET])
    assert np.isclose(float(mmd(ops.array(SOURCE), ops.array(TARGET))), expected)


def test_mmd_of_one_distribution_is_zero_on_average() -> None:
    rng = np.random.default_rng(1)
    values = [float(mmd(*(ops.array(rng.normal(size=(20, 4))) for _ in range(2)))) for _ in range(60)]
    apart = float(mmd(ops.array(rng.normal(size=(20, 4))), ops.array(rng.normal(1, 1, size=(20, 4)))))
    assert abs(np.mean(values)) < 4 * np.std(values) / 60**0.5
    assert apart > max(values)


def test_the_reversal_keeps_values_and_turns_gradients() -> None:
    x = ops.convert_to_tensor(SOURCE, dtype="float64")
    assert np.allclose(np.asarray(reverse_gradient(x, 0.7)), SOURCE)

    def plain(x: Any) -> Any:
        return ops.sum(ops.sin(x) * ops.arange(1.0, 4.0, dtype="float64"))

    ordinary = gradient(plain, SOURCE)
    assert np.allclose(ordinary, numerical(plain, SOURCE), rtol=1e-6)
    reversed_ = gradient(lambda x: plain(reverse_gradient(x, 0.7)), SOURCE)
    assert np.allclose(reversed_, -0.7 * ordinary)


def test_the_layer_has_its_strength_in_a_variable() -> None:
    layer = ReverseGradient(dtype="float64")
    layer.strength.assign(0.25)
    turned = gradient(lambda x: ops.sum(layer(x) ** 2), SOURCE)
    assert np.allclose(turned, -0.25 * 2 * SOURCE)
    assert not layer.trainable_variables
