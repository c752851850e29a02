"""Credits of test examples: their mean is the metric, their scatter its sampling error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records import Metric
from bench.tasks.single_label import example_weights, score
from reports.statistics.answers import Answers
from reports.statistics.credits import credits, heaviest

METRICS: tuple[Metric, ...] = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")


def drawn(seed: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties, and labels of which some classes may be rare or missing."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, n, p=rng.dirichlet(np.ones(classes)))
    logits = rng.standard_normal((n, classes))
    logits[np.arange(n), labels] += 1
    likely = np.exp(logits)
    return (likely / likely.sum(axis=1, keepdims=True)).round(2), labels


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 200), st.integers(2, 12), st.sampled_from(METRICS))
def test_their_mean_is_the_metric(seed: int, n: int, classes: int, metric: str) -> None:
    probabilities, labels = drawn(seed, n, classes)
    found = credits(probabilities, labels, metric)
    expected = score(probabilities, labels).get(metric, math.nan)
    assert found.mean() == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_those_of_accuracy_are_right_or_wrong() -> None:
    probabilities, labels = drawn(0, 50, 4)
    found = credits(probabilities, labels, "accuracy")
    assert found.tolist() == (probabilities.argmax(axis=1) == labels).astype(float).tolist()
    assert heaviest(labels, "accuracy") == 1


@pytest.mark.parametrize("metric", METRICS)
def test_their_scatter_is_that_of_other_test_sets(metric: str) -> None:
    sizes = np.array([400, 80, 40])
    values, errors = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.arange(3), sizes)
        logits = rng.standard_normal((len(labels), 3))
        logits[np.arange(len(labels)), labels] += 2 - 0.7 * labels
        likely = np.exp(logits)
        probabilities = likely / likely.sum(axis=1, keepdims=True)
        values.append(score(probabilities, labels)[metric])
        errors.append(credits(probabilities, labels, metric).std(ddof=1) / math.sqrt(len(labels)))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_the_area_under_a_curve_needs_two_classes() -> None:
    labels = np.zeros(5, int)
    assert np.isnan(credits(np.full((5, 2), 0.5), labels, "auroc")).all()
    assert "auroc" not in score(np.full((5, 2), 0.5), labels)


def test_a_rare_class_that_is_all_right_leaves_doubt() -> None:
    labels = np.repeat([0, 1], [95, 5])
    probabilities = np.eye(2)[labels]
    ids = np.arange(100).astype(str)
    margins = {
        metric: Answers(
            ids, credits(probabilities, labels, metric)[None], None, heaviest(labels, metric)
        ).margin()
        for metric in METRICS
    }
    assert heaviest(labels, "balanced_accuracy") == 10
    assert margins["accuracy"] < 0.03
    assert 0.1 < margins["balanced_accuracy"] == margins["macro_f1"] == margins["auroc"] < 0.4


def test_by_another_metric_each_class_counts_the_same_on_validation() -> None:
    labels = np.array([0, 0, 0, 2])
    assert example_weights(labels, "accuracy").tolist() == [1, 1, 1, 1]
    for metric in METRICS[1:]:
        assert example_weights(labels, metric) == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
