"""Decoding: from a file or an array row to the square RGB image that a person would recognise.

Whatever is wrong with one image ends in ``Unreadable`` with a short reason, never in another exception: files
come from users, and one bad file among thousands must not cost the others.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TypeVar

import numpy as np
from PIL import Image

from bench.errors import RequestError
from bench.modalities.base import Unreadable
from bench.modalities.image.facts import THUMBNAIL, TOO_LARGE, Facts
from bench.modalities.image.input import RESIZINGS
from bench.modalities.image.kinds import FORMATS, HEAD_BYTES, kind_of

VERSION = 2
"""Part of the cache key: raise it whenever the same input would decode to other pixels."""

MAX_PIXELS = 100_000_000
"""Images whose header claims more are left out, before anything is decoded. ``TRANSFER_BENCH_MAX_PIXELS``
overrides it."""

_VARIANTS = {"MPO": "JPEG", "DIB": "BMP"}
"""What Pillow calls a JPEG with a preview, and a bitmap without a file header."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what undoes it."""


T = TypeVar("T")


def max_pixels() -> int:
    """Width times height of the largest image that is decoded.

    Raises:
        RequestError: ``TRANSFER_BENCH_MAX_PIXELS`` is not a whole number of at least 1.
    """
    text = os.environ.get("TRANSFER_BENCH_MAX_PIXELS") or str(MAX_PIXELS)
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise RequestError("TRANSFER_BENCH_MAX_PIXELS", text, "a number of pixels, for instance 200000000")
    return int(text)


@contextmanager
def quiet() -> Iterator[None]:
    """Silences Pillow's remarks on odd files, and its own pixel limit, which ours replaces.

    Both are settings of the process, so this is entered once around many images, in the thread that starts
    the decoding ones.
    """
    limit = Image.MAX_IMAGE_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.MAX_IMAGE_PIXELS = None
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def decode(
    source: str | os.PathLike[str] | bytes, size: int, resizing: str = "crop"
) -> tuple[np.ndarray, Facts]:
    """Decodes one image file.

    The EXIF orientation is applied, transparency is shown on white, CMYK becomes RGB, 16-bit and
    floating-point gray is scaled (not clipped) to 8 bits, and of an animation the first frame is taken.

    Args:
        source: path of the file, or its bytes.
        size: side of the result in pixels.
        resizing: see ``resize``.

    Returns:
        uint8, (size, size, 3), and what else there is to know of the image.

    Raises:
        Unreadable: with the reason.
        RequestError: see ``max_pixels``.
    """
    # JPEG can be decoded at 1/2, 1/4 or 1/8 for a fraction of the time; stay at twice the size or above.
    side = max(2 * size, 4 * THUMBNAIL)

    def read(file: IO[bytes]) -> tuple[np.ndarray, Facts]:
        with Image.open(file, formats=FORMATS) as image:
            mode = image.mode
            rgb, original = _upright_rgb(image, side)
            format = image.format or ""
            animated = format != "MPO" and _is_animated(image)
            facts = _facts(rgb, original, mode, _VARIANTS.get(format, format), animated)
            return np.asarray(resize(rgb, size, resizing)), facts

    return _reading(source, read)


def full_digest(source: str | os.PathLike[str] | bytes) -> bytes:
    """``Facts.digest`` of all of an image's pixels.

    Raises:
        Unreadable: with the reason.
    """

    def read(file: IO[bytes]) -> bytes:
        with Image.open(file, formats=FORMATS) as image:
            return _digest(_upright_rgb(image, None)[0])

    return _reading(source, read)


def decode_array(
    row: np.ndarray, scale: float, size: int, resizing: str = "crop"
) -> tuple[np.ndarray, Facts]:
    """Decodes one row of an array of images.

    Args:
        row: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4: the last is opacity), any real dtype.
        scale: factor that brings its values to 0..255.
        size: side of the result in pixels.
        resizing: see ``resize``.

    Returns:
        uint8, (size, size, 3), and what else there is to know of the image.
    """
    pixels = row if row.dtype == np.uint8 and scale == 1 else _to_bytes(row, scale)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    rgb = _to_rgb(image)
    facts = _facts(rgb, image.size, image.mode)
    return np.asarray(resize(rgb, size, resizing)), facts


