"""Splits: which examples are test examples, which a cell may use, and which of those it validates on.

Pure functions of labels, groups, a seed and a text: no file, no clock, no global random state. The randomness
is the raw output of PCG64 seeded from a sha256. NumPy promises that this stream never changes, which it does
not promise for the methods of ``Generator``; Python's ``hash()`` differs from process to process.

Without groups, an order of the examples is a schedule: class ``c``, with ``n_c`` of all ``N`` examples, must have
received between floor and ceiling of ``m * n_c / N`` of the first ``m`` places, for *every* ``m`` at once.
That is the chairman assignment problem (Tijdeman 1980; the house-monotone quota method of Balinski and Young
1975). It is solved exactly by giving each example a window of places, and each place to the open window that
closes first (earliest deadline; feasible for one machine and rates that sum to one: Baruah et al. 1996).
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

import numpy as np

from bench.errors import RequestError
from bench.modalities.base import Noun

EXAMPLE = Noun("example", "examples")
"""What messages call examples, unless told."""

SHARE = 0.2
"""Share of the data that becomes the test part, and share of a subset that becomes validation."""

ATTEMPTS = 20
"""Random orders of the groups that are tried before a split with groups is refused."""

CANDIDATES = 8
"""Groups that are compared for each place: enough to balance classes, few enough to stay fast."""


def split_test(
    labels: np.ndarray,
    groups: np.ndarray | None,
    key: str,
    class_names: Sequence[str] | None = None,
    noun: Noun = EXAMPLE,
) -> np.ndarray:
    """Draws the test part: 20% of the examples, stratified, groups whole.

    Args:
        labels: class of each example, integers, (N,).
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
    values, counts = np.unique(labels, return_counts=True)
    if len(counts) and counts.min() < 4:
        raise RequestError(
            "dataset",
            f"class {_name(values[counts.argmin()], class_names)} with {_counted(counts.min(), noun)}",
            f"at least 4 {noun.many} in every class (one to test, three to learn from), or a given test part",
            f"Add {noun.many}, or leave the class out.",
        )
    if groups is None:
        return _split_alone(labels, _random("test", key), rest=3)
    mask = _split_groups(labels, groups, "test", key, rest=3, rest_groups=2)
    if mask is None:
        raise RequestError(
            "dataset",
            f"{len(np.unique(groups))} groups",
            "groups that allow a test part: every class in one group for the test and in two that stay"
            + _fewest(labels, groups, class_names),
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
    random = _random("nested", key, seed)
    if groups is None:
        return _order_alone(np.asarray(labels), random)
    members = _members(groups)
    order = _order_groups(np.asarray(labels), members, random)
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
            f"a fraction that gives every class at least two {unit} (one to train on, one to validate on): "
            f"class {_name(worst, class_names)} gets {have.min()} of its "
            f"{len(np.unique(units[labels == worst]))}",
            f"No fraction of this dataset does; add {noun.many} of that class, or leave it out."
            if needed is None
            else f"The smallest fraction that works is {_smallest_fraction(needed, total):g}.",
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
    mask: np.ndarray | None
    if groups is None:
        if len(chosen) and np.unique(chosen, return_counts=True)[1].min() < 2:
            raise RequestError(
                "fractions",
                _counted(len(chosen), noun),
                f"at least two {noun.many} of every class: one to train on, one to validate on",
            )
        mask = _split_alone(chosen, _random("validation", key, seed), rest=1)
    else:
        mask = _split_groups(chosen, np.asarray(groups)[indices], "validation", f"{key}/{seed}", 1, 1)
    if mask is None:
        raise RequestError(
            "fractions",
            f"{_counted(len(chosen), noun)} in {len(np.unique(np.asarray(groups)[indices]))} groups",
            "groups that can be divided so that training and validation both hold every class",
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


def _is_certain(labels: np.ndarray, groups: np.ndarray | None, fraction: float) -> bool:
    """Whether every subset of that size can be divided, by what is known of the order without drawing it.

    Without groups a subset holds of each class the proportional number, rounded down at worst. With groups,
    say of at most M examples, the class that is furthest behind is always served next, so no class gets ahead of
    another by more than M examples, but for those in groups of several classes; a class lacks at most what all
    others are ahead. Two groups of each class, of that class alone, can always be divided.
    """
    total = len(labels)
    n = subset_size(total, fraction)
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


# ---------------------------------------------------------------------------------------------- randomness

Random = Callable[[int], np.ndarray]
"""Gives a random permutation of ``arange(n)``; each call another one."""


def _random(*purpose: object) -> Random:
    """A source of permutations that depends on the words of ``purpose`` alone, on every machine."""
    text = "\x1f".join(map(str, purpose))
    stream = np.random.PCG64(int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()))
    return lambda n: np.argsort(np.atleast_1d(stream.random_raw(n)), kind="stable") if n else np.arange(0)


# --------------------------------------------------------------------------------- each example stands alone


def _order_alone(labels: np.ndarray, random: Random) -> np.ndarray:
    """A random order of which every prefix holds each class's proportional number, rounded down or up."""
    total = len(labels)
    shuffled = random(total)
    codes = np.unique(labels, return_inverse=True)[1][shuffled]
    by_class = [shuffled[codes == c] for c in range(codes.max() + 1)] if total else []
    rank = random(len(by_class)).tolist()  # breaks ties, so that no class is always the one rounded up

    # The j-th example of a class with n (j from 0) may take the places floor(jN/n) .. ceil((j+1)N/n) - 1.
    opens: list[list[int]] = [[] for _ in range(total)]
    for c in range(len(by_class)):
        opens[0].append(c)
    taken = [0] * len(by_class)
    waiting: list[tuple[int, int, int]] = []  # (deadline, tie break, class)
    order = np.empty(total, np.int64)
    for place in range(total):
        for c in opens[place]:
            heapq.heappush(waiting, (-(-(taken[c] + 1) * total // len(by_class[c])), rank[c], c))
        _, _, c = heapq.heappop(waiting)
        order[place] = by_class[c][taken[c]]
        taken[c] += 1
        if taken[c] < len(by_class[c]):
            opens[max(place + 1, taken[c] * total // len(by_class[c]))].append(c)
    return order


def _split_alone(labels: np.ndarray, random: Random, rest: int) -> np.ndarray:
    """Mask of a stratified 20%, with at least one example of every class, leaving at least ``rest`` of each."""
    order = _order_alone(labels, random)
    mask = np.zeros(len(labels), bool)
    mask[order[: subset_size(len(labels), SHARE)]] = True
    for c in np.unique(labels):
        of_class = order[labels[order] == c]
        count = min(max(int(mask[of_class].sum()), 1), len(of_class) - rest)
        mask[of_class] = np.arange(len(of_class)) < count
    return mask


# -------------------------------------------------------------------------------------------- whole groups


def _members(groups: np.ndarray) -> list[np.ndarray]:
    """The examples of each group, groups in ascending order."""
    codes = np.unique(groups, return_inverse=True)[1]
    return (
        np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1]) if len(codes) else []
    )


def _class_counts(labels: np.ndarray, members: list[np.ndarray]) -> tuple[list[dict[int, int]], list[int]]:
    """For each group its examples by class, and for each class its examples in all."""
    counts: list[dict[int, int]] = [{} for _ in members]
    if not members:
        return counts, []
    codes = np.unique(labels, return_inverse=True)[1]
    totals = np.bincount(codes)
    of_group = np.repeat(np.arange(len(members)), [len(m) for m in members])
    pairs, numbers = np.unique(of_group * len(totals) + codes[np.concatenate(members)], return_counts=True)
    for pair, number in zip(pairs.tolist(), numbers.tolist(), strict=True):
        group, c = divmod(pair, len(totals))
        counts[group][c] = number
    return counts, totals.tolist()


def _order_groups(labels: np.ndarray, members: list[np.ndarray], random: Random) -> list[int]:
    """A random order of the groups that keeps the classes of every prefix as proportional as they allow.

    The next group comes from those that hold the class whose next example is due first. Among the first few of
    them in random order, it is the one whose examples are needed most, on average over its examples: a sum would
    favour small groups, and the subset would not look like the pool.
    """
    counts, totals = _class_counts(labels, members)
    queues: list[deque[int]] = [deque() for _ in totals]
    for g in random(len(members)).tolist():
        for c in counts[g]:
            queues[c].append(g)
    rank = random(len(totals)).tolist()
    taken = [0] * len(totals)
    done = [False] * len(members)
    due = [(1 / totals[c], rank[c], c) for c in range(len(totals))]
    heapq.heapify(due)
    order: list[int] = []
    while due:
        deadline, _, c = due[0]
        if taken[c] == totals[c]:
            heapq.heappop(due)
            continue
        if (
            deadline < (taken[c] + 1) / totals[c]
        ):  # a group chosen for another class brought examples of this one
            heapq.heapreplace(due, ((taken[c] + 1) / totals[c], rank[c], c))
            continue
        candidates: list[int] = []
        while queues[c] and len(candidates) < CANDIDATES:
            g = queues[c].popleft()
            if not done[g]:
                candidates.append(g)
        best = min(
            candidates,
            key=lambda g: sum(n * taken[k] / totals[k] for k, n in counts[g].items()) / len(members[g]),
        )
        queues[c].extendleft(g for g in reversed(candidates) if g != best)
        done[best] = True
        order.append(best)
        for k, n in counts[best].items():
            taken[k] += n
    return order


def _split_groups(
    labels: np.ndarray, groups: np.ndarray, purpose: str, key: str, rest: int, rest_groups: int
) -> np.ndarray | None:
    """Mask of about 20% in whole groups, every class on both sides; None if no such division was found.

    To find one is in general as hard as set splitting, so this is a repaired draw, tried a few times.

    Args:
        labels: class of each example.
        groups: group of each example.
        purpose: what the division is for; with ``key`` it determines the draw.
        key: see ``purpose``.
        rest: examples of every class that must stay outside the mask.
        rest_groups: groups of every class that must stay outside the mask.
    """
    members = _members(groups)
    counts, totals = _class_counts(labels, members)
    for attempt in range(ATTEMPTS):
        order = _order_groups(labels, members, _random(purpose, key, attempt))
        sizes = np.cumsum([0] + [len(members[g]) for g in order])
        cut = int(np.abs(sizes - subset_size(len(labels), SHARE)).argmin())
        inside = set(order[:cut])
        if _repair(inside, order, counts, totals, rest, rest_groups):
            mask = np.zeros(len(labels), bool)
            for g in inside:
                mask[members[g]] = True
            return mask
    return None


def _repair(
    inside: set[int],
    order: list[int],
    counts: list[dict[int, int]],
    totals: list[int],
    rest: int,
    rest_groups: int,
) -> bool:
    """Moves groups until every class is on both sides; says whether that succeeded.

    A group moves only to a side that lacks one of its classes, and only if its old side then lacks none of
    them: what is missing shrinks with every move, so this ends.
    """
    k = len(totals)
    examples, held = [[0] * k, [0] * k], [[0] * k, [0] * k]  # by side (0 outside, 1 inside) and class
    for g in order:
        for c, n in counts[g].items():
            examples[g in inside][c] += n
            held[g in inside][c] += 1
    least = ((rest, rest_groups), (1, 1))

    def lacks(side: int, c: int, without: int | None = None) -> bool:
        n, one = (0, 0) if without is None else (counts[without].get(c, 0), 1)
        return examples[side][c] - n < least[side][0] or held[side][c] - one < least[side][1]

    by_size = sorted(order, key=lambda g: sum(counts[g].values()))
    for side in (1, 0):
        for c in range(k):
            while lacks(side, c):
                movable = (
                    g
                    for g in by_size
                    if (g in inside) != bool(side)
                    and c in counts[g]
                    and not any(lacks(1 - side, d, without=g) for d in counts[g])
                )
                moved = next(movable, None)
                if moved is None:
                    return False
                (inside.add if side else inside.remove)(moved)
                for d, n in counts[moved].items():
                    for where, sign in ((side, 1), (1 - side, -1)):
                        examples[where][d] += sign * n
                        held[where][d] += sign
    return True


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
