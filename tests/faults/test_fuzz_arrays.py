"""Damaged, encrypted, short, negative, zero-width and deeply nested arrays: one message each, never a traceback."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench.datasets import open_dataset
from bench.errors import BenchError
from bench.modalities.image.input import ImageInput

TYPES = ("'|u1'", "'<f8'", "'|O'", "[('a', '<i4')]", "'<M8[s]'", "'|V8'", "'<U0'", "'<c16'")
SHAPES = (
    "(12, 8, 8, 3)", "(12, 8, 8)", "(-1, 8, 8)", "(12, -8, 8)", "(12, 0, 8)", "(0, 8, 8)", "()", "(12,)",
    f"({10**12}, 8, 8)", f"({10**23}, 8, 8)", "(12, 100000, 100000)", "(" * 3000 + ")" * 3000, "(12, 8, 8, 3, 1)",
    "(True, 8, 8)", "(12.0, 8, 8)", "('a',)", "[12, 8, 8]",
)  # fmt: skip
MAGIC = (b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00", b"\x93NUMPY\x03\x00", b"\x93NUMPY\x09\x00", b"abc")
ARRAYS = (
    np.zeros((12, 8, 8), np.uint8), np.arange(12) % 2, np.asfortranarray(np.ones((12, 8, 8))), np.array(5),
    np.zeros((12, 2)), np.array(["a", "b"] * 6), np.array([b"a\xff"] * 12), np.full((12, 8, 8), np.nan),
    np.zeros((12, 8, 8), np.complex128), np.zeros((12, 8, 8), np.float16),
)  # fmt: skip


def written(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def made_up(rng: random.Random) -> bytes:
    """An array with a header of any type and shape, and too few or too many bytes."""
    order, magic = rng.choice(("True", "False", "1", "'a'")), rng.choice(MAGIC)
    header = f"{{'descr': {rng.choice(TYPES)}, 'fortran_order': {order}, 'shape': {rng.choice(SHAPES)}, }}\n"
    return magic + struct.pack("<H", len(header)) + header.encode() + bytes(rng.randrange(3000))


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, left out or put in."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        place = rng.randrange(len(found) + 1)
        kind = rng.choice(("change", "change", "cut", "insert", "number"))
        if kind == "cut":
            del found[place:]
        elif kind == "insert":
            found[place:place] = bytes(rng.randrange(50))
        else:
            number = rng.choice((0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 1 << 20))
            new = bytes([rng.randrange(256)]) if kind == "change" else struct.pack("<I", number)
            found[place : place + len(new)] = new
    return bytes(found)


def archive(rng: random.Random) -> bytes:
    """An .npz of sound or made-up arrays, as it stands or mutated."""
    buffer = io.BytesIO()
    sound = rng.random() < 0.4
    how = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))
    with zipfile.ZipFile(buffer, "w", how) as file:
        for name, array in (("x", ARRAYS[0]), ("y", ARRAYS[1])):
            other = made_up(rng) if rng.random() < 0.6 else written(rng.choice(ARRAYS))
            file.writestr(f"{name}.npy", written(array) if sound else other)
    return mutated(buffer.getvalue(), rng) if sound or rng.random() < 0.2 else buffer.getvalue()


@pytest.mark.parametrize("count", [150, pytest.param(5000, marks=pytest.mark.slow)])
def test_whatever_is_wrong_with_arrays_is_one_message(tmp_path: Path, fresh_cache: Path, count: int) -> None:
    messages = []
    for seed in range(count):
        path = tmp_path / "a.npz"
        path.write_bytes(archive(random.Random(seed)))
        try:
            open_dataset(str(path), ImageInput(8, "crop"))
        except BenchError as error:
            messages.append(str(error))
    assert count / 2 < len(messages) < count
    assert max(map(len, messages)) < 2000


def test_an_encrypted_array_is_named(tmp_path: Path, fresh_cache: Path) -> None:
    data = bytearray(archive_of_bytes())
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        place = data.find(mark)
        while place >= 0:
            data[place + (6 if mark[2] == 3 else 8)] |= 1
            place = data.find(mark, place + 4)
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(BenchError, match=" must "):
        open_dataset(str(tmp_path / "a.npz"), ImageInput(8, "crop"))


def archive_of_bytes() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=ARRAYS[0], y=ARRAYS[1])
    return buffer.getvalue()
