"""Images that are not decoded yet: files, and rows of arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bench.modalities.ahead import ahead
from bench.modalities.base import Item, Unreadable
from bench.modalities.image.levels import Scale
from bench.system.files import sha256_file

if TYPE_CHECKING:
    from bench.modalities.image.facts import Facts


class Picture(Item, Protocol):
    """One image, not decoded yet."""

    def decode(self, size: int, resizing: str, scale: Scale | None = None) -> tuple[np.ndarray, Facts]:
        """uint8, (size, size, 3), and what else is known of it then. Raises ``Unreadable``.

        ``scale`` is what all images of the dataset together have shown to be black and white.
        """


@dataclass(frozen=True)
class FilePicture:
    """An image file."""

    path: Path

    def decode(self, size: int, resizing: str, scale: Scale | None = None) -> tuple[np.ndarray, Facts]:
        from bench.modalities.image.decode import decode

        return decode(self.path, size, resizing, scale)

    def sha256(self) -> str:
        return sha256_file(self.path)


@dataclass(frozen=True)
class RowPicture:
    """A row of an array of images.

    Attributes:
        row: see ``decode.decode_array``.
        scale: which of its values are black and white; or the factor that brings them to 0..255.
    """

    row: np.ndarray
    scale: float | Scale

    @property
    def nbytes(self) -> int:
        """Of memory that it holds."""
        return self.row.nbytes

    def decode(self, size: int, resizing: str, scale: Scale | None = None) -> tuple[np.ndarray, Facts]:
        from bench.modalities.image.decode import decode_array

        given = self.scale if isinstance(self.scale, Scale) else Scale(0.0, 255 / self.scale)
        return decode_array(self.row, given, size, resizing)

    def sha256(self) -> str:
        head = f"{self.row.dtype.str}{self.row.shape}"  # the same bytes may be another image in another shape
        return hashlib.sha256(head.encode() + self.row.tobytes()).hexdigest()


def full_digests(items: Iterable[tuple[int, Item]]) -> dict[int, bytes]:
    """The digests of all pixels of those items that are files, by number; of a file that is gone by now, none."""
    from bench.modalities.image.decode import full_digest, quiet

    paths = {i: item.path for i, item in items if isinstance(item, FilePicture)}

    def one(path: Path) -> bytes | None:
        try:
            return full_digest(path)
        except Unreadable:
            return None

    with quiet():
        digests = zip(paths, ahead(one, paths.values()), strict=True)
        return {i: found for i, found in digests if found is not None}


def keeps_label_mirrored(name: str) -> bool:
    """Whether a mirrored image keeps its label; known only by name: digits and characters do not."""
    lower = name.lower().replace("-", "_")
    words = [
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
    ]
    return "fashion_mnist" in lower or not any(word in lower for word in words)
