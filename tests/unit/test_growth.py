"""Runs that grow, and cells that are taken over from the runs beside them. No worker is started."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
import bench.runs.run
from bench.errors import RequestError, RunLocked, StoreError
from bench.execution.local import LocalExecutor
from bench.execution.queue import Queue
from bench.plans.loading import load_plan
from bench.records import Record
from bench.runs.reporter import Reporter
from bench.runs.results import Run, load
from bench.store import Store

PLAN = {
    "datasets": ["digits"],
    "backbones": ["MobileNet:weights=none"],
    "strategies": ["scratch", "majority"],
    "image_size": 32,
    "fractions": [0.1],
    "seeds": 2,
}


class Said(Reporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def __contains__(self, text: str) -> bool:
        return any(text in line for line in self.lines)


@pytest.fixture(autouse=True)
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Instead of workers: every cell is ok and leaves predictions; the ids of those that were run."""
    found: list[str] = []

    def run(self: LocalExecutor, queue: Queue, latencies: dict[str, Any]) -> Iterator[Record]:
        while cell := queue.take(0):
            found.append(cell.id)
            path = self.store.temporary_predictions_path(cell.id)
            path.parent.mkdir(exist_ok=True)
            labels = np.arange(4) % 2
            np.savez(path, probabilities=np.eye(2)[labels], labels=labels, ids=np.array(list("abcd")))
            costs = {"wall_seconds": 1.0}
            yield Record(cell.id, asdict(cell), "ok", n=144, metrics={"accuracy": 0.5}, costs=costs)

    def report(self: Run) -> None:
        (self.directory / "report.html").touch()

    monkeypatch.setattr(Run, "report", report)  # drawing takes seconds
    monkeypatch.setattr(LocalExecutor, "run", run)
    monkeypatch.setattr(LocalExecutor, "measure_latency", lambda self, job: 1.5)
    return found


def contents(directory: Path) -> dict[str, bytes]:
    """Of all records and predictions."""
    return {p.name: p.read_bytes() for name in ("cells", "predictions") for p in (directory / name).iterdir()}


def info(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "run.json").read_text())
    return found


# ------------------------------------------------------------------------------------ in the same directory


@pytest.mark.parametrize(
    ("more", "new", "told"),
    [
        ({"seeds": 5}, 6, "5 seeds instead of 2"),
        ({"strategies": ["full_finetune"]}, 2, "strategies full_finetune"),
        ({"fractions": [0.3]}, 4, "fractions 0.3"),
        ({"backbones": ["MobileNet:alpha=0.25,weights=none"]}, 2, "backbones MobileNet:alpha=0.25"),
        ({"seeds": 3, "strategies": ["logistic"], "fractions": [1]}, 14, "3 seeds"),
    ],
    ids=["seeds", "strategies", "fractions", "backbones", "all at once"],
)
def test_a_run_grows_and_keeps_its_cells(
    ran: list[str], tmp_path: Path, more: dict[str, Any], new: int, told: str
) -> None:
    out, said = tmp_path / "out", Said()
    bench.run(PLAN, out)
    before, cells = contents(out), info(out)["cells"]
    ran.clear()
    # What is left out of seeds, fractions and strategies is as it is there.
    grown = bench.run(
        {"datasets": ["digits"], "backbones": PLAN["backbones"], "image_size": 32, **more}, out, reporter=said
    )
    assert len(ran) == new
    assert told in said
    assert before.items() <= contents(out).items()
    assert len(grown.records) == len(before) // 2 + new
    assert set(cells) < set(info(out)["cells"]) == {record.cell_id for record in grown.records}
    assert bench.run(out / "plan.toml", out).exit_code == 0  # its own plan is the grown one
    assert len(ran) == new


def test_fewer_of_anything_takes_nothing_away(ran: list[str], tmp_path: Path) -> None:
    bench.run(PLAN, tmp_path / "out")
    plan = (tmp_path / "out" / "plan.toml").read_bytes()
    again = bench.run({**PLAN, "seeds": 1, "strategies": ["majority"]}, tmp_path / "out")
    assert len(again.records) == len(ran) == 4
    assert (tmp_path / "out" / "plan.toml").read_bytes() == plan


