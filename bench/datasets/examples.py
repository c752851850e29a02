"""The examples of a source that can be read, and whether a benchmark can be made of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from bench.datasets.source import Contents
from bench.errors import BenchError, RequestError
from bench.modalities.ahead import ahead
from bench.modalities.base import Input, Item, Modality, Unreadable
from bench.modalities.nouns import Noun
from bench.system.names import shown

Read = tuple[np.ndarray, Any, str]
"""Row, facts, sha256."""


@dataclass
class Examples:
    """Those of a source that are used.

    Attributes:
        contents: the source's.
        numbers: which of its examples, in its order.
        facts: what was noted of each.
        sha256: of each item.
        left_out: (id, reason) of the others.
    """

    contents: Contents
    numbers: list[int]
    facts: list[Any]
    sha256: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [self.contents.ids[i] for i in self.numbers]

    @property
    def labels(self) -> np.ndarray:
        return np.array(self.contents.labels, np.int64)[self.numbers]

    @property
    def in_test(self) -> np.ndarray | None:
        """Which are test examples, if the source says so."""
        given = self.contents.in_test
        return None if given is None else np.array(given, bool)[self.numbers]

    @property
    def groups(self) -> np.ndarray | None:
        """The numbers of their groups of the user's."""
        groups = self.contents.groups
        return None if groups is None else np.array(groups, np.int64)[self.numbers]

    @property
    def group_texts(self) -> list[str] | None:
        """What the user calls the group of each."""
        texts = self.contents.group_texts
        return None if texts is None else [texts[i] for i in self.numbers]

    def content(self, modality: str) -> dict[str, Any]:
        """What the fingerprint is made of."""
        given, groups, names = self.in_test, self.groups, self.contents.group_names
        return {
            "modality": modality,
            "class_names": list(self.contents.class_names),
            "ids": self.ids,
            "labels": self.labels.tolist(),
            "test": None if given is None else given.tolist(),
            "groups": None if groups is None else [names[group] for group in groups],
            "sha256": self.sha256,
        }

    def again(self, which: set[int]) -> Iterator[tuple[int, Item]]:
        """Some of the items once more, with their places among those that are used."""
        wanted = {self.numbers[i]: i for i in which}
        for number, item in enumerate(self.contents.pictures if wanted else ()):
            if number in wanted:
                yield wanted[number], item


def read(
    contents: Contents, modality: Modality, input: Input, file: IO[bytes], tell: Callable[[int], None]
) -> Examples:
    """Reads all examples and writes the rows of those that can be used into ``file``.

    Args:
        contents: the source's.
        modality: what reads them.
        input: how examples become rows.
        file: gets the bytes of one row after the other.
        tell: called about once a second with the number of examples that are read.
    """
    found = Examples(contents, [], modality.album(len(contents.ids)), left_out=list(contents.left_out))
    last = time.monotonic()
    for i, result in enumerate(_results(contents, modality, input)):
        if isinstance(result, str):
            found.left_out.append((contents.ids[i], result))
        else:
            row, facts, sha256 = result
            file.write(row.tobytes())
            found.numbers.append(i)
            found.facts.append(facts)
            found.sha256.append(sha256)
        if time.monotonic() - last > 1:
            last = time.monotonic()
            tell(i + 1)
    _read_again(found, modality, input, file)
    return found


def _read_again(found: Examples, modality: Modality, input: Input, file: IO[bytes]) -> None:
    """Reads those once more of which all together have shown how."""
    looks = modality.second_look(found.facts, found.in_test)

    def one(example: tuple[int, Item]) -> tuple[int, np.ndarray, Any]:
        number, item = example
        try:
            return number, *modality.read_again(item, input, looks[number])
        except Unreadable as error:  # it could be read a moment ago
            raise BenchError(f"{shown(found.ids[number])} was changed while it was read: {error}.") from error

    with modality.reading():
        for number, row, facts in ahead(one, found.again(set(looks))):
            file.seek(number * row.nbytes)
            file.write(row.tobytes())
            found.facts[number] = facts


def _results(contents: Contents, modality: Modality, input: Input) -> Iterator[Read | str]:
    """In the order of the items: what each gives, or the reason why it cannot be used."""

    def one(item: Item) -> Read | str:
        try:
            return *modality.read(item, input), item.sha256()
        except Unreadable as error:
            return str(error)
        except OSError as error:  # gone or unreadable between reading and hashing
            return (error.strerror or "unreadable").lower()

    with modality.reading():
        yield from ahead(one, contents.pictures)


def check(spec: str, examples: Examples, noun: Noun) -> None:
    """Refuses what no benchmark can be made of.

    Args:
        spec: for messages.
        examples: those that are there, as far as is known.
        noun: what to call them.

    Raises:
        RequestError: see the messages.
    """
    names, labels, in_test = examples.contents.class_names, examples.labels, examples.in_test
    reasons = f" Left out: {_listed(examples.left_out)}." if examples.left_out else ""

    def refuse(expected: str, remedy: str = "") -> RequestError:
        return RequestError("dataset", spec, expected, remedy)

    if len(names) < 2:
        raise refuse(f"at least two classes; all {noun.many} are labelled {names[0]!r}")
    counts = np.bincount(labels, minlength=len(names))
    worst = int(counts.argmin())
    if not counts.all():
        missing = [repr(names[i]) for i in np.flatnonzero(counts == 0).tolist()]
        listed = ", ".join(missing[:5]) + (" and others" if missing[5:] else "")
        raise refuse(
            f"at least one {noun.one} that can be read in every class", f"There is none in {listed}.{reasons}"
        )
    if in_test is not None:
        _check_given(examples, in_test, noun, reasons, refuse)
    elif counts[worst] < 4:
        raise refuse(
            f"at least 4 {noun.many} in every class (one to test, three to learn from), or a given test part",
            f"Class {names[worst]!r} has {counts[worst]}.{reasons}",
        )


def _check_given(
    examples: Examples,
    in_test: np.ndarray,
    noun: Noun,
    reasons: str,
    refuse: Callable[..., RequestError],
) -> None:
    """Refuses a given test part that leaves nothing to test or too little to learn from."""
    contents = examples.contents
    names = contents.class_names
    if not in_test.any():
        raise refuse(f"a test part with at least one {noun.one} that can be read.{reasons}")
    counts = np.bincount(examples.labels[~in_test], minlength=len(names))
    worst = int(counts.argmin())
    if counts[worst] < 2:
        has = f"{counts[worst]}." if counts[worst] else f"{noun.many} in the test part only."
        raise refuse(
            f"at least two {noun.many} of every class outside the test part (one to train on, one to validate on)",
            f"Class {names[worst]!r} has {has}{reasons}",
        )
    groups = examples.groups
    if groups is not None:
        both = np.intersect1d(groups[in_test], groups[~in_test])
        if len(both):
            more = f", and so have {len(both) - 1} more." if len(both) > 1 else "."
            group = contents.group_names[both[0]]
            raise refuse(
                "groups that lie on one side of the given split",
                f"Group {group!r} has {noun.many} in the test part and outside{more}",
            )


def _listed(left_out: list[tuple[str, str]], limit: int = 5) -> str:
    more = ", ..." if left_out[limit:] else ""
    return ", ".join(f"{shown(id)} ({reason})" for id, reason in left_out[:limit]) + more
