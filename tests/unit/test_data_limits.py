"""One bad file costs one file: sizes and counts have limits, and memory is bounded over all threads."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from bench.datasets import open_dataset
from bench.datasets.adapters import table
from bench.errors import RequestError
from bench.modalities.ahead import ahead
from bench.modalities.image import decode
from bench.modalities.image.input import ImageInput

INPUT = ImageInput(8, "crop")


def one_bit_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"\0" * (1 + (width + 7) // 8) * height, 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for c, name in enumerate(("cats", "dogs")):
        (root / name).mkdir(parents=True)
        for i in range(5):
            Image.new("RGB", (8, 8), (40 * i, 100 * c, 7)).save(root / name / f"{i}.png")
    return root


@pytest.mark.parametrize("size", [(99_999_999, 1), (1, 99_999_999)])
def test_a_picture_of_one_line_costs_itself_alone(folder: Path, size: tuple[int, int]) -> None:
    (folder / "cats" / "line.png").write_bytes(one_bit_png(*size))
    dataset = open_dataset(str(folder), INPUT)
    (left_out,) = dataset.left_out
    assert left_out[0] == "cats/line.png"
    assert "more than 1,000,000 on a side" in left_out[1]


def jpeg(scans: int) -> bytes:
    """A progressive JPEG whose last pass is there so many times more."""
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    return content[:-2] + content[content.rfind(b"\xff\xda") : -2] * scans + b"\xff\xd9"


def test_a_jpeg_of_many_scans_is_left_out(folder: Path) -> None:
    (folder / "cats" / "some.jpg").write_bytes(jpeg(5))
    (folder / "cats" / "many.jpg").write_bytes(jpeg(100_000))
    (left_out,) = open_dataset(str(folder), INPUT).left_out
    assert left_out[0] == "cats/many.jpg"
    assert "scans of its pixels, more than 100" in left_out[1]


def test_a_file_that_is_mostly_a_hole_is_not_read(folder: Path) -> None:
    with (folder / "cats" / "hole.png").open("wb") as file:
        file.write((folder / "cats" / "0.png").read_bytes())
        file.truncate(10 * 2**30)
    assert dict(open_dataset(str(folder), INPUT).left_out) == {"cats/hole.png": "10.0 GiB, more than 1 GiB"}


def test_threads_decode_no_more_at_once_than_one_image_may_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRANSFER_BENCH_MAX_PIXELS", "100")
    most, at_once = 0, threading.Lock()
    original = decode._upright_rgb

    def watched(*arguments: Any) -> Any:
        nonlocal most
        with at_once:
            most = max(most, sum(decode._decoding))
        return original(*arguments)

    monkeypatch.setattr(decode, "_upright_rgb", watched)
    paths = []
    for i, side in enumerate([10, 7, 7, 5, 5, 5, 5, 10] * 4):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", (side, side), (i, 0, 0)).save(paths[-1])
    threads = [threading.Thread(target=decode.decode, args=(path, 4)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert 0 < most <= 100
    assert not decode._decoding


def test_few_large_items_wait() -> None:
    made = 0

    def items() -> Iterator[np.ndarray]:
        nonlocal made
        for _ in range(20):
            made += 1
            yield np.broadcast_to(np.uint8(0), 2**27)  # says that it has 128 MiB, and takes a byte

    for used, _ in enumerate(ahead(lambda item: item.size, items())):
        assert made - used <= 4
    assert made == 20


def test_an_image_that_fails_leaves_its_room(tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(one_bit_png(64, 64)[:45])
    with pytest.raises(decode.Unreadable):
        decode.decode(tmp_path / "torn.png", 4)
    assert not decode._decoding


def test_a_manifest_of_more_rows_than_can_be_listed_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "many.parquet"
    rows = 6_000_000
    column = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int8()), ["x.png"])
    parquet.write_table(pa.table({"path": column, "label": column}), path)
    assert path.stat().st_size < 100_000
    with pytest.raises(RequestError, match="at most 5,000,000 rows"):
        open_dataset(str(path), INPUT)
    text = tmp_path / "list.csv"
    text.write_text("path,label\n")
    monkeypatch.setattr(table, "MAX_BYTES", 5)
    with pytest.raises(RequestError, match="It has 11 bytes"):
        open_dataset(str(text), INPUT)
