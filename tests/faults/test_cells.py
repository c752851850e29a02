"""Cells that go wrong in every way: each is told apart, and its neighbours come out as if alone."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import bench
from bench.execution.local import LocalExecutor
from bench.execution.queue import Queue
from bench.plans.loading import load_plan
from bench.records import Cell, Record
from bench.runs.prepare import prepare
from bench.runs.results import load
from bench.store import Store

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _strategies_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    root = Path(bench.__file__).resolve().parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{root}")
    monkeypatch.setenv("HURTING_NOTE", str(tmp_path / "grandchild"))


def cells(*names: str, **plan: Any) -> list[Cell]:
    content = {
        "datasets": ["digits"], "strategies": list(names), "backbones": ["Conv4:filters=8,weights=none"],
        "image_size": 32, "fractions": [0.05], "seeds": 1, "epochs": 2, "length": 0.02,
        "tuning": {"trials": 2}, **plan,
    }  # fmt: skip
    return list(prepare(load_plan(content)).cells)


@pytest.fixture
def finish(tmp_path: Path) -> Callable[..., dict[str, Record]]:
    """Runs cells on one worker; the record of each strategy."""

    def go(cells: list[Cell], seconds: float = 300, notes: list[str] | None = None) -> dict[str, Record]:
        def notify(event: Any) -> None:
            if event.kind == "note" and notes is not None:
                notes.append(event.text)

        options: dict[str, Any] = {"threads": 1, "backend": "tensorflow", "cell_seconds": seconds}
        with LocalExecutor(store=Store(tmp_path / "run"), workers=1, notify=notify, **options) as executor:
            return {record.cell["strategy"]: record for record in executor.run(Queue(cells), {})}

    return go


def test_each_end_is_told_apart_and_neighbours_are_well(finish: Callable[..., dict[str, Record]]) -> None:
    names = {
        "hurting:Raise": ("failed", "ValueError", "what <b>went</b> wrong"),
        "hurting:Segfault": ("crashed", "SIGSEGV", "SIGSEGV"),
        "hurting:Abort": ("crashed", "SIGABRT", "SIGABRT"),
        "hurting:Exit": ("crashed", "exit code 7", "exit code 7"),
        "hurting:Hungry": ("oom", None, ""),
        "hurting:Diverging": ("failed", None, "loss is nan in epoch 1, step 2"),
    }
    asked = [cell for name in names for cell in cells(name)]
    (neighbour,), (noise,) = cells("majority"), cells("hurting:Noise")
    found = finish([*asked[:3], neighbour, *asked[3:], noise])
    for name, (status, kind, message) in names.items():
        record = found[name]
        assert record.status == status, record
        assert record.error is not None
        assert message in record.error["message"]
        assert kind in (None, record.error["type"])
    assert found["majority"].status == found["hurting:Noise"].status == "ok"
    assert found["majority"].metrics == found["hurting:Noise"].metrics  # the same method, but for the noise


def test_out_of_memory_is_tried_once_more_with_half_the_batch(
    finish: Callable[..., dict[str, Record]],
) -> None:
    notes: list[str] = []
    names = ("hurting:HungryWithLargeBatches", "hurting:Hungry", "majority")
    found = finish(cells(*names), notes=notes)
    helped, hopeless, majority = (found[name] for name in names)
    assert (helped.status, helped.batch_size) == ("ok", 16)
    assert "second run, with batches of 16" in helped.warnings[-1]
    assert helped.cell["batch_size"] == 32  # the cell is the one that was asked for
    assert (hopeless.status, hopeless.batch_size) == ("oom", 16)
    assert (majority.status, majority.batch_size, majority.warnings) == ("ok", None, [])
    assert len(notes) == 2
    assert set(notes) == {"out of memory; it runs once more, with batches of 16"}


def test_a_hanging_cell_ends_with_the_process_that_it_started(
    finish: Callable[..., dict[str, Record]], tmp_path: Path
) -> None:
    found = finish(cells("hurting:Hang", "majority"), seconds=20)
    assert found["hurting:Hang"].status == "timeout"
    assert found["majority"].status == "ok"
    child = int((tmp_path / "grandchild").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_strategy_that_cannot_be_imported_is_one_message(cli: Callable[..., Any], tmp_path: Path) -> None:
    for name, words in (("no.such:Thing", "ModuleNotFoundError"), ("hurting:Missing", "AttributeError")):
        result = cli("run", "--dataset", "digits", "--strategy", name, "--out", tmp_path / "run")
        assert result.rc == 2
        assert name in result.stderr
        assert words in result.stderr
        assert "Traceback" not in result.stderr


def test_a_cell_is_repeated_and_compared(cli: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    flags = ("--dataset", "digits", "--backbone", "Conv4:filters=8,weights=none", "--image-size", 32)
    small = ("--fractions", 0.05, "--seeds", 1, "--length", 0.02, "--trials", 2, "--workers", 1)
    assert cli("run", *flags, *small, "--strategy", "scratch", "--out", out).rc == 0
    (record,) = load(out).records
    before = sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*"))
    same = cli("run", "--cell", record.cell_id[:6], "--from", out)
    assert same.rc == 0, same.stderr
    assert "came out the same" in same.stdout
    assert f"{record.metrics['accuracy']:.2%}" in same.stdout
    assert sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*")) == before

    path = out / "cells" / f"{record.cell_id}.json"
    content = json.loads(path.read_text())
    content["metrics"]["accuracy"] = 0.987654
    path.write_text(json.dumps(content))
    other = cli("run", "--cell", record.cell_id, "--from", out)
    assert other.rc == 1, other.stdout + other.stderr
    assert "metrics.accuracy: then 0.987654" in other.stdout
    for arguments in (("--cell", record.cell_id), ("--from", out), ("--cell", "zz", "--from", out)):
        refused = cli("run", *arguments)
        assert refused.rc == 2
        assert "cell" in refused.stderr


def table(out: Path) -> list[tuple[Any, ...]]:
    """What may not depend on who ran a cell."""
    return sorted(
        (r.cell_id, r.status, r.metrics.get("accuracy"), r.metrics.get("log_loss"), str(r.hyperparameters))
        for r in load(out).records
    )


GRID = (
    "--dataset", "digits", "--backbone", "Conv4:filters=8,weights=none", "--image-size", "32",
    "--fractions", "0.05", "--seeds", "2", "--length", "0.02", "--trials", "2", "--strategy", "scratch",
    "--strategy", "majority",
)  # fmt: skip


def test_shards_give_the_table_of_one_run(
    cli: Callable[..., Any], start: Callable[..., Any], tmp_path: Path
) -> None:
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    assert cli("run", *GRID, "--out", whole, "--workers", 2).rc == 0

    first = start("-m", "bench", "run", *GRID, "--out", shared, "--workers", 1, "--fresh", "--shard", "1/2")
    second = start("-m", "bench", "run", *GRID, "--out", shared, "--workers", 1, "--fresh", "--shard", "2/2")
    for process in (first, second):
        with process:
            _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    assert table(shared) == table(whole)
    assert (shared / "report.html").exists()
    assert (shared / "results.csv").exists()

    lock = Store(shared)
    lock.lock()
    refused = cli("run", *GRID, "--out", shared, "--shard", "1/2")
    assert refused.rc == 2
    assert "a run of all shards is working" in refused.stderr
    lock.unlock()
    for wrong in ("0/2", "3/2", "x", "1/0", "1"):
        assert cli("run", *GRID, "--out", shared, "--shard", wrong).rc == 2


def test_one_shard_alone_says_what_is_missing(cli: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "run"
    flags = ("--dataset", "digits", "--strategy", "majority", "--fractions", "0.05,0.1", "--seeds", "8")
    result = cli("run", *flags, "--out", out, "--shard", "1/3")
    records = load(out).records
    assert result.rc == 0, result.stderr
    assert 0 < len(records) < 16
    assert f"{16 - len(records)} cells of other shards are not there yet" in result.stdout
    assert not (out / "report.html").exists()
    for shard in ("2/3", "3/3"):
        result = cli("run", *flags, "--out", out, "--shard", shard)
        assert result.rc == 0, result.stderr
    assert len(load(out).records) == 16
    assert (out / "report.html").exists()


# ----------------------------------------------------------------------------------------------------- Ray


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one processor each, on this machine."""
    utils = pytest.importorskip("ray.cluster_utils", reason="needs transfer-bench[ray]")
    made = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def test_a_ray_cluster_that_loses_a_node_gives_the_table_of_one_run(
    cluster: Any, cli: Callable[..., Any], start: Callable[..., Any], tmp_path: Path
) -> None:
    local, out = tmp_path / "local", tmp_path / "ray"
    # Four cells of one kind on two nodes: a little after the first one has ended, both are in the middle of one.
    grid = (*GRID[:-2], "--seeds", "4")
    assert cli("run", *grid, "--out", local, "--workers", 2).rc == 0
    address = ("--executor", "ray", "--ray-address", cluster.address)
    process = start("-m", "bench", "run", *grid, *address, "--out", out, "--fresh")
    with process:
        (lost,) = set(cluster.worker_nodes)
        end = time.monotonic() + 200
        while not list((out / "cells").glob("*.json")) and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(3)  # whoever has ended its first cell is starting Keras for its second
        (raylet,) = lost.all_processes["raylet"]
        gone = psutil.Process(raylet.process.pid).children(recursive=True)
        cluster.remove_node(lost, allow_graceful=False)
        for child in gone:  # as when a machine loses its power
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stdout + stderr
    assert table(out) == table(local)
    assert "its node was lost" in stdout
    hosts = {record.provenance["hardware"]["cpu"] for record in load(out).records}
    assert len(hosts) == 1


def test_a_ray_cluster_that_is_not_there_is_one_message(cli: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs transfer-bench[ray]")
    arguments = ("run", *GRID, "--out", tmp_path / "run", "--ray-address", "127.0.0.1:1")
    for more in (("--executor", "ray"), ()):
        result = cli(*arguments, *more)
        assert result.rc == 2
        assert "--ray-address must" in result.stderr
        assert "Traceback" not in result.stderr
