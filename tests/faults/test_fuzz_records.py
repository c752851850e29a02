"""Ten thousand damaged run directories: a message or a result; no traceback, no code, no number out of range."""

from __future__ import annotations

import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import BenchError
from bench.plans.loading import load_plan, read_stored_plan
from bench.runs.results import load
from bench.store import Store
from reports import compare
from reports.pages import ask, page_of
from reports.recommend import text
from reports.results import Results
from tests.faults.mutations import copied, mutate
from tests.report import fake

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "ece")
SECONDS = 10
"""After which reading a few kilobytes counts as hanging."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run directory with all kinds of files."""
    directory = tmp_path_factory.mktemp("fuzz") / "sound"
    found = fake.records(
        strategies=("scratch", "full_finetune"),
        fractions=(0.5, 1.0),
        seeds=1,
        pool=80,
        test=24,
        classes=3,
        points=2,
    )
    store = Store(directory)
    for record in found:
        store.write(record)
    fake.write_predictions(found, directory, classes=3)
    plan = {
        "datasets": ["/data/clothing"],
        "backbones": ["MobileNet:alpha=0.25"],
        "strategies": ["scratch", "full_finetune"],
        "fractions": [0.5, 1.0],
        "seeds": 1,
    }
    store.write_plan(load_plan(plan).to_toml())
    info = fake.run_info(found, classes=3)
    store.write_run(info | {"cells": [record.cell_id for record in found], "counterparts": {}, "plugins": {}})
    return directory


def read_all(directory: Path, beside: Path, seen: set[str]) -> None:
    """Does to a run directory what every command that reads one does, but for drawing figures.

    What reads like an earlier one (a damaged record is none, whatever the damage) is not answered once more.
    """
    run, other = load(directory), load(beside)
    run.settings, other.settings  # noqa: B018  (every command reads them first)
    assert_in_range(run.results)
    info, plan_toml = run._provenance()
    store = Store(directory)
    arrays = [store.arrays(path.stem) for path in sorted((directory / "predictions").glob("*"))]
    known = repr(([vars(record) for record in run.records], {**info, "notes": 0}, plan_toml, arrays))
    if known in seen:
        return
    seen.add(known)
    results = Results(run.records, info, plan_toml, directory, ranking=store.read_ranking())
    page = page_of(results)
    for table in page.tables.values():
        table(results)
    for question in page.questions:
        ask(question, results)
    len(run.curves)
    plans = [
        read_stored_plan(path) if (path := folder / "plan.toml").exists() else {}
        for folder in (directory, beside)
    ]
    infos = (store.read_run(), Store(beside).read_run())
    frames = (run.results, other.results)
    for way in (slice(None), slice(None, None, -1)):
        first, second = frames[way], (directory, beside)[way]
        compare.text(compare.compare(first, second, tuple(plans[way]), 0.01, infos[way]))
    text(run.recommend()), run.cautions


def assert_in_range(results: Any) -> None:
    for name in METRICS:
        values = results[name].dropna().to_numpy(float)
        assert ((values >= -1e-6) & (values <= 1 + 1e-6)).all(), f"{name} of {values}"
    for name in ("tune_seconds", "fit_seconds", "total_seconds", "n", "params"):
        values = results[name].dropna().to_numpy(float)
        assert (np.isfinite(values) & (values >= 0)).all(), f"{name} of {values}"


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fault(action: Callable[[], None]) -> str:
    """What went wrong, by where; empty if it ended as it may."""
    try:
        with limited(SECONDS):
            action()
    except BenchError as error:
        return "" if error.exit_code in (1, 2) and str(error).strip() else f"no message: {error!r}"
    except Exception as error:
        last = [
            f
            for f in traceback.extract_tb(error.__traceback__)
            if "/bench/" in f.filename or "/reports/" in f.filename
        ]
        place = f"{Path(last[-1].filename).name}:{last[-1].name}" if last else "test"
        return f"{type(error).__name__} in {place}"
    return ""


def faults(sound: Path, tmp_path: Path, seeds: range) -> Counter[str]:
    """The faults of so many mutations, counted by where they come up."""
    mark, found, seen = tmp_path / "mark", Counter[str](), set[str]()
    for seed in seeds:
        directory = copied(sound, tmp_path / "run")
        how = mutate(directory, seed, mark)
        if wrong := fault(lambda: read_all(directory, sound, seen)):  # noqa: B023
            found[wrong] += 1
            if found[wrong] == 1:
                print(f"{wrong}: {how}")
        assert not mark.exists(), how
    return found


def test_a_damaged_directory_is_a_message_or_a_result(sound: Path, tmp_path: Path) -> None:
    assert not fault(lambda: read_all(sound, sound, set()))
    assert faults(sound, tmp_path, range(100)) == {}


@pytest.mark.slow
def test_ten_thousand_damaged_directories(sound: Path, tmp_path: Path) -> None:
    assert faults(sound, tmp_path, range(10_000)) == {}
