"""Data from Python as files: arrays as ``.npz``, columns of texts as Parquet."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.system.files import canonical_json, digest
from bench.system.objects import keep

BLOCK = 16 * 2**20
"""About how many bytes of an array are in memory at a time."""

IMAGES = "images"
"""The folder of the images that a table lists."""


@dataclass(frozen=True)
class Rows:
    """An array in blocks of rows, perhaps in another order or as bytes.

    Attributes:
        array: in memory or mapped.
        order: its rows in the order in which they are stored; None: as they are.
        as_bytes: whether values from 0 to 255 are rounded to bytes.
    """

    array: np.ndarray
    order: np.ndarray | None = None
    as_bytes: bool = False

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8) if self.as_bytes else self.array.dtype

    def blocks(self) -> Iterator[np.ndarray]:
        count = len(self.array)
        step = max(1, BLOCK * count // max(1, self.array.nbytes))
        for start in range(0, count, step):
            chosen = slice(start, start + step) if self.order is None else self.order[start : start + step]
            block = self.array[chosen]
            yield np.rint(block).astype(np.uint8) if self.as_bytes else block


def keep_arrays(arrays: Mapping[str, Rows]) -> str:
    """Writes arrays as an ``.npz``; returns its path. The same arrays give the same path."""
    shapes = {name: [rows.dtype.str, list(rows.array.shape)] for name, rows in arrays.items()}
    content = hashlib.sha256(canonical_json(shapes).encode())
    for name in sorted(arrays):
        for block in arrays[name].blocks():
            content.update(block.tobytes())
    key = content.hexdigest()[:16]
    return keep(f"arrays-{key[:6]}.npz", key, lambda path: _write_npz(path, arrays))


def keep_table(name: str, columns: Mapping[str, Sequence[str]], files: Path | None = None) -> str:
    """Writes columns of texts as Parquet; returns its path. The same columns give the same path.

    Args:
        name: what the dataset is called, before a part of its hash.
        columns: all of one length.
        files: a temporary folder of the images or sounds that the table lists, which is moved.
    """
    key = digest({column: list(values) for column, values in columns.items()})

    def write(path: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        texts = {column: pyarrow.array(values, pyarrow.string()) for column, values in columns.items()}
        parquet.write_table(pyarrow.table(texts), path)
        if files is not None:
            os.rename(files, path.parent / files.name)

    return keep(f"{name}-{key[:6]}.parquet", key, write)


def _write_npz(path: Path, arrays: Mapping[str, Rows]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, rows in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header: dict[str, Any] = {
                    "descr": np.lib.format.dtype_to_descr(rows.dtype),
                    "fortran_order": False,
                    "shape": rows.array.shape,
                }
                np.lib.format.write_array_header_1_0(file, header)
                for block in rows.blocks():
                    file.write(block.tobytes())
