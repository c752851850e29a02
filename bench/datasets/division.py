"""Dividing a dataset into pool and test, with identical examples on one side."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.datasets import splits
from bench.errors import RequestError
from bench.modalities.nouns import Noun
from bench.system.files import digest


@dataclass(frozen=True)
class Division:
    """What decides on all splits of a dataset.

    Attributes:
        groups: examples that stay together share a number, int64, (N,); None: each alone.
        in_test: whether an example is a test example, (N,).
        fingerprint: of the content, and of which examples are kept together, if any are identical.
        kept_together: whether identical examples are.
    """

    groups: np.ndarray | None
    in_test: np.ndarray
    fingerprint: str
    kept_together: bool


def divided(
    labels: np.ndarray,
    groups: np.ndarray | None,
    given: np.ndarray | None,
    same: np.ndarray,
    class_names: Sequence[str],
    noun: Noun,
    content: dict[str, Any],
) -> Division:
    """Draws the test part, if none is given, with identical examples on one side if that is possible.

    It is not where a class consists of too few different examples, which is no reason to refuse the dataset: the
    examples of such classes are then divided one by one, and if that does not do, all.

    Args:
        labels: of N examples, see ``Part.labels``.
        groups: their groups of the user's, (N,), or None.
        given: their given test part, (N,), or None.
        same: equal for identical examples, (N,).
        class_names: for messages.
        noun: for messages.
        content: what the fingerprint is made of. What else decides on splits is added: which examples are together.
    """

    def test_part(together: np.ndarray | None, key: str) -> np.ndarray:
        return splits.split_test(labels, together, key, class_names, noun) if given is None else given

    choices = _choices(labels, groups, given, same) if len(np.unique(same)) < len(same) else []
    for i, together in enumerate(choices):
        fingerprint = digest(content | {"together": together.tolist()})
        try:
            in_test = test_part(together, fingerprint)
            pool = ~in_test
            splits.check_fraction(labels[pool], together[pool], 1.0, 3, fingerprint)
            return Division(together, in_test, fingerprint, kept_together=i == 0)
        except RequestError:
            continue
    fingerprint = digest(content)
    return Division(groups, test_part(groups, fingerprint), fingerprint, kept_together=not choices)


def provisional(
    labels: np.ndarray, groups: np.ndarray | None, given: np.ndarray | None, content: dict[str, Any]
) -> Division:
    """How a dataset is audited that no run can use: as far as it can be divided, one by one or by its groups.

    Classes that are too small lie in the pool; so does everything where the groups allow no test part.

    Args:
        labels, groups, given, content: see ``divided``.
    """
    fingerprint = digest(content)
    in_test = np.zeros(len(labels), bool) if given is None else given
    enough = np.ones(len(labels), bool) if labels.ndim == 2 else np.bincount(labels)[labels] >= splits.LEAST
    large = np.flatnonzero(enough)
    if given is None and len(large):
        with contextlib.suppress(RequestError):
            in_test[large] = splits.split_test(
                labels[large], None if groups is None else groups[large], fingerprint
            )
    return Division(groups, in_test, fingerprint, kept_together=True)


def _choices(
    labels: np.ndarray, groups: np.ndarray | None, given: np.ndarray | None, same: np.ndarray
) -> list[np.ndarray]:
    """All identical examples together; or all but those of classes with too few different ones to learn from."""
    together = united(groups, same)
    if labels.ndim == 2:  # a label may be missing on a side
        return [together]
    learned_from = np.ones(len(same), bool) if given is None else ~given
    different = np.unique(np.stack([labels, together])[:, learned_from], axis=1)[0]
    scarce = np.bincount(different, minlength=labels.max() + 1) < (3 if given is None else 2)
    alone = np.where(scarce[labels], len(same) + np.arange(len(same)), same)
    return [together, united(groups, np.unique(alone, return_inverse=True)[1])]


def united(groups: np.ndarray | None, same: np.ndarray) -> np.ndarray:
    """Groups in which identical examples are together: what has an example in common becomes one.

    Args:
        groups: group of each example, integers, (N,), or None where each stands alone.
        same: number of what each example is a copy of, integers, (N,).

    Returns:
        int64, (N,): numbered in the order of their first example.
    """
    if groups is None:
        return same
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    codes = np.unique(groups, return_inverse=True)[1]
    size = int(codes.max() + same.max() + 2)
    links = coo_array((np.ones(len(same), bool), (codes, codes.max() + 1 + same)), shape=(size, size))
    parts = connected_components(links, directed=False)[1][codes]
    _, first, number = np.unique(parts, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number]
