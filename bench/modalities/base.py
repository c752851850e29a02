"""What a modality is: all that knows what an example is, behind one object."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Noun:
    """What sentences call examples: ``image``, ``images``."""

    one: str
    many: str


class Modality(ABC):
    """One kind of example. Importing it loads no Keras."""

    name: ClassVar[str]
    noun: ClassVar[Noun]
