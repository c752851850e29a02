"""What cells will take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plans.loading import load_plan
from bench.records import Cell
from bench.runs.forecast import Forecast, _line, calibration, stages_of
from bench.runs.prepare import prepare
from bench.system.files import cache_dir
from strategies.lengths import batch_size_of

PLAN = {"datasets": ["digits"], "backbones": ["MobileNet:weights=none"], "image_size": 32, "seeds": 2}


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(tmp_path))
    return list(prepare(load_plan(PLAN)).cells)


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


def test_a_calibration_is_small_and_of_the_same_kinds(cells: list[Cell]) -> None:
    plan = load_plan(PLAN)
    small = list(prepare(calibration(plan)).cells)
    forecast = of(cells)
    assert sum(map(forecast.work, small)) < 0.1 * sum(map(forecast.work, cells))
    for cell in small:
        forecast.add(cell, 10.0)
    assert forecast.seconds(cells)[1] is True
