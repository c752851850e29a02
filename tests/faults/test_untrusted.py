"""A run directory of somebody else: what is in it, and what lies beside it, is data and never code."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

import bench
from bench.commands.export import export as exporting
from bench.commands.export.export import export
from bench.errors import BenchError, RecordError, RequestError
from bench.plans.strategies import get_strategy
from bench.records import Cell
from bench.runs import repeat as repeating
from bench.runs.repeat import repeat
from reports.recommend import Constraints
from tests.faults.mutations import PAYLOAD, copied, places

TRAPS = (
    "keras", "numpy", "pandas", "tensorflow", "typing", "typer", "pydantic", "jinja2", "rich", "matplotlib",
    "scipy", "sklearn", "psutil", "joblib", "csv", "json", "tempfile", "strategies/__init__",
    "reports/__init__", "evil",
)  # fmt: skip
"""Modules that a folder may hold, in the hope that they are taken for the real ones."""
STRATEGIES = ("scratch", "logistic")
UNUSED = (
    "curves",
    "provenance",
    "similarity",
    "costs",
    "metrics",
    "warnings",
    "findings",
    "versions",
    "hardware",
)
"""Of which neither export nor repetition reads anything; what a report does with them is fuzzed."""


class Reached(Exception):
    """All checks were passed: now a worker, or train.py, would run."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small_file: Path) -> bench.Run:
    plan = {
        "datasets": ["digits"], "backbones": [f"Conv4:filters=8,weights={small_file}"],
        "strategies": list(STRATEGIES), "fractions": [1.0], "seeds": 1, "length": 0.05, "image_size": 32,
        "tuning": {"trials": 1},
    }  # fmt: skip
    return bench.run(plan, tmp_path_factory.mktemp("run") / "sound", workers=2)


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that code would leave; that there is none is asserted at the end."""

    def is_data(script: Path, *_: Any) -> None:
        names = {node.id for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Name)}
        assert "__import__" not in names, script.read_text()
        raise Reached

    def start(*_: Any, **__: Any) -> None:
        raise Reached

    monkeypatch.setattr(exporting, "run_script", is_data)
    monkeypatch.setattr(repeating, "LocalExecutor", start)
    path = tmp_path / "mark"
    yield path
    assert not path.exists()


def tampered(run: bench.Run, to: Path, name: str, mark: Path) -> Iterator[tuple[str, Path]]:
    """A copy of a run directory for each field of a file, with a text there that would leave a file as code."""
    source = run.directory / name
    read: Callable[[str], Any] = tomllib.loads if name.endswith(".toml") else json.loads
    write: Callable[[Any], str] = tomli_w.dumps if name.endswith(".toml") else json.dumps
    for way in places(read(source.read_text())):
        if way[0] in UNUSED or (way[0] == "trials" and way[1:2] == (1,)):
            continue
        content = read(source.read_text())
        *above, last = way
        parent = content
        for key in above:
            parent = parent[key]
        parent[last] = PAYLOAD.format(mark, mark)
        directory = copied(run.directory, to)
        path = directory / name
        if way[0] == "cell":  # signed again: a careful vandal
            try:
                content["cell_id"] = Cell.of(content["cell"]).id
            except (TypeError, AttributeError, ValueError):
                continue
            path.unlink()
            path = path.with_name(f"{content['cell_id']}.json")
            planned = json.loads((directory / "run.json").read_text())
            planned["cells"].append(content["cell_id"])
            (directory / "run.json").write_text(json.dumps(planned))
        path.write_text(write(content))
        yield ".".join(map(str, way)), directory


def use(directory: Path, strategy: str, to: Path) -> None:
    """Whatever could run something of the directory: a result, or a message."""
    with contextlib.suppress(BenchError, Reached):
        export(directory, to / "export", Constraints(strategies=(strategy,)))
    for path in (directory / "cells").glob("*.json"):
        with contextlib.suppress(BenchError, Reached):
            repeat(path.stem, directory)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_text_in_any_field_of_a_record_stays_a_text(
    run: bench.Run, tmp_path: Path, mark: Path, strategy: str
) -> None:
    (mine,) = (record for record in run.records if record.cell["strategy"] == strategy)
    count = 0
    for _, directory in tampered(run, tmp_path / "run", f"cells/{mine.cell_id}.json", mark):
        use(directory, strategy, tmp_path)
        count += 1
    assert count > 40


@pytest.mark.parametrize("name", ["plan.toml", "run.json"])
def test_a_text_in_any_field_of_plan_and_run_stays_a_text(
    run: bench.Run, tmp_path: Path, mark: Path, name: str
) -> None:
    for place, directory in tampered(run, tmp_path / "run", name, mark):
        with contextlib.suppress(BenchError):
            bench.load(directory)._repr_html_()
            if "." not in place:
                use(directory, "logistic", tmp_path)


def test_sound_records_get_as_far_as_to_train(run: bench.Run, mark: Path, tmp_path: Path) -> None:
    for record in run.records:
        with pytest.raises(Reached):
            export(run.directory, tmp_path / "export", Constraints(strategies=(record.cell["strategy"],)))
        with pytest.raises(Reached):
            repeat(record.cell_id, run.directory)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", "0.1"), ("learning_rate", True), ("learning_rate", 1e6), ("learning_rate", -0.1),
        ("weight_decay", None), ("weight_decay", [0.1]), ("more", 1),
    ],
)  # fmt: skip
def test_a_hyperparameter_is_named_with_what_it_can_be(
    run: bench.Run, tmp_path: Path, mark: Path, name: str, value: Any
) -> None:
    directory = copied(run.directory, tmp_path / "run")
    (mine,) = (record for record in run.records if record.cell["strategy"] == "scratch")
    path = directory / "cells" / f"{mine.cell_id}.json"
    content = json.loads(path.read_text())
    content["hyperparameters"][name] = value
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=rf"{mine.cell_id}\.json: hyperparameters\.{name} must be .*got"):
        export(directory, tmp_path / "export", Constraints(strategies=("scratch",)))


# ----------------------------------------------------------------------------------------------------- imports


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder of modules that leave a file when they are imported."""
    folder = tmp_path / "trap"
    for name in TRAPS:
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r} + ' ')\n")
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "run"], ["recommend", "run"], ["compare", "run", "run"], ["export", "run"], ["ls", "strategies"],
        ["run", "--cell", "CELL", "--from", "run"], ["plan", "run/plan.toml"], ["--help"],
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_nothing_of_the_current_folder_is_imported(
    run: bench.Run, trap: Path, tmp_path: Path, cli: Callable[..., Any], arguments: list[str]
) -> None:
    copied(run.directory, trap / "run")
    cell_id = next(record.cell_id for record in run.records if record.cell["strategy"] == "scratch")
    given = [cell_id if argument == "CELL" else argument for argument in arguments]
    result = cli(*given, cwd=trap, timeout=300)
    assert result.rc in (0, 1), result.stderr
    assert not (tmp_path / "imported").exists(), (tmp_path / "imported").read_text()


