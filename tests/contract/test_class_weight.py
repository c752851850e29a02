"""``class_weight = "balanced"``: it reaches every strategy that trains by a loss, and helps a rare class."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras_tuner")

from bench.commands.strategy_check.tiny import TinyEngine, negatives, parity, tiny_cell
from bench.datasets import Dataset, Part
from bench.plans.strategies import get_strategy
from bench.protocols.fractions.cell import run_cell
from bench.tasks.single_label import score
from strategies import STRATEGIES

SIZE = 32
ALIKE = {"nearest_mean", "nearest_pixel", "majority", "prototypical", "siamese"}
"""Each class counts the same anyway, or it is the floor."""


@pytest.fixture(scope="module")
def uneven(digits: Any) -> Dataset:
    """Threes and eights only; of the pool one in ten is an eight."""

    def of(part: Part, eights: float) -> Part:
        large, rare = (np.flatnonzero(part.labels == digit) for digit in (3, 8))
        rows = np.sort(np.concatenate([large, rare[: round(eights * len(rare))]]))
        ids, labels = tuple(part.ids[row] for row in rows), (part.labels[rows] == 8).astype(np.int64)
        return replace(part, ids=ids, labels=labels, groups=None, data=np.asarray(part.data)[rows])

    pool, test = of(digits.pool, 0.11), of(digits.test, 1)
    return replace(digits, fingerprint="e" * 16, class_names=("3", "8"), pool=pool, test=test)


@pytest.fixture(scope="module")
def tiny(digits: Any) -> TinyEngine:
    return TinyEngine(SIZE, digits.pool.data[:256])


def learned(name: str, dataset: Dataset, tiny: TinyEngine, class_weight: str, epochs: int = 3) -> np.ndarray:
    """Test probabilities of a strategy."""
    strategy = get_strategy(name)
    cell = replace(tiny_cell(strategy, dataset, SIZE), fraction=0.6, epochs=epochs, class_weight=class_weight)
    cell.tuning["trials"] = 1
    outcome = run_cell(
        cell,
        dataset,
        tiny,
        None,
        lambda text: None,
        source=negatives(dataset) if strategy.needs_source else None,
        auxiliary=(parity(dataset),) if strategy.needs_auxiliary else (),
    )
    assert outcome.probabilities is not None, outcome.fields
    return outcome.probabilities


@pytest.mark.parametrize("name", [name for name in STRATEGIES if get_strategy(name).learns_from({"image"})])
def test_it_changes_what_every_strategy_learns_but_those_that_weigh_classes_alike(
    name: str, uneven: Dataset, tiny: TinyEngine
) -> None:
    usual, balanced = (learned(name, uneven, tiny, weight, epochs=1) for weight in ("none", "balanced"))
    assert np.array_equal(usual, balanced) == (name in ALIKE)


@pytest.mark.parametrize("name", ["feature_extraction", "logistic"])
def test_a_rare_class_is_found_more_often(name: str, uneven: Dataset, tiny: TinyEngine) -> None:
    labels = uneven.test.labels
    recalls, scores = [], []
    for weight in ("none", "balanced"):
        probabilities = learned(name, uneven, tiny, weight)
        recalls.append((probabilities.argmax(axis=1) == labels)[labels == 1].mean())
        scores.append(score(probabilities, labels)["balanced_accuracy"])
    assert recalls[1] > recalls[0] + 0.05
    assert scores[1] > scores[0]
