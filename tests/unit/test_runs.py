"""Run directories: resumed, refused, and what happens when the disk is full. No worker is started."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import bench
import bench.datasets
import bench.runs.latency
import bench.store
import bench.system.backend
from bench.errors import BenchError, RequestError
from bench.execution.local import LocalExecutor
from bench.modalities.image.input import ImageInput
from bench.records import Record
from bench.system import sealed

PLAN = {
    "datasets": ["digits"],
    "backbones": ["MobileNet:weights=none"],
    "strategies": ["scratch", "majority"],
    "image_size": 32,
    "fractions": [0.1],
    "seeds": 2,
}


@pytest.fixture(autouse=True)
def executor(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Instead of workers: every cell ends with ``status``; keeps how many cells were run."""
    state: dict[str, Any] = {"status": "ok", "cells": 0}

    def run(self: LocalExecutor, queue: Any, latencies: dict[str, Any]) -> Iterator[Record]:
        while cell := queue.take(0):
            state["cells"] += 1
            fields = {"metrics": {"accuracy": 0.5}, "n": 144} if state["status"] == "ok" else {}
            if state["status"] != "ok":
                fields["error"] = {"type": "Error", "message": "as told"}
            yield Record(cell_id=cell.id, cell=asdict(cell), status=state["status"], **fields)

    monkeypatch.setattr(LocalExecutor, "run", run)
    monkeypatch.setattr(LocalExecutor, "measure_latency", lambda self, job: 1.5)
    monkeypatch.setattr(LocalExecutor, "time_batches", lambda self, jobs: [None] * len(jobs))
    return state


def test_a_finished_run_is_not_run_again(executor: dict[str, Any], tmp_path: Path) -> None:
    assert bench.run(PLAN, tmp_path / "out").exit_code == 0
    assert executor["cells"] == 4
    assert bench.run(PLAN, tmp_path / "out").exit_code == 0
    assert executor["cells"] == 4


def test_the_precision_of_the_plan_is_that_of_its_cells(tmp_path: Path) -> None:
    mixed = bench.run({**PLAN, "precision": "mixed_bfloat16"}, tmp_path / "mixed")
    exact = bench.run(PLAN, tmp_path / "exact")
    assert {record.cell["precision"] for record in mixed.records} == {"mixed_bfloat16"}
    assert {record.cell["precision"] for record in exact.records} == {"float32"}
    assert not {r.cell_id for r in mixed.records} & {r.cell_id for r in exact.records}


def test_a_resume_under_another_backend_is_refused_and_hides_nothing(
    executor: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run(PLAN, tmp_path / "out")
    before = (tmp_path / "out" / "run.json").read_bytes()
    with monkeypatch.context() as context:
        context.setattr(bench.system.backend, "is_installed", lambda name: True)
        context.setenv("KERAS_BACKEND", "jax")
        with pytest.raises(RequestError, match="backend"):
            bench.run(PLAN, tmp_path / "out")
    assert (tmp_path / "out" / "run.json").read_bytes() == before
    assert len(bench.run(PLAN, tmp_path / "out").records) == 4
    assert executor["cells"] == 4


def test_nothing_finished_nothing_hidden(
    executor: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor["status"] = "crashed"
    assert bench.run(PLAN, tmp_path / "out").exit_code == 1
    monkeypatch.setattr("strategies.majority.Majority.version", 9)
    monkeypatch.setattr("strategies.scratch.Scratch.version", 9)
    executor["status"] = "ok"
    result = bench.run(PLAN, tmp_path / "out")
    assert [record.cell["strategy_version"] for record in result.records] == [9] * 4


def test_a_full_disk_is_one_message_and_costs_no_earlier_result(
    executor: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bench.store.write_atomic
    written: list[Path] = []

    def fills_up(path: Path, data: Any) -> None:
        if path.parent.name == "cells":
            if len(written) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            written.append(path)
        whole(path, data)

    with monkeypatch.context() as context:
        context.setattr(bench.store, "write_atomic", fills_up)
        with pytest.raises(BenchError, match=r"No space left.*plan\.toml"):
            bench.run(PLAN, tmp_path / "out")
    assert all(path.exists() for path in written)
    executor["cells"] = 0
    assert bench.run(PLAN, tmp_path / "out").exit_code == 0
    assert executor["cells"] == 2


def test_a_cache_that_cannot_be_written_costs_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    bench.datasets.open_dataset("digits", ImageInput(32))
    whole = sealed.write_atomic

    def write(path: Path, data: Any) -> None:
        if "latency" in path.parts:
            fails()
        whole(path, data)

    monkeypatch.setattr(sealed, "write_atomic", write)
    monkeypatch.setattr(bench.runs.latency, "locked", fails)
    assert bench.run(PLAN, tmp_path / "out").exit_code == 0


def test_a_report_older_than_a_record_is_made_again(tmp_path: Path) -> None:
    bench.run(PLAN, tmp_path / "out")
    report = tmp_path / "out" / "report.html"
    made = report.stat().st_mtime_ns
    bench.run(PLAN, tmp_path / "out")
    assert report.stat().st_mtime_ns == made
    record = next((tmp_path / "out" / "cells").glob("*.json"))
    later = time.time() + 60
    os.utime(record, (later, later))
    bench.run(PLAN, tmp_path / "out")
    assert report.stat().st_mtime_ns > made


def test_a_wrong_setting_of_the_cache_is_a_mistake_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFER_BENCH_CACHE_GIB", "plenty")
    with pytest.raises(RequestError, match="TRANSFER_BENCH_CACHE_GIB"):
        bench.run(PLAN, tmp_path / "out")
    assert not (tmp_path / "out").exists()
