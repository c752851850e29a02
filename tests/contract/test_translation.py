"""The losses of CycleGAN against the paper's formulas, and their gradients against numerical derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from keras import ops

from bench.training.translation import _Discriminators, _Generators
from tests.contract.test_alignment import gradient, numerical

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (6, 2, 3, 3, 3))
"""Source and target, then what came back of either, then what their own generators made of them."""
ANSWERS = RNG.normal(size=(4, 2, 2, 2, 1))


def generators_formula(answers: np.ndarray, images: np.ndarray) -> float:
    """Zhu et al. 2017, section 4: least squares, 10 times the cycle (eq. 2); section 5.2: 5 times the identity."""
    source, target, source_back, target_back, source_same, target_same = images
    adversarial = sum(((answer - 1) ** 2).mean() for answer in answers[:2])
    cycle = np.abs(source_back - source).mean() + np.abs(target_back - target).mean()
    identity = np.abs(source_same - source).mean() + np.abs(target_same - target).mean()
    return float(adversarial + 10 * cycle + 5 * identity)


def discriminators_formula(answers: np.ndarray, images: np.ndarray) -> float:
    """Halved, as in section 7.1 of the paper."""
    of_real = sum(((answer - 1) ** 2).mean() for answer in answers[:2])
    return float(of_real + sum((answer**2).mean() for answer in answers[2:])) / 2


def tensors(arrays: Any) -> list[Any]:
    return [ops.convert_to_tensor(array, dtype="float64") for array in arrays]


def generators_loss(answers: Any, images: Any) -> Any:
    given = [*answers[:2], *images[2:]]
    return _Generators.own_loss(None, list(images[:2]), None, given)  # type: ignore[arg-type]


def discriminators_loss(answers: Any, images: Any) -> Any:
    return _Discriminators.own_loss(None, None, None, list(answers))  # type: ignore[arg-type]


LOSSES = [(generators_loss, generators_formula), (discriminators_loss, discriminators_formula)]


@pytest.mark.parametrize(("loss", "formula"), LOSSES)
def test_losses_are_those_of_the_paper(loss: Callable[..., Any], formula: Callable[..., float]) -> None:
    found = float(loss(tensors(ANSWERS), tensors(IMAGES)))
    assert found == pytest.approx(formula(ANSWERS, IMAGES), rel=1e-5)


@pytest.mark.parametrize(("loss", "formula"), LOSSES)
def test_gradients_of_answers_are_the_numerical_ones(
    loss: Callable[..., Any], formula: Callable[..., float]
) -> None:
    found = gradient(lambda answers: loss(answers, tensors(IMAGES)), ANSWERS)
    assert np.abs(found).max() > 0.1
    assert np.allclose(found, numerical(lambda x: formula(x, IMAGES), ANSWERS), rtol=0, atol=1e-6)


def test_gradients_of_images_are_the_numerical_ones() -> None:
    found = gradient(lambda images: generators_loss(tensors(ANSWERS), images), IMAGES)
    assert (np.abs(found) > 0.05).all()
    expected = numerical(lambda x: generators_formula(ANSWERS, x), IMAGES)
    assert np.allclose(found, expected, rtol=0, atol=1e-6)
