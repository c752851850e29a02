"""The cache entry of a dataset: a folder that is there as a whole or not at all.

It holds ``pool.npy`` and ``test.npy`` (rows; in files of their own, so that nothing that holds the one can reach
the other), ``check.json`` (all that was found out about the examples; long where they are bad) and ``index.json``
(everything else). It is built beside its place, sealed and renamed into it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from bench.datasets.dataset import Dataset, Part
from bench.errors import BenchError
from bench.modalities.base import Input, Tensor
from bench.modalities.findings import EXAMPLES, Finding
from bench.modalities.registry import modality
from bench.system import sealed
from bench.system.files import canonical_json

FORMAT = 5
"""Version of the cache entries and of the splits in them: raise it when either changes."""

INDEX, CHECK = "index.json", "check.json"
PARTS = ("pool", "test")


def load(entry: Path, input: Input) -> Dataset | None:
    """Opens a cache entry; None if there is none or it is damaged."""
    if not sealed.is_whole(entry):
        return None
    kind = modality(input.modality)
    try:
        index = json.loads((entry / INDEX).read_bytes())
        parts = {name: _part(entry / f"{name}.npy", index[name], kind.row(input)) for name in PARTS}
        return Dataset(
            spec=index["spec"],
            name=index["name"],
            modality=index["modality"],
            fingerprint=index["fingerprint"],
            class_names=tuple(index["class_names"]),
            traits={name: index[name] for name in kind.traits(index["name"])},
            findings=tuple(Finding(**finding) for finding in index["findings"]),
            left_out=tuple((id, reason) for id, reason in index["left_out"]),
            entry=entry,
            input=input,
            grouping=index["grouping"],
            **parts,
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        return None  # missing, truncated, not ours


def _part(path: Path, index: dict[str, Any], row: Tensor) -> Part:
    """Raises ``ValueError`` if the rows are not those of the index."""
    data = np.load(path, mmap_mode="r", allow_pickle=False)
    if data.dtype != row.dtype or data.shape != (len(index["ids"]), *row.shape):
        raise ValueError(f"{path} is of another index")
    return Part(
        ids=tuple(index["ids"]),
        labels=_frozen(index["labels"]),
        groups=None if index["groups"] is None else _frozen(index["groups"]),
        data=data,
        group_names=None if index["group_names"] is None else tuple(index["group_names"]),
    )


def _frozen(values: list[Any]) -> np.ndarray:
    """Numbers, or rows of 0 and 1."""
    array = np.array(values, np.uint8 if values and isinstance(values[0], list) else np.int64)
    array.setflags(write=False)
    return array


def full_findings(dataset: Dataset) -> tuple[list[Finding], dict[str, Any]]:
    """The findings with all their items, and a summary of the examples (see ``Modality.summary``).

    Raises:
        BenchError: the cache entry has been deleted or damaged since the dataset was opened.
    """
    try:
        content = json.loads((dataset.entry / CHECK).read_bytes())
        return [Finding(**finding) for finding in content["findings"]], content["summary"]
    except (OSError, ValueError, KeyError, TypeError):
        raise BenchError(
            f"The dataset cache {str(dataset.entry)!r} is damaged: delete it (bench cache clear datasets)."
        ) from None


def write(folder: Path, index: dict[str, Any], found: list[Finding], summary: dict[str, Any]) -> None:
    """Writes all of an entry but the rows: ``found`` in full beside the summary, its first items in the index."""
    index |= {"findings": [asdict(replace(f, items=f.items[:EXAMPLES])) for f in found]}
    check = {"findings": [asdict(finding) for finding in found], "summary": summary}
    for name, value in ((CHECK, check), (INDEX, index)):
        with _synced(folder / name) as file:
            file.write(canonical_json(value).encode())


def write_rows(folder: Path, rows: Path, row: Tensor, in_test: np.ndarray) -> None:
    """Divides a file of rows into those of the pool and of the test part.

    Rows go through plain writes, not through a writable memory map: on a full disk a write raises an error,
    where a map kills the process, and what was written does not count as this process's memory.
    """
    dtype = np.dtype(row.dtype)
    size = math.prod(row.shape) * dtype.itemsize
    for name, chosen in zip(PARTS, (~in_test, in_test), strict=True):
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": (int(chosen.sum()), *row.shape),
        }
        with rows.open("rb") as source, _synced(folder / f"{name}.npy") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for number in np.flatnonzero(chosen).tolist():
                source.seek(number * size)
                file.write(source.read(size))


@contextmanager
def _synced(path: Path) -> Iterator[IO[bytes]]:
    """Writes to the disk before the entry is renamed: after a power cut it is whole or absent."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
