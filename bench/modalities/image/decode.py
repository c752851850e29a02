"""Decoding: from a file or an array row to the square RGB image that a person would recognise.

Whatever is wrong with one image ends in ``Unreadable`` with a short reason, never in another exception: files
come from users, and one bad file among thousands must not cost the others.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, TypeVar

import numpy as np
from PIL import Image

from bench.errors import RequestError
from bench.modalities.base import Unreadable
from bench.modalities.image.deep import Stored, unread_tiff
from bench.modalities.image.facts import THUMBNAIL, TOO_LARGE, Facts
from bench.modalities.image.input import RESIZINGS
from bench.modalities.image.kinds import FORMATS, HEAD_BYTES, kind_of
from bench.modalities.image.levels import BYTES, DARKEST, FULL, ORDINARY, Levels, Scale, Undecided, Values

VERSION = 4
"""Part of the cache key: raise it whenever the same input would decode to other pixels."""

MAX_PIXELS = 100_000_000
"""Images whose header claims more are left out, before anything is decoded. ``TRANSFER_BENCH_MAX_PIXELS``
overrides it."""

MAX_SIDE = 1_000_000
MAX_BYTES = 2**30
"""Files that are larger are left out unread: an image of ``MAX_PIXELS`` takes less."""
MAX_SCANS = 100
"""Passes of a JPEG over all its pixels; a progressive one has some ten. Thousands fit into a small file, and each
takes as long to decode as a whole image."""
_SCAN = b"\xff\xda"

_room = threading.Condition()
_decoding: list[int] = []
"""Pixels of the images that are being decoded, all threads together."""

SUSPICIOUS = DARKEST + 4
"""Rows that reach this are of no mask with values up to DARKEST; resampling may have raised them a little."""

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

See = tuple[float, float]
"""Shares of pixels: ``Facts.clear`` and ``Facts.veiled``."""

OPAQUE: See = (0.0, 0.0)


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
    """Silences Pillow's remarks and log on odd files, and its own pixel limit, which ours replaces.

    Both are settings of the process, so this is entered once around many images, in the thread that starts
    the decoding ones.
    """
    limit, log = Image.MAX_IMAGE_PIXELS, logging.getLogger("PIL")
    unheard = logging.NullHandler()  # in a program without logging, errors would go to the terminal
    log.addHandler(unheard)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.MAX_IMAGE_PIXELS = None
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
        log.removeHandler(unheard)


def decode(
    source: str | os.PathLike[str] | bytes, size: int, resizing: str = "crop", scale: Scale | None = None
) -> tuple[np.ndarray, Facts]:
    """Decodes one image file.

    The EXIF orientation is applied, transparency is shown on white, CMYK becomes RGB, values of more than 8 bits
    are scaled (not clipped), and of an animation the first frame is taken.

    Args:
        source: path of the file, or its bytes.
        size: side of the result in pixels.
        resizing: see ``resize``.
        scale: what is black and white; None: what the file says, or its own values if it says nothing.

    Returns:
        uint8, (size, size, 3), and what else there is to know of the image. All is black if its own values do not
        tell what is black and white (``Facts.values.scale`` is None then).

    Raises:
        Unreadable: with the reason.
        RequestError: see ``max_pixels``.
    """
    # JPEG can be decoded at 1/2, 1/4 or 1/8 for a fraction of the time; stay at twice the size or above.
    side = max(2 * size, 4 * THUMBNAIL)

    def read(file: IO[bytes]) -> tuple[np.ndarray, Facts]:
        with Image.open(file, formats=FORMATS) as image, _turn(image, file):
            mode = image.mode
            rgb, original, values, seen = _upright_rgb(image, file, side, scale)
            row = np.asarray(resize(rgb, size, resizing))
            if values is None:
                values = _of_bytes(rgb, row)
                if scale not in (None, BYTES):
                    rgb = rgb.point(_to_bytes(np.arange(256), scale).tolist() * 3)
                    row = np.asarray(resize(rgb, size, resizing))
                    values = replace(values, scale=scale)
            format = image.format or ""
            animated = format != "MPO" and _is_animated(image)
            return row, _facts(
                rgb, row, original, mode, values, seen, _VARIANTS.get(format, format), animated
            )

    return _reading(source, read)


def full_digest(source: str | os.PathLike[str] | bytes) -> bytes:
    """``Facts.digest`` of all of an image's pixels.

    Raises:
        Unreadable: with the reason.
    """

    def read(file: IO[bytes]) -> bytes:
        with Image.open(file, formats=FORMATS) as image, _turn(image, file):
            return _digest(_upright_rgb(image, file, None, None)[0])

    return _reading(source, read)


def decode_array(
    row: np.ndarray, scale: Scale, size: int, resizing: str = "crop"
) -> tuple[np.ndarray, Facts]:
    """Decodes one row of an array of images.

    Args:
        row: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4: the last is opacity), any real dtype.
        scale: which of its values are black and white.
        size: side of the result in pixels.
        resizing: see ``resize``.

    Returns:
        uint8, (size, size, 3), and what else there is to know of the image.
    """
    ordinary = row.dtype == np.uint8 and scale == BYTES
    pixels = row if ordinary else _to_bytes(row, scale)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    rgb, seen = _to_rgb(image)
    values = ORDINARY if ordinary else _values("given", row, FULL, scale)
    square = np.asarray(resize(rgb, size, resizing))
    return square, _facts(rgb, square, image.size, image.mode, values, seen)


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
        if status.st_size > MAX_BYTES:
            raise Unreadable(f"{status.st_size / 2**30:.1f} GiB, more than {MAX_BYTES / 2**30:g} GiB")
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


@contextmanager
def _turn(image: Image.Image, file: IO[bytes]) -> Iterator[None]:
    """Waits until there is room for an opened image: threads decode no more pixels at once than one may have.

    Raises:
        Unreadable: it is too large, by its header.
    """
    width, height = image.size
    pixels, limit = width * height, max_pixels()
    if pixels > limit:
        raise Unreadable(f"{width:,} x {height:,} pixels, {TOO_LARGE} {limit / 1e6:g} million")
    if max(width, height) > MAX_SIDE:  # resampling takes memory for each pixel of a side
        raise Unreadable(f"{width:,} x {height:,} pixels, more than {MAX_SIDE:,} on a side")
    if image.format in ("JPEG", "MPO") and (scans := _scans(file)) > MAX_SCANS:
        raise Unreadable(f"{scans:,} scans of its pixels, more than {MAX_SCANS}")
    with _room:
        _room.wait_for(lambda: not _decoding or sum(_decoding) + pixels <= limit)
        _decoding.append(pixels)
    try:
        yield
    finally:
        with _room:
            _decoding.remove(pixels)
            _room.notify_all()


def _scans(file: IO[bytes]) -> int:
    """How often a JPEG goes over its pixels: within what is coded, the marker does not occur."""
    here, found, last = file.tell(), 0, b""
    file.seek(0)
    while block := file.read(1 << 20):
        found += (last + block).count(_SCAN)
        last = block[-1:]
    file.seek(here)
    return found


def _upright_rgb(
    image: Image.Image, file: IO[bytes], side: int | None, scale: Scale | None
) -> tuple[Image.Image, tuple[int, int], Values | None, See]:
    """The pixels of an opened image, at least ``side`` wide and high if there are as many (None: all of them), the
    width and height that it has in full, what was done to its values, if they are not ordinary, and how transparent
    it is."""
    width, height = image.size
    stored = Stored.of(image)
    if side is not None:
        image.draft(image.mode, (side, side))
    image.load()
    pixels, values = (image, None) if stored is None else _deep(image, file, stored, scale)
    try:
        orientation = image.getexif().get(0x0112)
    except Exception:  # damaged metadata, sound pixels
        orientation = None
    rgb, seen = _to_rgb(pixels)
    if orientation not in _UPRIGHT:
        return rgb, (width, height), values, seen
    size = (height, width) if orientation >= 5 else (width, height)
    return rgb.transpose(_UPRIGHT[orientation]), size, values, seen


def _deep(
    image: Image.Image, file: IO[bytes], stored: Stored, scale: Scale | None
) -> tuple[Image.Image, Values]:
    """A loaded image of more than 8 bits with 8, and what was done to its values."""
    found, alpha = stored.values(image, file)
    levels = Levels.of(found)
    scale = scale or stored.declared
    try:
        scale = scale or levels.scale()
    except Undecided as error:
        if math.isnan(levels.low):
            raise Unreadable("some values are NaN or infinite") from error
        return Image.new("L", image.size), Values(stored.kind, levels, None)
    pixels = _to_bytes(found, scale)
    picture = Image.fromarray(255 - pixels if stored.inverted else pixels)
    if alpha is not None:
        picture = picture.convert("RGB")
        picture.putalpha(Image.fromarray(np.ascontiguousarray(alpha)))
    return picture, _values(stored.kind, found, levels, scale)


def _of_bytes(rgb: Image.Image, row: np.ndarray) -> Values:
    """What there is to know of the values of an ordinary image: nothing, but where all of them are tiny."""
    if row[0].max() > SUSPICIOUS or row.max() > SUSPICIOUS:  # the first line mostly is enough
        return ORDINARY
    levels = Levels.of(np.asarray(rgb))
    return ORDINARY if levels.high > DARKEST else Values(levels=levels)


def _values(kind: str, values: np.ndarray, levels: Levels, scale: Scale) -> Values:
    low, high = float(values.min()), float(values.max())
    beyond = max(scale.black - low, high - scale.white, 0.0) / (scale.white - scale.black)
    cut = float(((values < scale.black) | (values > scale.white)).mean()) if beyond else 0.0
    return Values(kind, levels, scale, cut, beyond)


def _is_animated(image: Image.Image) -> bool:
    """Whether there are more pictures than the first; smaller ones in a TIFF are the same for previews."""
    try:
        several = bool(getattr(image, "is_animated", False))
        if not several or image.format != "TIFF":
            return several
        size = image.size
        image.seek(1)
        return image.size == size
    except Exception:  # damaged behind the first frame
        return True


def _digest(rgb: Image.Image) -> bytes:
    state = hashlib.blake2b(f"{rgb.width} {rgb.height} ".encode(), digest_size=16)
    state.update(rgb.tobytes())
    return state.digest()


def _facts(
    rgb: Image.Image,
    row: np.ndarray,
    original: tuple[int, int],
    mode: str,
    values: Values,
    seen: See,
    format: str = "",
    animated: bool = False,
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
        values=values,
        contrast=int(row.max()) - int(row.min()),
        clear=seen[0],
        veiled=seen[1],
    )


def _to_rgb(image: Image.Image) -> tuple[Image.Image, See]:
    """Converts any Pillow mode of 8 bits to RGB as it looks on white paper."""
    if not image.has_transparency_data:
        return image.convert("RGB"), OPAQUE
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    counts = rgba.getchannel("A").histogram()
    seen = counts[0] / sum(counts), sum(counts[1:-1]) / sum(counts)
    return Image.alpha_composite(white, rgba).convert("RGB"), seen


def _to_bytes(values: np.ndarray, scale: Scale) -> np.ndarray:
    found = values.astype(np.float32)
    if scale.black:
        found -= scale.black
    return np.clip(np.rint(found * scale.factor), 0, 255).astype(np.uint8)


def _reason(error: Exception, source: str | os.PathLike[str] | bytes) -> str:
    """A few words for an exception of Pillow's; its own words may name objects and addresses."""
    if isinstance(error, Image.UnidentifiedImageError):
        return kind_of(_head(source)) or _why_not_tiff(source) or "not an image, or of no supported format"
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than the limit"
    text = str(error).lower()
    if "truncated" in text or "unexpected end" in text or isinstance(error, EOFError):
        return "truncated"
    return "damaged"


def _why_not_tiff(source: str | os.PathLike[str] | bytes) -> str:
    if isinstance(source, bytes):
        return unread_tiff(io.BytesIO(source))
    with open(source, "rb") as file:
        return unread_tiff(file)


def _head(source: str | os.PathLike[str] | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:HEAD_BYTES]
    with open(source, "rb") as file:
        return file.read(HEAD_BYTES)
