"""The losses of domain adaptation against numerical derivatives and their definitions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from keras import ops

from bench.training.losses.alignment import base
from bench.training.losses.alignment.base import alignment
from bench.training.losses.alignment.coral import coral
from bench.training.losses.alignment.dann import ReverseGradient, confusion, reverse_gradient
from bench.training.losses.alignment.mmd import BANDWIDTHS, mmd
from strategies import ALIGNMENTS

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


def numerical(function: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The derivative of a formula in NumPy, in double precision, which not every backend computes in."""
    result = np.zeros_like(at)
    for index in np.ndindex(*at.shape):
        ends = []
        for sign in (1, -1):
            moved = at.copy()
            moved[index] += sign * step
            ends.append(float(function(moved)))
        result[index] = (ends[0] - ends[1]) / (2 * step)
    return result


def coral_formula(source: np.ndarray, target: np.ndarray) -> float:
    return float(np.sum((np.cov(source.T) - np.cov(target.T)) ** 2) / (4 * source.shape[1] ** 2))


def mmd_formula(source: np.ndarray, target: np.ndarray, scale: float = 1 + 1e-6) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean([np.exp(-((x - y) ** 2).sum() / (scale * w)) for w in BANDWIDTHS]))

    of_one = [np.mean([kernel(x, y) for x, y in permutations(some, 2)]) for some in (source, target)]
    return float(sum(of_one) - 2 * np.mean([kernel(x, y) for x in source for y in target]))


def confusion_formula(source: np.ndarray, target: np.ndarray) -> float:
    """The mean over domains of the mean cross-entropy of being of the target."""
    of_target = [1 / (1 + np.exp(-logits)) for logits in (source, target)]
    return float(-np.log(1 - of_target[0]).mean() - np.log(of_target[1]).mean()) / 2


def _fixed_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widths of the kernels are not differentiated, so they may not follow the data here."""
    monkeypatch.setattr(ops, "median", lambda distances: ops.ones((), dtype=distances.dtype))


@pytest.mark.parametrize(
    ("loss", "formula"), [(coral, coral_formula), (mmd, mmd_formula), (confusion, confusion_formula)]
)
@pytest.mark.parametrize("side", ["source", "target"])
def test_gradients_are_the_numerical_ones(
    loss: Callable[..., Any], formula: Callable[..., float], side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fixed_width(monkeypatch)

    def of(of_both: Callable[..., Any], x: Any, other: Any) -> Any:
        return of_both(x, other) if side == "source" else of_both(other, x)

    at, other = (SOURCE, TARGET) if side == "source" else (TARGET, SOURCE)
    fixed = ops.convert_to_tensor(other, dtype="float64")
    found = gradient(lambda x: of(loss, x, fixed), at)
    assert np.abs(found).max() > 1e-3
    assert np.allclose(found, numerical(lambda x: of(formula, x, other), at), rtol=0, atol=1e-6)


def test_coral_is_its_formula() -> None:
    assert np.isclose(float(coral(ops.array(SOURCE), ops.array(TARGET))), coral_formula(SOURCE, TARGET))
    shifted = ops.array(SOURCE + 100)
    assert float(coral(shifted, ops.array(SOURCE))) < 1e-9  # of means it knows nothing


def test_mmd_is_its_formula() -> None:
    both = np.concatenate([SOURCE, TARGET])
    scale = np.median(((both[:, None] - both[None]) ** 2).sum(-1)) + 1e-6
    expected = mmd_formula(SOURCE, TARGET, scale)
    assert np.isclose(float(mmd(ops.array(SOURCE), ops.array(TARGET))), expected)


def test_confusion_is_its_formula_and_weighs_domains_the_same() -> None:
    source, target = SOURCE[:, :1], TARGET[:, :1]
    found = float(confusion(ops.array(source), ops.array(target)))
    assert found == pytest.approx(confusion_formula(source, target), rel=1e-5)
    twice = float(confusion(ops.array(np.tile(source, (2, 1))), ops.array(target)))
    assert twice == pytest.approx(found, rel=1e-5)
    assert float(confusion(ops.zeros((3, 1)), ops.zeros((2, 1)))) == pytest.approx(np.log(2))


def test_mmd_of_one_distribution_is_zero_on_average() -> None:
    rng = np.random.default_rng(1)
    values = [float(mmd(*(ops.array(rng.normal(size=(20, 4))) for _ in range(2)))) for _ in range(60)]
    apart = float(mmd(ops.array(rng.normal(size=(20, 4))), ops.array(rng.normal(1, 1, size=(20, 4)))))
    assert abs(np.mean(values)) < 4 * np.std(values) / 60**0.5
    assert apart > max(values)


def test_the_reversal_keeps_values_and_turns_gradients() -> None:
    x = ops.convert_to_tensor(SOURCE, dtype="float64")
    assert np.allclose(np.asarray(reverse_gradient(x, 0.7)), SOURCE, atol=1e-6)

    def plain(x: Any) -> Any:
        return ops.sum(ops.sin(x) * ops.arange(1.0, 4.0, dtype="float64"))

    ordinary = gradient(plain, SOURCE)
    expected = numerical(lambda x: float(np.sum(np.sin(x) * np.arange(1.0, 4.0))), SOURCE)
    assert np.allclose(ordinary, expected, rtol=0, atol=1e-6)
    reversed_ = gradient(lambda x: plain(reverse_gradient(x, 0.7)), SOURCE)
    assert np.allclose(reversed_, -0.7 * ordinary, rtol=0, atol=1e-6)


def test_the_layer_has_its_strength_in_a_variable() -> None:
    layer = ReverseGradient(dtype="float64")
    layer.strength.assign(0.25)
    turned = gradient(lambda x: ops.sum(layer(x) ** 2), SOURCE)
    assert np.allclose(turned, -0.25 * 2 * SOURCE)
    assert not layer.trainable_variables


def test_each_loss_that_a_stage_can_ask_for_has_a_file_of_its_name() -> None:
    files = {path.stem for path in Path(base.__file__).parent.glob("*.py")} - {"__init__", "base"}
    assert files == set(ALIGNMENTS)
    for name in ALIGNMENTS:
        features = keras.Input((6,))
        seen = alignment(name).of(features)
        assert len(seen.shape) == 2
