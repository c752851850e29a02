"""Manifests with bytes changed, left out or put in: a dataset, or one message; never a traceback."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from bench.datasets import open_dataset
from bench.errors import BenchError
from bench.modalities.image.input import ImageInput

ODD = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b'""', b"\r", b"\r\n", b",,,,", b"\t", b"=1+1", b"../../x", b"C:\\x",
    b"9" * 5000, b"[" * 3000, b"\xc3\x28", b"\xed\xa0\x80",
    b"nan", b"path", b"label", b"split", b"test", b"|", b";", b"\\", b"/" * 5000,
)  # fmt: skip
"""What a mutation puts in."""


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifests")
    rows = []
    for i in range(12):
        Image.new("RGB", (8, 8), (20 * i, 7, 90)).save(folder / f"{i}.png")
        part = "test" if i > 9 else "train"
        rows.append({"path": f"{i}.png", "label": "cat" if i % 2 else "dog", "split": part, "group": f"g{i}"})
    table = pd.DataFrame(rows)
    table.to_csv(folder / "sound.csv", index=False)
    table.to_csv(folder / "sound.tsv", index=False, sep="\t")
    table.to_parquet(folder / "sound.parquet", index=False)
    return folder


def mutated(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 10))):
        place = rng.randrange(len(found) + 1)
        kind = rng.choice(("change", "change", "cut", "insert", "repeat"))
        if kind == "cut":
            del found[place : place + rng.randrange(200)]
        elif kind == "insert":
            found[place:place] = rng.choice(ODD)
        elif kind == "repeat":
            found[place:place] = found[place : place + rng.randrange(100)]
        else:
            found[place : place + 1] = bytes([rng.randrange(256)])
    return bytes(found)


@pytest.mark.parametrize("count", [90, pytest.param(3000, marks=pytest.mark.slow)])
def test_whatever_is_wrong_with_a_manifest_is_one_message(
    manifests: Path, fresh_cache: Path, count: int
) -> None:
    opened = 0
    messages = []
    for seed in range(count):
        rng = random.Random(seed)
        suffix = rng.choice((".csv", ".csv", ".tsv", ".parquet"))
        path = manifests / f"mutated{suffix}"
        path.write_bytes(mutated((manifests / f"sound{suffix}").read_bytes(), rng))
        try:
            open_dataset(str(path), ImageInput(8, "crop"))
            opened += 1
        except BenchError as error:
            messages.append(str(error))
    assert opened
    assert messages
    assert max(map(len, messages)) < 6000  # ODD has texts of 5,000 letters