def test_an_edited_plan_grows_its_own_run(ran: list[str], tmp_path: Path) -> None:
    bench.run(PLAN, tmp_path / "out")
    path = tmp_path / "out" / "plan.toml"
    path.write_text(path.read_text().replace("seeds = 2", "seeds = 3"))
    assert len(bench.run(path, tmp_path / "out").records) == len(ran) == 6
    assert info(tmp_path / "out")["looks"] == [2, 3]


def test_more_trials_run_all_again_and_lose_no_record(ran: list[str], tmp_path: Path) -> None:
    out, said = tmp_path / "out", Said()
    bench.run({**PLAN, "tuning": {"trials": 1}}, out)
    before = contents(out)
    grown = bench.run({**PLAN, "tuning": {"trials": 2}}, out, reporter=said)
    assert len(ran) == 8
    assert "2 trials instead of 1" in said
    assert before.items() <= contents(out).items()
    assert {record.cell["tuning"]["trials"] for record in grown.records} == {2}
    assert len(grown.records) == 4
    assert len(bench.run(PLAN, out).records) == 4  # trials that are not given are those that it has
    fewer = bench.run({**PLAN, "tuning": {"trials": 1}}, tmp_path / "fewer")
    assert len(fewer.records) == 4
    assert len(ran) == 8  # what has left the report can still be taken over


def test_trials_grow_in_an_edited_plan(ran: list[str], tmp_path: Path) -> None:
    bench.run({**PLAN, "tuning": {"trials": 1}}, tmp_path / "out")
    path = tmp_path / "out" / "plan.toml"
    path.write_text(path.read_text().replace("trials = 1", "trials = 2"))
    assert len(bench.run(path, tmp_path / "out").records) == 4
    assert len(ran) == 8


@pytest.mark.parametrize(
    "change", [{"epochs": 3}, {"image_size": 48}, {"metric": "macro_f1"}, {"head": {"pooling": "max"}}]
)
def test_other_settings_are_another_run(ran: list[str], tmp_path: Path, change: dict[str, Any]) -> None:
    bench.run(PLAN, tmp_path / "out")
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    with pytest.raises(RequestError, match=rf"another plan .*differ: {next(iter(change))} .*plan\.toml"):
        bench.run({**PLAN, "seeds": 5, **change}, tmp_path / "out")
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()} == before


def test_a_plan_from_which_a_strategy_was_cut_is_refused(tmp_path: Path) -> None:
    bench.run(PLAN, tmp_path / "out")
    path = tmp_path / "out" / "plan.toml"
    path.write_text(path.read_text().replace('"majority",', ""))
    with pytest.raises(RequestError, match=r"finished cells would no longer.*plan\.toml"):
        bench.run(path, tmp_path / "out")


