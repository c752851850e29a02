"""What is noted of an image when it is decoded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.modalities.image.levels import ORDINARY, Values

THUMBNAIL = 16
"""Side of the thumbnail by which an image's looks are compared."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an image is, apart from the pixels that the network will see.

    Attributes:
        width: in pixels, upright, before any resizing.
        height: likewise.
        mode: Pillow's name of its colour mode: ``"RGB"``, ``"L"``, ``"P"``, ...
        format: one of FORMATS, by the content; empty for rows of arrays.
        animated: whether there are more pictures in the file than the first, which is used.
        reduced: whether it was decoded to fewer pixels than it has (JPEG), which then are those of ``digest``.
        digest: blake2b of the upright RGB pixels before they are brought to a square.
        thumbnail: uint8, (THUMBNAIL, THUMBNAIL, 3).
        values: how its values became 0 to 255.
        contrast: greatest less smallest value of what the network will see.
        clear: share of its pixels that are transparent.
        veiled: share of its pixels that are neither transparent nor opaque.
    """

    width: int
    height: int
    mode: str
    format: str
    animated: bool
    reduced: bool
    digest: bytes
    thumbnail: np.ndarray
    values: Values = ORDINARY
    contrast: int = 255
    clear: float = 0.0
    veiled: float = 0.0


class Album(list[Facts]):
    """Facts whose thumbnails lie in one piece.

    Thousands of small arrays between the large ones of the decoding threads keep the allocator from ever giving
    these back, 25 KB an image.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self._thumbnails = np.empty((count, THUMBNAIL, THUMBNAIL, 3), np.uint8)

    def append(self, facts: Facts) -> None:
        super().append(self._kept(len(self), facts))

    def __setitem__(self, number: Any, facts: Any) -> None:
        super().__setitem__(number, self._kept(number, facts))

    def _kept(self, number: int, facts: Facts) -> Facts:
        thumbnail = self._thumbnails[number]
        thumbnail[:] = facts.thumbnail
        return replace(facts, thumbnail=thumbnail)


TOO_LARGE = "more than the limit of"
"""Stands in the reason why an image of too many pixels is left out."""
