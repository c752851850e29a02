"""What cells will take."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cli.show.forecast import forecast_lines
from bench.plans.loading import load_plan
from bench.records import Cell
from bench.runs.forecast import START, Forecast, _line, stages_of
from bench.runs.prepare import prepare
from bench.runs.timing import time_batches
from bench.system.files import cache_dir
from strategies.lengths import batch_size_of
from tests.unit.timings import timed

PLAN = {
    "datasets": ["digits"],
    "backbones": ["MobileNet:weights=none"],
    "image_size": 32,
    "fractions": [0.1, 0.3, 1.0],
    "seeds": 2,
}


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(tmp_path))
    found = prepare(load_plan(PLAN)).cells
    return [replace(c, weights="imagenet") if c.strategy != "scratch" and c.backbone else c for c in found]


def of(cells: list[Cell]) -> Forecast:
    return Forecast({cells[0].fingerprint: 1438})


def test_nothing_measured_nothing_known(cells: list[Cell]) -> None:
    assert of(cells).seconds(cells) == (0.0, False)
    majority = [cell for cell in cells if not cell.backbone]
    assert of(cells).seconds(majority) == (0.0, True)


def test_a_start_and_a_speed_are_found_and_kept(cells: list[Cell]) -> None:
    scratch = [cell for cell in cells if cell.strategy == "scratch" and cell.seed == 0]
    small, middle, large = sorted(scratch, key=lambda cell: cell.fraction)
    forecast = of(cells)
    for cell in (small, middle):
        forecast.add(cell, 7 + forecast.work(cell) / 500)
    forecast.save()
    seconds, known = of(cells).seconds([large])
    assert known
    assert seconds == pytest.approx(7 + forecast.work(large) / 500)
    assert of(cells).seconds(cells)[1] is False  # other strategies are not known
    other = replace(large, threads=2)
    assert of(cells).seconds([other]) == (0.0, False)


def test_few_labels_are_as_much_work_however_few_and_many_as_their_epochs(cells: list[Cell]) -> None:
    (one, *_) = [cell for cell in cells if cell.strategy == "scratch" and cell.seed == 0]
    (stage,) = stages_of(one)
    whole = replace(one, fraction=1.0)

    def of_labels(n: int, **changes: object) -> tuple[float, int]:
        forecast = Forecast({one.fingerprint: n})
        cell = replace(whole, **changes)  # type: ignore[arg-type]
        return forecast.work(cell), forecast.steps(cell)

    few, fewer, many = 100, 50, 2 * stage.steps * one.batch_size
    for n in (few, fewer):
        assert stage.steps <= of_labels(n)[1] < stage.steps + 20
        assert of_labels(n, epochs=1) == of_labels(n)
    size = batch_size_of(stage, few, one.batch_size)
    assert of_labels(few)[0] == size * of_labels(few)[1] * (one.tuning["trials"] + 1)
    assert of_labels(many)[1] == 2 * stage.steps * one.epochs
    assert of_labels(many, epochs=2 * one.epochs)[1] == 2 * of_labels(many)[1]
    for n in (few, many):
        assert of_labels(n, length=2.0) == tuple(2 * value for value in of_labels(n))


def test_what_is_no_schedule_is_counted_in_epochs(cells: list[Cell]) -> None:
    cell = replace(cells[0], strategy="knn", backbone="MobileNet", fraction=1.0)
    assert stages_of(cell) == []
    assert of(cells).steps(cell) == 0
    assert of(cells).work(cell) == 1438 * cell.epochs * (cell.tuning["trials"] + 1)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": [[1]]}', '{"a": [["x", 2]]}'])
def test_a_damaged_file_is_nothing_known(cells: list[Cell], content: str) -> None:
    (cache_dir() / "speeds.json").write_text(content)
    assert of(cells).seconds(cells) == (0.0, False)


@given(st.lists(st.tuples(st.floats(1, 1e7), st.just(0.0) | st.floats(1e-3, 1e5)), min_size=1, max_size=8))
def test_never_below_zero(measured: list[tuple[float, float]]) -> None:
    start, each = _line(measured)
    assert start >= 0
    assert each >= 0
    assert start + each > 0 or all(seconds == 0 for _, seconds in measured)


def test_timed_batches_make_all_kinds_known_once(cells: list[Cell]) -> None:
    forecast, said = of(cells), []
    untimed = forecast.untimed(cells)
    assert {cell.strategy for cell in untimed} == {cell.strategy for cell in cells if cell.backbone}
    time_batches(untimed, timed(), said.append)
    assert said == ["Timing batches of MobileNet for a forecast ..."]
    assert forecast.untimed(cells) == of(cells).untimed(cells) == []
    total, known = of(cells).seconds(cells)
    assert known
    assert total > sum(of(cells).seconds([cell])[0] for cell in cells) / 2  # what they share is paid once
    assert of(cells).untimed([replace(cells[0], threads=2)])
    time_batches([], timed(), said.append)
    assert len(said) == 1


def test_batches_are_not_timed_for_a_run_that_ends_within_seconds(cells: list[Cell]) -> None:
    short = [
        replace(cell, length=0.02, fraction=0.1, tuning={**cell.tuning, "trials": 1}) for cell in cells[:4]
    ]
    assert of(cells).is_short(short)
    assert of(cells).untimed(short) == []
    assert not of(cells).is_short(cells)
    assert of(cells).untimed(cells)


def test_timing_that_fails_leaves_it_unknown(cells: list[Cell]) -> None:
    failing: Any = SimpleNamespace(time_batches=lambda jobs: [None] * len(jobs))
    time_batches(of(cells).untimed(cells), failing, lambda text: None)
    assert of(cells).seconds(cells) == (0.0, False)


def test_what_was_measured_comes_before_what_is_reckoned_where_it_is_near(cells: list[Cell]) -> None:
    small, _, large = sorted(
        (cell for cell in cells if cell.strategy == "scratch" and cell.seed == 0),
        key=lambda cell: cell.fraction,
    )
    large = replace(large, length=10.0)
    forecast = of(cells)
    forecast.add(small, 1234.0)
    assert forecast.seconds([large])[1]  # for want of anything else
    time_batches(forecast.untimed([cells[0], large]), timed(), lambda text: None)
    assert forecast.seconds([small])[0] == pytest.approx(1234.0)
    assert forecast.is_measured([small])
    reckoned = of(cells)
    assert not forecast.is_measured([small, large])
    assert forecast.seconds([large]) == reckoned.seconds([large])


def test_workers_share_the_work_as_far_as_there_are_cores(
    cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast = of(cells)
    time_batches(forecast.untimed(cells), timed(), lambda text: None)
    total = forecast.seconds(cells)[0]
    monkeypatch.setattr("bench.system.machine.cores", lambda: 2)
    monkeypatch.setattr("bench.system.machine.gpus", list)
    assert forecast.elapsed(cells, 2)[0] == forecast.elapsed(cells, 8)[0] == pytest.approx(total / 2 + START)
    assert forecast.elapsed(cells, 1, started=True)[0] == pytest.approx(total)
    longest = max(cells, key=lambda cell: forecast.seconds([cell])[0])
    alone = forecast.seconds([longest])[0]
    assert forecast.elapsed([longest], 2, started=True)[0] == pytest.approx(alone)


def test_it_is_said_what_takes_long_and_what_will_be_ended(cells: list[Cell]) -> None:
    prepared: Any = SimpleNamespace(plan=load_plan({**PLAN, "limits": {"cell_seconds": 1000}}))
    forecast = of(cells)
    (line,) = forecast_lines(forecast, prepared, cells, 2)
    assert line.startswith("No forecast: nothing can be told of training from scratch, feature extraction")
    time_batches(forecast.untimed(cells), timed(steps=[(16, 0.6)]), lambda text: None)
    about, over = forecast_lines(forecast, prepared, cells, 2)
    assert re.fullmatch(
        r"About \d+ h \d\d min on 2 workers \(timed on this machine\)\. --budget 30m gives an answer sooner\.",
        about,
    )
    assert "would take longer than limits.cell_seconds (1000 s) and be ended: " in over
    assert "scratch on MobileNet" in over
    assert "feature_extraction" not in over
    (limit,) = re.findall(r"--set limits.cell_seconds=(\d+)", over)
    prepared.plan = load_plan({**PLAN, "limits": {"cell_seconds": int(limit)}})
    assert len(forecast_lines(forecast, prepared, cells, 2)) == 1
    time_batches([replace(cells[0], threads=2)], timed(steps=[(16, 0.001)]), lambda text: None)
    fast = [replace(cell, threads=2) for cell in cells if cell.strategy == "feature_extraction"]
    (short,) = forecast_lines(of(cells), prepared, fast, 1)
    assert short.startswith("About ")
    assert "--budget" not in short


def test_what_will_be_skipped_takes_nothing_and_needs_no_timing(cells: list[Cell]) -> None:
    without = [replace(cell, weights="none") for cell in cells if cell.strategy == "full_finetune"]
    assert of(cells).untimed(without) == []
    assert of(cells).seconds(without) == (0.0, True)


def test_what_cannot_be_reckoned_is_named(cells: list[Cell]) -> None:
    prepared: Any = SimpleNamespace(plan=load_plan(PLAN))
    odd = [cells[0], replace(cells[0], strategy="cycle_gan", weights="imagenet", companions={"source": {}})]
    time_batches(of(cells).untimed(odd), timed(), lambda text: None)
    about, *_ = forecast_lines(of(cells), prepared, odd, 1)
    assert "and more for CycleGAN" in about
