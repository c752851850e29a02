"""The run directory: whole files or none, one run at a time, and nothing that is damaged passes for a record."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import RecordError, RequestError, RunLocked
from bench.records import SCHEMA_VERSION, Cell, Record
from bench.runs.results import load
from bench.store import Store
from bench.system import files
from bench.system.files import TEMPORARY_PREFIX, sha256_file, write_atomic


def record(seed: int = 0, status: str = "ok") -> Record:
    cell = Cell(
        strategy="majority", strategy_version=1, dataset="digits", dataset_name="digits", fingerprint="0" * 16,
        modality="image", backbone="", weights="", weights_sha256="", fraction=0.1, seed=seed,
        examples={"image_size": 32, "resizing": "stretch", "augmentation": "none", "flip": False},
        epochs=1, batch_size=1, threads=1, head={}, tuning={},
    )  # fmt: skip
    content = {field.name: getattr(cell, field.name) for field in fields(Cell)}
    return Record(cell_id=cell.id, cell=content, status=status, metrics={"accuracy": 1 / 3})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------------------------------- atomic writes


def test_write_atomic(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_atomic(path, "old")
    write_atomic(path, b"new \xff")
    assert path.read_bytes() == b"new \xff"
    assert names(tmp_path) == {"b.json"}


@pytest.mark.parametrize("place", ["write", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: BaseException
) -> None:
    path = tmp_path / "record.json"
    write_atomic(path, "old")

    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    class Full:
        """A file whose disk is full."""

        def __init__(self, descriptor: int, mode: str) -> None:
            self.file = open_descriptor(descriptor, mode)

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        write = staticmethod(fail)

    open_descriptor = os.fdopen
    if place == "write":
        monkeypatch.setattr(files.os, "fdopen", Full)
    else:
        monkeypatch.setattr(files.os, place, fail)
    with pytest.raises(type(error)):
        write_atomic(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert names(tmp_path) == {"record.json"}


def test_a_writer_killed_at_any_moment_leaves_the_old_or_the_new_file(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    path = tmp_path / "record.json"
    code = (
        "import sys, pathlib\nfrom bench.system.files import write_atomic\n"
        "for i in range(10**9):\n write_atomic(pathlib.Path(sys.argv[1]), str(i % 10) * 100_000)\n"
        " if i == 0: print('ready', flush=True)\n"
    )
    store = Store(tmp_path)
    for attempt in range(8):
        with start("-c", code, path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(timeout=0.011 * attempt)
            except subprocess.TimeoutExpired:
                process.kill()
        assert process.returncode == -signal.SIGKILL
        content = path.read_text()
        assert len(content) == 100_000
        assert len(set(content)) == 1
        store.lock()
        store.unlock()
        assert names(tmp_path) == {"record.json", ".lock"}


# ---------------------------------------------------------------------------------------------------- records


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    store = Store(tmp_path)
    written = [record(seed) for seed in range(3)]
    for one in written:
        store.write(one)
    assert store.records() == sorted(written, key=lambda r: r.cell_id)
    assert store.records([written[1].cell_id]) == [written[1]]
    assert store.damaged == []
    assert Store(tmp_path / "none").records() == []


def test_a_record_cut_at_every_byte_is_set_aside_and_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(record())
    path = tmp_path / "cells" / f"{record().cell_id}.json"
    whole = path.read_bytes()
    assert len(whole) > 500
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert store.records() == []
        assert len(store.damaged) == 1
        assert path.name in store.damaged[0]
        aside = path.with_suffix(".damaged")
        assert aside.name in store.damaged[0]
        assert aside.read_bytes() == whole[:length]
        assert not path.exists()
    store.write(record())  # it is run again
    assert store.records() == [record()]


@pytest.mark.parametrize("byte", [b"\x00", b"\xff"])
def test_a_record_with_a_wrong_byte_anywhere_is_never_read_as_another_cell(
    tmp_path: Path, byte: bytes
) -> None:
    store = Store(tmp_path)
    store.write(record())
    path = tmp_path / "cells" / f"{record().cell_id}.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + byte + whole[place + 1 :])
        assert store.records() == []
        assert store.damaged


def test_a_record_under_another_name_is_set_aside(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(record(0))
    wrong = tmp_path / "cells" / f"{record(1).cell_id}.json"
    wrong.write_bytes((tmp_path / "cells" / f"{record(0).cell_id}.json").read_bytes())
    assert store.records() == [record(0)]
    assert record(0).cell_id in store.damaged[0]


def test_a_newer_record_is_refused_and_left_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "cells" / f"{record().cell_id}.json"
    write_atomic(path, json.dumps({**record().to_json(), "schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(RecordError, match=f"{path.name}.*newer"):
        Store(tmp_path).records()
    assert path.exists()


def test_a_damaged_record_is_not_taken_for_a_newer_one(tmp_path: Path) -> None:
    path = tmp_path / "cells" / f"{record().cell_id}.json"
    write_atomic(path, json.dumps({**record().to_json(), "newer": 1}))
    assert Store(tmp_path).records() == []


def test_what_is_no_run_directory(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="run directory") as caught:
        load(tmp_path)
    assert caught.value.field == "DIR"


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "\x00"])
def test_a_damaged_run_json_reads_as_empty(tmp_path: Path, content: str) -> None:
    store = Store(tmp_path)
    assert store.read_run() == {}
    store.run_path.write_text(content)
    assert store.read_run() == {}
    assert "run.json" in store.warnings[0]
    store.write_run({"created": "now"})
    assert store.read_run() == {"created": "now"}


# ------------------------------------------------------------------------------------------------ predictions


def leave_predictions(store: Store, cell_id: str) -> None:
    path = store.temporary_predictions_path(cell_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path, probabilities=np.full((2, 2), 0.5, np.float32), labels=np.arange(2), ids=np.array(["a", "b"])
    )


def test_predictions_are_published_with_an_ok_record_only(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for seed, status in enumerate(["ok", "failed"]):
        one = record(seed, status)
        leave_predictions(store, one.cell_id)
        store.write(one)
    good, bad = record(0), record(1)
    assert list(store.predictions(good.cell_id)["ids"]) == ["a", "b"]
    assert not store.predictions_path(bad.cell_id).exists()


def test_predictions_are_never_unpickled(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.predictions_path("x")
    path.parent.mkdir()
    objects = np.array([{}], dtype=object)
    np.savez(path, probabilities=objects, labels=objects, ids=objects)
    with pytest.raises(RecordError, match=r"predictions/x\.npz: .*allow_pickle"):
        store.predictions("x")


def test_predictions_that_are_not_those_of_the_record_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = record(0), record(1)
    for one, answer in ((first, 0.5), (second, 0.25)):
        path = store.temporary_predictions_path(one.cell_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        probabilities = np.array([[answer, 1 - answer]] * 2, np.float32)
        np.savez(path, probabilities=probabilities, labels=np.array([0, 1]), ids=np.array(["a", "b"]))
        store.write(one)
    assert [one.predictions_sha256 for one in store.records()] == [
        sha256_file(store.predictions_path(one.cell_id)) for one in store.records()
    ]
    whole = store.predictions_path(first.cell_id).read_bytes()
    exchanged = store.predictions_path(second.cell_id).read_bytes()
    for content in (exchanged, whole[:-1], whole[:50] + bytes([whole[50] ^ 1]) + whole[51:], b""):
        store.predictions_path(first.cell_id).write_bytes(content)
        assert store.has_other_predictions(store.records([first.cell_id])[0])
        with pytest.raises(RecordError, match="changed or exchanged"):
            store.predictions(first.cell_id)
    store.predictions_path(first.cell_id).write_bytes(whole)
    assert not store.has_other_predictions(store.records([first.cell_id])[0])
    assert (store.predictions(first.cell_id)["probabilities"][:, 0] == 0.5).all()


def test_predictions_of_older_records_are_read_as_they_are(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = record(0)
    leave_predictions(store, one.cell_id)
    store.write(one)
    content = one.to_json() | {"schema_version": 7}
    del content["predictions_sha256"]
    write_atomic(tmp_path / "cells" / f"{one.cell_id}.json", json.dumps(content))
    assert list(store.predictions(one.cell_id)["ids"]) == ["a", "b"]
    assert not store.has_other_predictions(store.records()[0])
    store.predictions_path(one.cell_id).write_bytes(b"torn")
    with pytest.raises(RecordError, match="expected arrays"):
        store.predictions(one.cell_id)


# ------------------------------------------------------------------------------------------------------- lock

HOLD = (
    "import sys, time, pathlib\nfrom bench.store import Store\n"
    "store = Store(pathlib.Path(sys.argv[1]))\nstore.lock()\nprint('locked', flush=True)\ntime.sleep(600)\n"
)


def test_the_lock_is_refused_while_another_process_holds_it_and_free_when_that_is_killed(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    with start("-c", HOLD, tmp_path) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "locked\n"
            with pytest.raises(RunLocked, match="another run") as caught:
                Store(tmp_path).lock()
            assert str(tmp_path) in str(caught.value)
            assert caught.value.exit_code == 2
        finally:
            holder.kill()
    store = Store(tmp_path)
    store.lock()
    with pytest.raises(RunLocked):
        Store(tmp_path).lock()
    store.unlock()
    store.unlock()
    other = Store(tmp_path)
    other.lock()
    other.unlock()


def test_the_lock_is_not_inherited_by_children(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.lock()
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        try:
            store.unlock()
            other = Store(tmp_path)
            other.lock()
            other.unlock()
        finally:
            child.kill()


def test_stale_temporary_files_are_swept_by_the_next_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(record())
    for folder in (tmp_path, tmp_path / "cells", tmp_path / "predictions"):
        folder.mkdir(exist_ok=True)
        (folder / f"{TEMPORARY_PREFIX}abc").write_text("half")
    store.lock()
    store.unlock()
    assert names(tmp_path) == {".lock", f"{record().cell_id}.json"}


def test_the_sweep_leaves_the_users_own_files_alone(tmp_path: Path) -> None:
    mine = tmp_path / "thesis" / f"{TEMPORARY_PREFIX}draft"
    mine.parent.mkdir()
    mine.write_text("mine")
    store = Store(tmp_path)  # --out .
    store.lock()
    store.unlock()
    assert mine.exists()


def test_a_folder_that_looks_like_a_temporary_file_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY_PREFIX}folder").mkdir()
    store = Store(tmp_path)
    try:
        store.lock()
    finally:
        store.unlock()
