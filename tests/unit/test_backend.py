"""Keras backends: asked for, refused in one message before anything starts, and part of the plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.errors import RequestError
from bench.plans.loading import load_plan, read_stored_plan
from bench.runs.prepare import prepare
from bench.runs.run import default_out
from bench.system import backend, machine

PLAN: dict[str, Any] = {
    "datasets": ["digits"],
    "strategies": ["majority"],
    "fractions": [0.1],
    "seeds": 1,
    "image_size": 32,
}


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "is_installed", lambda name: name == "tensorflow")


@pytest.mark.parametrize("command", ["run", "plan"])
def test_nonsense_is_one_message_before_anything_starts(
    cli: Callable[..., Any], tmp_path: Path, command: str
) -> None:
    result = cli(command, "--dataset", "digits", env={"KERAS_BACKEND": "tensorfow"}, cwd=tmp_path)
    assert result.rc == 2
    assert result.stdout == ""
    assert result.stderr.strip() == (
        "bench: KERAS_BACKEND must be tensorflow, torch or jax (got 'tensorfow'). Did you mean 'tensorflow'?"
    )
    assert not list(tmp_path.iterdir())


def test_what_needs_no_backend_does_not_ask_for_one(cli: Callable[..., Any]) -> None:
    assert cli("ls", "strategies", env={"KERAS_BACKEND": "nonsense"}).rc == 0


@pytest.mark.usefixtures("without_torch")
def test_a_backend_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(RequestError) as caught:
        bench.run(PLAN, tmp_path / "out")
    assert str(caught.value) == (
        "KERAS_BACKEND must be a backend that is installed (got 'torch'). "
        'Run: pip install "transfer-bench[torch]"'
    )
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()
    monkeypatch.delenv("KERAS_BACKEND")
    with pytest.raises(RequestError, match=r"^backend must .*transfer-bench\[jax\]"):
        prepare(load_plan({**PLAN, "backend": "jax"}))


def test_looking_for_a_backend_does_not_load_it(python: Callable[..., Any]) -> None:
    code = (
        "import sys; from bench.system import backend\n"
        "print([backend.is_installed(name) for name in (*backend.BACKENDS, 'nonsense')])\n"
        "assert not {'keras', *backend.BACKENDS} & set(sys.modules)"
    )
    result = python("-c", code)
    assert result.rc == 0, result.stderr
    assert result.stdout.startswith("[True, ")
    assert result.stdout.strip().endswith("False]")


def test_the_plan_says_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(backend, "is_installed", lambda name: True)
    usual = load_plan(PLAN)
    assert usual.backend == "tensorflow"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    plan = load_plan(PLAN)
    assert plan.backend == "torch"
    assert default_out(plan) != default_out(usual)
    assert load_plan({**PLAN, "backend": "tensorflow"}) == usual  # the plan counts before the shell
    (cell,) = prepare(plan).cells
    assert cell.backend == "torch"

    monkeypatch.delenv("KERAS_BACKEND")
    (tmp_path / "plan.toml").write_text(plan.to_toml())
    assert load_plan(tmp_path / "plan.toml") == plan  # resumed in a shell that says nothing
    with pytest.raises(RequestError, match=r"backend must be .*'tensorfow'.* Did you mean 'tensorflow'"):
        load_plan({**PLAN, "backend": "tensorfow"})


def test_plans_stored_before_there_was_a_choice_are_tensorflow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    early = tmp_path / "plan.toml"
    lines = load_plan(PLAN).to_toml().splitlines(keepends=True)
    early.write_text("".join(line for line in lines if not line.startswith("backend =")))
    assert "backend" not in early.read_text()
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert read_stored_plan(early)["backend"] == "tensorflow"


@pytest.mark.parametrize("name", backend.BACKENDS)
def test_workers_get_the_threads_of_the_plan(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv(backend.THREADS[name], "7")
    monkeypatch.setenv("XLA_FLAGS", "--mine")
    found = machine.environment(name, 2)
    assert found["KERAS_BACKEND"] == name
    assert {found["OMP_NUM_THREADS"], found[backend.THREADS[name]]} == {"2"}
    assert found["XLA_FLAGS"].startswith("--mine")
    assert (found["XLA_FLAGS"] != "--mine") == (name == "jax")
