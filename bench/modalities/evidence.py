"""What reading has brought to light of the examples of a dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bench.modalities.findings import Case
from bench.modalities.nouns import Noun


@dataclass(frozen=True)
class Many:
    """Any number of labels for each example: 0 and 1, (N, classes), and their names."""

    labels: np.ndarray
    names: Sequence[str]


@dataclass(frozen=True)
class Evidence:
    """What reading has brought to light of N examples.

    Attributes:
        ids: of the examples that are used.
        labels: indices into ``class_names``, (N,).
        class_names: in a fixed order.
        in_test: whether an example is a test example, (N,).
        same: equal where the examples are identical, (N,).
        kept_together: whether splits keep identical examples on one side.
        facts: of each example.
        left_out: (id, reason) of the examples that are not used.
        input: how examples became rows.
        noun: what to call them.
        given: whether the source says which examples are test examples.
        many: where an example has any number of labels: these. Each set of them is then a class here. None: one
            class each.
    """

    ids: Sequence[str]
    labels: np.ndarray
    class_names: Sequence[str]
    in_test: np.ndarray
    same: np.ndarray
    kept_together: bool
    facts: Sequence[Any] = field(repr=False)
    left_out: Sequence[tuple[str, str]]
    input: Any
    noun: Noun
    given: bool = False
    many: Many | None = None

    @cached_property
    def sets(self) -> list[list[int]]:
        """Identical examples, two or more each."""
        found: dict[int, list[int]] = defaultdict(list)
        for i in np.flatnonzero(np.bincount(self.same)[self.same] > 1).tolist():
            found[int(self.same[i])].append(i)
        return list(found.values())

    def across(self, values: np.ndarray) -> list[list[int]]:
        """The sets of identical examples that differ in ``values``, (N,)."""
        return [rows for rows in self.sets if len(set(values[rows])) > 1]

    def copies_of(self, rows: Sequence[int]) -> np.ndarray:
        """Which examples are identical to one of these, itself included, (N,)."""
        return np.isin(self.same, self.same[list(rows)])

    def case(self, rows: Sequence[int]) -> Case:
        """The case of examples that belong together."""
        return {
            "ids": [self.ids[i] for i in rows],
            "labels": [self.class_names[self.labels[i]] for i in rows],
        }

    def of_test(self, count: int) -> str:
        """``12 of 372 test images (3.2%)``."""
        total = int(self.in_test.sum())
        return f"{count:,} of {total:,} test {self.noun.many} ({count / total:.1%})"


def numbered(keys: Sequence[Any]) -> np.ndarray:
    """Numbers the distinct keys in the order of their first: int64, (N,)."""
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
