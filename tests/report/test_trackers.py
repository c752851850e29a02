"""Trackers: what they are told of made-up cells, read back with their own libraries."""

from __future__ import annotations

import json
import logging
import os
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from typing import Any

import fake
import numpy as np
import pytest

import bench
import bench.trackers.base as base
from bench.cli.app import main
from bench.errors import RequestError
from bench.records import Record
from bench.runs.reporter import Reporter
from bench.runs.results import Run, load
from bench.store import Store
from bench.trackers.base import Entry, Tracker
from bench.trackers.entries import entry_of, place_of
from bench.trackers.log import Live, log, logged

FAILED = 1
"""Of the cells of ``run``."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Three strategies with one seed and label count, one of which has failed."""

    def spoil(record: Record) -> None:
        if record.cell["strategy"] == "full_finetune":
            fake.fail(record, message="loss is not finite")
        for before, point in pairwise(record.curves):  # a stage begins where the one before ends
            if point["epoch"] == 0 and before["run"] == point["run"]:
                point["images"] = before["images"]

    strategies = ("scratch", "full_finetune", "partial_finetune")  # the last one has two stages
    found = fake.records(strategies=strategies, fractions=(1.0,), seeds=1, spoil=spoil)
    store = Store(tmp_path / "first")
    store.directory.mkdir()
    with store.writing():
        for record in found:
            store.write(record)
    store.write_run({**fake.run_info(found), "cells": [record.cell_id for record in found]})
    (store.directory / "results.csv").write_text("a\n")
    return load(store.directory)


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``bench log`` in this process: its exit code, what it prints, and what it says of errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench", "log", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return run


def by_name(run: Run) -> dict[str, Entry]:
    """What trackers are told of each cell, by strategy."""
    place = place_of(run.directory)
    return {str(record.cell["strategy"]): entry_of(record, place) for record in run.records}


def curve(record: Record, which: str, name: str) -> list[tuple[int, float]]:
    return [(p["images"], p[name]) for p in record.curves if p["run"] == which and p.get(name) is not None]


# ------------------------------------------------------------------------------------------------- what is told


def test_an_entry_holds_what_was_run_and_what_came_out(run: Run) -> None:
    (record,) = (record for record in run.records if record.cell["strategy"] == "scratch")
    entry = by_name(run)["scratch"]
    assert entry.metrics["test/accuracy"] == record.metrics["accuracy"]
    assert entry.metrics["cost/fit_seconds"] == record.costs["fit_seconds"]
    assert entry.parameters["strategy"] == "scratch"
    assert entry.parameters["n"] == record.n
    for name, value in record.hyperparameters.items():
        assert entry.parameters[f"hyperparameters.{name}"] == value
    for name in ("train_loss", "val_accuracy"):
        wanted = curve(record, "search", name)
        assert [(point.step, point.value) for point in entry.curves[f"search/{name}"]] == wanted
        assert wanted
    (chosen,) = (trial for trial in record.trials if trial["chosen"])
    assert entry.metrics["validation/log_loss"] == chosen["val_log_loss"]
    assert by_name(run)["full_finetune"].error == "loss is not finite"
    assert not by_name(run)["full_finetune"].curves


def test_a_cell_that_was_skipped_has_not_failed(run: Run) -> None:
    record = run.records[0]
    record.status, record.error = "skipped", {"message": "there is nothing to transfer"}
    entry = entry_of(record, place_of(run.directory))
    assert (entry.error, entry.tags["skipped"]) == ("", "there is nothing to transfer")


def test_no_path_of_this_machine_is_told(run: Run) -> None:
    record = run.records[0]
    record.cell |= {"dataset": "/home/me/private/photos", "weights": "/home/me/net.keras"}
    said = repr(entry_of(record, place_of(run.directory)))
    assert "/home/me" not in said
    assert "net.keras" in said


def test_a_run_is_known_by_its_name_and_data_wherever_it_lies(run: Run, tmp_path: Path) -> None:
    known = place_of(run.directory).id
    (tmp_path / "elsewhere").mkdir()
    moved = run.directory.rename(tmp_path / "elsewhere" / "first")
    assert place_of(moved).id == known
    assert place_of(moved.rename(tmp_path / "second")).id != known


