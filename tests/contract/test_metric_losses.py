"""The losses of embeddings against numerical derivatives and their published formulas."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from keras import ops

from bench.training.losses.metric_losses import (
    CONTRASTIVE_MARGIN,
    LOSSES,
    SUPPORT,
    TRIPLET_MARGIN,
    Unit,
    contrastive,
    prototypical,
    triplet,
)
from tests.contract.test_alignment import gradient, numerical

IMAGES, CLASSES, WIDTH = 4, 3, 5
FEATURES = np.random.default_rng(0).normal(size=(IMAGES, CLASSES, WIDTH))
UNIT = FEATURES / np.linalg.norm(FEATURES, axis=-1, keepdims=True)


def value(loss: Callable[[Any], Any], features: np.ndarray) -> float:
    return float(loss(ops.convert_to_tensor(features, dtype="float64")))


EVERY = list(product(range(IMAGES), range(CLASSES)))


def prototypical_formula(features: np.ndarray) -> float:
    losses = []
    for first in range(IMAGES):
        support = [(first + i) % IMAGES for i in range(SUPPORT)]
        prototypes = features[support].mean(axis=0)
        for i, c in product(set(range(IMAGES)) - set(support), range(CLASSES)):
            likelihood = np.exp(-((features[i, c] - prototypes) ** 2).sum(axis=1))
            losses.append(-np.log(likelihood[c] / likelihood.sum()))
    return float(np.mean(losses))


def contrastive_formula(features: np.ndarray) -> float:
    of_one, of_two = pairs(features)
    apart = [max(0.0, CONTRASTIVE_MARGIN - d) ** 2 / 2 for d in of_two]
    return float(np.mean([d**2 / 2 for d in of_one]) + np.mean(apart))


def pairs(features: np.ndarray) -> tuple[list[float], list[float]]:
    """Distances of all pairs of one class, and of two."""
    of_one, of_two = [], []
    for (i, c), (j, d) in combinations(EVERY, 2):
        (of_one if c == d else of_two).append(float(np.linalg.norm(features[i, c] - features[j, d])))
    return of_one, of_two


def triplet_formula(features: np.ndarray) -> float:
    return float(np.mean([loss for loss in triplets(features) if loss > 0]))


def triplets(features: np.ndarray) -> list[float]:
    """The losses of all triplets."""
    squared = np.square(features[:, :, None, None] - features).sum(axis=-1)
    return [
        max(0.0, squared[a][p] - squared[a][n] + TRIPLET_MARGIN)
        for a, p, n in product(EVERY, repeat=3)
        if a != p and a[1] == p[1] and a[1] != n[1]
    ]


FORMULAS = {
    "prototypical": prototypical_formula,
    "contrastive": contrastive_formula,
    "triplet": triplet_formula,
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_the_numerical_ones(name: str) -> None:
    found = gradient(LOSSES[name], UNIT)
    assert np.abs(found).max() > 1e-3
    assert np.allclose(found, numerical(FORMULAS[name], UNIT), rtol=0, atol=1e-6)


def test_prototypical_is_its_formula() -> None:
    assert value(prototypical, FEATURES) == pytest.approx(prototypical_formula(FEATURES))


def test_contrastive_is_its_formula() -> None:
    assert min(pairs(UNIT)[1]) < CONTRASTIVE_MARGIN
    assert value(contrastive, UNIT) == pytest.approx(contrastive_formula(UNIT), abs=1e-6)


def test_triplet_is_its_formula() -> None:
    losses = triplets(UNIT)
    assert 0 < sum(loss > 0 for loss in losses) < len(losses)
    assert value(triplet, UNIT) == pytest.approx(triplet_formula(UNIT))


def test_nothing_is_left_to_do_where_classes_are_points_far_apart() -> None:
    points = np.tile(np.eye(CLASSES, WIDTH), (IMAGES, 1, 1))
    assert value(triplet, points) == 0
    assert value(contrastive, points) == pytest.approx(0, abs=1e-9)
    assert value(prototypical, 100 * points) == pytest.approx(0, abs=1e-9)


def test_unit_has_length_one() -> None:
    found = np.asarray(ops.convert_to_numpy(Unit()(ops.convert_to_tensor(FEATURES[0], dtype="float32"))))
    assert np.allclose(found, UNIT[0], atol=1e-6)
