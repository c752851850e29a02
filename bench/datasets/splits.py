"""Splits: which examples are test examples, which a cell may use, and which of those it validates on.

Pure functions of labels, groups, a seed and a text: no file, no clock, no global random state. ``orders`` tells
how they are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

import numpy as np

from bench.datasets.orders import drawn, members_of, order_alone, order_groups, split_alone, split_groups
from bench.errors import RequestError
from bench.modalities.nouns import Noun

EXAMPLE = Noun("example", "examples")
"""What messages call examples, unless told."""

LEAST = 4
"""Examples of a class of which a test part can be drawn: one to test, three to learn from."""

LEAST_OF_MANY = 10
"""Examples with any number of labels of which a test part can be drawn."""
LEAST_SUBSET = 5
"""Of these, in a subset: four to train on and one to validate on."""

SHARE = 0.2
"""Share of the data that becomes the test part, and share of a subset that becomes validation."""


def split_test(
    labels: np.ndarray,
    groups: np.ndarray | None,
    key: str,
    class_names: Sequence[str] | None = None,
    noun: Noun = EXAMPLE,
) -> np.ndarray:
    """Draws the test part: 20% of the examples, stratified, groups whole.

    Args:
        labels: class of each example, integers, (N,); or any number of labels, 0 and 1, (N, classes). Of these, a
            rare one may be missing on a side.
        groups: group of each example, integers, (N,), or None where each example stands alone.
        key: text that identifies the data. Nothing else enters, so every seed and fraction has one test part.
        class_names: names for error messages, where ``labels`` are indices into them.
        noun: what error messages call examples.

    Returns:
        Boolean mask, (N,), true for test examples. Every class has at least one test example and leaves at least
        three to the pool (with groups: three examples in at least two groups).

    Raises:
        RequestError: a class is too small for that, or the groups do not allow it.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2:
        return _split_many(labels, groups, "test", key, rest=LEAST - 1)
    values, counts = np.unique(labels, return_counts=True)
    if len(counts) and counts.min() < LEAST:
        raise RequestError(
            "dataset",
            f"class {_name(values[counts.argmin()], class_names)} with {_counted(counts.min(), noun)}",
            f"have {LEAST} {noun.many} of every class, or a test part",
            f"One is for the test, three are to learn from. Add {noun.many}, or leave the class out.",
        )
    size = subset_size(len(labels), SHARE)
    if groups is None:
        return split_alone(labels, drawn("test", key), size, rest=3)
    mask = split_groups(labels, groups, "test", key, size, rest=3, rest_groups=2)
    if mask is None:
        raise RequestError(
            "dataset",
            "one group" if len(np.unique(groups)) == 1 else f"{len(np.unique(groups))} groups",
            "divided into groups that allow a test part",
            f"Every class needs one group for the test and two that stay{_fewest(labels, groups, class_names)}. "
            "Add groups, give a test part (column 'split'), or leave the column 'group' out.",
        )
    return mask


def nested_order(labels: np.ndarray, groups: np.ndarray | None, seed: int, key: str) -> np.ndarray:
    """Orders the pool so that its first n examples are the subset of n examples.

    Args:
        labels: class of each pool example, integers, (N,).
        groups: group of each pool example, integers, (N,), or None.
        seed: the cell's seed.
        key: text that identifies the data.

    Returns:
        Permutation of ``arange(N)``. Without groups every prefix holds of each class the proportional number,
        rounded down or up. With groups the examples of a group follow each other.
    """
    random = drawn("nested", key, seed)
    if groups is None and np.ndim(labels) == 1:
        return order_alone(np.asarray(labels), random)
    members = members_of(np.arange(len(labels)) if groups is None else groups)
    order = order_groups(np.asarray(labels), members, random)
    return np.concatenate([members[g] for g in order]) if order else np.empty(0, np.int64)


def subset_size(total: int, fraction: float) -> int:
    """``round(fraction * total)``, halves up, of the fraction as a person writes it (0.145 of 100 is 15)."""
    return int((Decimal(repr(float(fraction))) * total).to_integral_value(ROUND_HALF_UP))


