"""The run directory: one atomically written file a cell, and a lock so that one run works in it at a time."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import NewerRecord, RecordError, RequestError, RunLocked, StoreError
from bench.predictions import Arrays, read_arrays
from bench.records import FINAL, Cell, Record
from bench.schemas import RankingFile, RunFile, parsed
from bench.system.files import (
    TEMPORARY_PREFIX,
    locked,
    publish,
    read_file,
    sha256_file,
    take_lock,
    write_atomic,
)

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


def _is_linked(path: Path) -> bool:
    """Whether a file of a run directory lies elsewhere: itself, or the folder that it is in."""
    return path.is_symlink() or path.parent.is_symlink()


FOLDERS = ("cells", "predictions", "figures")
"""Of a run directory."""

MOVED = "the run directory was moved or deleted while it was at work"
LINKED = "its folder {} is a link, and no link is followed"
_NOT_ALLOWED = "get the permission to write there, or copy the directory to where you have it"
REMEDIES = {
    **dict.fromkeys(map(os.strerror, (errno.EACCES, errno.EPERM, errno.EROFS)), _NOT_ALLOWED),
    **dict.fromkeys((MOVED, os.strerror(errno.ENOENT)), "move it back"),
    **dict.fromkeys(map(LINKED.format, FOLDERS), "put the folder itself there"),
    **dict.fromkeys(
        map(os.strerror, (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)),
        "take away what is there in its place",
    ),
    os.strerror(errno.ENAMETOOLONG): "choose a shorter --out",
}
"""What to do about a reason why a file could not be written, where it is not that the disk is full."""


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
        self._unread: dict[Path, str] = {}
        self._locks: list[int] = []
        self._is: os.stat_result | None = None
        """Which folder it is while it is locked: it may be moved, and another one made in its place."""

    def lock(self, shard: Shard | None = None) -> None:
        """Takes the directory, or one shard of it, for this process until it ends.

        Shards of one run work side by side; a run of all cells works alone. The locks are the kernel's
        (``flock``; on NFS since Linux 2.6.12 the server's): none can be stale.

        Raises:
            RunLocked: another process has it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._is = self.directory.stat()
        if shard is None:
            self._take(".lock", False, "another run is working in this directory")
        else:
            self._take(".lock", True, "a run of all shards is working in this directory")
            self._take(f".lock-{shard.index}-of-{shard.count}", False, f"shard {shard} is being run")
        if shard is None:  # else these may be the files of another shard, about to get their names
            with self.writing():
                self._remove_stale()

    def _remove_stale(self) -> None:
        for folder in (self.directory, *(self.directory / name for name in FOLDERS)):
            for stale in folder.glob(f"{TEMPORARY_PREFIX}*"):
                if stale.is_file():
                    stale.unlink(missing_ok=True)

    def _take(self, name: str, shared: bool, taken: str) -> None:
        try:
            self._locks.append(take_lock(self.directory / name, shared, wait=False))
        except BlockingIOError:
            self.unlock()
            raise RunLocked(
                f"{self.directory}: {taken}. Wait for it, stop it, or choose another directory with --out."
            ) from None

    def unlock(self) -> None:
        self._is = None
        while self._locks:
            os.close(self._locks.pop())

    @contextmanager
    def holding(self, name: str) -> Iterator[None]:
        """Holds a lock beside that of the run, waiting for it: ``report``, ``ranking``.

        Raises:
            StoreError: the directory cannot be written.
        """
        with ExitStack() as stack:
            with self.writing():
                stack.enter_context(locked(self.directory / f".lock-{name}"))
            yield

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
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)  # what a link leads to is not ours
            with path.open("xb") as file:
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
            if self._is is not None and not self._is_here(self._is):
                raise FileNotFoundError(errno.ENOENT, MOVED)
            self._check_folders()
            yield
        except OSError as error:
            raise self.cannot_write(error.strerror or str(error), _named(error)) from error

    def _check_folders(self) -> None:
        """Refuses a folder that is a link: what lies where it leads to is not ours to write over.

        Raises:
            OSError: names it.
        """
        for name in FOLDERS:
            if (self.directory / name).is_symlink():
                raise OSError(errno.ELOOP, LINKED.format(name))

    def _is_here(self, locked: os.stat_result) -> bool:
        """Whether the directory is still the one that was locked."""
        try:
            return os.path.samestat(locked, self.directory.stat())
        except FileNotFoundError:
            return False

    def cannot_write(self, reason: str, name: str = "a file") -> StoreError:
        """Why a file could not be written, and what to do about it."""
        remedy = REMEDIES.get(reason, "make room")
        return StoreError(
            f"{self.directory}: {name} could not be written ({reason}). All results that were stored are kept: "
            f"{remedy}, then run {self.plan_path} again."
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
        result, seen = [], dict[str, str]()
        for path in sorted((self.directory / "cells").glob("*.json")):
            if wanted is not None and path.stem not in wanted:
                continue
            try:
                record = self._record(path)
                if twin := seen.get(json.dumps(record.cell, sort_keys=True)):
                    raise RecordError(f"{path.name}: cell must be stored once ({twin} holds it, too)")
            except NewerRecord:
                raise
            except RecordError as error:
                self._set_aside(path, str(error))
                continue
            seen[json.dumps(record.cell, sort_keys=True)] = path.name
            result.append(record)
        return result

    def finished(self, cell_id: str) -> Record | None:
        """The record of a cell that is not run again; None if there is none, or none as it was written.

        For the directory of another run: nothing there is renamed.
        """
        path = self._path(cell_id)
        if _is_linked(path):
            return None
        try:
            record = self._record(path)
        except RecordError:
            return None
        # Of an older schema the id is not compared when it is read.
        same = record.status in FINAL and Cell.of(record.cell).id == cell_id
        return record if same else None

    def take_over(self, other: Store, record: Record) -> bool:
        """Copies a finished record of another run, with the files beside it, and whether it could be used.

        Raises:
            StoreError: this directory cannot be written.
        """
        files = {}
        for ending in ENDINGS:
            path = other.predictions_path(record.cell_id).with_suffix(ending)
            with suppress(OSError):
                if not _is_linked(path):
                    files[ending] = read_file(path)
        if record.status == "ok":
            there = hashlib.sha256(files.get(PREDICTIONS, b"")).hexdigest()
            if there != record.predictions_sha256:
                return False
            for ending, content in files.items():
                self.keep_file(record.cell_id, ending, content)
        self.write(record)
        return True

    def _record(self, path: Path) -> Record:
        try:
            record = Record.from_json(read_file(path), path.name)
        except OSError as error:
            raise RecordError(f"{path.name}: it cannot be read ({error.strerror or error})") from error
        if record.cell_id != path.stem:
            raise RecordError(f"{path.name}: cell_id must be {path.stem} (got {record.cell_id})")
        return record

    def _set_aside(self, path: Path, reason: str) -> None:
        """Renames what is no record; in a directory of somebody else it stays, and counts as not there."""
        there = f"set aside as {path.stem}.damaged"
        try:
            self._check_folders()
            path.replace(path.with_suffix(".damaged"))
        except OSError as error:
            there = f"left out, and could not be renamed: {error.strerror}"
        self.damaged.append(f"{path.name}: damaged ({reason}); {there}")

    def written(self, cell_id: str) -> float:
        """When the record of a cell was written, in seconds since the epoch."""
        return self._path(cell_id).stat().st_mtime

    def predictions_path(self, cell_id: str) -> Path:
        return self.directory / "predictions" / f"{cell_id}.npz"

    def temporary_predictions_path(self, cell_id: str) -> Path:
        """Where a worker leaves the predictions of a cell for the parent to publish."""
        return self.directory / "predictions" / f"{TEMPORARY_PREFIX}{cell_id}.npz"

    def predictions(self, cell_id: str) -> dict[str, np.ndarray]:
        """``probabilities`` float32 (N, classes), ``labels`` int64 (N,) and ``ids`` (N,) of the test set.

        With ``groups`` int64 (N,) if examples belong together. In the few-shot protocol instead, float32 and by
        setting, in the order of ``Record.episodes``: ``accuracies`` (settings, episodes), ``class_accuracies`` of
        the queries of each class and ``class_weights`` in the mean (settings, classes). Beside
        them ``accepts`` (2, points) and ``class_errors`` (classes,), see ``bench.protocols.few_shot.verification``.

        Raises:
            OSError: they cannot be read.
            RecordError: they are damaged, or not those that the record of the cell speaks of.
        """
        return read_arrays(self.predictions_path(cell_id), self._expected(cell_id))

    def arrays(self, cell_id: str) -> Arrays | None:
        """The same; None where they cannot be used. What is damaged is told by ``predictions.damaged``."""
        try:
            return self.predictions(cell_id)
        except (OSError, RecordError):
            return None

    def _expected(self, cell_id: str) -> str | None:
        """The hash of the predictions that the record of a cell speaks of."""
        try:
            return self._record(self._path(cell_id)).predictions_sha256
        except RecordError:
            return None

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
        """The content of run.json; empty if there is none, or none as it was written: see ``warnings``."""
        return self._read(self.run_path, RunFile)

    def write_ranking(self, content: dict[str, Any]) -> None:
        with self.writing():
            write_atomic(self.ranking_path, json.dumps(content, indent=1, allow_nan=False))

    def read_ranking(self) -> dict[str, Any]:
        """How ``auto:K`` was resolved, see ``bench.ranking.rank``; empty like ``read_run``."""
        return self._read(self.ranking_path, RankingFile)

    def _read(self, path: Path, shape: Any) -> dict[str, Any]:
        self._unread.pop(path, None)
        if not os.path.lexists(path):
            return {}
        try:
            content: dict[str, Any] = parsed(read_file(path), shape, path.name)
            return content
        except OSError as error:
            self._unread[path] = f"{path.name}: it cannot be read ({error.strerror or error})"
        except RecordError as error:
            self._unread[path] = f"{error}; it was left out"
        return {}

    @property
    def warnings(self) -> list[str]:
        """Which files were not as they were written when they were last read, a sentence each."""
        return [*self._unread.values(), *self.damaged]


def _named(error: OSError) -> str:
    """The name of the file that an error is about, where it has one that says something."""
    name = Path(os.fsdecode(error.filename2 or error.filename or TEMPORARY_PREFIX)).name
    return "a file" if name.startswith(TEMPORARY_PREFIX) else name
