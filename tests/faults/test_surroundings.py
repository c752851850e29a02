"""What a run finds around it: closed streams, links, pipes, folders that move, file systems without locks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.commands.export.export import export
from bench.errors import RequestError, RunLocked, StoreError, Unlockable
from bench.execution import local
from bench.plans.loading import load_plan
from bench.predictions import damaged, read_arrays
from bench.runs.results import load
from bench.store import FOLDERS, Store
from bench.system import files
from bench.system.files import locked, read_file, take_lock, write_atomic
from bench.system.spreadsheets import csv_text, defused
from reports.tables import write_csv
from tests.conftest import child_environment
from tests.report import fake


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    store = Store(tmp_path / "run")
    found = fake.records(strategies=("scratch",), fractions=(1.0,), seeds=2, test=20, classes=3, points=2)
    for record in found:
        store.write(record)
    fake.write_predictions(found, store.directory, classes=3)
    store.write_plan(load_plan({"datasets": ["/data/clothing"], "strategies": ["scratch"]}).to_toml())
    return store.directory


# ------------------------------------------------------------------------------------------------------ files


def test_a_lock_empties_no_file_and_follows_no_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("content")
    with locked(precious):
        assert precious.read_text() == "content"
    (tmp_path / "link").symlink_to(precious)
    with pytest.raises(OSError), locked(tmp_path / "link"):
        pass
    store = Store(tmp_path / "run")
    store.directory.mkdir()
    (store.directory / ".lock").symlink_to(precious)
    with pytest.raises(OSError):
        store.lock()
    assert precious.read_text() == "content"


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    first, second = Store(tmp_path), Store(tmp_path)
    first.lock()
    with pytest.raises(RunLocked):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with pytest.raises(Unlockable, match=r"cannot lock files .*--out") as caught:
        take_lock(tmp_path / ".lock")
    assert caught.value.exit_code == 2


def test_a_link_is_replaced_by_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("content")
    (tmp_path / "report.html").symlink_to(tmp_path / "precious")
    write_atomic(tmp_path / "report.html", "new")
    assert (tmp_path / "precious").read_text() == "content"
    assert (tmp_path / "report.html").read_text() == "new"


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_the_umask_says_who_may_read(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "file", "")
        with locked(tmp_path / "lock"):
            pass
    finally:
        os.umask(before)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("file", "lock")} == {mode}


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    for name in ("pipe", "folder", "link", "huge"):
        with pytest.raises(OSError):
            read_file(tmp_path / name)


# ------------------------------------------------------------------------------------------- a run directory


def test_a_run_directory_that_is_moved_is_not_made_anew(directory: Path) -> None:
    store, found = Store(directory), fake.records(strategies=("majority",), fractions=(1.0,), seeds=1)
    store.lock()
    moved = directory.rename(directory.with_name("moved"))
    for _ in range(2):
        with pytest.raises(StoreError, match="was moved or deleted"):
            store.write(found[0])
        assert not list(directory.glob("cells/*"))
        directory.mkdir(exist_ok=True)  # another one in its place
    store.unlock()
    assert len(load(moved).records) == 2


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.lock(),
        lambda store: load(store.directory).report(),
        lambda store: store.write(fake.records(strategies=("majority",), fractions=(1.0,), seeds=1)[0]),
    ],
    ids=["lock", "report", "write"],
)
def test_no_folder_that_is_a_link_is_written_through(
    directory: Path, tmp_path: Path, name: str, write: Callable[[Store], Any]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for file in ("accuracy.csv", ".tmp-draft", "settings.json"):
        (mine / file).write_text("precious")
    if (directory / name).exists():
        (directory / name).rename(tmp_path / "theirs")
    (directory / name).symlink_to(mine)
    with pytest.raises(StoreError, match=rf"its folder {name} is a link.*put the folder itself there"):
        write(Store(directory))
    Store(directory).records()  # would set aside what is no record
    assert {path.name: path.read_text() for path in mine.iterdir()} == dict.fromkeys(
        ("accuracy.csv", ".tmp-draft", "settings.json"), "precious"
    )


@pytest.mark.parametrize("name", ["report.html", "results.csv", "figures"])
def test_what_is_in_the_place_of_a_file_is_named(directory: Path, name: str) -> None:
    (directory / name).touch() if name == "figures" else (directory / name).mkdir()
    with pytest.raises(StoreError, match=rf"{name} could not be written .*take away what is there") as caught:
        load(directory).report()
    assert "make room" not in str(caught.value)


def test_a_link_to_nothing_is_no_free_place(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(RequestError, match="a folder that does not exist yet"):
        export(directory, tmp_path / "link")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(RequestError, match="a folder that does not exist yet"):
        export(directory, tmp_path / "circle")


def test_a_directory_of_somebody_else_is_called_that(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("bench.store.write_atomic", refused)
    with pytest.raises(StoreError, match=r"Permission denied.*get the permission") as caught:
        Store(directory).write_run({})
    assert "make room" not in str(caught.value)


def test_a_damaged_record_of_somebody_else_is_left_out(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = next(iter((directory / "cells").iterdir()))
    path.write_text("{")

    def refused(*_: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "replace", refused)
    run = load(directory)
    assert len(run.records) == 1
    assert path.name in run.warnings[0]
    assert "Permission denied" in run.warnings[0]


def test_damage_is_told_where_people_read(directory: Path) -> None:
    first, second = sorted((directory / "predictions").iterdir())
    with np.load(first) as file:
        arrays = dict(file)
    np.savez(first, **(arrays | {"probabilities": arrays["probabilities"] * 2}))
    second.write_bytes(second.read_bytes()[:100])
    (directory / "run.json").write_text('{"datasets": {"f": {"class_counts": [-1]}}}')
    said = " ".join(load(directory).cautions)
    assert f"predictions/{first.name}: probabilities: expected values" in said
    assert f"predictions/{second.name}" in said
    assert "run.json: datasets.f.class_counts.0 must be " in said


def test_ids_that_are_no_texts_are_told(directory: Path) -> None:
    first, *_ = sorted((directory / "predictions").iterdir())
    with np.load(first) as file:
        arrays = dict(file)
    bytes_of_ids = np.array([b"\xff%d" % i for i in range(len(arrays["ids"]))])
    np.savez(first, **(arrays | {"ids": bytes_of_ids}))
    assert f"{first.name}: ids: expected 20 different texts" in " ".join(load(directory).cautions)


def test_a_bomb_of_zeros_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "predictions" / "x.npz"
    path.parent.mkdir()
    np.savez_compressed(path, probabilities=np.zeros((300, 2**17)), labels=np.zeros(300, int))
    assert path.stat().st_size < 2**20
    with pytest.raises(Exception, match="are the most that are read"):
        read_arrays(path)
    assert len(damaged([path])) == 1


# ------------------------------------------------------------------------------------------------ the terminal


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command, sys.executable], capture_output=True, text=True, timeout=120, cwd=cwd,
        env=child_environment(PY=sys.executable),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("$PY -m bench ls columns >&-", 0),
        ("$PY -m bench ls columns 2>&-", 0),
        ("$PY -m bench ls columns <&- >&- 2>&-", 0),
        ("$PY -m bench ls nothing >&- 2>&-", 2),
        ("$PY -m bench recommend run >&-", 0),
        ("$PY -m bench ls columns | head -1; exit ${PIPESTATUS[0]}", 0),
        ("$PY -m bench recommend run 2>&1 | true; exit ${PIPESTATUS[0]}", 0),
        ("$PY -m bench ls columns >/dev/full", 2),
        ("$PY -m bench report $(printf 'x%.0s' {1..300})", 2),
        ("$PY -m bench report $(printf 'x/%.0s' {1..3000})", 2),
        ("mkfifo p; $PY -m bench plan p", 2),
        ("mkdir q; ln -s nowhere q/plan.toml; $PY -m bench report q", 2),
    ],
)
def test_streams_and_paths_of_any_kind(directory: Path, command: str, code: int) -> None:
    result = shell(command, directory.parent)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert "Exception ignored" not in result.stderr


@pytest.mark.parametrize("words", ["std::bad_alloc", "MemoryError", "Cannot allocate memory"])
def test_too_little_memory_is_called_that(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    child = f'import os; os.write(1, b"terminate called: what(): {words}"); os.abort()'
    monkeypatch.setattr(local, "WORKER", child)
    worker = local._Worker(0, 1, "tensorflow")
    worker.process.wait()
    said = worker.obituary()
    worker.end()
    assert said["status"] == "oom"
    assert "ran out of memory" in said["error"]["message"]


# ----------------------------------------------------------------------------------------------------- formulas


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1+1", "@x", "\tx", "'=1", "''-x", " =1", "\u3000=1", "\uff1d1+1", "\uff20x", "' -x"],
)
def test_no_text_is_a_formula(tmp_path: Path, text: str) -> None:
    assert defused(text) == "'" + text
    assert csv_text(("a",), [(text,)]).decode() == f'"a"\n"\'{text}"\n'
    write_csv(pd.DataFrame({"a": [text], "b": [-1.5]}), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes().decode().endswith(",-1.5\n")
    assert f"'{text}" in (tmp_path / "a.csv").read_bytes().decode()


@pytest.mark.parametrize("text", ["\rx", "\nx", "\r\n=1", "\n\n@x"])
def test_no_line_within_a_text_is_a_formula(text: str) -> None:
    assert defused(text) == "'" + text


@pytest.mark.parametrize("value", ["a=1", "", "'quoted'", -1, 1.5, None])
def test_other_values_stay(value: Any) -> None:
    assert defused(value) == value
