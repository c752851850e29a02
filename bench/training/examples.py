"""Rows of one part of a dataset, as strategies see them and as networks take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from bench.datasets import Dataset, Part, decoding_versions
from bench.modalities.base import Modality, Reader
from bench.modalities.registry import DEFAULT, modality
from bench.modalities.text.rows import texts_of
from bench.records import PROTOCOL_VERSION
from bench.system.files import digest, rows_of
from bench.system.seeds import generator

Inputs = Callable[[np.ndarray, "np.random.Generator | None"], list[np.ndarray]]
"""From numbers of examples to a network's input tensors; augmented with a generator, as they are without."""


class Augmentation(Protocol):
    """A modality's policy of augmentation, a dataclass; false if it changes nothing."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def kind(self) -> str: ...

    def __bool__(self) -> bool: ...

    def __call__(self, rows: np.ndarray, rng: np.random.Generator, /) -> np.ndarray:
        """Decoded examples, each augmented on its own with its share of random numbers."""


@dataclass(frozen=True)
class PartExamples:
    """Some rows of the pool or of the test part.

    A task is given rows of the pool only, and labels of the label budget only: no chain of attributes leads
    from it to a test example or to a label that is not its to see. Test examples come without labels.

    Args:
        data: (M, ...), the decoded examples of the whole part.
        names: M ids.
        key: names the part's content: dataset fingerprint, part, and how its examples became rows.
        index: int64 (N,), sorted rows of the part.
        known: their labels, int64 (N,); None if they are withheld.
        modality: what kind of example they are.
        reader: makes input tensors of them; None: the modality's own, for no network in particular.
    """

    data: np.ndarray
    names: Sequence[str]
    key: str
    index: np.ndarray
    known: np.ndarray | None
    modality: str = DEFAULT
    reader: Reader | None = None

    @staticmethod
    def of(part: Part, key: str, index: np.ndarray, labelled: bool, modality: str = DEFAULT) -> PartExamples:
        """Some examples of ``part``, in the order of the part."""
        index = np.sort(index)
        labels = part.labels[index] if labelled else None
        return PartExamples(part.data, part.ids, key, index, labels, modality)

    @staticmethod
    def in_dataset(dataset: Dataset, name: str, index: np.ndarray, labelled: bool = True) -> PartExamples:
        """Some rows of the ``pool`` or ``test`` part (``name``) of a dataset."""
        part = {"pool": dataset.pool, "test": dataset.test}[name]
        key = content_key(dataset, name)
        return PartExamples.of(part, key, index, labelled, dataset.modality)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def ids(self) -> Sequence[str]:
        # Not the names: of a folder of class folders they spell out the labels.
        return [digest([self.key, self.names[row]]) for row in self.index]

    @property
    def labels(self) -> np.ndarray:
        if self.known is None:
            raise PermissionError(
                "the labels of these examples are withheld: they are not in the label budget"
            )
        return self.known

    def rows(self) -> np.ndarray:
        """The decoded examples."""
        return rows_of(self.data, self.index)

    def images(self) -> np.ndarray:
        """The same: the name by which strategies for images alone, and those of plug-ins, ask for them."""
        return self.rows()

    def texts(self) -> Sequence[str]:
        """The same as texts: for strategies for texts alone."""
        return texts_of(self.rows())

    @property
    def kind(self) -> Modality:
        """What knows the examples."""
        return modality(self.modality)

    def read_by(self, reader: Reader | None) -> PartExamples:
        """The same examples for a network with this reader."""
        return replace(self, reader=reader)

    def tensors(self, rows: np.ndarray) -> list[np.ndarray]:
        """A network's input tensors for some decoded examples of this modality."""
        return self._reader.tensors(rows)

    def lengths(self) -> np.ndarray | None:
        """How long each example's ragged axis is by itself, int64 (N,); None if none of its tensors has one."""
        if self._reader.lengths(self.data[:0]) is None:
            return None
        chunks = [self._reader.lengths(rows_of(self.data, some)) for some in in_chunks(self.index, 4096)]
        return np.concatenate([chunk for chunk in chunks if chunk is not None])

    @property
    def _reader(self) -> Reader:
        return self.reader or self.kind.reader(None, 0)

    def inputs(self, augmentation: Augmentation | None = None) -> Inputs:
        """What gives the network's inputs by their numbers, 0 to N - 1."""

        def batch(numbers: np.ndarray, rng: np.random.Generator | None) -> list[np.ndarray]:
            rows = rows_of(self.data, self.index[numbers])
            return self.tensors(rows if rng is None or augmentation is None else augmentation(rows, rng))

        return batch

    def view(self, augmentation: Augmentation | None, number: int) -> Callable[[np.ndarray], np.ndarray]:
        """What gives rows of the part as they are (view 0), or augmented by random numbers of each row's own."""

        def decoded(index: np.ndarray) -> np.ndarray:
            rows = rows_of(self.data, index)
            if not number or not augmentation:
                return rows
            each = zip(np.split(rows, len(rows)), index, strict=True)
            return np.concatenate([augmentation(row, generator("view", number, i)) for row, i in each])

        return decoded


def in_chunks(index: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """The index in parts of at most ``size``, in its order."""
    return (index[first : first + size] for first in range(0, len(index), size))


def content_key(dataset: Dataset, name: str) -> str:
    """Names the decoded examples of a part of a dataset."""
    versions = PROTOCOL_VERSION, *decoding_versions(dataset.modality)
    return digest([dataset.fingerprint, name, *dataset.input.key, *versions])