def subset(
    labels: np.ndarray,
    groups: np.ndarray | None,
    fraction: float,
    seed: int,
    key: str,
    class_names: Sequence[str] | None = None,
    noun: Noun = EXAMPLE,
) -> np.ndarray:
    """The labelled examples that a cell may use, training and validation together.

    For one seed and key the subset of a smaller fraction lies inside that of a larger one.

    Args:
        labels: class of each pool example, integers, (N,).
        groups: group of each pool example, integers, (N,), or None.
        fraction: share of the pool, in (0, 1].
        seed: the cell's seed.
        key: text that identifies the data.
        class_names: names for error messages, where ``labels`` are indices into them.
        noun: what error messages call examples.

    Returns:
        Sorted indices into the pool, (n,). Without groups ``n == subset_size(N, fraction)``; with groups it
        is the nearest size that keeps them whole, never further away than half the largest group.

    Raises:
        RequestError: a class gets fewer than two examples (with groups: examples of fewer than two groups).
    """
    labels = np.asarray(labels)
    total = len(labels)
    if not 0 < fraction <= 1:
        raise RequestError("fractions", fraction, "numbers above 0 and up to 1")
    order = nested_order(labels, groups, seed, key)
    n = subset_size(total, fraction)
    if groups is not None:
        ends = np.append(0, _group_ends(np.asarray(groups)[order]))
        n = int(ends[np.abs(ends - n).argmin()])

    if labels.ndim == 2:
        _check_many(n, total, groups, order, fraction, noun)
        return np.sort(order[:n])
    # What a class needs two of, to train and to validate on: examples, or groups where there are any.
    units = np.arange(total) if groups is None else np.asarray(groups)
    values = np.unique(labels)
    have = np.array([len(np.unique(units[order[:n]][labels[order[:n]] == c])) for c in values])
    if len(have) and have.min() < 2:
        worst = values[have.argmin()]
        unit = noun.many if groups is None else f"groups (identical {noun.many} are one)"
        needed = _needed(labels, None if groups is None else units, order)
        raise RequestError(
            "fractions",
            fraction,
            f"large enough for two {unit} of every class, one to train on and one to validate on",
            f"{np.count_nonzero(have < 2):,} of {len(have):,} classes get fewer. "
            f"Class {_name(worst, class_names)} gets {have.min()} of its "
            f"{len(np.unique(units[labels == worst]))}. "
            + (
                f"No fraction of this dataset is. Add {noun.many} of that class, or leave it out."
                if needed is None
                else f"The smallest fraction that works is {_smallest_fraction(needed, total):g}."
            ),
        )
    return np.sort(order[:n])


def split_validation(
    labels: np.ndarray,
    groups: np.ndarray | None,
    indices: np.ndarray,
    seed: int,
    key: str,
    noun: Noun = EXAMPLE,
) -> tuple[np.ndarray, np.ndarray]:
    """Divides a subset into training and validation: 20% validation, stratified, groups whole.

    Args:
        labels: class of each pool example, integers, (N,).
        groups: group of each pool example, integers, (N,), or None.
        indices: the subset, indices into the pool, (n,).
        seed: the cell's seed.
        key: text that identifies the data.
        noun: what error messages call examples.

    Returns:
        Sorted indices into the pool: (training, validation). Each has at least one example of every class.

    Raises:
        RequestError: a class has a single example, or the groups do not allow such a division.
    """
    indices = np.sort(np.asarray(indices))
    chosen = np.asarray(labels)[indices]
    size = subset_size(len(chosen), SHARE)
    if chosen.ndim == 2:
        mine = None if groups is None else np.asarray(groups)[indices]
        inside = _split_many(chosen, mine, "validation", f"{key}/{seed}", rest=1)
        return indices[~inside], indices[inside]
    mask: np.ndarray | None
    if groups is None:
        if len(chosen) and np.unique(chosen, return_counts=True)[1].min() < 2:
            raise RequestError(
                "fractions",
                _counted(len(chosen), noun),
                f"large enough for two {noun.many} of every class, one to train on and one to validate on",
            )
        mask = split_alone(chosen, drawn("validation", key, seed), size, rest=1)
    else:
        mask = split_groups(chosen, np.asarray(groups)[indices], "validation", f"{key}/{seed}", size, 1, 1)
    if mask is None:
        raise RequestError(
            "fractions",
            f"{_counted(len(chosen), noun)} in {len(np.unique(np.asarray(groups)[indices]))} groups",
            "such that groups can be divided, with every class in training and in validation",
            f"Identical {noun.many} are one group. Use a larger fraction, or leave the column 'group' out.",
        )
    return indices[~mask], indices[mask]


def check_fraction(
    labels: np.ndarray,
    groups: np.ndarray | None,
    fraction: float,
    seeds: int,
    key: str,
    class_names: Sequence[str] | None = None,
    noun: Noun = EXAMPLE,
) -> None:
    """Raises what ``subset`` and ``split_validation`` would raise for any of the seeds ``0 .. seeds - 1``.

    Draws nothing where nothing can go wrong.
    """
    if 0 < fraction <= 1 and _is_certain(np.asarray(labels), groups, fraction):
        return
    for seed in range(seeds):
        rows = subset(labels, groups, fraction, seed, key, class_names, noun)
        split_validation(labels, groups, rows, seed, key, noun)


def smallest_fraction(
    labels: np.ndarray, groups: np.ndarray | None, seeds: int, key: str, usual: float = 0.0
) -> float:
    """A fraction that ``check_fraction`` does not refuse, at most a tenth above the smallest one.

    Args:
        labels, groups, seeds, key: see ``check_fraction``.
        usual: it is taken if it is not refused.

    Returns:
        A short number. 1.0 where no fraction below is enough, and perhaps not all labels are.
    """
    total = len(labels)
    fraction = usual or 2 / total
    while fraction < 1:
        try:
            check_fraction(labels, groups, fraction, seeds, key)
            return fraction
        except RequestError:
            # Without groups this one is enough; of many labels a rare one may be missing.
            least = 0.0 if labels.ndim == 2 else 2 / np.unique(labels, return_counts=True)[1].min()
            fraction = _smallest_fraction(math.ceil(max(1.1 * fraction, least) * total), total)
    return 1.0