@pytest.mark.parametrize("dies", ["write_run", "write", "write_plan"])
def test_killed_while_growing_it_goes_on(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    out = tmp_path / "out"
    bench.run(PLAN, out)
    before = contents(out)

    def killed(*arguments: Any) -> None:
        raise StoreError("killed")

    with monkeypatch.context() as context:
        context.setattr(Store, dies, killed)
        with pytest.raises(StoreError):
            bench.run({**PLAN, "seeds": 3}, out)
    assert before.items() <= contents(out).items()
    assert len(load(out).records) == 4  # a report can be made at any moment
    ran.clear()
    resumed = bench.run(out / "plan.toml", out)
    assert resumed.exit_code == 0
    assert len(resumed.records) == (4 if dies == "write_plan" else 6)
    assert info(out)["looks"] == ([2] if dies == "write_plan" else [2, 3])


def test_a_run_that_has_grown_meanwhile_is_not_shrunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    bench.run(PLAN, out)
    prepare = bench.runs.run.prepare

    def meanwhile(*arguments: Any) -> Any:
        path = out / "plan.toml"
        path.write_text(path.read_text().replace("seeds = 2", "seeds = 4"))
        return prepare(*arguments)

    monkeypatch.setattr(bench.runs.run, "prepare", meanwhile)
    with pytest.raises(RunLocked, match="grown"):
        bench.run({**PLAN, "seeds": 3}, out)
    assert load_plan(out / "plan.toml").seeds == 4


def test_a_run_goes_on_until_it_is_decided(ran: list[str], tmp_path: Path) -> None:
    bench.run(PLAN, tmp_path / "out")
    before = contents(tmp_path / "out")
    bench.run({**PLAN, "until": "decided"}, tmp_path / "out")
    assert before.items() <= contents(tmp_path / "out").items()
    assert len(ran) > 4
    assert info(tmp_path / "out")["looks"] == [2, 3, 5, 10]
    assert set(info(tmp_path / "out")["cells"]) >= set(ran[4:])


def test_shards_grow_and_take_over_together(ran: list[str], tmp_path: Path) -> None:
    bench.run(PLAN, tmp_path / "first")
    bench.run({**PLAN, "seeds": 4}, tmp_path / "more")
    ran.clear()
    for plan in (PLAN, {**PLAN, "seeds": 5}):
        for shard in ("1/2", "2/2"):
            grown = bench.run(plan, tmp_path / "out", shard=shard)
    assert len(ran) == 2
    assert (len(grown.records), grown.elsewhere) == (10, 0)
    assert info(tmp_path / "out")["looks"] == [2, 4, 5]


# -------------------------------------------------------------------------------------- in a new directory


def test_a_new_run_takes_what_is_the_same(ran: list[str], tmp_path: Path) -> None:
    bench.run(PLAN, tmp_path / "first")
    before, said = contents(tmp_path / "first"), Said()
    ran.clear()
    larger = bench.run({**PLAN, "seeds": 3}, tmp_path / "second", reporter=said)
    assert len(ran) == 2
    assert f"Took 4 finished cells from {tmp_path / 'first'}." in said
    assert len(larger.records) == 6
    assert before.items() <= contents(tmp_path / "second").items()
    assert contents(tmp_path / "first") == before
    found = info(tmp_path / "second")
    assert (found["looks"], found["taken_over"]) == ([2, 3], ["first"])
    third = bench.run({**PLAN, "seeds": 3}, tmp_path / "third")
    assert len(ran) == 2  # nothing was left to run
    assert [r.cell_id for r in third.records] == [r.cell_id for r in larger.records]
    assert (tmp_path / "third" / "report.html").exists()


def test_a_fresh_run_takes_nothing_even_when_it_is_resumed(ran: list[str], tmp_path: Path) -> None:
    bench.run(PLAN, tmp_path / "first")
    bench.run(PLAN, tmp_path / "second", fresh=True)
    assert len(ran) == 8
    next((tmp_path / "second" / "cells").iterdir()).unlink()
    bench.run(tmp_path / "second" / "plan.toml", tmp_path / "second")
    assert len(ran) == 9


def test_what_failed_is_not_taken(ran: list[str], tmp_path: Path) -> None:
    first = bench.run(PLAN, tmp_path / "first")
    path = tmp_path / "first" / "cells" / f"{first.records[0].cell_id}.json"
    record = {**json.loads(path.read_text()), "status": "failed", "metrics": {}}
    path.write_text(json.dumps(record))
    ran.clear()
    assert bench.run(PLAN, tmp_path / "second").exit_code == 0
    assert ran == [first.records[0].cell_id]


def other_cell(path: Path) -> None:
    """A record under the name of another."""
    other = next(p for p in path.parent.iterdir() if p != path)
    path.write_bytes(other.read_bytes())


def other_accuracy(path: Path) -> None:
    path.write_text(path.read_text().replace('"accuracy": 0.5', '"accuracy": 1.5'))


def link(path: Path) -> None:
    elsewhere = path.parents[2] / f"elsewhere{path.suffix}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("folder", ["cells", "predictions"])
def test_a_folder_that_lies_elsewhere_is_not_looked_into(ran: list[str], tmp_path: Path, folder: str) -> None:
    bench.run(PLAN, tmp_path / "first")
    (tmp_path / "first" / folder).rename(tmp_path / "elsewhere")
    (tmp_path / "first" / folder).symlink_to(tmp_path / "elsewhere")
    bench.run(PLAN, tmp_path / "second")
    assert len(ran) == 8


@pytest.mark.parametrize(
    ("folder", "spoil"),
    [
        ("cells", lambda path: path.write_text("{")),
        ("cells", other_cell),
        ("cells", other_accuracy),
        ("cells", link),
        ("predictions", lambda path: path.write_bytes(path.read_bytes() + b"x")),
        ("predictions", lambda path: path.unlink()),
        ("predictions", link),
    ],
    ids=["no JSON", "another cell", "no accuracy", "a link", "changed", "missing", "linked predictions"],
)
def test_what_is_not_as_it_was_written_is_not_taken(
    ran: list[str], tmp_path: Path, folder: str, spoil: Callable[[Path], Any]
) -> None:
    first = bench.run(PLAN, tmp_path / "first")
    (spoiled,) = (p for p in (tmp_path / "first" / folder).iterdir() if p.stem == first.records[0].cell_id)
    spoil(spoiled)
    names = sorted(path.name for path in (tmp_path / "first").rglob("*"))
    ran.clear()
    assert bench.run(PLAN, tmp_path / "second").exit_code == 0
    assert ran == [first.records[0].cell_id]
    assert sorted(path.name for path in (tmp_path / "first").rglob("*")) == names  # nothing there is renamed


def test_only_run_directories_on_the_same_data_are_looked_into(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run(PLAN, tmp_path / "first")
    for name, change in (
        ("data", {"datasets": {"0" * 16: {}}}),
        ("protocol", {"protocol_version": 1}),
        ("bad", {"cells": 3}),
    ):
        shutil.copytree(tmp_path / "first", tmp_path / name)
        (tmp_path / name / "run.json").write_text(json.dumps({**info(tmp_path / name), **change}))
    shutil.copytree(tmp_path / "first", tmp_path / "no-run")
    (tmp_path / "no-run" / "run.json").unlink()
    shutil.move(tmp_path / "first", tmp_path / "hidden" / "first")
    (tmp_path / "linked").symlink_to(tmp_path / "hidden" / "first")
    looked: list[str] = []
    finished = Store.finished
    monkeypatch.setattr(
        Store, "finished", lambda self, id: looked.append(self.directory.name) or finished(self, id)
    )
    ran.clear()
    bench.run(PLAN, tmp_path / "second")
    assert len(ran) == 4
    assert set(looked) <= {"second"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_what_another_user_has_made_there_is_not_taken(ran: list[str], tmp_path: Path) -> None:
    bench.run(PLAN, tmp_path / "first")
    os.chown(tmp_path / "first", 12345, -1)
    bench.run(PLAN, tmp_path / "second")
    assert len(ran) == 8


def test_a_run_beside_the_current_folder_is_found(
    ran: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run(PLAN, tmp_path / "first")
    (tmp_path / "here").mkdir()
    said = Said()
    monkeypatch.chdir(tmp_path / "here")
    bench.run(PLAN, ".", reporter=said)
    monkeypatch.chdir(tmp_path)
    bench.run(PLAN, "second", reporter=said)
    assert len(ran) == 4
    assert "from first." in said


def test_a_run_without_looks_has_those_of_its_seeds(tmp_path: Path) -> None:
    bench.run(PLAN, tmp_path / "out")
    content = info(tmp_path / "out")
    del content["looks"]
    (tmp_path / "out" / "run.json").write_text(json.dumps(content))
    bench.run({**PLAN, "seeds": 3}, tmp_path / "out")
    assert info(tmp_path / "out")["looks"] == [2, 3]