def resize(image: Image.Image, size: int, resizing: str) -> Image.Image:
    """Brings an RGB image to a square, antialiased (Pillow's bicubic widens its kernel when it shrinks).

    Args:
        image: RGB.
        size: side of the square in pixels.
        resizing: ``"stretch"`` keeps all of the image but not its proportions; ``"crop"`` fits the shorter
            side and cuts the centre out; ``"pad"`` fits the longer side and fills up, in black or in white,
            whichever is nearer to the image's own border, so that the filling adds the weakest edge.

    Returns:
        RGB, size x size.
    """
    bicubic = Image.Resampling.BICUBIC
    width, height = image.size
    if resizing == "stretch":
        return image.resize((size, size), bicubic)
    if resizing == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return image.resize((size, size), bicubic, box=(left, top, left + side, top + side))
    if resizing != "pad":
        raise ValueError(f"resizing: {resizing!r} is none of {', '.join(RESIZINGS)}")
    longer = max(width, height)
    fitted = image.resize(
        (max(1, round(width * size / longer)), max(1, round(height * size / longer))), bicubic
    )
    pixels = np.asarray(fitted)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    square = Image.new("RGB", (size, size), "white" if border.mean() >= 127.5 else "black")
    square.paste(fitted, ((size - fitted.width) // 2, (size - fitted.height) // 2))
    return square


def _reading(source: str | os.PathLike[str] | bytes, read: Callable[[IO[bytes]], T]) -> T:
    """Opens a file and reads it; whatever is wrong becomes ``Unreadable``."""
    try:
        if isinstance(source, bytes):
            return read(io.BytesIO(source))
        status = os.stat(source)
        if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
            raise Unreadable("not a regular file")
        if status.st_size == 0:
            raise Unreadable("empty file")
        with open(source, "rb") as file:
            return read(file)
    except (Unreadable, RequestError, MemoryError):
        raise
    except FileNotFoundError:
        raise Unreadable("file not found") from None
    except PermissionError:
        raise Unreadable("permission denied") from None
    except Exception as error:  # on damaged files Pillow raises nearly everything there is
        raise Unreadable(_reason(error, source)) from error


def _upright_rgb(image: Image.Image, side: int | None) -> tuple[Image.Image, tuple[int, int]]:
    """The pixels of an opened image, at least ``side`` wide and high if there are as many (None: all of them),
    and the width and height that it has in full."""
    width, height = image.size
    limit = max_pixels()
    if width * height > limit:
        raise Unreadable(f"{width:,} x {height:,} pixels, {TOO_LARGE} {limit / 1e6:g} million")
    if side is not None:
        image.draft(image.mode, (side, side))
    image.load()
    try:
        orientation = image.getexif().get(0x0112)
    except Exception:  # damaged metadata, sound pixels
        orientation = None
    if orientation not in _UPRIGHT:
        return _to_rgb(image), (width, height)
    upright = image.transpose(_UPRIGHT[orientation])
    return _to_rgb(upright), (height, width) if orientation >= 5 else (width, height)


def _is_animated(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # damaged behind the first frame
        return True


def _digest(rgb: Image.Image) -> bytes:
    state = hashlib.blake2b(f"{rgb.width} {rgb.height} ".encode(), digest_size=16)
    state.update(rgb.tobytes())
    return state.digest()


def _facts(
    rgb: Image.Image, original: tuple[int, int], mode: str, format: str = "", animated: bool = False
) -> Facts:
    return Facts(
        width=original[0],
        height=original[1],
        mode=mode,
        format=format,
        animated=animated,
        reduced=rgb.size != original,
        digest=_digest(rgb),
        thumbnail=np.asarray(rgb.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)),
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    """Converts any Pillow mode to RGB as it looks on white paper."""
    if image.mode == "F" or image.mode.startswith("I"):
        image = _gray_to_8_bits(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _gray_to_8_bits(image: Image.Image) -> Image.Image:
    """Scales 16-bit, 32-bit and floating-point gray to 0..255, where ``convert`` would clip it to white."""
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        scale = 1 / 257
    elif image.format == "PPM":
        scale = 1 / 257  # Pillow has brought any depth to 0..65535
    else:
        try:
            scale = value_scale(values.dtype, float(values.min()), float(values.max()))
        except ValueError as error:
            raise Unreadable(str(error)) from None
    return Image.fromarray(_to_bytes(values, scale))


def value_scale(dtype: np.dtype, low: float, high: float) -> float:
    """The factor that brings pixel values to 0..255, decided by their type and range.

    Args:
        dtype: type of the values.
        low: smallest value (NaN if any value is NaN).
        high: largest value.

    Returns:
        255 for bool and for floats up to 1, 1 for values up to 255, 1/257 for 16-bit values.

    Raises:
        ValueError: with what is wrong: NaN or infinite, negative, or too large.
    """
    if dtype.kind not in "buif":
        raise ValueError(f"values of type {dtype} are not pixels")
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("some values are NaN or infinite")
    if low < 0:
        raise ValueError(f"values from {low:g} to {high:g}, where pixels are 0 to 1, 0 to 255 or 0 to 65535")
    if dtype.kind == "b" or (dtype.kind == "f" and high <= 1):
        return 255.0
    if high <= 255:
        return 1.0
    if dtype.kind in "ui" and high <= 65535:
        return 1 / 257
    raise ValueError(f"values up to {high:g}, where pixels are 0 to 1, 0 to 255 or, as integers, 0 to 65535")


def _to_bytes(values: np.ndarray, scale: float) -> np.ndarray:
    return np.clip(np.rint(values.astype(np.float32) * scale), 0, 255).astype(np.uint8)


def _reason(error: Exception, source: str | os.PathLike[str] | bytes) -> str:
    """A few words for an exception of Pillow's; its own words may name objects and addresses."""
    if isinstance(error, Image.UnidentifiedImageError):
        return kind_of(_head(source)) or "not an image, or of no supported format"
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than the limit"
    text = str(error).lower()
    if "truncated" in text or "unexpected end" in text or isinstance(error, EOFError):
        return "truncated"
    return "damaged"


def _head(source: str | os.PathLike[str] | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:HEAD_BYTES]
    with open(source, "rb") as file:
        return file.read(HEAD_BYTES)
