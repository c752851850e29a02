"""Runs that are packed for ``tests/benchmarks/replay.py``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import fake
import pytest

import bench
from bench.records import Cell
from bench.store import Store
from reports.statistics.answers import answers_of

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))
import packed
import replay


@pytest.fixture
def run(tmp_path: Path) -> Path:
    directory = tmp_path / "clothing"
    records = fake.records(strategies=("scratch", "full_finetune", "majority"), fractions=(0.1, 1.0))
    store = Store(directory)
    (directory / "cells").mkdir(parents=True)
    fake.write_predictions(records, directory)
    for record in records:
        store.write(record)
    store.write_plan(fake.plan_toml(records) + "\n[report]\nregion = 0.02\n")
    store.write_run({"looks": [3, 5]})
    return directory


def test_a_packed_run_answers_like_its_directory(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "clothing.json.gz"
    packed.pack(run, file)
    whole = bench.load(run)
    with packed.unpacked(file) as directory:
        again = bench.load(directory)
        assert not again.warnings
        assert again.settings.region == 0.02
        assert Store(directory).read_run()["looks"] == [3, 5]
        assert [r.metrics for r in again.records] == [r.metrics for r in whole.records]
        for record in whole.records:
            before, after = (answers_of(place, record.cell_id) for place in (run, directory))
            assert before is not None
            assert after is not None
            assert before.credits.sum() == after.credits.sum()
        assert replay.recommended(again.records, directory) == replay.recommended(whole.records, run)
    assert not directory.exists()


def test_what_probabilities_judge_is_not_packed(run: Path, tmp_path: Path) -> None:
    record = bench.load(run).records[0]
    record.cell["metric"] = "auroc"
    record.metrics["auroc"] = 0.5
    Store(run).write(replace(record, cell_id=Cell.of(record.cell).id))
    with pytest.raises(SystemExit, match=r"balanced_accuracy, macro_f1 can be packed"):
        packed.pack(run, tmp_path / "clothing.json.gz")


def test_a_packed_run_says_nothing_of_the_machine(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "clothing.json.gz"
    packed.pack(run, file)
    with packed.unpacked(file) as directory:
        stored = "".join(path.read_text() for path in directory.glob("cells/*.json"))
    assert "/data/" not in stored
    assert "Some CPU" not in stored


@pytest.mark.parametrize(
    "path", sorted((BENCHMARKS / "records").glob("*.json.gz")), ids=lambda path: path.name
)
def test_the_stored_runs_can_be_read(path: Path) -> None:
    assert path.stat().st_size < 200_000
    with packed.unpacked(path) as directory:
        run = bench.load(directory)
        assert not run.warnings
        assert replay.recommended(run.records, directory) is not None
        assert len(list(directory.glob("predictions/*.npz"))) == len(run.records)
