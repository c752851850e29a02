"""Disks that are full, read-only or slow to tell the time: real file systems where that is allowed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.runs.results import load
from bench.runs.run import run as run_plan
from bench.store import Store

PLAN: dict[str, Any] = {
    "datasets": ["digits"], "strategies": ["majority"], "backbones": ["MobileNet:weights=none"],
    "image_size": 32, "fractions": [0.05], "seeds": 12,
}  # fmt: skip
FLAGS = (
    "--dataset", "digits", "--strategy", "majority", "--backbone", "MobileNet:weights=none",
    "--image-size", "32", "--fractions", "0.05", "--seeds", "12",
)  # fmt: skip


def mount(*arguments: object) -> bool:
    try:
        return (
            subprocess.run(["mount", *map(str, arguments)], capture_output=True, timeout=30).returncode == 0
        )
    except OSError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB: there is room for some cells of PLAN, not for all."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", folder):
        pytest.skip("mounting a tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def numbers(out: Path) -> dict[str, Any]:
    return {record.cell_id: (record.status, record.metrics) for record in load(out).records}


@pytest.mark.parametrize("size", ["64k", "128k"])  # full in the middle of the cells, and at the report
def test_a_disk_that_fills_up_costs_no_result_and_the_run_goes_on_later(
    disk: Path, cli: Callable[..., Any], tmp_path: Path, size: str
) -> None:
    assert mount("-o", f"remount,size={size}", disk)
    out = disk / "run"
    full = cli("run", *FLAGS, "--out", out)
    assert full.rc not in (0, 2), full.stdout
    assert "No space left" in full.stderr
    assert "plan.toml again" in full.stderr
    assert "Traceback" not in full.stderr
    kept = numbers(out)
    assert 0 < len(kept) <= 12
    times = {path: path.stat().st_mtime_ns for path in (out / "cells").glob("*.json")}

    assert mount("-o", "remount,size=64m", disk)
    assert cli("run", out / "plan.toml").rc == 0
    assert cli("run", *FLAGS, "--out", tmp_path / "undisturbed").rc == 0
    assert numbers(out) == numbers(tmp_path / "undisturbed")
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert not list(out.rglob(".tmp-*"))


def test_a_directory_that_cannot_be_written_is_one_message(disk: Path, cli: Callable[..., Any]) -> None:
    assert mount("-o", "remount,ro", disk)
    result = cli("run", *FLAGS, "--out", disk / "run")
    assert result.rc == 2
    assert "--out must be a directory that can be written" in result.stderr
    assert "Read-only" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_finished_run_on_a_read_only_disk_can_still_be_looked_at(
    disk: Path, cli: Callable[..., Any]
) -> None:
    assert mount("-o", "remount,size=64m", disk)
    assert cli("run", *FLAGS, "--out", disk / "run").rc == 0
    assert mount("-o", "remount,ro", disk)
    assert len(load(disk / "run").results) == 12
    result = cli("report", disk / "run")
    assert result.rc != 0
    assert "Traceback" not in result.stderr
    assert "Read-only" in result.stderr


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = time.time, 0

    def jumping() -> float:
        nonlocal calls
        calls += 1
        return real() + (86_400 * 365 if calls % 3 == 0 else -86_400 if calls % 3 == 1 else 0)

    monkeypatch.setattr(time, "time", jumping)
    out = tmp_path / "run"
    run_plan({**PLAN, "limits": {"cell_seconds": 100}}, out, workers=1)
    assert [record.status for record in load(out).records] == ["ok"] * 12
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").glob("*.json")}
    run_plan({**PLAN, "limits": {"cell_seconds": 100}}, out, workers=1)
    assert {path: path.stat().st_mtime_ns for path in Store(out).directory.glob("cells/*.json")} == before