# ---------------------------------------------------------------------------------------- read back by their own


def test_tensorboard_has_the_numbers_of_the_records(run: Run, command: Command) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra [tensorboard]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    code, said, _ = command(run.directory, "--to", "tensorboard")
    assert (code, said.partition(". ")[0]) == (0, "3 cells logged, 0 there already")
    assert log(run, "tensorboard").new == 0
    assert len(list(run.directory.glob("tensorboard/*/*"))) == len(run.records)
    for record in run.records:
        (path,) = run.directory.glob(f"tensorboard/*/*.{record.cell_id}")
        read = EventAccumulator(str(path.parent))
        read.Reload()
        entry = by_name(run)[record.cell["strategy"]]
        assert set(read.Tags()["scalars"]) == {*entry.metrics, *entry.curves}
        for name, value in entry.metrics.items():
            (event,) = read.Scalars(name)
            assert event.value == np.float32(value)
        for name, points in entry.curves.items():
            assert [(e.step, e.value) for e in read.Scalars(name)] == [
                (p.step, np.float32(p.value)) for p in points
            ]
        began = HParamsPluginData.FromString(
            read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        ).session_start_info
        assert began.hparams["strategy"].string_value == entry.parameters["strategy"]
        assert began.hparams["fraction"].number_value == 1.0


def test_a_cell_that_was_run_again_takes_the_place_of_the_failed_one(run: Run) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra [tensorboard]")
    log(run, "tensorboard")
    (failed,) = (record for record in run.records if record.status != "ok")
    failed.metrics, failed.status = {"accuracy": 0.5}, "ok"
    store = Store(run.directory)
    with store.writing():
        store.write(failed)
    os.utime(run.directory / "cells" / f"{failed.cell_id}.json", (2e9, 2e9))
    assert log(load(run.directory), "tensorboard").new == 1
    assert len(list(run.directory.glob("tensorboard/*/*"))) == len(run.records)


def test_mlflow_has_the_numbers_of_the_records(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="needs the extra [mlflow]")
    pytest.importorskip("sqlalchemy", reason="needs mlflow, which has a database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    from mlflow import MlflowClient

    for path in run.directory.glob(
        "cells/*.json"
    ):  # cells of a run that is logged while it runs begin later than it
        os.utime(path, (2e9, 2e9))
    assert log(run, "mlflow").new == len(run.records)
    assert log(run, "mlflow").known == len(run.records)
    client = MlflowClient()
    experiment = client.get_experiment_by_name("transfer-bench")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    (parent,) = (one for one in found if "mlflow.parentRunId" not in one.data.tags)
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["results.csv"]
    assert len(found) == 1 + len(run.records)
    for one in found:
        if one is parent:
            continue
        entry = by_name(run)[one.data.params["strategy"]]
        assert one.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert one.info.status == ("FAILED" if entry.error else "FINISHED")
        assert {name: one.data.metrics[name] for name in entry.metrics} == dict(entry.metrics)
        assert one.data.params["fraction"] == "1.0"
        for name, points in entry.curves.items():
            history = client.get_metric_history(one.info.run_id, name)
            assert [(m.step, m.value) for m in history] == [(p.step, p.value) for p in points]


def test_shards_that_begin_at_once_share_a_run_in_mlflow(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="needs the extra [mlflow]")
    pytest.importorskip("sqlalchemy", reason="needs mlflow, which has a database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    from bench.trackers import mlflow

    trackers = [mlflow.MLflow(place_of(run.directory)) for _ in range(2)]
    client = trackers[0]._client
    experiment = client.create_experiment("transfer-bench")
    both_see_none = Barrier(2)

    def found(self: Any, *arguments: Any) -> list[Any]:
        seen = original(self, *arguments)
        if not seen:
            both_see_none.wait(30)
        return seen

    original = mlflow.MLflow._found
    monkeypatch.setattr(mlflow.MLflow, "_found", found)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda one: one._parent, trackers)
    assert first == second == (experiment, client.search_runs([experiment])[0].info.run_id)
    assert len(client.search_runs([experiment])) == 1


def stored_by_wandb(path: Path) -> Iterator[bytes]:
    """The records of an offline run: LevelDB's log format, behind seven bytes that say whose it is."""
    data, place, begun = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if (left := BLOCK - place % BLOCK) < 7:
            place += left
            continue
        size, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        part = data[place + 7 : place + 7 + size]
        place += 7 + size
        begun = part if kind in (WHOLE, FIRST) else begun + part
        if kind in (WHOLE, LAST):
            yield begun


@pytest.fixture
def wandb_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="needs the extra [wandb]")
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.mark.usefixtures("wandb_offline")
def test_wandb_is_told_nothing_of_the_machine_and_its_files_stay_in_the_run(run: Run, tmp_path: Path) -> None:
    log(run, "wandb")
    files = {path.name for path in run.directory.glob("wandb/*/files/*")}
    assert files == {"results.csv"}
    for path in run.directory.glob("wandb/*/*.wandb"):
        for data in stored_by_wandb(path):
            assert str(tmp_path).encode() not in data
            assert sys.executable.encode() not in data


