"""How a clip becomes a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.modalities.base import Input

RATE = 16_000
"""Samples of a second, whatever a file has."""


@dataclass(frozen=True)
class AudioInput(Input):
    """The middle of a clip.

    Attributes:
        clip_seconds: its length; shorter clips are filled with silence on both sides.
    """

    modality: ClassVar[str] = "audio"

    clip_seconds: float

    @property
    def size(self) -> int:
        """Samples of a row."""
        return round(self.clip_seconds * RATE)
