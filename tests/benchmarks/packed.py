"""A finished run in one small file: what ``replay.py`` needs of it, without anything of the machine.

Of each record all but its course (trials, curves, provenance); of its predictions the most likely class alone.

    python tests/benchmarks/packed.py RUN_DIRECTORY FILE.json.gz
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

import bench
from bench.records import ACCURACY, Record
from bench.store import Store

LEFT_OUT = ("trials", "curves", "similarity", "provenance", "warnings", "error", "predictions_sha256")
"""Of a record."""
BY_CLASS = (ACCURACY, "balanced_accuracy", "macro_f1")
"""Metrics that the most likely class alone gives."""


def pack(directory: Path, file: Path) -> None:
    """Writes the run of a directory, whose cells all predict the same examples, into ``file``.

    Raises:
        SystemExit: its classes alone do not say how good a prediction is, or cells predict different examples.
    """
    run, store = bench.load(directory), Store(directory)
    found: dict[str, Any] = {"region": run.settings.region, "looks": store.read_run().get("looks", [])}
    found |= {"records": [], "predicted": {}}
    for record in run.records:
        if record.cell["metric"] not in BY_CLASS:
            raise SystemExit(f"{directory}: only runs that are judged by {', '.join(BY_CLASS)} can be packed")
        found["records"].append(_without_course(record))
        arrays = store.arrays(record.cell_id)
        if arrays is None:
            continue
        labels, groups = arrays["labels"].tolist(), arrays.get("groups")
        test = {"labels": labels, "groups": None if groups is None else groups.tolist()}
        if found.setdefault("test", test) != test:
            raise SystemExit(f"{directory}: its cells predict different examples")
        found["predicted"][record.cell_id] = arrays["probabilities"].argmax(axis=1).tolist()
    text = json.dumps(found, separators=(",", ":"))
    file.write_bytes(gzip.compress(text.encode(), mtime=0))


def _without_course(record: Record) -> dict[str, Any]:
    content = {key: value for key, value in record.to_json().items() if key not in LEFT_OUT}
    where = {"dataset": record.cell["dataset_name"]}  # no part of the identity of a cell
    return content | {"cell": record.cell | where}


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The run directory of a packed run, until the end of the block; a run directory is its own."""
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / path.name.removesuffix(".json.gz")
        _unpack(json.loads(gzip.decompress(path.read_bytes())), Store(directory))
        yield directory


def _unpack(found: dict[str, Any], store: Store) -> None:
    (store.directory / "cells").mkdir(parents=True)
    (store.directory / "predictions").mkdir()
    names = list(dict.fromkeys(content["cell"]["dataset_name"] for content in found["records"]))
    store.write_plan(tomli_w.dumps({"datasets": names, "report": {"region": found["region"]}}))
    store.write_run({"looks": found["looks"]})
    labels, groups = np.array(found["test"]["labels"]), found["test"]["groups"]
    classes = np.eye(labels.max() + 1, dtype=np.float32)
    arrays = {"labels": labels, "ids": np.arange(len(labels)).astype(str)}
    arrays |= {} if groups is None else {"groups": np.array(groups)}
    for content in found["records"]:
        record = Record.from_json(json.dumps(content), "a packed record")
        if (predicted := found["predicted"].get(record.cell_id)) is not None:
            path = store.temporary_predictions_path(record.cell_id)
            np.savez(path, probabilities=classes[predicted], **arrays)
        store.write(record)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    pack(options.directory, options.file)
    print(f"{options.file}: {options.file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
