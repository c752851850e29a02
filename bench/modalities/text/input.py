"""How a text becomes a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.modalities.base import Input

BYTES_A_TOKEN = 8
"""Stored of a text at most, for each token that a network sees. English has 4 to 5, with spaces."""


@dataclass(frozen=True)
class TextInput(Input):
    """The beginning of a text.

    Attributes:
        max_tokens: that a network sees at most.
    """

    modality: ClassVar[str] = "text"

    max_tokens: int

    @property
    def size(self) -> int:
        return self.max_tokens

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return BYTES_A_TOKEN * self.max_tokens
