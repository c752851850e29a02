"""How much classes weigh, and that strategies on features heed it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from strategies.class_weight import balanced
from strategies.knn import NearestNeighbours
from strategies.logistic import Logistic
from strategies.on_features import OnFeatures


def test_they_are_those_of_scikit_learn() -> None:
    labels = np.random.default_rng(0).choice(4, 60, p=[0.6, 0.25, 0.1, 0.05])
    found = balanced(labels)
    assert found == pytest.approx(compute_class_weight("balanced", classes=np.arange(4), y=labels))
    assert found[labels].mean() == pytest.approx(1)


def test_a_missing_class_and_a_single_one_do_no_harm() -> None:
    assert balanced(np.array([0, 2, 2])) == pytest.approx([1.5, 1, 0.75])
    assert balanced(np.array([1])).tolist() == [1, 1]


def test_two_sets_that_are_drawn_from_equally_often_count_by_their_shares() -> None:
    few, many = np.array([0, 1]), np.repeat([0, 1], [90, 10])
    found = balanced(few, many, np.empty(0, int))
    assert found == pytest.approx([1 / (2 * 0.7), 1 / (2 * 0.3)])


@pytest.mark.parametrize(
    ("strategy", "values"), [(Logistic(), {"penalty": 1e-2}), (NearestNeighbours(), {"neighbours": 20})]
)
def test_a_rare_class_is_found_more_often(strategy: OnFeatures, values: dict[str, float]) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [190, 10])
    features = (rng.standard_normal((200, 4)) + labels[:, None]).astype(np.float32)
    new = (rng.standard_normal((1000, 4)) + 1).astype(np.float32)
    hp = SimpleNamespace(get=values.__getitem__)
    recalls = [
        strategy.learn(features, labels, 2, hp, weights)[0](new).argmax(axis=1).mean()
        for weights in (None, balanced(labels)[labels])
    ]
    assert recalls[1] > recalls[0] + 0.2
    even = strategy.learn(features, labels, 2, hp, np.ones(200))[0](new)
    assert even == pytest.approx(strategy.learn(features, labels, 2, hp)[0](new), abs=1e-6)
