"""Runs that end when they are decided, or when their time is up, with real cells and a real kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.errors import RequestError
from bench.store import Store

PLAN: dict[str, Any] = {
    "datasets": ["digits"], "backbones": ["Conv4:weights=none"], "image_size": 32, "fractions": [0.05, 0.1, 0.3],
    "strategies": ["majority", "nearest_pixel", "feature_extraction"], "length": 0.02, "tuning": {"trials": 1},
    "until": "decided",
}  # fmt: skip
"""Nearest pixels tell digits apart, and random features at a fiftieth of the length do not."""


def claims(directory: Path) -> Any:
    run = bench.load(directory)
    answer = run.recommend().to_json()
    for candidate in (
        answer["recommended"],
        answer["leader"],
        *(c["candidate"] for c in answer["comparisons"]),
    ):
        for cost in ("seconds", "latency_ms"):  # of the clock
            candidate.pop(cost)
    return answer


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("decided") / "run"
    bench.run(PLAN, out, workers=2)
    return out


def test_it_ends_when_it_is_decided_and_says_what_was_not_run(decided: Path) -> None:
    info = Store(decided).read_run()
    (course,) = info["course"].values()
    assert course["ended"] == "decided"
    assert info["looks"] == [3, 5, 10]
    records = bench.load(decided).records
    assert sorted(info["cells"]) == sorted(record.cell_id for record in records)
    assert len(records) + sum(course["left"].values()) == 3 * 3 * 10
    page = (decided / "report.html").read_text()
    assert "Cells that were not run" in page
    assert "It ended because the answer is decided." in page
    answer = claims(decided)
    assert (answer["decided"], answer["recommended"]["strategy"]) == (True, "nearest_pixel")
    # Of the recommended one there is a whole learning curve.
    place = {(r.cell["fraction"], r.cell["seed"]) for r in records if r.cell["strategy"] == "nearest_pixel"}
    assert place >= {(f, s) for f in PLAN["fractions"] for s in range(3)}


def test_a_second_time_there_is_nothing_to_do(decided: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (decided / "cells").iterdir()}
    bench.run(PLAN, decided, workers=1)
    assert before == {path: path.stat().st_mtime_ns for path in (decided / "cells").iterdir()}


def test_the_whole_grid_goes_on_from_there_and_makes_no_stronger_claim(decided: Path, tmp_path: Path) -> None:
    plain = bench.run({**PLAN, "until": "complete"}, tmp_path / "plain", workers=2, fresh=True)
    grown = bench.run({**PLAN, "until": "complete"}, decided, workers=2)
    numbers = [{r.cell_id: r.metrics for r in run.records} for run in (plain, grown)]
    assert numbers[0].items() <= numbers[1].items()
    bounds = [claims(run.directory)["recommended"]["at_most"] for run in (plain, grown)]
    assert bounds[1] >= bounds[0] - 1e-12


def test_killed_in_the_middle_it_goes_on_to_the_same_claim(tmp_path: Path, decided: Path) -> None:
    out, plan = tmp_path / "killed", tmp_path / "plan.json"
    plan.write_text(json.dumps(PLAN))
    code = (
        f"import bench, json; bench.run(json.load(open({str(plan)!r})), {str(out)!r}, workers=1, fresh=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and len([*(out / "cells").glob("*.json")]) < 4:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    there = len([*(out / "cells").glob("*.json")])
    assert there >= 4
    bench.run(PLAN, out, workers=2, fresh=True)
    first = tmp_path / "undisturbed"
    bench.run(PLAN, first, workers=1, fresh=True)
    assert claims(out) == claims(first)


def test_no_cell_begins_that_would_not_end_in_time_and_more_time_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    began = time.monotonic()
    bench.run({**PLAN, "budget": "1s"}, out, workers=1, fresh=True)
    assert time.monotonic() - began < 60
    (course,) = Store(out).read_run()["course"].values()
    assert course["ended"] == "budget"
    assert "--budget 1h" in (out / "report.html").read_text()
    run = bench.run({**PLAN, "budget": "1h"}, out, workers=2, fresh=True)
    (course,) = Store(out).read_run()["course"].values()
    assert course["ended"] == "decided"
    assert run.exit_code == 0


def test_shards_have_no_budget(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="left out beside"):
        bench.run(PLAN, tmp_path / "run", shard="1/2")
