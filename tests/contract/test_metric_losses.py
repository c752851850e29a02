"""The losses of embeddings against numerical derivatives and their published formulas."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from keras import ops  # noqa: E402

from bench.training.metric_losses import (  # noqa: E402
    CONTRASTIVE_MARGIN,
    LOSSES,
    SUPPORT,
    TRIPLET_MARGIN,
    Unit,
    contrastive,
    prototypical,
    triplet,
)
from tests.contract.test_alignment import gradient, numerical  # noqa: E402

IMAGES, CLASSES, WIDTH = 4, 3, 5
FEATURES = np.random.default_rng(0).normal(size=(IMAGES, CLASSES, WIDTH))
UNIT = FEATURES / np.linalg.norm(FEATURES, axis=-1, keepdims=True)


def value(loss: Callable[[Any], Any], features: np.ndarray) -> float:
    return float(loss(ops.convert_to_tensor(features, dtype="float64")))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_the_numerical_ones(name: str) -> None:
    loss = LOSSES[name]
    assert np.allclose(gradient(loss, UNIT), numerical(loss, UNIT), rtol=1e-5, atol=1e-8)


def test_prototypical_is_its_formula() -> None:
    prototypes = FEATURES[:SUPPORT].mean(axis=0)
    expected = []
    for i, c in product(range(SUPPORT, IMAGES), range(CLASSES)):
        likelihood = np.exp(-((FEATURES[i, c] - prototypes) ** 2).sum(axis=1))
        expected.append(-np.log(likelihood[c] / likelihood.sum()))
    assert value(prototypical, FEATURES) == pytest.approx(np.mean(expected))


def pairs() -> tuple[list[float], list[float]]:
    """Distances of all pairs of one class, and of two."""
    of_one, of_two = [], []
    for (i, c), (j, d) in combinations(list(product(range(IMAGES), range(CLASSES))), 2):
        (of_one if c == d else of_two).append(float(np.linalg.norm(UNIT[i, c] - UNIT[j, d])))
    return of_one, of_two


def test_contrastive_is_its_formula() -> None:
    of_one, of_two = pairs()
    together = np.mean([d**2 / 2 for d in of_one])
    apart = np.mean([max(0.0, CONTRASTIVE_MARGIN - d) ** 2 / 2 for d in of_two])
    assert apart > 0
    assert value(contrastive, UNIT) == pytest.approx(together + apart, abs=1e-6)


def test_triplet_is_its_formula() -> None:
    every = list(product(range(IMAGES), range(CLASSES)))
    losses = [
        max(0.0, ((UNIT[a] - UNIT[p]) ** 2).sum() - ((UNIT[a] - UNIT[n]) ** 2).sum() + TRIPLET_MARGIN)
        for a, p, n in product(every, repeat=3)
        if a != p and a[1] == p[1] and a[1] != n[1]
    ]
    active = [loss for loss in losses if loss > 0]
    assert 0 < len(active) < len(losses)
    assert value(triplet, UNIT) == pytest.approx(np.mean(active))


def test_nothing_is_left_to_do_where_classes_are_points_far_apart() -> None:
    points = np.tile(np.eye(CLASSES, WIDTH), (IMAGES, 1, 1))
    assert value(triplet, points) == 0
    assert value(contrastive, points) == pytest.approx(0, abs=1e-9)
    assert value(prototypical, 100 * points) == pytest.approx(0, abs=1e-9)


def test_unit_has_length_one() -> None:
    found = np.asarray(ops.convert_to_numpy(Unit()(ops.convert_to_tensor(FEATURES[0], dtype="float32"))))
    assert np.allclose(found, UNIT[0], atol=1e-6)