@pytest.mark.usefixtures("wandb_offline")
def test_what_wandb_was_told_in_part_is_told_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.trackers import wandb

    def stops(entry: Entry) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(wandb, "_rows", stops)
        with pytest.raises(KeyboardInterrupt):
            log(run, "wandb")
    assert log(run, "wandb").new == len(run.records)


BLOCK, WHOLE, FIRST, LAST = 2**15, 1, 2, 4


def test_wandb_has_the_numbers_of_the_records(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="needs the extra [wandb]")
    from wandb.proto.wandb_internal_pb2 import Record as Stored

    monkeypatch.setenv("WANDB_MODE", "offline")
    assert log(run, "wandb").new == len(run.records)
    assert log(run, "wandb").known == len(run.records)
    seen = {}
    for path in run.directory.glob("wandb/offline-run-*/*.wandb"):
        rows, summary, kind = [], {}, ""
        for data in stored_by_wandb(path):
            stored = Stored.FromString(data)
            if stored.WhichOneof("record_type") == "history":
                items = stored.history.item
                rows.append({item.key or item.nested_key[0]: json.loads(item.value_json) for item in items})
            elif stored.WhichOneof("record_type") == "summary":
                summary |= {i.key or i.nested_key[0]: json.loads(i.value_json) for i in stored.summary.update}
            elif stored.WhichOneof("record_type") == "run":
                kind = stored.run.job_type or kind
        if kind == "cell":
            seen[summary["cell"]] = (rows, summary)
    assert set(seen) == {record.cell_id for record in run.records}
    for entry in by_name(run).values():
        rows, summary = seen[entry.id]
        assert {name: summary[name] for name in entry.metrics} == dict(entry.metrics)
        for name, points in entry.curves.items():
            logged_ = [(row["images seen"], row[name]) for row in rows if name in row]
            assert logged_ == [(p.step, p.value) for p in points]


# ------------------------------------------------------------------------------------------------------ mistakes


