"""How an image becomes a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.errors import RequestError
from bench.modalities.base import Input

RESIZINGS = ("crop", "stretch", "pad")


@dataclass(frozen=True)
class ImageInput(Input):
    """Squares of RGB.

    Attributes:
        image_size: side in pixels.
        resizing: one of RESIZINGS (see ``decode.resize``).
    """

    modality: ClassVar[str] = "image"

    image_size: int
    resizing: str = "crop"

    @property
    def size(self) -> int:
        return self.image_size

    def __post_init__(self) -> None:
        if self.resizing not in RESIZINGS:
            raise RequestError("resizing", self.resizing, "one of " + ", ".join(RESIZINGS))
