"""Pairs of one class and of two: the curve, its equal error rate, a threshold, and what each class contributes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import brentq

from bench.protocols.few_shot.verification import FALSE_ACCEPTS, Curve, Pairs

LABELS, GROUPS = np.arange(24) % 3, np.arange(24) // 2


def embedded() -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(24, 3))
    x[:, 0] += LABELS
    return x


def pairs(x: np.ndarray, labels: np.ndarray = LABELS) -> Pairs:
    found = Pairs.of(x, labels, GROUPS)
    assert found is not None
    return found


def by_hand(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the pairs of one class, and of two."""
    same, other = [], []
    for i, j in combinations(range(24), 2):
        if GROUPS[i] != GROUPS[j]:
            (same if LABELS[i] == LABELS[j] else other).append(np.linalg.norm(x[i] - x[j]))
    return np.array(same), np.array(other)


def test_the_area_is_the_chance_that_a_pair_of_one_class_is_nearer() -> None:
    same, other = by_hand(embedded())
    expected = np.mean([[(s < o) + 0.5 * (s == o) for o in other] for s in same])
    assert pairs(embedded()).curve.area == pytest.approx(expected)
    assert pairs(np.eye(3)[LABELS]).curve.area == 1
    assert pairs(np.zeros((24, 2))).curve.area == pytest.approx(0.5)


def test_at_the_equal_error_rate_both_errors_are_as_frequent() -> None:
    curve = pairs(embedded()).curve
    reference = brentq(lambda x: 1 - x - np.interp(x, curve.false_accepts, curve.true_accepts), 0, 1)
    assert curve.equal_error == pytest.approx(reference, abs=1e-9)
    accepts, rejects = pairs(embedded()).errors(curve.threshold)
    assert abs(accepts - rejects) < 0.05
    assert min(accepts, rejects) - 1e-9 <= curve.equal_error <= max(accepts, rejects) + 1e-9
    assert pairs(np.eye(3)[LABELS]).curve.equal_error == 0
    assert pairs(np.zeros((24, 2))).curve.equal_error == pytest.approx(0.5)


def test_a_threshold_accepts_what_is_no_further_apart() -> None:
    same, other = by_hand(embedded())
    assert pairs(embedded()).errors(1.5**2) == pytest.approx((np.mean(other <= 1.5), np.mean(same > 1.5)))
    perfect = pairs(np.eye(3)[LABELS])
    assert perfect.errors(perfect.curve.threshold) == (0.0, 0.0)


def test_the_kept_curve_rises_to_all_pairs() -> None:
    accepts = pairs(embedded()).curve.accepts()
    assert np.array_equal(accepts[0], FALSE_ACCEPTS)
    assert (np.diff(accepts[1]) >= 0).all()
    assert accepts[1, -1] == 1


@pytest.mark.parametrize("labels", [np.zeros(24, np.int64), np.arange(24)])
def test_without_pairs_of_both_kinds_nothing_is_measured(labels: np.ndarray) -> None:
    assert Pairs.of(embedded(), labels, GROUPS) is None


def test_each_class_contributes_what_leaving_it_out_changes() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(12).repeat(10)
    x = rng.normal(size=(12, 4))[labels] + 0.6 * rng.normal(size=(120, 4))
    found = Pairs.of(x, labels, np.arange(120))
    assert found is not None
    by_class, whole = found.equal_error_by_class(), found.curve.equal_error
    for label in range(12):
        keep = (found.labels != label).all(axis=0)
        without = Curve.of(found.distances[keep], found.same[keep]).equal_error
        assert by_class[label] == pytest.approx(12 * whole - 11 * without, abs=0.01)
    assert by_class.mean() == pytest.approx(whole, abs=0.05)


def test_two_classes_are_too_few_to_leave_one_out() -> None:
    keep = LABELS < 2
    found = Pairs.of(embedded()[keep], LABELS[keep], GROUPS[keep])
    assert found is not None
    assert np.isnan(found.equal_error_by_class()).all()
