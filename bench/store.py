"""The run directory: one atomically written file a cell, and a lock so that one run works in it at a time."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from bench.errors import NewerRecord, RecordError, RunLocked, StoreError
from bench.files import TEMPORARY_PREFIX, publish, write_atomic
from bench.records import Record


class Store:
    """The files of one run.

    Args:
        directory: the run directory; need not exist yet.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plan_path = directory / "plan.toml"
        self.run_path = directory / "run.json"
        self.damaged: list[str] = []
        """Files that were no records when ``records`` last read them; they were renamed out of the way."""
        self._lock: IO[str] | None = None

    def lock(self) -> None:
        """Takes the directory for this process until it ends.

        Raises:
            RunLocked: another process has it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        file = (self.directory / ".lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise RunLocked(
                f"{self.directory}: another run is working in this directory. "
                "Wait for it, stop it, or choose another directory with --out."
            ) from None
        self._lock = file
        for folder in (
            self.directory,
            *(self.directory / name for name in ("cells", "predictions", "figures")),
        ):
            for stale in folder.glob(f"{TEMPORARY_PREFIX}*"):
                if stale.is_file():
                    stale.unlink(missing_ok=True)

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def write(self, record: Record) -> None:
        """Stores a record durably, and its predictions first if its worker has left some.

        Raises:
            StoreError: the directory cannot be written.
        """
        try:
            self._write(record)
        except OSError as error:
            raise StoreError(
                f"{self.directory}: a result could not be written ({error.strerror or error}). All earlier ones "
                f"are kept: make room, then run {self.plan_path} again."
            ) from error

    def _write(self, record: Record) -> None:
        predictions = self.predictions_path(record.cell_id)
        temporary = self.temporary_predictions_path(record.cell_id)
        if record.status == "ok" and temporary.exists():
            publish(temporary, predictions)
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
                content = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                self._set_aside(path, str(error))
                continue
            try:
                record = Record.from_json(content, path.name)
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

        With ``groups`` int64 (N,) if images belong together.
        """
        with np.load(self.predictions_path(cell_id), allow_pickle=False) as file:
            return dict(file)

    def write_run(self, content: dict[str, Any]) -> None:
        write_atomic(self.run_path, json.dumps(content, indent=1, allow_nan=False))

    def read_run(self) -> dict[str, Any]:
        """The content of run.json; empty if there is none or it cannot be read."""
        try:
            content = json.loads(self.run_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
