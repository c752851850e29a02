"""Scores, against scikit-learn and against sums done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from bench.tasks.single_label import accuracy, expected_calibration_error, log_loss, score


def drawn(seed: int, n: int, classes: int, present: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.5), n).astype(np.float32)
    return probabilities, rng.integers(present or classes, size=n)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(2, 12))
def test_all_scores_agree_with_scikit_learn(seed: int, n: int, classes: int) -> None:
    probabilities, labels = drawn(seed, n, classes)
    predicted, present = probabilities.argmax(axis=1), np.unique(labels)
    found = score(probabilities, labels)
    assert set(found) - {"auroc"} == {"accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"}
    assert ("auroc" in found) == (len(present) > 1)
    if len(present) > 1:
        areas = [reference.roc_auc_score(labels == c, probabilities[:, c]) for c in present]
        assert found["auroc"] == pytest.approx(np.mean(areas))
    assert all(type(value) is float and math.isfinite(value) for value in found.values())
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    recall = [(predicted[labels == c] == c).mean() for c in present]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recall))
    f1 = reference.f1_score(labels, predicted, labels=present, average="macro", zero_division=0.0)
    assert found["macro_f1"] == pytest.approx(f1)
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1)
    by_hand = -np.mean([math.log(row[label]) for row, label in zip(clipped, labels, strict=True)])
    assert found["log_loss"] == pytest.approx(by_hand)
    assert 0 <= found["ece"] <= 1


def test_log_loss_agrees_with_scikit_learn() -> None:
    probabilities, labels = drawn(0, 500, 5)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    expected = reference.log_loss(labels, exact, labels=range(5))
    assert log_loss(exact, labels) == pytest.approx(expected, abs=1e-6)


def test_balanced_accuracy_agrees_with_scikit_learn() -> None:
    probabilities, labels = drawn(1, 300, 4)
    expected = reference.balanced_accuracy_score(labels, probabilities.argmax(axis=1))
    assert score(probabilities, labels)["balanced_accuracy"] == pytest.approx(expected)


def test_classes_without_a_test_image_do_not_count() -> None:
    # Classes 0 and 2 occur, 1 and 3 do not; one image of class 0 is taken for a 3.
    labels = np.array([0, 0, 2, 2])
    probabilities = np.eye(4, dtype=np.float32)[[0, 3, 2, 2]]
    found = score(probabilities, labels)
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == pytest.approx((0.5 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_a_class_never_predicted_counts_as_zero_without_a_warning() -> None:
    found = score(np.tile(np.float32([0.6, 0.4]), (4, 1)), np.array([0, 0, 1, 1]))
    assert found["balanced_accuracy"] == 0.5
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_a_certain_mistake_costs_a_finite_amount() -> None:
    wrong = np.eye(2, dtype=np.float32)[[1]]
    assert log_loss(wrong, np.array([0])) == pytest.approx(-math.log(1e-7))
    assert log_loss(wrong, np.array([1])) == 0


def test_ties_go_to_the_first_class() -> None:
    assert accuracy(np.full((2, 3), 1 / 3), np.array([0, 1])) == 0.5


def test_uniform_predictions() -> None:
    found = score(np.full((30, 3), 1 / 3, np.float32), np.arange(30) % 3)
    assert found["log_loss"] == pytest.approx(math.log(3))
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["ece"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("confidence", "correct", "expected"),
    [
        ([1.0, 1.0], [True, True], 0.0),
        ([1.0, 1.0], [False, False], 1.0),
        ([0.9, 0.9, 0.9, 0.9], [True, True, True, False], 0.15),  # one bin: |0.9 - 0.75|
        ([0.6, 0.95], [False, True], (0.6 + 0.05) / 2),  # two bins of one image each
        ([0.61, 0.65], [True, False], 0.13),  # bin 10 of 15 holds [2/3 - 1/15, 2/3): |0.63 - 0.5|
        ([0.5, 1.0], [True, True], 0.25),
    ],
)
def test_calibration_error_by_hand(confidence: list[float], correct: list[bool], expected: float) -> None:
    c = np.array(confidence)
    probabilities = np.column_stack([c, 1 - c])
    labels = np.where(correct, 0, 1)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(expected)


def test_calibration_error_of_one_bin_is_confidence_minus_accuracy() -> None:
    probabilities, labels = drawn(3, 400, 6)
    gap = abs(probabilities.max(axis=1).mean() - accuracy(probabilities, labels))
    assert expected_calibration_error(probabilities, labels, bins=1) == pytest.approx(gap, abs=1e-6)
