"""Splits: for arbitrary labels and groups the promises of the protocol hold."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.datasets import splits
from bench.errors import RequestError
from bench.modalities.registry import modality

ORDER = [0, 3, 6, 11, 8, 9, 10, 5, 2, 7, 4, 1]
TEST = [1, 2]

quick = settings(max_examples=60, deadline=None)

labels_of_any_kind = st.lists(st.integers(0, 6), min_size=0, max_size=120).map(np.array)
seeds = st.integers(0, 5)


@st.composite
def usable_labels(draw: st.DrawFn) -> np.ndarray:
    """At least four images in every class, in any order."""
    counts = draw(st.lists(st.integers(4, 40), min_size=2, max_size=8))
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(draw(seeds)).permutation(labels)


@st.composite
def grouped(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups, groups of any size and mixture."""
    labels = draw(usable_labels())
    count = draw(st.integers(3, 40))
    groups = draw(st.lists(st.integers(0, count), min_size=len(labels), max_size=len(labels)))
    return labels, np.array(groups)


def refused_or(field: str, call: Callable[..., Any], *arguments: object) -> Any:
    """The result of a call, or None if it was refused for the right field."""
    try:
        return call(*arguments)
    except RequestError as error:
        if error.field != field:
            raise
        return None


@quick
@given(labels_of_any_kind, seeds)
def test_every_prefix_is_proportional(labels: np.ndarray, seed: int) -> None:
    order = splits.nested_order(labels, None, seed, "key")
    assert sorted(order) == list(range(len(labels)))
    for c in np.unique(labels):
        got = np.cumsum(labels[order] == c)
        exact = np.arange(1, len(labels) + 1) * (labels == c).mean()
        assert (np.abs(got - exact) < 1).all()


@quick
@given(usable_labels(), seeds, st.lists(st.floats(0.01, 1), min_size=2, max_size=4))
def test_subsets_are_nested_and_exact(labels: np.ndarray, seed: int, fractions: list[float]) -> None:
    smaller: set[int] = set()
    for fraction in sorted(fractions):
        chosen = refused_or("fractions", splits.subset, labels, None, fraction, seed, "key")
        if chosen is None:
            continue
        assert len(chosen) == splits.subset_size(len(labels), fraction)
        assert (np.diff(chosen) > 0).all()
        assert smaller <= set(chosen.tolist())
        smaller = set(chosen.tolist())
        assert np.unique(labels[chosen], return_counts=True)[1].min() >= 2


@quick
@given(usable_labels(), seeds)
def test_test_part_and_validation(labels: np.ndarray, seed: int) -> None:
    mask = splits.split_test(labels, None, "key")
    for c in np.unique(labels):
        n = (labels == c).sum()
        assert 1 <= mask[labels == c].sum() <= n - 3
        assert abs(mask[labels == c].sum() - splits.SHARE * n) < 1.5  # one, and the rounding of the total
    pool = labels[~mask]
    chosen = splits.subset(pool, None, 1.0, seed, "key")
    assert chosen.tolist() == list(range(len(pool)))
    train, validation = splits.split_validation(pool, None, chosen, seed, "key")
    assert sorted([*train, *validation]) == chosen.tolist()
    assert set(pool[train]) == set(pool[validation]) == set(pool)


@quick
@given(grouped(), seeds, st.lists(st.floats(0.05, 1), min_size=2, max_size=3))
def test_groups_stay_whole(data: tuple[np.ndarray, np.ndarray], seed: int, fractions: list[float]) -> None:
    labels, groups = data
    order = splits.nested_order(labels, groups, seed, "key")
    assert sorted(order) == list(range(len(labels)))
    mask = refused_or("dataset", splits.split_test, labels, groups, "key")
    if mask is not None:
        assert not set(groups[mask]) & set(groups[~mask])
        assert set(labels[mask]) == set(labels)
        assert np.unique(labels[~mask], return_counts=True)[1].min() >= 3
    largest = np.bincount(groups).max()
    smaller: set[int] = set()
    for fraction in sorted(fractions):
        chosen = refused_or("fractions", splits.subset, labels, groups, fraction, seed, "key")
        if chosen is None:
            continue
        assert smaller <= set(chosen.tolist())
        smaller = set(chosen.tolist())
        assert abs(len(chosen) - fraction * len(labels)) <= largest
        assert not set(groups[chosen]) & (set(groups) - set(groups[chosen]))
        sides = refused_or("fractions", splits.split_validation, labels, groups, chosen, seed, "key")
        if sides is not None:
            assert not set(groups[sides[0]]) & set(groups[sides[1]])
            assert set(labels[sides[0]]) == set(labels[sides[1]]) == set(labels)


@quick
@given(usable_labels(), seeds, st.floats(0.01, 0.5))
def test_the_advised_fraction_works_for_every_seed(labels: np.ndarray, seed: int, fraction: float) -> None:
    try:
        splits.subset(labels, None, fraction, seed, "key")
    except RequestError as error:
        advised = float(str(error).rsplit(" is ", 1)[1].rstrip("."))
        for other in range(3):
            splits.subset(labels, None, advised, other, "key")
    else:
        assume(False)


