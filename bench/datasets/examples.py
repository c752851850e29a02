"""The examples of a source that can be read, and whether a benchmark can be made of them."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from bench.datasets.labels import CAUSES
from bench.datasets.source import Contents
from bench.datasets.splits import LEAST, LEAST_OF_MANY
from bench.errors import BenchError, RequestError
from bench.modalities.ahead import ahead
from bench.modalities.base import Input, Item, Modality, Unreadable
from bench.modalities.findings import Case, Finding, count, of_classes, short
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
        labels = np.asarray(self.contents.labels)
        return (labels if labels.ndim == 2 else labels.astype(np.int64))[self.numbers]

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


def refusals(examples: Examples, noun: Noun) -> list[Finding]:
    """Why no benchmark can be made of these examples; empty if one can.

    Args:
        examples: those that are there, as far as is known.
        noun: what to call them.
    """
    names, in_test = examples.contents.class_names, examples.in_test
    if examples.labels.ndim == 2:
        return _of_many_labels(examples, noun)
    if len(names) < 2:
        return [_refused("one_class", f"There is one class, {names[0]!r}; at least two classes are needed.")]
    counts = np.bincount(examples.labels, minlength=len(names))
    found = []
    if not counts.all():
        text = f"{_have(counts == 0)} no {noun.one} that can be read. Restore some, or remove the classes."
        found.append(_refused("empty_classes", text, of_classes(names, counts, counts == 0)))
    if in_test is None:
        return found + _too_small(names, counts, noun)
    return found + _given(examples, in_test, counts, noun)


def refuse(spec: str, found: Sequence[Finding], left_out: Sequence[tuple[str, str]]) -> None:
    """Raises all that is refused about a dataset as one error; does nothing if there is nothing.

    Args:
        spec: for the message.
        found: of any level; those of ``CAUSES`` say why.
        left_out: (id, reason) of what cannot be read, which may be why.
    """
    refused = [f"{f.text}{_named(f.items)}" for f in found if f.level == "refused"]
    if refused:
        reasons = [f.text for f in found if f.kind in CAUSES]
        reasons += [f"Left out: {_listed(left_out)}."] if left_out else []
        remedy = " ".join([*refused, *reasons, f"See all: python -m bench check {shlex.quote(spec)}"])
        raise RequestError("dataset", spec, "a dataset that a run can divide and learn from", remedy)


def _named(items: Sequence[Case], limit: int = 3) -> str:
    """`` Namely 'a' (1), 'b' (3) and 7 others.``"""
    if not items:
        return ""
    names = [f"{short(item['class'], 60)!r} ({item['images']:,})" for item in items]
    more = f" and {count(len(names) - limit, 'other')}" if names[limit:] else ""
    return f" Namely {', '.join(names[:limit])}{more}."


def _refused(kind: str, text: str, items: Sequence[Case] = ()) -> Finding:
    return Finding(kind, "refused", text, items)


def _have(chosen: np.ndarray) -> str:
    """``40 of 100 classes have``."""
    number = np.count_nonzero(chosen)
    return f"{number:,} of {len(chosen):,} classes {'has' if number == 1 else 'have'}"


def _too_small(names: Sequence[str], counts: np.ndarray, noun: Noun) -> list[Finding]:
    """Classes of which no test part can be drawn."""
    small = (counts > 0) & (counts < LEAST)
    if not small.any():
        return []
    text = (
        f"{_have(small)} fewer than {LEAST} {noun.many}: a class needs one to test and three to learn from. "
        f"Add {noun.many}, merge or remove these classes, or give a test part."
    )
    single = np.count_nonzero(counts == 1)
    if 2 * single > len(counts):
        text += (
            f" {single:,} have a single {noun.one}: if each is a person, product or sign to be recognised by it, "
            f"collect more {noun.many} of some and see the few-shot protocol; if not, another column or folder "
            "holds the labels."
        )
    return [_refused("classes_too_small", text, of_classes(names, counts, small))]


def _given(examples: Examples, in_test: np.ndarray, counts: np.ndarray, noun: Noun) -> list[Finding]:
    """What is wrong with a given test part: it leaves nothing to test or too little to learn from."""
    names, found = examples.contents.class_names, []
    if not in_test.any():
        text = f"The given test part has no {noun.one} that can be read."
        found.append(_refused("empty_test", text))
    learned = np.bincount(examples.labels[~in_test], minlength=len(names))
    only_test = (learned == 0) & (counts > 0)
    if only_test.any():
        text = f"{_have(only_test)} {noun.many} in the test part only. Move some into the training part."
        found.append(_refused("classes_only_in_test", text, of_classes(names, counts, only_test)))
    single = learned == 1
    if single.any():
        text = (
            f"{_have(single)} one {noun.one} outside the test part: at least two are needed, one to train "
            f"on and one to validate on. Add {noun.many}, or merge or remove these classes."
        )
        found.append(_refused("classes_too_small", text, of_classes(names, learned, single)))
    return found + _straddling(examples, in_test, noun)


def _straddling(examples: Examples, in_test: np.ndarray, noun: Noun) -> list[Finding]:
    """Groups that the given test part tears apart."""
    groups = examples.groups
    both = [] if groups is None else np.intersect1d(groups[in_test], groups[~in_test]).tolist()
    if not both:
        return []
    assert groups is not None
    text = (
        f"{count(len(both), 'group')} of {len(np.unique(groups)):,} lie on both sides of the given split, with "
        f"{noun.many} in the test part and outside. Move each to one side, or leave the split out: a test part of "
        "whole groups is then drawn."
    )
    names = examples.contents.group_names
    items = [{"class": names[g], "images": int(np.count_nonzero(groups == g))} for g in both]
    return [_refused("groups_on_both_sides", text, items)]


def _of_many_labels(examples: Examples, noun: Noun) -> list[Finding]:
    """The same of examples with any number of labels. A rare label is no reason: it is said, see ``findings``."""
    names, labels, in_test = examples.contents.class_names, examples.labels, examples.in_test
    found = []
    if len(names) < 2:
        text = f"There is one label, {names[0]!r}; at least two are needed. Of one, make classes: yes and no."
        found.append(_refused("one_class", text))
    if len(labels) < LEAST_OF_MANY:
        text = f"There are {len(labels)} {noun.many}; at least {LEAST_OF_MANY} are needed. Add {noun.many}."
        found.append(_refused("too_few_examples", text))
    if in_test is not None and not in_test.any():
        found.append(_refused("empty_test", f"The given test part has no {noun.one} that can be read."))
    elif in_test is not None and not (labels[in_test].any(axis=0) & labels[~in_test].any(axis=0)).any():
        text = f"No label has {noun.many} both in the test part and outside. Move some."
        found.append(_refused("classes_only_in_test", text))
    return found + ([] if in_test is None else _straddling(examples, in_test, noun))


def _listed(left_out: Sequence[tuple[str, str]], limit: int = 5) -> str:
    more = ", ..." if left_out[limit:] else ""
    return ", ".join(f"{shown(id)} ({reason})" for id, reason in left_out[:limit]) + more