@pytest.mark.parametrize(
    "arguments", [["plan", "run/plan.toml"], ["run", "run/plan.toml"], ["plan", "elsewhere.toml"]]
)
def test_a_strategy_that_a_plan_names_is_imported_when_it_is_asked_for(
    run: bench.Run, trap: Path, tmp_path: Path, cli: Callable[..., Any], arguments: list[str]
) -> None:
    directory = copied(run.directory, trap / "run")
    plan = tomllib.loads((directory / "plan.toml").read_text()) | {"strategies": ["evil:Evil"]}
    for path in (directory / "plan.toml", trap / "elsewhere.toml"):
        path.write_text(tomli_w.dumps(plan))
    result = cli(*arguments, cwd=trap)
    assert result.rc == 2
    assert "evil:Evil" in result.stderr
    assert "--trust" in result.stderr
    assert not (tmp_path / "imported").exists()
    assert (
        cli("plan", "--dataset", "digits", "--strategy", "evil:Evil", cwd=trap).rc == 2
    )  # it has no such class
    assert (tmp_path / "imported").read_text() == "evil "
    cli(*arguments, "--trust", cwd=trap)
    assert (tmp_path / "imported").read_text() == "evil evil "


def test_a_strategy_that_a_record_names_is_not_imported(
    trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(trap))
    monkeypatch.setattr("bench.plans.strategies._ASKED", set())  # other tests ask for strategies
    with pytest.raises(RequestError, match="--trust"):
        get_strategy("evil:Evil")
    assert not (tmp_path / "imported").exists()


# ----------------------------------------------------------------------------------------------- surroundings


def test_private_stays_private(run: bench.Run, tmp_path: Path) -> None:
    directory = copied(run.directory, tmp_path / "run")
    for path in directory.rglob("*"):
        needed = path.name in ("plan.toml", "run.json") or path.parent.name in ("cells", "predictions")
        if path.is_file() and not needed:
            path.unlink()
    before = os.umask(0o077)
    try:
        bench.load(directory).report()
    finally:
        os.umask(before)
    written = [directory / "report.html", directory / "results.csv", *(directory / "figures").iterdir()]
    assert len(written) > 5
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}


def test_links_are_replaced_and_not_followed(run: bench.Run, tmp_path: Path) -> None:
    directory = copied(run.directory, tmp_path / "run")
    kept = tmp_path / "kept"
    kept.write_text("precious")
    names = [
        "report.html",
        "results.csv",
        *(f"figures/{path.name}" for path in (directory / "figures").iterdir()),
    ]
    for name in names:
        (directory / name).unlink()
        (directory / name).symlink_to(kept)
    bench.load(directory).report()
    assert kept.read_text() == "precious"
    assert not any((directory / name).is_symlink() for name in names)
