"""Image files of every depth, written by hand where Pillow does not write them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def saved(values: np.ndarray, kind: str, **options: object) -> bytes:
    """A file as Pillow writes it."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **options)
    return buffer.getvalue()


def png16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits with any number of channels.

    Args:
        values: (H, W, C): 1 gray, 2 with opacity, 3 colours, 4 with opacity.
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(data: bytes, width: int, height: int, bits: int, **tags: int) -> bytes:
    """A little-endian TIFF with one strip.

    Args:
        data: the strip.
        width: in pixels.
        height: likewise.
        bits: of each sample.
        tags: ``photometric`` (0: white is zero; 1; 2: RGB), ``sample_format`` (1 unsigned, 2 signed, 3 float),
            ``samples`` of a pixel, ``planes`` (2: one after the other), ``compression`` (8: deflate).
    """
    samples, compression = tags.get("samples", 1), tags.get("compression", 1)
    data = zlib.compress(data) if compression == 8 else data
    pointer = 8 + 12 * 10 + 2 + 4
    entries = {
        256: (4, 1, width), 257: (4, 1, height),
        258: (3, samples, bits if samples == 1 else pointer),
        259: (3, 1, compression), 262: (3, 1, tags.get("photometric", 1)), 273: (4, 1, pointer + 2 * samples),
        277: (3, 1, samples), 278: (4, 1, height), 279: (4, 1, len(data)),
        284: (3, 1, tags.get("planes", 1)), 339: (3, 1, tags.get("sample_format", 1)),
    }  # fmt: skip
    if "planes" not in tags:
        del entries[284]
    else:
        del entries[339]
    body = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items()))
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + body + bytes(4)
    return head + struct.pack(f"<{samples}H", *[bits] * samples) + data


def twelve_bits(values: np.ndarray) -> bytes:
    """Two values packed into three bytes; the number of values in a row is even."""
    first, second = values[:, ::2].astype(np.uint16), values[:, 1::2].astype(np.uint16)
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1)
    return packed.astype(np.uint8).tobytes()
