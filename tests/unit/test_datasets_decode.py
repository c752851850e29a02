"""Decoding: every kind of image comes out as the RGB that a person sees, every bad one as a reason."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.errors import RequestError
from bench.modalities.base import Unreadable
from bench.modalities.image import decode as decoding
from bench.modalities.image.decode import quiet
from bench.modalities.image.levels import BYTES, Scale

RED, GREEN, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (255, 255, 255), (0, 0, 0)


def decode(*arguments: Any) -> np.ndarray:
    """The pixels alone."""
    return decoding.decode(*arguments)[0]


def decode_array(*arguments: Any) -> np.ndarray:
    return decoding.decode_array(*arguments)[0]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def is_about(pixel: np.ndarray, colour: tuple[int, ...], within: int = 6) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() <= within)


def two_halves() -> Image.Image:
    """Upper half red, lower half green; 40 wide, 80 high."""
    image = Image.new("RGB", (40, 80), RED)
    image.paste(GREEN, (0, 40, 40, 80))
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(orientation: int, kind: str) -> None:
    stored = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    image = two_halves()
    image.paste(BLACK, (0, 0, 20, 40))  # upper left black, upper right red, below green
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    data = encoded(image if stored is None else image.transpose(stored), kind, exif=exif, **options)
    pixels = decode(data, 32)
    for pixel, colour in ((pixels[4, 4], BLACK), (pixels[4, 27], RED), (pixels[27, 16], GREEN)):
        assert is_about(pixel, colour, 20)


def test_transparency_is_shown_on_white() -> None:
    rgba = Image.new("RGBA", (20, 20), (255, 0, 0, 255))
    rgba.paste((0, 0, 255, 0), (0, 0, 10, 20))
    pixels = decode(encoded(rgba, "PNG"), 20)
    assert is_about(pixels[10, 3], WHITE)
    assert is_about(pixels[10, 16], RED)

    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([0, 0, 255, 255, 0, 0])
    palette.paste(0, (0, 0, 10, 20))
    for data in (encoded(palette, "PNG", transparency=0), encoded(palette, "GIF", transparency=0)):
        assert is_about(decode(data, 20)[10, 3], WHITE)
        assert is_about(decode(data, 20)[10, 16], RED)

    assert is_about(decode(encoded(Image.new("LA", (8, 8), (0, 128)), "PNG"), 8)[4, 4], (127, 127, 127))
    gray = encoded(Image.new("L", (8, 8), 10), "PNG", transparency=10)
    assert is_about(decode(gray, 8)[4, 4], WHITE)


def test_cmyk_as_printed() -> None:
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # Pillow writes it as Adobe does, inverted
    data = encoded(cmyk, "JPEG", quality=95)
    assert b"Adobe" in data
    assert is_about(decode(data, 16)[8, 8], RED, 12)
    assert is_about(decode(encoded(cmyk, "TIFF"), 16)[8, 8], RED)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_gray_is_scaled_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    image = Image.fromarray(np.tile(ramp, (64, 1)))
    if kind == "PPM":
        data = b"P5 64 64 65535\n" + np.tile(ramp, (64, 1)).astype(">u2").tobytes()
    else:
        data = encoded(image, kind)
    pixels = decode(data, 64)
    assert np.abs(pixels[32, :, 0].astype(int) - np.linspace(0, 255, 64)).max() <= 1


def test_big_endian_and_floating_point_tiff() -> None:
    pixels = decode(encoded(Image.new("I;16B", (8, 8), 0x8000), "TIFF"), 8)
    assert is_about(pixels[4, 4], (128, 128, 128), 1)
    for value, shown in ((0.5, 128), (200.0, 200)):
        data = encoded(Image.fromarray(np.full((8, 8), value, np.float32)), "TIFF")
        assert is_about(decode(data, 8)[4, 4], (shown,) * 3, 1)
    with pytest.raises(Unreadable, match="NaN"):
        decode(encoded(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF"), 8)


def test_one_bit_gray_palette_and_animation() -> None:
    assert is_about(decode(encoded(Image.new("1", (9, 9), 1), "PNG"), 8)[4, 4], WHITE)
    assert is_about(decode(encoded(Image.new("L", (9, 9), 77), "BMP"), 8)[4, 4], (77, 77, 77))
    frames = [Image.new("RGB", (12, 12), c).convert("P") for c in (RED, GREEN)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert is_about(decode(data, 12)[6, 6], RED)


def test_resizing() -> None:
    wide = Image.new("RGB", (90, 30), RED)
    wide.paste(GREEN, (30, 0, 60, 30))
    data = encoded(wide, "PNG")
    stretched, cropped, padded = (decode(data, 30, how) for how in ("stretch", "crop", "pad"))
    assert is_about(stretched[15, 2], RED)
    assert is_about(cropped[15, 3], GREEN)
    assert is_about(cropped[15, 26], GREEN)
    assert is_about(padded[2, 15], BLACK)
    assert is_about(padded[15, 15], GREEN)
    on_white = encoded(Image.new("RGB", (90, 30), (250, 250, 250)), "PNG")
    assert is_about(decode(on_white, 30, "pad")[1, 1], WHITE)
    for how in ("stretch", "crop", "pad"):
        assert decode(encoded(Image.new("RGB", (2000, 1), RED), "PNG"), 16, how).shape == (16, 16, 3)
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    assert is_about(decode(encoded(Image.fromarray(stripes), "PNG"), 32)[16, 16], (127, 127, 127), 3)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def test_what_cannot_be_read_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = encoded(two_halves().resize((300, 300)), "JPEG")
    bad = {
        "truncated": sound[: len(sound) // 2],
        "empty file": b"",
        "not an image": b"just a text",
        "100,000 x 100,000 pixels": bomb(100_000, 100_000),
        "10,001 x 10,000 pixels": bomb(10_001, 10_000),
        "damaged|truncated": bomb(10, 10),
        "PostScript drawing": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }
    for reason, data in bad.items():
        path = tmp_path / "image.jpg"
        path.write_bytes(data)
        with quiet(), pytest.raises(Unreadable, match=reason):
            decode(path, 32)
    with pytest.raises(Unreadable, match="file not found"):
        decode(tmp_path / "missing.jpg", 32)
    with pytest.raises(Unreadable, match="not a regular file"):
        decode(tmp_path, 32)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(Unreadable, match="not a regular file"):
        decode(tmp_path / "pipe.jpg", 32)
    data = encoded(Image.new("RGB", (11, 11)), "PNG")
    monkeypatch.setenv("TRANSFER_BENCH_MAX_PIXELS", "121")
    assert decode(data, 4).shape == (4, 4, 3)
    monkeypatch.setenv("TRANSFER_BENCH_MAX_PIXELS", "120")
    with pytest.raises(Unreadable, match="11 x 11 pixels"):
        decode(data, 4)
    for wrong in ("many", "0", "-1", "1e9", "1.5", "²"):
        monkeypatch.setenv("TRANSFER_BENCH_MAX_PIXELS", wrong)
        with pytest.raises(RequestError, match="TRANSFER_BENCH_MAX_PIXELS must be"):
            decode(data, 4)


def test_every_cut_and_every_flipped_byte_of_a_file_is_survived() -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8))
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"):
        data = encoded(noise, kind)
        with quiet():
            for position in rng.integers(0, len(data), 60):
                flipped = bytearray(data)
                flipped[position] ^= int(rng.integers(1, 256))
                for damaged in (data[:position], bytes(flipped)):
                    with suppress(Unreadable):
                        assert decode(damaged, 8).shape == (8, 8, 3)


def test_quiet_restores_what_it_changes() -> None:
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    with quiet():
        assert Image.MAX_IMAGE_PIXELS is None
    assert limit == Image.MAX_IMAGE_PIXELS
    assert filters == list(warnings.filters)


def test_rows_of_arrays() -> None:
    assert is_about(decode_array(np.full((8, 8), 16.0), Scale(0, 16), 4)[2, 2], WHITE, 0)
    assert is_about(decode_array(np.full((8, 8, 1), 9, np.uint8), BYTES, 4)[2, 2], (9, 9, 9), 0)
    assert is_about(decode_array(np.array([[[255, 0, 0]]], np.uint8), BYTES, 4)[2, 2], RED, 0)
    assert is_about(decode_array(np.array([[[255, 0, 0, 0]]], np.uint8), BYTES, 4)[2, 2], WHITE, 0)
    assert is_about(decode_array(np.ones((8, 8), bool), Scale(0, 1), 4)[2, 2], WHITE, 0)
