"""How the classes and groups of a given test part differ from the pool's, and what that says of a gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.commands.check import check
from bench.datasets import open_dataset
from bench.modalities.groups import GroupCounts
from bench.modalities.nouns import Noun
from bench.plans.loading import load_plan
from bench.tasks.single_label import class_accuracy


@pytest.fixture(autouse=True)
def cache(fresh_cache: Path) -> Path:
    return fresh_cache


def mixes(tmp_path: Path, pool: list[int], test: list[int]) -> dict[str, Any] | None:
    """The finding on an array file with so many images of each class."""
    random = np.random.default_rng(0)
    parts: dict[str, np.ndarray] = {}
    for name, counts in (("train", pool), ("test", test)):
        labels = np.repeat(np.arange(len(counts)), counts)
        parts |= {f"x_{name}": random.integers(0, 256, (len(labels), 4, 4), np.uint8), f"y_{name}": labels}
    np.savez(tmp_path / "a.npz", **parts)  # type: ignore[arg-type]
    plan = load_plan({"datasets": [tmp_path / "a.npz"], "image_size": 8, "fractions": [1.0]})
    result = check(open_dataset(plan.datasets[0], vars(plan)), plan)
    return next((f for f in result["findings"] if f["kind"] == "class_mix"), None)


def test_another_mix_is_named_with_the_classes_that_moved_most(tmp_path: Path) -> None:
    finding = mixes(tmp_path, [260, 200, 140], [28, 100, 72])
    assert finding is not None
    assert finding["level"] == "validity"
    assert "29% of test" in finding["text"]
    assert finding["items"][0] == {"id": "0", "reason": "14.0% of test images, 43.3% of the pool"}


@pytest.mark.parametrize(
    ("pool", "test"),
    [
        ([100, 100, 100], [20, 20, 20]),  # the same
        ([100, 100, 100], [5, 3, 2]),  # chance may well have done it
        ([5000, 5000], [5200, 4800]),  # significant, and too little to matter
    ],
)  # fmt: skip
def test_the_same_mix_chance_and_trifles_are_not_named(
    tmp_path: Path, pool: list[int], test: list[int]
) -> None:
    assert mixes(tmp_path, pool, test) is None


def test_a_drawn_test_part_is_never_named(tmp_path: Path) -> None:
    labels = np.repeat([0, 1], [300, 20])
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).integers(0, 256, (320, 4, 4), np.uint8), y=labels)
    plan = load_plan({"datasets": [tmp_path / "a.npz"], "image_size": 8, "fractions": [1.0]})
    result = check(open_dataset(plan.datasets[0], vars(plan)), plan)
    assert "class_mix" not in {finding["kind"] for finding in result["findings"]}


def test_accuracy_by_class() -> None:
    probabilities = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.6, 0.4, 0], [0.1, 0.9, 0]])
    assert class_accuracy(probabilities, np.array([0, 0, 0, 1])) == [2 / 3, 1.0, None]


def test_groups_and_what_they_leave_of_the_test_set() -> None:
    counts = GroupCounts.of(np.array([0, 0, 1, 2]), np.array([3, 3, 3, 4]), "person#")
    assert (counts.pool, counts.test, counts.both, counts.n_test, counts.largest) == (3, 2, 0, 4, 3)
    assert counts.worth == pytest.approx(16 / 10)
    first, second = counts.sentences(Noun("image", "images"))
    assert "person#" in first
    assert "none is in both" in first
    assert "worth 2 to 4 independent" in second
    alone = GroupCounts.of(np.arange(5), np.arange(5, 9), "")
    assert alone.worth == alone.n_test == 4
