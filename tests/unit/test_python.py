"""``bench.run`` in a script and in a notebook: what it says, and what the run that it returns says."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import bench.cli.python
from bench.cli.progress import NotebookReporter
from bench.cli.python import in_notebook
from bench.cli.terminal import Steps
from bench.runs.results import Run


class Place:
    """Where a notebook shows something, and shows it anew."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def display(self, shows: dict[str, str], **options: Any) -> Place:
        assert options == {"raw": True, "display_id": True}
        return self.update(shows, raw=True)

    def update(self, shows: dict[str, str], raw: bool) -> Place:
        self.shown.append(shows["text/plain"])
        return self


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What runs without running anything; takes the reporters."""
    reporters: list[Any] = []

    def run_plan(plan: Any, out: Any, workers: Any, retry: Any, reporter: Any, **more: Any) -> Run:
        reporters.append(reporter)
        if reporter is not None:
            reporter.say("Preparing.")
        return Run(tmp_path, [])

    monkeypatch.setattr(bench.cli.python, "run_plan", run_plan)
    monkeypatch.setattr("bench.cli.progress.TerminalReporter.summary", lambda self, result: print("Use X."))
    return reporters


@pytest.mark.parametrize(("verbose", "words"), [(0, ""), (1, "Preparing.\nUse X.\n")])
def test_a_script_sees_progress_and_the_answer_unless_it_asks_for_silence(
    said: list[Any], capsys: pytest.CaptureFixture[str], verbose: int, words: str
) -> None:
    bench.run("digits", verbose=verbose)
    assert capsys.readouterr().out == words


def test_a_reporter_of_ones_own_hears_it_all(said: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []
    own: Any = SimpleNamespace(say=heard.append)
    bench.run("digits", reporter=own)
    assert said == [own]
    assert heard == ["Preparing."]
    assert capsys.readouterr().out == ""


def test_a_kernel_makes_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()
    for shell, expected in ((None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=1), True)):
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert in_notebook() == expected


def test_a_notebook_shows_progress_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython.display", place)
    reporter = NotebookReporter()
    reporter._print("[1/2] a")
    reporter._answer = ["use a."]
    reporter._print("  So far: use a.")
    reporter._print("[2/2] b")
    assert place.shown == ["[1/2] a", "[1/2] a\n  So far: use a.", "[2/2] b\n  So far: use a."]


def test_passing_steps_are_said_to_who_asks_or_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("bench.cli.terminal.time.monotonic", lambda: now[0])
    for level, expected in (
        (0, []),
        (1, ["Run directory: x", "It is.", "9 of 9 decoded"]),
        (2, ["Run directory: x", "1 of 9 decoded", "It is.", "9 of 9 decoded"]),
    ):
        heard: list[str] = []
        now[0] = 0.0
        step = Steps(level, heard.append)
        for text in ("Run directory: x", "1 of 9 decoded", "It is.", "9 of 9 decoded"):
            step(text)
            now[0] += 4
        assert heard == expected


def test_a_run_says_what_it_is(tmp_path: Path) -> None:
    assert str(Run(tmp_path, [])) == f"No result yet, in {tmp_path}."
    assert repr(Run(tmp_path, [])).endswith("0 cells.")
