"""Image files whose values Pillow does not bring to 8 bits in the right way: more bits, signed, fractions."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import IO

import numpy as np
from PIL import Image, TiffImagePlugin

from bench.modalities.base import Unreadable
from bench.modalities.image.levels import Scale

PHOTOMETRIC, BITS, BANDS, PLANES, SAMPLE_FORMAT = 262, 258, 277, 284, 339
"""Tags of TIFF."""

_OTHER_BYTE = {
    "RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "RGBX;16B": "RGBX;16L", "LA;16B": "RGBA",
    "RGB;16L": "RGB;16B", "RGBA;16L": "RGBA;16B", "RGBX;16L": "RGBX;16B",
}  # fmt: skip
"""How Pillow unpacks colours of 16 bits -> how it would unpack the other byte of each. It keeps the higher byte
alone, in which 12-bit values have 16 levels."""


@dataclass(frozen=True)
class Stored:
    """How an opened image stores its values, as far as it is not 8 bits without sign. It is asked before the pixels
    are loaded.

    Attributes:
        kind: ``"integers"`` or ``"floats"``, or ``"given"`` where the file says what is black and white.
        unpacking: Pillow's name of it for colours of 16 bits, else empty.
        declared: what the file says is black and white.
        inverted: whether the greatest value is black.
        dtype: what the values are, where Pillow takes them for something else.
    """

    kind: str
    unpacking: str = ""
    declared: Scale | None = None
    inverted: bool = False
    dtype: str = ""

    @classmethod
    def of(cls, image: Image.Image) -> Stored | None:
        """None for ordinary images.

        Raises:
            Unreadable: Pillow would take the values for others.
        """
        codec, unpacking, maximum = _tile(image)
        tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
        if unpacking in _OTHER_BYTE:
            return cls("integers", unpacking)
        if tags and max(tags.get(BITS, (1,))) > 8 and tags.get(PLANES) == 2 and codec == "raw":
            raise Unreadable("16-bit colours in separate planes; save them interleaved")
        inverted = tags.get(PHOTOMETRIC) == 0
        if image.mode == "L" and 2 in tags.get(SAMPLE_FORMAT, ()):
            return cls("integers", inverted=inverted, dtype="int8")
        if image.mode == "F":
            return cls("floats", inverted=inverted)
        if not image.mode.startswith("I"):
            return None
        if codec.startswith("ppm") and maximum != 65535:  # brought to 0..65535 already, as the header says
            return cls("given", declared=Scale(0, 65535))
        if unpacking == "I;12":
            return cls("given", declared=Scale(0, 4095), inverted=inverted)
        return cls("integers", inverted=inverted, dtype="uint32" if unpacking == "I;32N" else "")

    def values(self, image: Image.Image, file: IO[bytes]) -> tuple[np.ndarray, np.ndarray | None]:
        """The values of a loaded image, (H, W) or (H, W, 3), and its opacity, uint8 (H, W), if it has any."""
        pixels = np.asarray(image)
        if not self.unpacking:
            return pixels.view(self.dtype) if self.dtype else pixels, None
        other = _other_byte(file, self.unpacking)
        alpha = pixels[..., 3] if image.mode == "RGBA" else None
        if self.unpacking.startswith("LA"):  # its two bytes and those of the opacity, as if they were colours
            return other[..., 0].astype(np.uint16) * 256 + other[..., 1], alpha
        return pixels[..., :3].astype(np.uint16) * 256 + other[..., :3], alpha


def unread_tiff(file: IO[bytes]) -> str:
    """Why Pillow takes a file for no image, in a few words; empty if it is no TIFF."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        bands, bits = tags.get(BANDS, 1), max(tags.get(BITS, (1,)))
    except Exception:  # on what is no TIFF, or a damaged one, Pillow raises nearly everything there is
        return ""
    of = f"TIFF of {bands} band{'s' * (bands > 1)} of {bits} bits, which is not read"
    return f"{of}: save one or three bands" if bands > 1 else f"{of}: save it as PNG"


def _tile(image: Image.Image) -> tuple[str, str, object]:
    """Codec, unpacking, and what else the decoder is told last, of an opened image."""
    tiles = getattr(image, "tile", None) or [None]
    if tiles[0] is None:
        return "", "", None
    codec, args = tiles[0][0], tiles[0][3]
    args = args if isinstance(args, tuple) else (args,)
    unpacking = str(args[0]) if args else ""
    if unpacking.endswith(";16N"):
        unpacking = unpacking[:-1] + ("L" if sys.byteorder == "little" else "B")
    return codec, unpacking, args[-1] if args else None


def _other_byte(file: IO[bytes], unpacking: str) -> np.ndarray:
    file.seek(0)
    with Image.open(file, formats=("PNG", "TIFF")) as image:
        swapped = _OTHER_BYTE[unpacking]
        image.tile = [
            tile._replace(args=(swapped, *tile.args[1:]) if isinstance(tile.args, tuple) else swapped)
            for tile in image.tile
        ]
        image.load()
        return np.asarray(image)
