"""Checksums of the cache, and whose cache it is. ``tests/faults/test_fuzz_cache.py`` tries every kind of file."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import RequestError
from bench.execution.local import _Worker
from bench.system import sealed
from bench.system.files import cache_dir


@pytest.fixture(autouse=True)
def root(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sealed, "_told", set())
    return cache_dir()


@pytest.fixture
def folder(root: Path) -> Path:
    """A sealed folder, beside another one."""
    for name in ("other", "one"):
        made = root / "kind" / f".tmp-{name}"
        made.mkdir(parents=True)
        (made / "a.bin").write_bytes(name.encode() * 1000)
        (made / "b.bin").write_bytes(b"")
        sealed.seal(made, root / "kind" / name)
        made.rename(root / "kind" / name)
    return root / "kind" / "one"


def _flip(path: Path) -> None:
    """A bit, in place, with the time of modification that the file had."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES = (_flip, _cut, _link, _pipe)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_was_changed_is_not_there_and_told_of_once(
    root: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = root / "kind" / "key.json"
    assert sealed.read(path) is None
    assert not caplog.text
    sealed.write(path, "content\nof it")
    assert sealed.read(path) == b"content\nof it"
    damage(path)
    assert sealed.read(path) is sealed.read(path) is None
    assert caplog.text.count(str(path)) == 1
    sealed.write(path, b"anew")
    assert sealed.read(path) == b"anew"


def test_files_that_were_exchanged_are_not_there(root: Path) -> None:
    one, other = root / "kind" / "one", root / "kind" / "other"
    sealed.write(one, "1")
    sealed.write(other, "2")
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert sealed.read(one) is sealed.read(other) is None


@pytest.mark.parametrize("name", ["a.bin", sealed.SEAL])
@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink])
def test_a_folder_with_a_file_that_was_changed_is_not_whole(
    folder: Path, name: str, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    assert sealed.is_whole(folder)
    assert not caplog.text
    damage(folder / name)
    assert not sealed.is_whole(folder)
    assert "computed again" in caplog.text


def test_folders_that_were_exchanged_are_not_whole(folder: Path) -> None:
    other = folder.with_name("other")
    for first, second in (
        (folder, other.with_name("aside")),
        (other, folder),
        (other.with_name("aside"), other),
    ):
        first.rename(second)
    assert not sealed.is_whole(folder)
    assert not sealed.is_whole(other)


def test_a_folder_that_is_not_there_is_not_told_of(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not sealed.is_whole(root / "kind" / "none")
    assert not caplog.text


def test_a_file_is_read_once_a_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sealed.is_whole(folder)
    monkeypatch.setattr(sealed.xxhash, "xxh3_128", lambda *_: pytest.fail("it was read again"))
    assert sealed.checksum(folder / "a.bin")
    monkeypatch.undo()


def test_a_cache_moves_as_a_whole(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.move(cache_dir(), tmp_path / "moved")
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(tmp_path / "moved"))
    assert sealed.is_whole(tmp_path / "moved" / "kind" / "one")


def test_a_cache_that_cannot_be_written_costs_time_alone(root: Path) -> None:
    (root / "file").write_text("")
    sealed.write(root / "file" / "key", "content")
    assert sealed.read(root / "file" / "key") is None


def test_the_cache_is_its_owners_alone(root: Path) -> None:
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


@pytest.mark.parametrize(("mode", "owner", "is_refused"), [
    (0o777, 1, True), (0o775, 1, True), (0o1777, 1, True), (0o755, 1, False), (0o700, 1, False),
    (0o777, 0, False),
])  # fmt: skip
def test_a_cache_of_somebody_else_that_others_can_write_to_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, mode: int, owner: int, is_refused: bool
) -> None:
    root.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: root.stat().st_uid + owner)
    if is_refused:
        with pytest.raises(RequestError, match=r"TRANSFER_BENCH_CACHE.*others can change it"):
            cache_dir()
    else:
        assert cache_dir() == root


def test_what_a_worker_logs_its_parent_logs(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    messages = [
        {"kind": "log", "content": {"text": "100% damaged"}},
        {"kind": "tick", "content": {"text": "fitting"}},
    ]
    os.write(writing, "".join(json.dumps(message) + "\n" for message in messages).encode())
    worker = _Worker.__new__(_Worker)
    worker.channel, worker._buffer = reading, b""
    with caplog.at_level(logging.WARNING):
        assert [message.kind for message in worker.read()] == ["tick"]
    assert "100% damaged" in caplog.text
    os.close(writing)
    os.close(reading)
