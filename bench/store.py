"""The run directory: one atomically written file a cell, and a lock so that one run works in it at a time."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from bench.errors import NewerRecord, RecordError, RequestError, RunLocked, StoreError
from bench.records import Record
from bench.system.files import TEMPORARY_PREFIX, publish, sha256_file, write_atomic

PREDICTIONS = ".npz"
ENDINGS = (PREDICTIONS, ".png")
"""Of the files beside a record in ``predictions``: the predictions, and pictures where a strategy makes some."""

_WRITTEN = (
    {".lock", "plan.toml"},
    {"run.json", "plan.toml"},
    {"source.json", "backbone.weights.h5"},
    {"train.py", "model.keras", "card.md"},
    {"pyvenv.cfg"},
)
"""What is in every run directory, source, export and virtual environment, and in no folder of examples."""


def is_written_here(names: Iterable[str]) -> bool:
    """Whether a folder with these entries was written by a program, most likely this one, and holds no examples."""
    found = set(names)
    return found == {".lock"} or any(found >= marks for marks in _WRITTEN)


@dataclass(frozen=True)
class Shard:
    """The share ``index`` (from 1) of ``count`` of a run's cells, chosen by the hash in their ids."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``i/k``.

        Raises:
            RequestError: it is none.
        """
        index, slash, count = text.partition("/")
        if slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count):
            return cls(int(index), int(count))
        raise RequestError("shard", text, "i/k with 1 <= i <= k, such as 1/4")

    def has(self, cell_id: str) -> bool:
        return int(cell_id, 16) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


class Store:
    """The files of one run.

    Args:
        directory: the run directory; need not exist yet.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plan_path = directory / "plan.toml"
        self.run_path = directory / "run.json"
        self.ranking_path = directory / "ranking.json"
        self.damaged: list[str] = []
        """Files that were no records when ``records`` last read them; they were renamed out of the way."""
        self._locks: list[IO[str]] = []

    def lock(self, shard: Shard | None = None) -> None:
        """Takes the directory, or one shard of it, for this process until it ends.

        Shards of one run work side by side; a run of all cells works alone. The locks are the kernel's
        (``flock``; on NFS since Linux 2.6.12 the server's): none can be stale.

        Raises:
            RunLocked: another process has it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        if shard is None:
            self._take(".lock", fcntl.LOCK_EX, "another run is working in this directory")
        else:
            self._take(".lock", fcntl.LOCK_SH, "a run of all shards is working in this directory")
            self._take(f".lock-{shard.index}-of-{shard.count}", fcntl.LOCK_EX, f"shard {shard} is being run")
        if shard is None:  # else these may be the files of another shard, about to get their names
            for folder in (
                self.directory,
                *(self.directory / n for n in ("cells", "predictions", "figures")),
            ):
                for stale in folder.glob(f"{TEMPORARY_PREFIX}*"):
                    if stale.is_file():
                        stale.unlink(missing_ok=True)

    def _take(self, name: str, kind: int, taken: str) -> None:
        file = (self.directory / name).open("w")
        self._locks.append(file)
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            self.unlock()
            raise RunLocked(
                f"{self.directory}: {taken}. Wait for it, stop it, or choose another directory with --out."
            ) from None

    def unlock(self) -> None:
        while self._locks:
            self._locks.pop().close()

    def write(self, record: Record) -> None:
        """Stores a record durably, and its predictions first if its worker has left some.

        Raises:
            StoreError: the directory cannot be written.
        """
        with self.writing():
            self._write(record)

    def take_files(self, cell_id: str) -> dict[str, bytes]:
        """What a worker has left beside a record that is not stored yet, by ending; it is gone from here then."""
        found = {}
        for ending in ENDINGS:
            path = self.temporary_predictions_path(cell_id).with_suffix(ending)
            if path.exists():
                found[ending] = path.read_bytes()
                path.unlink()
        return found

    def keep_file(self, cell_id: str, ending: str, content: bytes) -> None:
        """Puts a file that came from elsewhere where a local worker leaves it.

        Raises:
            StoreError: the directory cannot be written.
        """
        path = self.temporary_predictions_path(cell_id).with_suffix(ending)
        with self.writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around whatever writes into the directory.

        Raises:
            StoreError: instead of an ``OSError``, with the remedy.
        """
        try:
            yield
        except OSError as error:
            raise self.cannot_write(error.strerror or str(error)) from error

    def cannot_write(self, reason: str) -> StoreError:
        return StoreError(
            f"{self.directory}: a file could not be written ({reason}). All results that were stored are kept: "
            f"make room, then run {self.plan_path} again."
        )

    def _write(self, record: Record) -> None:
        for ending in ENDINGS:
            temporary = self.temporary_predictions_path(record.cell_id).with_suffix(ending)
            if record.status == "ok" and temporary.exists():
                if ending == PREDICTIONS:
                    record.predictions_sha256 = sha256_file(temporary)
                publish(temporary, self.predictions_path(record.cell_id).with_suffix(ending))
        text = json.dumps(record.to_json(), indent=1, allow_nan=False)
        write_atomic(self._path(record.cell_id), text)

    def has_report_of(self, records: Iterable[Record]) -> bool:
        """Whether report.html is newer than each of these records."""
        try:
            made = (self.directory / "report.html").stat().st_mtime_ns
            return all(self._path(record.cell_id).stat().st_mtime_ns <= made for record in records)
        except OSError:
            return False

    def _path(self, cell_id: str) -> Path:
        return self.directory / "cells" / f"{cell_id}.json"

    def records(self, cell_ids: Iterable[str] | None = None) -> list[Record]:
        """The stored records, in order of their ids; of these cells only, if given.

        A file that is no record is renamed to ``*.damaged`` and noted in ``damaged``; its cell counts as
        not run.

        Raises:
            NewerRecord: a record was written by a newer version of this program.
        """
        self.damaged = []
        wanted = None if cell_ids is None else set(cell_ids)
        result = []
        for path in sorted((self.directory / "cells").glob("*.json")):
            if wanted is not None and path.stem not in wanted:
                continue
            try:
                record = Record.from_json(path.read_bytes(), path.name)
                if record.cell_id != path.stem:
                    raise RecordError(f"{path.name}: holds the record of cell {record.cell_id}")
            except NewerRecord:
                raise
            except RecordError as error:
                self._set_aside(path, str(error))
                continue
            result.append(record)
        return result

    def _set_aside(self, path: Path, reason: str) -> None:
        path.replace(path.with_suffix(".damaged"))
        self.damaged.append(f"{path.name}: damaged ({reason}); set aside as {path.stem}.damaged")

    def predictions_path(self, cell_id: str) -> Path:
        return self.directory / "predictions" / f"{cell_id}.npz"

    def temporary_predictions_path(self, cell_id: str) -> Path:
        """Where a worker leaves the predictions of a cell for the parent to publish."""
        return self.directory / "predictions" / f"{TEMPORARY_PREFIX}{cell_id}.npz"

    def predictions(self, cell_id: str) -> dict[str, np.ndarray]:
        """``probabilities`` float32 (N, classes), ``labels`` int64 (N,) and ``ids`` (N,) of the test set.

        With ``groups`` int64 (N,) if examples belong together. In the few-shot protocol instead, float32 and by
        setting, in the order of ``Record.episodes``: ``accuracies`` (settings, episodes), ``class_accuracies`` of
        the queries of each class and ``class_weights`` in the mean (settings, classes).

        Raises:
            OSError: they are not there.
            RecordError: they are damaged, or not those that the record of the cell speaks of.
        """
        path = self.predictions_path(cell_id)
        content = path.read_bytes()
        expected = _read(self._path(cell_id)).get("predictions_sha256")
        if expected is not None and hashlib.sha256(content).hexdigest() != expected:
            raise RecordError(f"{path}: not the predictions of this cell; they were changed or exchanged")
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                return dict(file)
        except Exception as error:  # on damaged files NumPy and zipfile raise nearly everything there is
            raise RecordError(f"{path}: no predictions of a cell ({error})") from None

    def has_other_predictions(self, record: Record) -> bool:
        """Whether the file of a record's predictions is not the one that was stored with it."""
        try:
            path = self.predictions_path(record.cell_id)
            return record.predictions_sha256 not in (None, sha256_file(path))
        except OSError:
            return False  # not there

    def write_plan(self, text: str) -> None:
        with self.writing():
            write_atomic(self.plan_path, text)

    def write_run(self, content: dict[str, Any]) -> None:
        with self.writing():
            write_atomic(self.run_path, json.dumps(content, indent=1, allow_nan=False))

    def read_run(self) -> dict[str, Any]:
        """The content of run.json; empty if there is none or it cannot be read."""
        return _read(self.run_path)

    def write_ranking(self, content: dict[str, Any]) -> None:
        with self.writing():
            write_atomic(self.ranking_path, json.dumps(content, indent=1, allow_nan=False))

    def read_ranking(self) -> dict[str, Any]:
        """How ``auto:K`` was resolved, see ``bench.ranking.rank``; empty if that is not there or not sound."""
        content = _read(self.ranking_path)
        chosen = content.get("chosen")
        sound = isinstance(chosen, list) and chosen and all(isinstance(name, str) for name in chosen)
        return content if sound else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
