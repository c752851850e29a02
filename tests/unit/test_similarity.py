"""Linear CKA without bias."""

from __future__ import annotations

import math

import numpy as np

from bench.training.similarity import linear_cka


def features(seed: int, n: int = 60, d: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def test_rotation_scale_and_offset_do_not_count() -> None:
    x = features(0)
    rotation, _ = np.linalg.qr(features(1, 200, 200))
    assert math.isclose(linear_cka(x, 3 * x @ rotation + 5), 1, abs_tol=1e-9)


def test_independent_features_are_unlike_though_there_are_more_of_them_than_examples() -> None:
    values = [linear_cka(features(2 * seed), features(2 * seed + 1)) for seed in range(50)]
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(50) + 1e-3
    assert max(values) < 0.2  # the biased estimate gives 0.77 here


def test_in_between_it_falls_as_noise_rises() -> None:
    x, noise = features(0), features(1)
    values = [linear_cka(x, x + share * noise) for share in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.999 > values[1]


def test_against_its_definition() -> None:
    """HSIC as the mean over quadruples of different examples, for few of them."""
    from itertools import permutations

    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    k, m = (a - a.mean(0) for a in (x, y))
    k, m = k @ k.T, m @ m.T

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in permutations(range(6), 4)]
        return float(np.mean(terms))

    expected = hsic(k, m) / math.sqrt(hsic(k, k) * hsic(m, m))
    assert math.isclose(linear_cka(x, y), expected, rel_tol=1e-9)


def test_a_constant_has_no_similarity() -> None:
    assert math.isnan(linear_cka(features(0), np.ones((60, 4))))