def _is_certain(labels: np.ndarray, groups: np.ndarray | None, fraction: float) -> bool:
    """Whether every subset of that size can be divided, by what is known of the order without drawing it.

    Without groups a subset holds of each class the proportional number, rounded down at worst. With groups,
    say of at most M examples, the class that is furthest behind is always served next, so no class gets ahead of
    another by more than M examples, but for those in groups of several classes; a class lacks at most what all
    others are ahead. Two groups of each class, of that class alone, can always be divided.
    """
    total = len(labels)
    n = subset_size(total, fraction)
    if labels.ndim == 2:
        return groups is None and n >= LEAST_SUBSET
    codes = np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(codes)
    if groups is None:
        return bool((counts * n // max(total, 1)).min(initial=2) >= 2)
    of_group = np.unique(groups, return_inverse=True)[1]
    pairs = np.unique(of_group * len(counts) + codes)
    mixed = codes[(np.bincount(pairs // max(len(counts), 1)) > 1)[of_group]]
    largest = int(np.bincount(of_group).max(initial=1))
    ahead = len(counts) * (largest - 1) + len(mixed)
    least = (n - largest / 2 - ahead) * counts / max(total, 1) - 1 - np.bincount(mixed, minlength=len(counts))
    return bool((least > largest).all())


def _split_many(
    labels: np.ndarray, groups: np.ndarray | None, purpose: str, key: str, rest: int
) -> np.ndarray:
    """Mask of a fifth of examples with any number of labels, in proportion of each.

    An example is like a group that holds one of each of its labels, so that is how it is divided.

    Raises:
        RequestError: there are too few groups.
    """
    alone = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if len(np.unique(alone)) < 2:
        raise RequestError("dataset", "one group", "divided into at least two groups", "Add groups.")
    mask = split_groups(labels, alone, purpose, key, subset_size(len(labels), SHARE), rest, 1)
    assert mask is not None
    if not mask.any() or mask.all():  # a group is larger than all others together
        smallest = min(members_of(alone), key=len)
        mask[:] = False
        mask[smallest] = True
    return mask


def _check_many(
    n: int, total: int, groups: np.ndarray | None, order: np.ndarray, fraction: float, noun: Noun
) -> None:
    """Refuses a subset of ``n`` examples with any number of labels that is too small to be divided."""
    units = n if groups is None else len(np.unique(np.asarray(groups)[order[:n]]))
    if n < LEAST_SUBSET or units < 2:
        least = _smallest_fraction(LEAST_SUBSET, total)
        remedy = f"The smallest fraction that may work is {least:g}." if total >= LEAST_SUBSET else ""
        expected = f"large enough for {LEAST_SUBSET} {noun.many}, in two groups if they have any"
        raise RequestError("fractions", fraction, expected, remedy)


# ------------------------------------------------------------------------------------------ error messages


def _group_ends(ordered: np.ndarray) -> np.ndarray:
    """Sizes of the prefixes at which a group ends, the whole included."""
    return (
        np.append(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, len(ordered)) if len(ordered) else ordered
    )


def _needed(labels: np.ndarray, groups: np.ndarray | None, order: np.ndarray) -> int | None:
    """The smallest size of a subset in which every class has two examples (groups); None if there is none.

    Without groups it holds for every seed (two examples are certain once ``2N / n_c`` are taken), so that
    whoever follows the advice does not meet the same error with the next seed.
    """
    if groups is None:
        smallest = np.unique(labels, return_counts=True)[1].min()
        return None if smallest < 2 else int(-(-2 * len(labels) // smallest))
    seen: dict[int, set[int]] = {int(c): set() for c in np.unique(labels)}
    for start, end in pairwise([0, *_group_ends(groups[order]).tolist()]):
        for i in order[start:end]:
            seen[int(labels[i])].add(int(groups[i]))
        if all(len(s) >= 2 for s in seen.values()):
            return int(end)
    return None


def _smallest_fraction(needed: int, total: int) -> float:
    """A short number whose share of ``total`` is at least ``needed`` examples."""
    for digits in (2, 3, 4, 6, 9):
        fraction = -(-needed * 10**digits // total) / 10**digits
        if fraction - needed / total < 0.05 * needed / total:
            break
    return min(fraction, 1.0)


def _fewest(labels: np.ndarray, groups: np.ndarray, class_names: Sequence[str] | None) -> str:
    """Names the class that lies in the fewest groups, if these are too few by themselves."""
    in_groups = {c: len(np.unique(groups[labels == c])) for c in np.unique(labels)}
    worst = min(in_groups, key=lambda c: in_groups[c])
    return f" (class {_name(worst, class_names)} lies in {in_groups[worst]})" if in_groups[worst] < 3 else ""


def _name(value: int, class_names: Sequence[str] | None) -> str:
    return str(value) if class_names is None else repr(class_names[int(value)])


def _counted(count: int, noun: Noun) -> str:
    return f"{count} {noun.one if count == 1 else noun.many}"
