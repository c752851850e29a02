"""Images that are not decoded yet: files, and rows of arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.system.files import sha256_file

if TYPE_CHECKING:
    from bench.modalities.image.facts import Facts


@dataclass(frozen=True)
class FilePicture:
    """An image file."""

    path: Path

    def decode(self, size: int, resizing: str) -> tuple[np.ndarray, Facts]:
        from bench.modalities.image.decode import decode

        return decode(self.path, size, resizing)

    def sha256(self) -> str:
        return sha256_file(self.path)


@dataclass(frozen=True)
class RowPicture:
    """A row of an array of images."""

    row: np.ndarray
    scale: float

    def decode(self, size: int, resizing: str) -> tuple[np.ndarray, Facts]:
        from bench.modalities.image.decode import decode_array

        return decode_array(self.row, self.scale, size, resizing)

    def sha256(self) -> str:
        head = f"{self.row.dtype.str}{self.row.shape}"  # the same bytes may be another image in another shape
        return hashlib.sha256(head.encode() + self.row.tobytes()).hexdigest()


def keeps_label_mirrored(name: str) -> bool:
    """Whether a mirrored image keeps its label; known only by name: digits and characters do not."""
    lower = name.lower().replace("-", "_")
    words = (
        "digit",
        "mnist",
        "svhn",
        "omniglot",
        "character",
        "letter",
        "alphabet",
        "glyph",
        "kanji",
        "captcha",
    )
    return "fashion_mnist" in lower or not any(word in lower for word in words)
