"""Workers that die, hang or lose their parent: real child processes, real signals."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

import bench
from bench.datasets import open_dataset
from bench.execution.jobs import Event
from bench.execution.local import LocalExecutor
from bench.execution.queue import Queue
from bench.modalities.image.input import ImageInput
from bench.plans.loading import load_plan
from bench.records import Cell, Record
from bench.runs.prepare import prepare
from bench.runs.results import load
from bench.store import Store

KERAS_LOADS = "starting Keras"
"""What a worker says at its first cell; for seconds after it, it is in the middle of that cell."""

MAJORITY = (
    "--dataset", "digits", "--strategy", "majority", "--backbone", "MobileNet:weights=none",
    "--image-size", "32", "--fractions", "0.05,0.1", "--seeds", "1",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _workers_find_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(bench.__file__).resolve().parents[1]))


@pytest.fixture
def cells() -> list[Cell]:
    """Cells that take no time once Keras is there."""
    plan = {
        "datasets": ["digits"], "strategies": ["majority"], "backbones": ["MobileNet:weights=none"],
        "image_size": 32, "fractions": [0.05], "seeds": 6,
    }  # fmt: skip
    return list(prepare(load_plan(plan)).cells)


@pytest.fixture
def executor(tmp_path: Path) -> Callable[..., LocalExecutor]:
    def make(**options: Any) -> LocalExecutor:
        defaults: dict[str, Any] = {"workers": 1, "threads": 1, "backend": "tensorflow", "cell_seconds": 300}
        return LocalExecutor(store=Store(tmp_path / "run"), **{**defaults, **options})

    return make


def finish(executor: LocalExecutor, cells: list[Cell]) -> list[Record]:
    """Runs cells and ends the workers."""
    with executor:
        return list(executor.run(Queue(cells), {}))


def workers(parent: int | None = None) -> list[psutil.Process]:
    """The worker processes of a process; by default of this one."""
    found = []
    for child in psutil.Process(parent).children():
        try:
            if any("bench.execution.worker" in word for word in child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone_within(seconds: float, *processes: psutil.Process) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(map(is_running, processes)):
            return True
        time.sleep(0.05)
    return False


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"did not happen within {seconds} s")


class Killer:
    """Sends signals to the worker in the middle of cells: so many to each, as ``orders`` say."""

    def __init__(self, orders: dict[str, list[signal.Signals]]) -> None:
        self.orders = orders
        self.notes: list[str] = []
        self.started: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        if event.kind == "note":
            self.notes.append(event.text)
        if event.kind == "started" and event.cell is not None:
            self.started[event.cell.id] += 1
        if event.kind == "tick" and event.cell is not None and self.orders.get(event.cell.id):
            for worker in workers():
                worker.send_signal(self.orders[event.cell.id].pop(0))


# ------------------------------------------------------------------------------------------------- signals


def test_cells_whose_workers_die_run_once_more_and_cost_their_neighbours_nothing(
    cells: list[Cell], executor: Callable[..., LocalExecutor]
) -> None:
    # The last to be killed is killed once only: it and its neighbours end well.
    twice_killed, twice_segfault, terminated, once, *others = cells
    killer = Killer(
        {
            twice_killed.id: [signal.SIGKILL, signal.SIGKILL],
            twice_segfault.id: [signal.SIGSEGV, signal.SIGABRT],
            terminated.id: [signal.SIGTERM, signal.SIGTERM],
            once.id: [signal.SIGKILL],
        }
    )
    records = {record.cell_id: record for record in finish(executor(notify=killer), cells)}
    assert set(records) == {cell.id for cell in cells}
    assert workers() == []

    killed = records[twice_killed.id]
    assert killed.status == "killed"
    assert killed.error is not None
    assert killed.error["type"] == "SIGKILL"
    assert "memory" in killed.error["message"]
    assert "--workers" in killed.error["message"]
    assert (killed.costs["peak_memory_mb"] or 0) > 1
    crashed = records[twice_segfault.id]
    assert (crashed.status, (crashed.error or {})["type"]) == ("crashed", "SIGABRT")
    assert (records[terminated.id].status, (records[terminated.id].error or {})["type"]) == (
        "killed",
        "SIGTERM",
    )
    for cell in (once, *others):
        assert records[cell.id].status == "ok", records[cell.id].error
        assert records[cell.id].metrics

    expected = {cell.id: 2 for cell in (twice_killed, twice_segfault, terminated, once)}
    assert killer.started == {**dict.fromkeys((cell.id for cell in others), 1), **expected}
    assert killer.notes == [
        f"{status}; it runs once more" for status in ("killed", "crashed", "killed", "killed")
    ]


def test_a_worker_that_cannot_start_is_told_with_its_last_words(
    cells: list[Cell], executor: Callable[..., LocalExecutor]
) -> None:
    (record,) = finish(executor(backend="nonsense"), cells[:1])
    assert record.status == "crashed"
    assert record.error is not None
    assert record.error["type"] == "exit code 1"
    assert "nonsense" in record.error["traceback"]


def test_a_cell_that_fails_is_told_apart(cells: list[Cell], executor: Callable[..., LocalExecutor]) -> None:
    other_data = replace(cells[0], fingerprint="0" * 16)
    no_such = replace(cells[0], strategy="none_such")
    found = {record.cell_id: record for record in finish(executor(), [other_data, no_such, cells[1]])}
    assert found[cells[1].id].status == "ok"
    for cell, message in ((other_data, "has changed since"), (no_such, "none_such")):
        record = found[cell.id]
        assert record.status == "failed"
        assert record.error is not None
        assert message in record.error["message"]
        assert record.error["type"] in record.error["traceback"]


# -------------------------------------------------------------------------------------------------- limits


@pytest.fixture
def with_grandchild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], psutil.Process]]:
    """Makes every worker start a process of its own that sleeps; returns how to find it."""
    noted = tmp_path / "grandchild"
    wrapper = tmp_path / "python-with-a-child"
    # It holds on to what it inherits, as a process made by fork does.
    wrapper.write_text(f'#!/bin/sh\nsleep 600 &\necho $! > "{noted}"\nexec "{sys.executable}" "$@"\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(wrapper))
    found: list[psutil.Process] = []

    def grandchild() -> psutil.Process:
        found.append(psutil.Process(int(wait_for(lambda: noted.exists() and noted.read_text()))))
        return found[-1]

    yield grandchild
    for process in found:
        if is_running(process):
            process.kill()


def test_a_cell_that_takes_too_long_ends_with_all_it_started(
    cells: list[Cell],
    executor: Callable[..., LocalExecutor],
    with_grandchild: Callable[[], psutil.Process],
) -> None:
    seen: list[psutil.Process] = []

    def note(event: Event) -> None:
        if event.text == KERAS_LOADS:
            seen.extend([*workers(), with_grandchild()])

    start = time.monotonic()
    (record,) = finish(executor(cell_seconds=1, notify=note), cells[:1])
    assert record.status == "timeout"
    assert record.error is not None
    assert "1 s (limits.cell_seconds)" in record.error["message"]
    assert time.monotonic() - start < 30
    assert (record.costs["wall_seconds"] or 0) >= 1
    assert len(seen) == 2
    assert gone_within(5, *seen)


def test_a_dead_worker_is_noticed_though_its_child_lives(
    cells: list[Cell],
    executor: Callable[..., LocalExecutor],
    with_grandchild: Callable[[], psutil.Process],
) -> None:
    def kill(event: Event) -> None:
        if event.text == KERAS_LOADS:
            with_grandchild()
            for worker in workers():
                worker.kill()

    (record,) = finish(executor(cell_seconds=5, notify=kill), cells[:1])
    assert record.status == "killed"


def test_no_worker_outlives_an_executor_that_is_left_in_the_middle(
    cells: list[Cell], executor: Callable[..., LocalExecutor]
) -> None:
    class Stop(Exception):
        """Raised by whoever consumes the records."""

    seen: list[psutil.Process] = []

    def stop(event: Event) -> None:
        seen.extend(workers())
        if len(seen) > 1:
            raise Stop

    with pytest.raises(Stop):
        finish(executor(workers=2, notify=stop), cells)
    assert seen
    assert gone_within(5, *seen)


# --------------------------------------------------------------------------------- the parent, killed or left


def start_run(
    start: Callable[..., subprocess.Popen[str]], out: Path, *more: str
) -> tuple[subprocess.Popen[str], psutil.Process]:
    """A run that has a worker in the middle of a cell."""
    process = start("-m", "bench", "run", *MAJORITY, "--workers", "1", "--out", out, *more)
    (worker,) = wait_for(lambda: workers(process.pid))
    wait_for(lambda: not is_running(worker) or worker.memory_info().rss > 60 * 2**20)
    return process, worker


def test_a_run_whose_parent_is_killed_leaves_nothing_behind_and_is_resumed(
    start: Callable[..., subprocess.Popen[str]], cli: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process, worker = start_run(start, out)
    with process:
        process.kill()
    assert gone_within(5, worker)
    store = Store(out)
    store.lock()
    store.unlock()
    assert store.records() == []
    (out / "cells").mkdir(exist_ok=True)
    (out / "cells" / ".tmp-half").write_text("{")
    (out / "cells" / f"{'0' * 16}.json").write_text('{"schema')  # of no cell of this run

    result = cli("run", *MAJORITY, "--workers", "1", "--out", out)
    assert result.rc == 0, result.stderr
    assert [record.status for record in load(out).records] == ["ok", "ok"]
    assert not list(out.rglob(".tmp-*"))


def test_a_run_killed_while_it_grows_keeps_its_cells_and_goes_on(
    start: Callable[..., subprocess.Popen[str]], cli: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert cli("run", *MAJORITY, "--workers", "1", "--out", out).rc == 0
    before = {path: path.read_bytes() for path in (out / "cells").iterdir()}
    with start("-m", "bench", "run", out / "plan.toml", "--seeds", "60", "--workers", "1") as process:
        wait_for(lambda: len(list((out / "cells").glob("*.json"))) > 5)
        children = workers(process.pid)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert gone_within(5, *children)
    assert before.items() <= {path: path.read_bytes() for path in (out / "cells").iterdir()}.items()
    assert 5 < len(load(out).records) < 120
    assert cli("report", out).rc == 0

    result = cli("run", out / "plan.toml", "--workers", "1")
    assert result.rc == 0, result.stderr
    assert len(load(out).records) == 120
    assert before.items() <= {path: path.read_bytes() for path in (out / "cells").iterdir()}.items()
    assert cli("recommend", out).rc == 2  # nothing but the floor was measured
    assert load_plan(out / "plan.toml").seeds == 60


def test_an_interrupted_run_says_how_to_go_on(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    out = tmp_path / "a run"
    process, worker = start_run(start, out)
    with process:
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert gone_within(5, worker)
    assert "Traceback" not in stdout + stderr
    assert f"python -m bench run '{out}/plan.toml'" in stderr
    assert (out / "plan.toml").exists()


def test_a_second_run_on_one_directory_is_refused_at_once(
    start: Callable[..., subprocess.Popen[str]], cli: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process, worker = start_run(start, out)
    with process:
        try:
            second = cli("run", *MAJORITY, "--out", out)
            assert second.rc == 2
            assert "another run" in second.stderr
            assert is_running(worker)
        finally:
            process.kill()
    assert gone_within(5, worker)


@pytest.mark.slow
def test_parents_and_workers_killed_at_random_moments_lose_nothing(
    start: Callable[..., subprocess.Popen[str]], cli: Callable[..., Any], tmp_path: Path
) -> None:
    import random

    rng = random.Random(0)
    out, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    grid = (*MAJORITY, "--seeds", "600", "--workers", "2")
    kept: dict[str, Any] = {}
    killed = 0
    while killed < 24:
        with start("-m", "bench", "run", *grid, "--out", out) as process:
            for victims in rng.choice([["parent"], ["both"], ["workers", "parent"], ["workers", "both"]]):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(rng.uniform(0.5, 8))
                    raise AssertionError(f"the run ended after {killed} kills: it needs more cells")
                children = workers(process.pid)
                for child in children if victims != "parent" else []:
                    child.kill()
                if victims != "workers":
                    process.kill()
                killed += 1
            process.communicate(timeout=60)
            assert gone_within(5, *children)
        if (out / "cells").is_dir():
            records = {record.cell_id: record.to_json() for record in Store(out).records()}
            assert {cell_id: records[cell_id] for cell_id in kept} == kept
            kept = {i: r for i, r in records.items() if r["status"] == "ok"}
    result = cli("run", *grid, "--out", out, timeout=300)
    assert result.rc == 0, result.stderr
    assert cli("run", *grid, "--out", undisturbed, "--fresh", timeout=300).rc == 0

    def numbers(directory: Path) -> dict[str, Any]:
        return {r.cell_id: (r.status, r.metrics, r.hyperparameters) for r in load(directory).records}

    assert numbers(out) == numbers(undisturbed)
    assert len(numbers(out)) == 1200


# -------------------------------------------------------------------------------------------- training cells


@pytest.mark.slow
def test_training_cells_that_are_killed_end_like_undisturbed_ones(small_file: Path, tmp_path: Path) -> None:
    import random

    plan = {
        "datasets": ["digits"], "strategies": ["scratch", "feature_extraction", "partial_finetune"],
        "backbones": [f"Conv4:filters=8,weights={small_file}"], "image_size": 32, "fractions": [0.05],
        "seeds": 4, "epochs": 2, "length": 0.02, "tuning": {"trials": 2},
    }  # fmt: skip
    cells = list(prepare(load_plan(plan)).cells)
    open_dataset("digits", ImageInput(32))
    options: dict[str, Any] = {"threads": 1, "backend": "tensorflow", "cell_seconds": 600}
    undisturbed = LocalExecutor(store=Store(tmp_path / "a"), workers=2, **options)
    expected = {record.cell_id: record for record in finish(undisturbed, cells)}

    rng = random.Random(1)
    moments = {cell.id: rng.randrange(2, 8) for cell in cells}  # at which of its messages a cell is killed
    pending = dict(moments)

    def kill(event: Event) -> None:
        if event.kind == "tick" and event.cell is not None and event.cell.id in pending:
            pending[event.cell.id] -= 1
            if not pending[event.cell.id]:
                del pending[event.cell.id]
                for worker in workers():
                    worker.kill()

    disturbed = LocalExecutor(store=Store(tmp_path / "b"), workers=1, notify=kill, **options)
    found = {record.cell_id: record for record in finish(disturbed, cells)}
    assert len(moments) - len(pending) >= 8
    # A worker that is killed as it ends one cell takes the next one with it; whoever is hit twice waits for the
    # resume, which runs it again.
    twice = [cell for cell in cells if found[cell.id].status == "killed"]
    assert len(twice) <= 3
    resumed = LocalExecutor(store=Store(tmp_path / "b"), workers=1, **options)
    found |= {record.cell_id: record for record in finish(resumed, twice)}

    def numbers(records: dict[str, Record]) -> dict[str, Any]:
        return {
            cell_id: (record.status, record.metrics, record.hyperparameters)
            for cell_id, record in records.items()
        }

    assert numbers(found) == numbers(expected)
    assert {record.status for record in found.values()} == {"ok"}


# --------------------------------------------------------------------------------------------- surroundings


def test_files_in_the_current_folder_are_not_imported(python: Callable[..., Any], tmp_path: Path) -> None:
    # As with the console script, whose own path does not begin with the current folder.
    (tmp_path / "queue.py").write_text("raise RuntimeError('the file of the user was imported')\n")
    code = "import sys; from bench.cli.app import main; sys.argv[0] = 'bench'; main()"
    result = python("-P", "-c", code, "run", *MAJORITY, "--out", "out", cwd=tmp_path)
    assert [record.status for record in load(tmp_path / "out").records] == ["ok", "ok"], result.stdout
    assert result.rc == 0


def test_a_worker_does_not_hold_on_to_what_its_parent_has_open(
    cells: list[Cell], executor: Callable[..., LocalExecutor], tmp_path: Path
) -> None:
    store = Store(tmp_path / "run")
    store.lock()
    files: list[str] = []

    def look(event: Event) -> None:
        if event.text == KERAS_LOADS:
            for worker in workers():
                files.extend(
                    os.readlink(link) for link in Path(f"/proc/{worker.pid}/fd").iterdir() if link.exists()
                )
                worker.kill()

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    try:
        finish(executor(notify=look), cells[:1])
    finally:
        store.unlock()
    assert files
    assert not [file for file in files if file.endswith(".lock")]
