"""Rows of one part of a dataset, as strategies see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.datasets import Part


@dataclass(frozen=True)
class PartExamples:
    """Some rows of the pool or of the test part.

    The two parts are separate objects, and a task is given rows of the pool only: no chain of attributes
    leads from a task to a test image or a test label.

    Args:
        part: where the rows are.
        key: names the part's content: dataset fingerprint, part, image size and resizing.
        rows: int64 (N,), sorted indices into the part.
        labelled: False withholds the labels.
    """

    part: Part
    key: str
    rows: np.ndarray
    labelled: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> Sequence[str]:
        return [self.part.ids[row] for row in self.rows]

    @property
    def labels(self) -> np.ndarray:
        if not self.labelled:
            raise PermissionError(
                "the labels of these examples are withheld: they are not in the label budget"
            )
        return self.part.labels[self.rows]

    def images(self) -> np.ndarray:
        return self.part.images[self.rows]