@quick
@given(grouped(), st.booleans(), st.sampled_from([0.0, 0.02, 0.1, 0.3]))
def test_the_smallest_fraction_is_one_that_is_not_refused(
    data: tuple[np.ndarray, np.ndarray], by_group: bool, usual: float
) -> None:
    labels, groups = data[0], data[1] if by_group else None

    def is_refused(fraction: float) -> bool:
        try:
            splits.check_fraction(labels, groups, fraction, 2, "key")
        except RequestError:
            return True
        return False

    found = splits.smallest_fraction(labels, groups, 2, "key", usual)
    assert usual <= found <= 1
    assert found == 1 or not is_refused(found)
    assert found == usual or not usual or is_refused(usual)


@quick
@given(grouped(), st.booleans(), st.floats(0.01, 1.2))
def test_a_fraction_is_refused_before_the_run_where_a_cell_would_refuse_it(
    data: tuple[np.ndarray, np.ndarray], by_group: bool, fraction: float
) -> None:
    labels, groups = data[0], data[1] if by_group else None

    def message(check: Callable[[], object]) -> str:
        try:
            check()
        except RequestError as error:
            return str(error)
        return ""

    def each_seed() -> None:
        for seed in range(3):
            rows = splits.subset(labels, groups, fraction, seed, "key")
            splits.split_validation(labels, groups, rows, seed, "key")

    assert message(lambda: splits.check_fraction(labels, groups, fraction, 3, "key")) == message(each_seed)


def test_groups_are_stratified_and_not_chosen_by_size() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.choice([1, 2, 10], 600)
    groups = np.repeat(np.arange(600), sizes)
    labels = np.repeat(rng.choice(4, 600, p=[0.55, 0.3, 0.1, 0.05]), sizes)
    chosen = splits.subset(labels, groups, 0.3, 0, "key")
    share = np.bincount(labels[chosen]) / np.bincount(labels)
    assert np.abs(share - 0.3).max() < 0.06
    mean_sizes = [np.bincount(g)[np.unique(g)].mean() for g in (groups[chosen], groups)]
    assert mean_sizes[0] == pytest.approx(mean_sizes[1], rel=0.2)


def test_seeds_and_keys_matter_and_nothing_else() -> None:
    labels = np.arange(200) % 4
    orders = {(s, k): splits.nested_order(labels, None, s, k).tolist() for s in (0, 1) for k in ("a", "b")}
    assert len({tuple(order) for order in orders.values()}) == 4
    assert splits.nested_order(labels * 7 + 3, None, 0, "a").tolist() == orders[0, "a"]


def test_the_draw_never_changes() -> None:
    """Stored results name these very images: a change here is a new protocol version."""
    labels = np.arange(12) % 2
    assert splits.nested_order(labels, None, 0, "key").tolist() == ORDER
    assert np.flatnonzero(splits.split_test(labels, None, "key")).tolist() == TEST
    program = (
        "import numpy as np; from bench.datasets import splits;"
        "print(splits.nested_order(np.arange(12) % 2, None, 0, 'key').tolist())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(splits.__file__).parents[2])}
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert said.stdout.strip() == str(ORDER)


def test_halves_are_rounded_up_as_written() -> None:
    assert [splits.subset_size(n, f) for n, f in ((5, 0.5), (100, 0.145), (1000, 0.0005), (7, 1.0))] == [
        3,
        15,
        1,
        7,
    ]


def test_messages() -> None:
    labels = np.array([0] * 40 + [1] * 4)
    with pytest.raises(
        RequestError, match=r"Class 'cat' gets 0 of its 4.*smallest fraction that works is 0\.5"
    ):
        splits.subset(labels, None, 0.05, 0, "key", ["dog", "cat"])
    with pytest.raises(RequestError, match="above 0 and up to 1"):
        splits.subset(labels, None, 1.5, 0, "key")
    with pytest.raises(RequestError, match="No fraction"):
        splits.subset(np.array([0, 0, 0, 1]), None, 1.0, 0, "key")
    with pytest.raises(RequestError, match=r"class .*b.* with 1 image\b"):
        splits.split_test(np.array([0, 0, 0, 0, 1]), None, "key", ["a", "b"], modality("image").noun)
    with pytest.raises(RequestError, match="class 1 lies in 1"):
        splits.split_test(np.array([0] * 5 + [1] * 5), np.array([0, 1, 2, 3, 4] + [5] * 5), "key")
    with pytest.raises(RequestError, match="every class"):  # three groups of two classes each: no two sides
        splits.split_validation(
            np.array([0, 1, 0, 2, 1, 2]), np.array([0, 0, 1, 1, 2, 2]), np.arange(6), 0, "key"
        )
    with pytest.raises(RequestError, match="two images"):
        splits.split_validation(np.array([0, 0, 1]), None, np.arange(3), 0, "key", modality("image").noun)


def test_two_images_of_a_class_give_one_to_each_side() -> None:
    labels = np.array([0] * 50 + [1, 1])
    train, validation = splits.split_validation(labels, None, np.arange(52), 0, "key")
    assert (labels[train] == 1).sum() == (labels[validation] == 1).sum() == 1


def test_the_smallest_fraction_of_examples_with_many_labels() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (40, 3)).astype(np.uint8)
    assert splits.smallest_fraction(labels, None, 3, "key", 0.1) == 0.13  # five examples of 40
    assert splits.smallest_fraction(labels, None, 3, "key", 0.25) == 0.25
