"""The formats that are read, and what other files are by their first bytes."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import PurePath

from PIL import Image

from bench.system.files import LFS_POINTER

HEIF = find_spec("pillow_heif") is not None
"""Whether there is what reads HEIC pictures, which Pillow alone does not."""

FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", *["HEIF"][:HEIF])
"""The formats tried, whatever a file is called; never PostScript, say, which starts a program."""

if HEIF:
    from pillow_heif import register_heif_opener

    register_heif_opener()

HEAD_BYTES = 512
"""As many bytes as are looked at."""

WEB_PAGE = "web page, not an image"

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (LFS_POINTER, "git-lfs pointer, not the file: run git lfs pull"),
    (rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", "HEIC picture: pip install 'transfer-bench[heif]' reads it"),
    (rb".{4}ftypavi[fs]", "AVIF picture, which this Pillow cannot read"),
    (rb".{4}ftyp(crx )", "camera raw picture: convert it to PNG or TIFF"),
    (rb".{4}(ftyp|moov)", "video: extract its frames"),
    (rb"\x00\x00\x00\x0cJXL |\xff\x0a", "JPEG XL picture: convert it to PNG"),
    (rb".{128}DICM", "DICOM file: convert it to PNG, with the window that matters"),
    (rb"8BPS", "Photoshop file: convert it to PNG"),
    (rb"\x76\x2f\x31\x01|#\?RADIANCE", "high-dynamic-range picture: convert it to PNG"),
    (rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<![^>]*>\s*)*<svg", "SVG drawing: convert it to PNG"),
    (rb"%PDF", "PDF document: convert its pages to PNG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript drawing: convert it to PNG"),
    (rb"\x93NUMPY", "NumPy array: give an .npz with x and y, or convert it to PNG"),
    (rb"(\x6e\x2b\x31\x00|.{344}(n\+1|ni1)\x00)", "NIfTI volume: convert its slices to PNG"),
    (rb"\x89HDF", "HDF5 file: give an .npz with x and y"),
    (rb"RIFF.{4}AVI |\x1aE\xdf\xa3", "video: extract its frames"),
    (rb"PK\x03\x04", "zip archive: unpack it"),
    (rb"Rar!|7z\xbc\xaf|\x1f\x8b|.{257}ustar", "archive: unpack it"),
    (rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html)", f"{WEB_PAGE}: download the image itself"),
)  # fmt: skip
"""How files begin -> what they are and what to do about it; the first that fits."""

_KINDS = tuple((re.compile(pattern, re.DOTALL | re.IGNORECASE), kind) for pattern, kind in _BEGINNINGS)
_ARCHIVES = frozenset((".zip", ".gz", ".tgz", ".tar", ".rar", ".7z"))
"""Extensions of archives that people make; documents and models are archives by their first bytes, too."""

CAMERA_RAW = frozenset((".cr2", ".nef", ".arw", ".dng", ".orf", ".rw2", ".pef", ".srw", ".raf"))
"""Extensions of files that are TIFF by their first bytes, and whose pixels no TIFF reader gets."""


def kind_of(head: bytes) -> str | None:
    """What a file is, and what to do about it, by its first ``HEAD_BYTES``; None if it is not known."""
    return next((kind for pattern, kind in _KINDS if pattern.match(head)), None)


def disguised(path: str | os.PathLike[str]) -> str | None:
    """What a file is whose name does not say that it is an image.

    Args:
        path: the file.

    Returns:
        An empty string for an image that can be read, a reason for a picture, video or archive that cannot, and
        None for anything else, and for what cannot be opened.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix in CAMERA_RAW:
        return "camera raw picture: convert it to PNG or TIFF"
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return None
    try:
        with Image.open(path, formats=FORMATS):
            return ""
    except Exception:  # on what is no image Pillow raises nearly everything there is
        kind = kind_of(head)
    if kind is None or kind.startswith(WEB_PAGE) or ("archive" in kind and suffix not in _ARCHIVES):
        return None
    return kind
