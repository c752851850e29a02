"""Ids of cells, results and pages are what they were when these values were kept; see ``golden.py``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from golden import HERE, cells, ids, kept, pages
from plans import SLOW, runs, write_data

import bench
from bench.plans.loading import load_plan
from bench.records import Cell, Record


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    write_data(folder)
    return folder


@pytest.fixture
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkout as the current folder, where a plan's own strategy is found."""
    monkeypatch.chdir(Path(__file__).parents[2])


@pytest.mark.usefixtures("_here")
def test_cells_have_their_ids(data: Path) -> None:
    assert ids(data) == kept("ids")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in runs(Path())],
)
def test_cells_give_the_same(name: str, data: Path, tmp_path: Path) -> None:
    found, before = cells(name, data, tmp_path / "run"), kept("cells")[name]
    assert found.keys() == before.keys()
    for strategy, now in found.items():
        then = before[strategy]
        for key in ("id", "status", "n", "trials"):
            assert now[key] == then[key], (strategy, key)
        assert now["metrics"] == pytest.approx(then["metrics"], abs=0.05)
        assert now["episodes"] == pytest.approx(then["episodes"], abs=0.05)


def test_pages_say_the_same(tmp_path: Path) -> None:
    found, before = pages(tmp_path), kept("pages")
    assert found.keys() == before.keys()
    for name, sections in found.items():
        assert list(sections) == list(before[name])
        for heading, numbers in sections.items():
            then = before[name][heading]
            assert list(map(_value, numbers)) == pytest.approx(list(map(_value, then)), rel=0.01), (
                name,
                heading,
            )


def _value(number: str) -> float:
    return float(number.replace(",", "").rstrip("%"))


@pytest.mark.parametrize("name", ["scratch", "few_shot", "adaptation", "auxiliary"])
def test_directories_of_older_versions_open_and_report(name: str, tmp_path: Path) -> None:
    """What version 0.1.0 wrote (records of schema 5) keeps its ids, its plan and its page."""
    directory = tmp_path / name
    shutil.copytree(HERE / "schema5" / name, directory)
    run = bench.load(directory)
    assert run.missing == 0
    assert {record.cell_id for record in run.records} == {
        path.stem for path in directory.glob("cells/*.json")
    }
    for record in run.records:
        assert Cell.of(record.cell).id == record.cell_id
        assert Record.from_json(json.dumps(record.to_json()), "again") == record
    assert set(run.results["status"]) == {"ok"}
    assert run.report().exists()
    assert load_plan(directory / "plan.toml").to_toml()