def test_another_name_and_a_missing_package_are_one_message(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    code, _, said = command(run.directory, "--to", "mlfow")
    assert (code, said.count("\n")) == (2, 1)
    assert "Did you mean 'mlflow'?" in said
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    for name in base.TRACKERS:
        code, _, said = command(run.directory, "--to", name)
        assert (code, said.count("\n")) == (2, 1)
        assert f"pip install 'transfer-bench[{name}]'" in said


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_no_link_of_a_run_directory_is_followed(run: Run, tmp_path: Path, name: str) -> None:
    pytest.importorskip(name, reason=f"needs the extra [{name}]")
    (tmp_path / "elsewhere").mkdir()
    (run.directory / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RequestError, match="no link is followed"):
        log(run, name)
    assert not list((tmp_path / "elsewhere").iterdir())


class Memory(Tracker):
    """Keeps what it is told; a server that is away if ``away``."""

    name, package, away = "memory", "json", False
    entries: Sequence[Entry] = ()
    answers: Sequence[str] = ()

    @property
    def where(self) -> str:
        return "memory"

    def log(self, entry: Entry) -> bool:
        if Memory.away:
            raise ConnectionError("nobody\nlistens")
        if entry.id in {known.id for known in Memory.entries}:
            return False
        Memory.entries = [*Memory.entries, entry]
        return True

    def finish(self, answer: str, files: Sequence[Path]) -> None:
        Memory.answers = [*Memory.answers, answer]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> type[Memory]:
    monkeypatch.setitem(base.TRACKERS, "memory", f"{__name__}:Memory")
    monkeypatch.setattr(Memory, "away", False)
    monkeypatch.setattr(Memory, "entries", ())
    monkeypatch.setattr(Memory, "answers", ())
    resolve = base.resolve_name
    monkeypatch.setattr(base, "resolve_name", lambda name: Memory if "Memory" in name else resolve(name))
    return Memory


def running(run: Run) -> Any:
    """A stand-in of ``bench.runs.run.run``: it tells of the first record alone, and returns all."""

    def one(reporter: Reporter) -> Run:
        reporter.begin(None, Store(run.directory), [], 1, None)  # type: ignore[arg-type]
        reporter.record(run.records[0])
        reporter.end()
        return run

    return one


def test_cells_are_logged_while_a_run_goes_on_and_the_rest_and_the_answer_after_it(
    run: Run, memory: type[Memory]
) -> None:
    told = []

    class Other(Reporter):
        def record(self, record: Record) -> None:
            told.append(record.cell_id)

    assert logged("memory", Other(), running(run)) is run
    assert told == [run.records[0].cell_id]
    assert memory.entries[0].id == run.records[0].cell_id
    assert len(memory.entries) == len(run.records)
    assert len(memory.answers) == 1
    assert logged(None, None, lambda reporter: run) is run


def test_several_trackers_are_told_at_once(run: Run, memory: type[Memory], command: Command) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra [tensorboard]")
    assert logged("memory,tensorboard", None, running(run)) is run
    assert len(memory.entries) == len(run.records)
    assert len(list(run.directory.glob("tensorboard/*/*"))) == len(run.records)
    code, out, _ = command(run.directory, "--to", "memory, tensorboard")
    assert (code, out.count("0 cells logged, 3 there already")) == (0, 2)
    answer = bench.log(run, to=["memory", "tensorboard"])
    assert str(answer) == out.rstrip()
    assert [done.known for done in answer.value] == [3, 3]


def test_one_wrong_tracker_of_several_is_told_before_the_first_cell(run: Run, memory: type[Memory]) -> None:
    with pytest.raises(RequestError, match="Did you mean 'mlflow'"):
        logged("memory,mlfow", None, running(run))
    assert not memory.entries


def test_a_server_that_is_away_stops_the_logging_and_not_the_run(
    run: Run, memory: type[Memory], caplog: pytest.LogCaptureFixture
) -> None:
    memory.away = True
    with caplog.at_level(logging.WARNING, "bench"):
        assert logged("memory", None, running(run)) is run
    (said,) = (record.getMessage() for record in caplog.records)
    assert "nobody listens" in said
    assert f"python -m bench log {run.directory} --to memory" in said
    with pytest.raises(RequestError, match="nobody listens"):
        log(run, "memory")


def test_a_tracker_that_cannot_be_made_stops_the_logging_and_not_the_run(
    run: Run, memory: type[Memory], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses(self: Memory, place: Any) -> None:
        raise ValueError("no such kind of address")

    monkeypatch.setattr(memory, "__init__", refuses)
    with caplog.at_level(logging.WARNING, "bench"):
        assert logged("memory", None, running(run)) is run
    assert ["no such kind of address" in record.getMessage() for record in caplog.records] == [True]


def test_a_missing_package_is_told_before_the_first_cell(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"transfer-bench\[mlflow\]"):
        logged("mlflow", None, running(run))
    with pytest.raises(RequestError, match="mlflow or tensorboard or wandb"):
        Live("nothing", Reporter())
