"""Random orders of examples that keep every class in proportion, and divisions that follow them.

The randomness is the raw output of PCG64 seeded from a sha256. NumPy promises that this stream never changes,
which it does not promise for the methods of ``Generator``; Python's ``hash()`` differs from process to process.

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
from collections.abc import Callable

import numpy as np

ATTEMPTS = 20
"""Random orders of the groups that are tried before a split with groups is refused."""

CANDIDATES = 8
"""Groups that are compared for each place: enough to balance classes, few enough to stay fast."""

MANY_CANDIDATES = 64
"""The same where an example has any number of labels, all of which are to be in proportion."""

MOST_LABELS = 4
"""Of an example; more count as so many where examples are kept in proportion by the number of their labels."""

Random = Callable[[int], np.ndarray]
"""Gives a random permutation of ``arange(n)``; each call another one."""


def drawn(*purpose: object) -> Random:
    """A source of permutations that depends on the words of ``purpose`` alone, on every machine."""
    text = "\x1f".join(map(str, purpose))
    stream = np.random.PCG64(int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()))
    return lambda n: np.argsort(np.atleast_1d(stream.random_raw(n)), kind="stable") if n else np.arange(0)


# --------------------------------------------------------------------------------- each example stands alone


def order_alone(labels: np.ndarray, random: Random) -> np.ndarray:
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


def split_alone(labels: np.ndarray, random: Random, size: int, rest: int) -> np.ndarray:
    """Mask of about ``size`` examples, stratified: at least one of every class, and at least ``rest`` outside."""
    order = order_alone(labels, random)
    mask = np.zeros(len(labels), bool)
    mask[order[:size]] = True
    for c in np.unique(labels):
        of_class = order[labels[order] == c]
        count = min(max(int(mask[of_class].sum()), 1), len(of_class) - rest)
        mask[of_class] = np.arange(len(of_class)) < count
    return mask


# -------------------------------------------------------------------------------------------- whole groups


def members_of(groups: np.ndarray) -> list[np.ndarray]:
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
    if labels.ndim == 2:
        return _label_counts(labels, members)
    codes = np.unique(labels, return_inverse=True)[1]
    totals = np.bincount(codes)
    of_group = np.repeat(np.arange(len(members)), [len(m) for m in members])
    pairs, numbers = np.unique(of_group * len(totals) + codes[np.concatenate(members)], return_counts=True)
    for pair, number in zip(pairs.tolist(), numbers.tolist(), strict=True):
        group, c = divmod(pair, len(totals))
        counts[group][c] = number
    return counts, totals.tolist()


def _strata(labels: np.ndarray, members: list[np.ndarray]) -> np.ndarray:
    """For each group its examples by label, of any number of labels each, (groups, columns).

    Behind the labels stand the examples with none, one, two and so on, which are to be in proportion as well.
    """
    number = np.minimum(labels.sum(axis=1), MOST_LABELS)
    strata = np.column_stack([labels, np.eye(MOST_LABELS + 1, dtype=labels.dtype)[number]])
    return np.stack([strata[mine].sum(axis=0, dtype=np.int64) for mine in members])


def _label_counts(labels: np.ndarray, members: list[np.ndarray]) -> tuple[list[dict[int, int]], list[int]]:
    """See ``_class_counts``, of any number of labels each."""
    strata = _strata(labels, members)
    counts = [{c: int(row[c]) for c in np.flatnonzero(row).tolist()} for row in strata]
    return counts, strata.sum(axis=0).tolist()


def _order_many(labels: np.ndarray, members: list[np.ndarray], random: Random) -> list[int]:
    """See ``order_groups``.

    Iterative stratification (Sechidis et al. 2011, doi:10.1007/978-3-642-23808-6_10) serves the rarest label first,
    for a division of one size. Here every prefix is such a division, so the label that is furthest behind is next.
    """
    strata = _strata(labels, members)
    strata = strata[:, strata.any(axis=0)]
    totals, sizes = strata.sum(axis=0), np.array([len(mine) for mine in members])
    own = (strata**2 / totals).sum(axis=1)  # how far a group by itself would bring its labels off
    shuffled = random(len(members))
    queues = [shuffled[strata[shuffled, c] > 0] for c in range(len(totals))]
    taken, done, seen = np.zeros(len(totals)), np.zeros(len(members), bool), 0
    order: list[int] = []
    while len(order) < len(members):
        c = int(np.argmin(np.where(taken < totals, (taken + 1) / totals, np.inf)))
        queue = queues[c]
        if done[queue[:MANY_CANDIDATES]].all() or done[queue].mean() > 0.5:
            queues[c] = queue = queue[~done[queue]]
        near = queue[:MANY_CANDIDATES]
        near = near[~done[near]]
        ahead = 2 * (taken / totals - (seen + sizes[near, None]) / len(labels))
        best = near[np.argmin((strata[near] * ahead).sum(axis=1) + own[near])]
        done[best] = True
        order.append(int(best))
        taken, seen = taken + strata[best], seen + sizes[best]
    return order


def order_groups(labels: np.ndarray, members: list[np.ndarray], random: Random) -> list[int]:
    """A random order of the groups that keeps the classes of every prefix as proportional as they allow.

    The next group comes from those that hold the class whose next example is due first. Among the first few of
    them in random order, it is the one whose examples are needed most, on average over its examples: a sum would
    favour small groups, and the subset would not look like the pool. Of any number of labels each it is the one
    that brings all labels nearest to their share.
    """
    if labels.ndim == 2:
        return _order_many(labels, members, random)
    counts, totals = _class_counts(labels, members)
    queues: list[deque[int]] = [deque() for _ in totals]
    for g in random(len(members)).tolist():
        for c in counts[g]:
            queues[c].append(g)
    rank = random(len(totals)).tolist()
    taken = [0] * len(totals)
    done = [False] * len(members)
    due = [(1 / totals[c], rank[c], c) for c in range(len(totals)) if totals[c]]
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


def split_groups(
    labels: np.ndarray, groups: np.ndarray, purpose: str, key: str, size: int, rest: int, rest_groups: int
) -> np.ndarray | None:
    """Mask of about ``size`` examples in whole groups, every class on both sides; None if none was found.

    To find one is in general as hard as set splitting, so this is a repaired draw, tried a few times. Of any number
    of labels each, those that are frequent enough are on both sides; where none was found, as many as could be.

    Args:
        labels: class of each example; or 0 and 1 by class, (N, classes).
        groups: group of each example.
        purpose: what the division is for; with ``key`` it determines the draw.
        key: see ``purpose``.
        size: wanted number of examples inside the mask.
        rest: examples of every class that must stay outside the mask.
        rest_groups: groups of every class that must stay outside the mask.
    """
    members = members_of(groups)
    counts, totals = _class_counts(labels, members)
    needed = list(range(len(totals)))
    if labels.ndim == 2:
        held = [sum(c in count for count in counts) for c in range(labels.shape[1])]
        needed = [c for c, number in enumerate(held) if totals[c] > rest and number > rest_groups]
    mask = None
    for attempt in range(ATTEMPTS):
        order = order_groups(labels, members, drawn(purpose, key, attempt))
        sizes = np.cumsum([0] + [len(members[g]) for g in order])
        cut = int(np.abs(sizes - size).argmin())
        inside = set(order[:cut])
        whole = _repair(inside, order, counts, len(totals), needed, rest, rest_groups)
        if whole or labels.ndim == 2:
            mask = np.zeros(len(labels), bool)
            for g in inside:
                mask[members[g]] = True
        if whole:
            return mask
    return mask


def _repair(
    inside: set[int],
    order: list[int],
    counts: list[dict[int, int]],
    k: int,
    needed: list[int],
    rest: int,
    rest_groups: int,
) -> bool:
    """Moves groups until each needed one of ``k`` classes is on both sides; says whether that succeeded.

    A group moves only to a side that lacks one of its classes, and only if its old side then lacks none of
    them: what is missing shrinks with every move, so this ends.
    """
    examples, held = [[0] * k, [0] * k], [[0] * k, [0] * k]  # by side (0 outside, 1 inside) and class
    for g in order:
        for c, n in counts[g].items():
            examples[g in inside][c] += n
            held[g in inside][c] += 1
    least = ((rest, rest_groups), (1, 1))

    def lacks(side: int, c: int, without: int | None = None) -> bool:
        n, one = (0, 0) if without is None else (counts[without].get(c, 0), 1)
        return c in required and (
            examples[side][c] - n < least[side][0] or held[side][c] - one < least[side][1]
        )

    required = set(needed)

    by_size = sorted(order, key=lambda g: sum(counts[g].values()))
    for side in (1, 0):
        for c in needed:
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
