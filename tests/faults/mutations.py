"""What may have become of the files of a run directory: one seeded change at a time, of every kind of file."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from bench.records import Cell

Content = Any
PAYLOAD = "0'\"); __import__('pathlib').Path('{}').touch() #\n__import__('pathlib').Path('{}').touch()"
"""Ends a literal of Python, a comment and a line, and would leave a file."""


def odd_values(random: random.Random, mark: str) -> list[Any]:
    """What a field may hold instead."""
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    return [
        None, True, False, 0, 1, -1, -5.0, 2.5, 1e308, 10**30, float("nan"), float("inf"), -float("inf"), "", "x",
        "1",
        "=1+1", "../../x", "\x00", "\ud800", "é" * 5000, PAYLOAD.format(mark, mark), [], {}, [1], ["x"], {"x": 1},
        [None], [[1]], {"x": {"y": [1]}}, deep, 10**400, "9" * 5000, "2026-13-45T99:99:99+9999",
        random.random() * 1e6,
    ]  # fmt: skip


def places(content: Content, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything that is in a JSON value."""
    inside = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in inside:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def changed(content: Content, random: random.Random, mark: str) -> Content:
    """A JSON value with one thing in it changed, taken out, put in or doubled."""
    content = json.loads(json.dumps(content))
    *way, last = random.choice(list(places(content)))
    parent = content
    for key in way:
        parent = parent[key]
    kind = random.choice(["odd", "odd", "odd", "odd", "gone", "new", "twice"])
    if kind == "odd":
        parent[last] = random.choice(odd_values(random, mark))
    elif kind == "gone":
        del parent[last]
    elif isinstance(parent, list):
        parent.insert(0, parent[last] if kind == "twice" else random.choice(odd_values(random, mark)))
    else:
        parent[f"{last}_2"] = parent[last]
    return content


def _json(path: Path, random: random.Random, mark: str) -> None:
    text = json.dumps(changed(json.loads(path.read_bytes()), random, mark))
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def _signed(path: Path, random: random.Random, mark: str) -> None:
    """A record whose id fits what was changed, as a careful vandal leaves it."""
    content = changed(json.loads(path.read_bytes()), random, mark)
    try:
        content["cell_id"] = Cell.of(content["cell"]).id
    except Exception:  # of a cell that is none there is no id
        return
    path.unlink()
    (path.parent / f"{content['cell_id']}.json").write_bytes(
        json.dumps(content).encode("utf-8", "surrogatepass")
    )


def _older(path: Path, random: random.Random, mark: str) -> None:
    """A record of an older version, whose ids are not known any more."""
    content = {**json.loads(path.read_bytes()), "schema_version": random.randint(-1, 6)}
    text = json.dumps(changed(content, random, mark))
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def _toml(path: Path, random: random.Random, mark: str) -> None:
    try:
        text = tomli_w.dumps(changed(tomllib.loads(path.read_text()), random, mark))
    except (TypeError, ValueError, RecursionError):  # tomli_w cannot write it
        text = "seeds = " + random.choice(["[" * 500 + "]" * 500, "9" * 5000, "nan", "-1", "07"])
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def _npz(path: Path, random: random.Random, mark: str) -> None:
    with np.load(path) as file:
        arrays: dict[str, Any] = dict(file)
    name = random.choice(list(arrays))
    array = arrays[name]
    numbers = array if array.dtype.kind in "fi" else np.arange(len(array), dtype=float)
    arrays[name] = random.choice(
        [
            array[:-1], array[:0], array[None], array.ravel(), array.T, array.astype(str), array.astype(object),
            np.asfortranarray(array), -numbers - 1.0, numbers * 1e30, numbers + 0.5, np.full(array.shape, np.nan),
            np.full(array.shape, np.inf), np.zeros(array.shape), np.zeros(array.shape, np.complex64),
            np.array(1), numbers.astype(np.int8) + 120, np.repeat(array, 2, 0), np.zeros((len(array), 0)),
        ]
    )  # fmt: skip
    if random.random() < 0.1:
        del arrays[name]
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    path.write_bytes(stream.getvalue())


def _bytes(path: Path, random: random.Random, mark: str) -> None:
    data = bytearray(path.read_bytes())
    place = random.randrange(len(data))
    kind = random.choice(["flip", "cut", "put", "empty", "twice", "deep"])
    if kind == "flip":
        data[place] ^= 1 << random.randrange(8)
    elif kind == "cut":
        del data[place:]
    elif kind == "put":
        data[place:place] = bytes(random.randrange(256) for _ in range(3))
    elif kind == "empty":
        data.clear()
    elif kind == "twice":
        data += bytes(data)
    else:
        data[:] = b"[" * 100_000
    path.write_bytes(data)


def _nodes(path: Path, random: random.Random, mark: str) -> None:
    path.unlink()
    kind = random.choice(["folder", "dangling", "circle", "pipe", "huge", "gone"])
    if kind == "folder":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to(path.parent / "nowhere")
    elif kind == "circle":
        path.symlink_to(path.name)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)  # it takes no room


def _twins(path: Path, random: random.Random, mark: str) -> None:
    other = path.with_name("0123456789abcdef" + path.suffix)
    text = path.read_bytes()
    other.write_bytes(
        text.replace(path.stem.encode(), other.stem.encode()) if random.random() < 0.5 else text
    )


BY_SUFFIX: dict[str, Callable[[Path, random.Random, str], None]] = {
    ".json": _json,
    ".toml": _toml,
    ".npz": _npz,
}


def mutate(directory: Path, seed: int, mark: Path) -> str:
    """Changes one file of a run directory; the same seed does the same. Returns which, and how.

    Args:
        mark: the file that text would leave if it were run.
    """
    chance = random.Random(seed)
    folder = chance.choice(["cells", "cells", "cells", "predictions", ".", "."])
    files = [path for path in sorted((directory / folder).iterdir()) if path.suffix in BY_SUFFIX]
    path = chance.choice(files)
    way = chance.choice(
        [BY_SUFFIX[path.suffix]] * 8
        + [_bytes, _bytes, _nodes]
        + [_twins, _signed, _signed, _older] * (folder == "cells")
    )
    way(path, chance, str(mark))
    return f"seed {seed}: {way.__name__.strip('_')} of {path.relative_to(directory)}"


def copied(directory: Path, to: Path) -> Path:
    """A copy of a run directory in place of what is there."""
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(directory, to))
