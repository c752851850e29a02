"""What a modality is: all that knows what an example is, behind one object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple, dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from bench.modalities.findings import Case, Finding


@dataclass(frozen=True)
class Noun:
    """What sentences call examples.

    Attributes:
        one: ``image``.
        many: ``images``.
        content: what two identical ones have in common: their ``pixels``.
        original: the one thing that identical ones are copies of: a ``picture``.
    """

    one: str
    many: str
    content: str = "content"
    original: str = "content"

    @property
    def any(self) -> str:
        """``an image``."""
        return f"{'an' if self.one[0] in 'aeiou' else 'a'} {self.one}"


class Unreadable(Exception):
    """An item that cannot be used; its text is the reason, a few words."""


class Item(Protocol):
    """One example that is not read yet: a file, say, or a row of an array."""

    def sha256(self) -> str:
        """Hash of the content as it stands."""


@dataclass(frozen=True)
class Input:
    """How an example becomes a row. Each modality has its own; the fields tell rows apart."""

    modality: ClassVar[str]

    @property
    def key(self) -> list[Any]:
        """JSON-able: the fields, in their order."""
        return list(astuple(self))


class Tensor(NamedTuple):
    """An array without its values."""

    shape: tuple[int, ...]
    """Of one example."""
    dtype: str


class Limit(NamedTuple):
    """Why some items are left out although they could be read."""

    kind: str
    """Of the finding."""
    words: str
    """Stand in the reason."""
    text: str
    """Follows ``2 of 100 images`` in the finding."""


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


Again = Callable[[set[int]], Iterator[tuple[int, Item]]]
"""Gives some items once more, with their numbers among those that could be read."""


class Modality(ABC):
    """One kind of example. Importing it loads no Keras."""

    name: ClassVar[str]
    noun: ClassVar[Noun]
    version: ClassVar[int]
    """Part of the cache key: raise it whenever the same item would become another row."""
    keys: ClassVar[tuple[str, ...]]
    """The keys of a plan that are its own."""
    limits: ClassVar[tuple[Limit, ...]] = ()

    # ------------------------------------------------------------------------------------------- settings

    @abstractmethod
    def input(self, settings: Mapping[str, Any]) -> Input:
        """Picks from a plan's or a cell's settings how examples become rows.

        Raises:
            RequestError: they cannot in this way.
        """

    def settings(self, plan: Mapping[str, Any], traits: Mapping[str, Any]) -> dict[str, Any]:
        """What ``Cell.input`` keeps of the plan's ``keys``, for a dataset of these ``traits``."""
        return {key: plan[key] for key in self.keys}

    def traits(self, name: str) -> dict[str, Any]:
        """What the name of a dataset says of its examples; JSON-able."""
        return {}

    @abstractmethod
    def described(self, settings: Mapping[str, Any]) -> str:
        """How examples became inputs and were augmented, as part of a sentence.

        Args:
            settings: ``Cell.input``.
        """

    # -------------------------------------------------------------------------------------------- reading

    def stamp(self) -> list[Any]:
        """What of the environment decides which items are read, JSON-able."""
        return []

    @abstractmethod
    def row(self, input: Any) -> Tensor:
        """What is stored of each example."""

    @abstractmethod
    def read(self, item: Any, input: Any) -> tuple[np.ndarray, Any]:
        """Reads one item.

        Returns:
            Its row, and what else is noted of it for ``identical``, ``findings`` and ``summary``.

        Raises:
            Unreadable: with the reason.
        """

    def reading(self) -> AbstractContextManager[None]:
        """What is set up once around the reading of many items."""
        return nullcontext()

    def album(self, count: int) -> list[Any]:
        """An empty list for what is noted of at most ``count`` examples."""
        return []

    def identical(self, facts: list[Any], sha256: Sequence[str], again: Again) -> np.ndarray:
        """Numbers the distinct examples.

        Args:
            facts: of each example.
            sha256: of each item.
            again: gives items for a closer look.

        Returns:
            int64, (N,): equal where examples are identical; numbered in the order of the first of each.
        """
        return numbered(sha256)

    # ------------------------------------------------------------------------------------------- auditing

    def lookalikes(self, evidence: Evidence) -> list[Finding]:
        """Findings of examples that are nearly the same, beyond those that are known to be identical."""
        return []

    def findings(self, evidence: Evidence) -> list[Finding]:
        """What there is to say of the examples by themselves."""
        return []

    def summary(self, facts: Sequence[Any]) -> dict[str, Any]:
        """The examples in a few numbers, JSON-able."""
        return {}

    # ------------------------------------------------------------------------------------------- learning

    @abstractmethod
    def inputs(self, input: Any) -> dict[str, Tensor]:
        """What a network takes, by name."""

    @abstractmethod
    def tensors(self, rows: np.ndarray) -> list[np.ndarray]:
        """The input tensors of a network for rows, in the order of ``inputs``."""


def numbered(keys: Sequence[Any]) -> np.ndarray:
    """Numbers the distinct keys in the order of their first: int64, (N,)."""
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
