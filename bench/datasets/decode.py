"""Decoding: from a file or an array row to the square RGB image that a person would recognise.

Whatever is wrong with one image ends in ``Unreadable`` with a short reason, never in another exception: files
come from users, and one bad file among thousands must not cost the others.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np
from PIL import Image

VERSION = 1
"""Part of the cache key: raise it whenever the same input would decode to other pixels."""

MAX_PIXELS = 100_000_000
"""Images whose header claims more are left out, before anything is decoded."""

FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM")
"""The formats tried, whatever a file is called; never PostScript, say, which starts a program."""

RESIZINGS = ("crop", "stretch", "pad")

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


class Unreadable(Exception):
    """An image that cannot be used; its text is the reason, a few words."""


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
    source: str | os.PathLike[str] | bytes, size: int, resizing: str = "crop", max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decodes one image file.

    The EXIF orientation is applied, transparency is shown on white, CMYK becomes RGB, 16-bit and
    floating-point gray is scaled (not clipped) to 8 bits, and of an animation the first frame is taken.

    Args:
        source: path of the file, or its bytes.
        size: side of the result in pixels.
        resizing: see ``resize``.
        max_pixels: largest width times height that is decoded.

    Returns:
        uint8, (size, size, 3).

    Raises:
        Unreadable: with the reason.
    """
    try:
        if isinstance(source, bytes):
            return _decode(io.BytesIO(source), size, resizing, max_pixels)
        status = os.stat(source)
        if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
            raise Unreadable("not a regular file")
        if status.st_size == 0:
            raise Unreadable("empty file")
        with open(source, "rb") as file:
            return _decode(file, size, resizing, max_pixels)
    except (Unreadable, MemoryError):
        raise
    except FileNotFoundError:
        raise Unreadable("file not found") from None
    except PermissionError:
        raise Unreadable("permission denied") from None
    except Exception as error:  # on damaged files Pillow raises nearly everything there is
        raise Unreadable(_reason(error)) from error


def decode_array(row: np.ndarray, scale: float, size: int, resizing: str = "crop") -> np.ndarray:
    """Decodes one row of an array of images.

    Args:
        row: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4: the last is opacity), any real dtype.
        scale: factor that brings its values to 0..255.
        size: side of the result in pixels.
        resizing: see ``resize``.

    Returns:
        uint8, (size, size, 3).
    """
    pixels = row if row.dtype == np.uint8 and scale == 1 else _to_bytes(row, scale)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return np.asarray(resize(_to_rgb(Image.fromarray(np.ascontiguousarray(pixels))), size, resizing))


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


def _decode(file: IO[bytes], size: int, resizing: str, max_pixels: int) -> np.ndarray:
    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise Unreadable(
                f"{width:,} x {height:,} pixels, more than the limit of {max_pixels / 1e6:g} million"
            )
        # JPEG can be decoded at 1/2, 1/4 or 1/8 for a fraction of the time; stay at twice the size or above.
        image.draft(image.mode, (2 * size, 2 * size))
        image.load()
        try:
            orientation = image.getexif().get(0x0112)
        except Exception:  # damaged metadata, sound pixels
            orientation = None
        upright = image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image
        return np.asarray(resize(_to_rgb(upright), size, resizing))


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


def _reason(error: Exception) -> str:
    """A few words for an exception of Pillow's; its own words may name objects and addresses."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image, or of no supported format"
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than the limit"
    text = str(error).lower()
    if "truncated" in text or "unexpected end" in text or isinstance(error, EOFError):
        return "truncated"
    return "damaged"
