"""What a modality is: all that knows what an example is, behind one object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Noun:
    """What sentences call examples: ``image``, ``images``."""

    one: str
    many: str


class Modality(ABC):
    """One kind of example. Importing it loads no Keras."""

    name: ClassVar[str]
    noun: ClassVar[Noun]

    @abstractmethod
    def tensors(self, rows: np.ndarray) -> list[np.ndarray]:
        """The input tensors of a network for decoded examples."""
