"""Rows of one part of a dataset, as strategies see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.datasets import Dataset, Part, decoding_versions
from bench.records import PROTOCOL_VERSION
from bench.system.files import digest, rows_of


@dataclass(frozen=True)
class PartExamples:
    """Some rows of the pool or of the test part.

    A task is given rows of the pool only, and labels of the label budget only: no chain of attributes leads
    from it to a test image or to a label that is not its to see. Test examples come without labels.

    Args:
        pixels: uint8 (M, S, S, 3), the images of the whole part.
        names: M ids.
        key: names the part's content: dataset fingerprint, part, image size and resizing.
        rows: int64 (N,), sorted indices into the part.
        known: their labels, int64 (N,); None if they are withheld.
    """

    pixels: np.ndarray
    names: Sequence[str]
    key: str
    rows: np.ndarray
    known: np.ndarray | None

    @staticmethod
    def of(part: Part, key: str, rows: np.ndarray, labelled: bool) -> PartExamples:
        """The examples ``rows`` of ``part``, in the order of the part."""
        rows = np.sort(rows)
        return PartExamples(part.data, part.ids, key, rows, part.labels[rows] if labelled else None)

    @staticmethod
    def in_dataset(
        dataset: Dataset, name: str, image_size: int, resizing: str, rows: np.ndarray, labelled: bool = True
    ) -> PartExamples:
        """Some rows of the ``pool`` or ``test`` part (``name``) of a dataset that is decoded to this size."""
        part = {"pool": dataset.pool, "test": dataset.test}[name]
        return PartExamples.of(part, content_key(dataset, name, image_size, resizing), rows, labelled)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> Sequence[str]:
        # Not the names: of a folder of class folders they spell out the labels.
        return [digest([self.key, self.names[row]]) for row in self.rows]

    @property
    def labels(self) -> np.ndarray:
        if self.known is None:
            raise PermissionError(
                "the labels of these examples are withheld: they are not in the label budget"
            )
        return self.known

    def images(self) -> np.ndarray:
        return rows_of(self.pixels, self.rows)


def content_key(dataset: Dataset, name: str, image_size: int, resizing: str) -> str:
    """Names the decoded images of a part of a dataset."""
    return digest([dataset.fingerprint, name, image_size, resizing, PROTOCOL_VERSION, *decoding_versions()])
