"""What a modality is: all that knows what an example is, behind one object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


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
    def described(self, settings: Mapping[str, Any]) -> str:
        """How examples became inputs and were augmented, as part of a sentence.

        Args:
            settings: ``Cell.input``.
        """
