"""``bench pretrain`` around the training: what is refused, what is said, and that a source is whole or absent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.backbones.own import BEFORE, MAJORITY, PIXELS, read_source
from bench.commands.pretraining.card import verdict
from bench.commands.pretraining.pretrain import pretrain
from bench.datasets import open_dataset
from bench.errors import BenchError, RequestError, RunLocked
from bench.execution.local import LocalExecutor
from bench.execution.queue import Queue
from bench.modalities.image.input import ImageInput
from bench.records import Cell, Record

BACKBONE = "MobileNet:alpha=0.25"
SETTINGS = {"image_size": 32, "epochs": 2}
RIGHT = {"source": 0.9, MAJORITY: 0.1, PIXELS: 0.8, BEFORE: 0.3}


def _answers(labels: np.ndarray, right: float) -> np.ndarray:
    wrong = np.arange(len(labels)) >= round(right * len(labels))
    return np.where(wrong, (labels + 1) % 10, labels)


class Training:
    """Stands in for the worker: every accuracy as told."""

    def __init__(self) -> None:
        self.right = dict(RIGHT)
        self.raises: BaseException | None = None
        self.status = "ok"
        self.cells: list[Cell] = []

    def run(self, executor: LocalExecutor, queue: Queue, latencies: dict[str, Any]) -> Iterator[Record]:
        cell = queue.take(0)
        assert cell is not None
        self.cells.append(cell)
        assert executor.after is not None
        _, folder = executor.after
        (folder / "backbone.weights.h5").write_bytes(b"weights")
        if self.raises:
            raise self.raises
        labels = open_dataset("digits", ImageInput(32)).test.labels
        names = [MAJORITY, PIXELS, BEFORE]
        answers = np.stack([_answers(labels, self.right[name]) for name in names])
        np.savez(folder / "baselines.npz", names=names, answers=answers)
        path = executor.store.temporary_predictions_path(cell.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        probabilities = np.eye(10)[_answers(labels, self.right["source"])]
        np.savez(path, probabilities=probabilities, labels=labels, ids=np.arange(len(labels)).astype(str))
        record = Record(cell.id, asdict(cell), self.status, n=1438, n_train=1150, n_val=288)  # type: ignore[arg-type]
        record.curves = [{"run": "refit", "epoch": 2}]
        record.costs = {"wall_seconds": 3.0}
        record.provenance = executor.provenance
        record.error = None if self.status == "ok" else {"type": "oom", "message": "too large"}
        yield record


@pytest.fixture(autouse=True)
def training(monkeypatch: pytest.MonkeyPatch) -> Training:
    training = Training()
    monkeypatch.setattr(LocalExecutor, "run", lambda self, *arguments: training.run(self, *arguments))
    monkeypatch.setattr(LocalExecutor, "time_batches", lambda self, jobs: [None] * len(jobs))
    return training


def _pretrain(out: Path, **options: Any) -> Any:
    return pretrain("digits", BACKBONE, out, **{"settings": SETTINGS, **options})


def test_a_source_holds_all_that_is_known_of_it(training: Training, tmp_path: Path) -> None:
    source = _pretrain(tmp_path / "a" / "digits32")
    folder = tmp_path / "a" / "digits32"
    names = {"backbone.weights.h5", "source.json", "card.md", "images.npz"}
    assert {path.name for path in folder.iterdir()} == names
    assert {path.name for path in folder.parent.iterdir()} == {"digits32"}  # nothing hidden is left
    assert read_source(f"source:{folder}") == source
    assert source.learned
    assert source.accuracy == pytest.approx(323 / 359)
    assert source.low < 0.88 < 0.92 < source.high
    assert (source.data.n, source.data.n_test) == (1438, 359)
    assert list(source.hashes()) == ["32-crop"]
    (cell,) = training.cells
    assert (cell.strategy, cell.fraction, cell.epochs, cell.tuning["trials"]) == ("scratch", 1.0, 2, 1)
    card = (folder / "card.md").read_text()
    assert "weights source:digits32" in card
    assert "more than a linear model on small images, " in card


@pytest.mark.parametrize(
    ("right", "learned", "words"),
    [
        ({}, True, "It classifies 90.0% of the 359 held-out images"),
        ({"source": 0.11}, False, "Nothing was learned"),
        (
            {"source": 0.31, PIXELS: 0.25},
            False,
            "not beyond noise more than a linear model on the untrained backbone, 30.1%",
        ),
        ({"source": 0.9, PIXELS: 0.9}, True, "linear model on small images is about as good"),
        (
            {"source": 0.5, PIXELS: 0.9},
            False,
            "not beyond noise more than a linear model on small images, 90.0%",
        ),
        ({"source": 0.9, MAJORITY: 0.89, BEFORE: 0.1}, False, "more than the most frequent class"),
    ],
)
def test_what_was_learned_is_measured_against_what_needs_no_training(
    training: Training, tmp_path: Path, right: dict[str, float], learned: bool, words: str
) -> None:
    training.right |= right
    source = _pretrain(tmp_path / "source")
    assert source.learned is learned
    assert words in verdict(source)
    assert ("Nothing was learned" in (tmp_path / "source" / "card.md").read_text()) is not learned


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BenchError("worker"), OSError(28, "No space left")])
def test_whatever_ends_it_leaves_nothing(training: Training, tmp_path: Path, error: BaseException) -> None:
    training.raises = error
    with pytest.raises(type(error)):
        _pretrain(tmp_path / "source")
    assert list(tmp_path.iterdir()) == []


def test_a_training_without_a_result_leaves_nothing(training: Training, tmp_path: Path) -> None:
    training.status = "oom"
    with pytest.raises(BenchError, match="ended as oom: too large"):
        _pretrain(tmp_path / "source")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_one_left_is_swept(tmp_path: Path) -> None:
    left = tmp_path / ".tmp-source"
    (left / "deeper").mkdir(parents=True)
    (left / "backbone.weights.h5").write_bytes(b"half")
    _pretrain(tmp_path / "source")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    assert not (tmp_path / "source" / "deeper").exists()


def test_two_at_once_do_not_meet(training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner: list[type[BaseException]] = []
    once = training.run

    def run(*arguments: Any) -> Iterator[Record]:
        if not inner:
            inner.append(BaseException)
            with pytest.raises(RunLocked, match="another process is writing this source") as error:
                _pretrain(tmp_path / "source")
            inner.append(error.type)
        return once(*arguments)

    monkeypatch.setattr(training, "run", run)
    _pretrain(tmp_path / "source")
    assert inner == [BaseException, RunLocked]
    assert read_source(f"source:{tmp_path / 'source'}").learned


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"backbone": "MobileNet:weights=imagenet"}, "backbone", "Say what it starts from with --weights"),
        ({"backbone": "MobilNet"}, "backbone", "Did you mean 'MobileNet'?"),
        ({"weights": "imagnet"}, "backbone", "Did you mean 'imagenet'?"),
        ({"weights": "source:/nowhere"}, "backbone", "/nowhere/source.json cannot be read"),
        ({"settings": {"seeds": 3}}, "--set", "a key other than"),
        ({"settings": {"strategies": ["majority"]}}, "--set", "a key other than"),
        ({"settings": {"epoch": 3}}, "epoch", "Did you mean 'epochs'?"),
        ({"settings": {"image_size": 16}}, "image_size", "at least 32 for MobileNet"),
        ({"dataset": "digit"}, "dataset", "digits"),
    ],
)
def test_requests_that_cannot_be_carried_out(
    training: Training, tmp_path: Path, options: dict[str, Any], field: str, words: str
) -> None:
    content = {"dataset": "digits", "backbone": BACKBONE, "settings": SETTINGS, **options}
    with pytest.raises(RequestError) as error:
        pretrain(out=tmp_path / "source", **content)
    assert error.value.field == field
    assert words in str(error.value)
    assert training.cells == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(training: Training, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(RequestError, match="a folder that does not exist yet"):
        _pretrain(tmp_path / "source")
    assert training.cells == []


def test_a_path_that_no_plan_could_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="',NAME='") as error:
        _pretrain(tmp_path / "a,alpha=1")
    assert error.value.field == "out"


def test_one_trial_whatever_else_of_tuning_is_set(training: Training, tmp_path: Path) -> None:
    _pretrain(tmp_path / "source", settings={**SETTINGS, "tuning": {"algorithm": "grid"}})
    assert training.cells[0].tuning == {"algorithm": "grid", "trials": 1}


def test_a_source_of_a_source_knows_the_images_of_both(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _pretrain(tmp_path / "first")
    more = {"40-crop": np.ones((1, 16), np.uint8), "32-crop": np.full((1, 16), 2, np.uint8)}
    np.savez(tmp_path / "first" / "images.npz", **more)  # type: ignore[arg-type]
    second = _pretrain(tmp_path / "second", weights=f"source:{first.directory}")
    assert training.cells[1].strategy == "full_finetune"
    assert training.cells[1].weights_sha256 == first.weights_sha256 == second.start_sha256
    hashes = second.hashes()
    assert set(hashes) == {"40-crop", "32-crop"}
    assert len(hashes["32-crop"]) == len(np.unique(read_hashes())) + 1
    assert "source: first" in (tmp_path / "second" / "card.md").read_text()


def read_hashes() -> np.ndarray:
    from bench.modalities.image.looks import square_hashes

    return np.array(
        [bytes(row).hex() for row in square_hashes(open_dataset("digits", ImageInput(32)).pool.data)]
    )


def test_the_command_line_says_it_and_how_it_ended(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    from bench.cli.app import main

    def command(out: str, *more: str) -> Any:
        arguments = ["pretrain", "digits", "--backbone", BACKBONE, "--out", str(tmp_path / out)]
        monkeypatch.setattr(sys, "argv", ["bench", *arguments, "--image-size", "32", *more])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, capsys.readouterr()

    code, said = command("good", "--trials", "2", "--set", "augmentation=none")
    assert code == 0
    assert f"--weights source:{tmp_path / 'good'}" in said.out
    assert training.cells[0].tuning["trials"] == 2
    assert training.cells[0].examples["augmentation"] == "none"
    assert training.cells[0].epochs == 60
    training.right["source"] = 0.1
    code, said = command("dull")
    assert code == 1
    assert "Nothing was learned" in said.out
    assert json.loads((tmp_path / "dull" / "source.json").read_text())["learned"] is False
    training.raises = KeyboardInterrupt()
    code, said = command("none")
    assert code == 130
    assert "Nothing was written" in said.err
    assert not (tmp_path / "none").exists()
    code, said = command("good")
    assert code == 2
    assert "a folder that does not exist yet" in said.err
