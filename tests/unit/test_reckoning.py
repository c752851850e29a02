"""What cells take, reckoned from timed batches."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from bench.plans.loading import load_plan
from bench.records import Cell
from bench.runs.prepare import prepare
from bench.runs.reckoning import (
    BATCH_NORM,
    Bill,
    Counts,
    Timing,
    can_reckon,
    is_skipped,
    reckon,
    together,
    trials_of,
)
from strategies.lengths import batch_size_of, epochs_of, steps_an_epoch
from tests.unit.timings import TIMING

PLAN = {
    "datasets": ["digits"],
    "backbones": ["MobileNet:weights=none"],
    "image_size": 32,
    "seeds": 1,
    "fractions": [0.1, 1.0],
    "augmentation": "none",
}
COUNTS = Counts(n=200, n_source=0, n_pool=2000, n_test=500)


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cell:
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(tmp_path))
    cells = prepare(load_plan(PLAN)).cells
    scratch = next(cell for cell in cells if cell.strategy == "scratch" and cell.fraction < 1)
    return replace(scratch, weights="imagenet")


def seconds(cell: Cell, counts: Counts = COUNTS, timing: Timing = TIMING, **changes: object) -> float:
    return together([(reckon(replace(cell, **changes), timing, counts), 0)])  # type: ignore[arg-type]


def test_what_is_shared_is_paid_once_and_other_seeds_need_other_parts() -> None:
    small, large = Bill(own=1.0), Bill(own=2.0)
    for bill, share in ((small, 0.2), (large, 0.5)):
        bill.share(("rows",), 8.0, share)
        bill.share(("graph",), 3.0)
        bill.share(("graph",), 2.0)
    assert together([(small, 0), (large, 0)]) == pytest.approx(3 + 8 * 0.5 + 3)
    assert together([(small, 0), (large, 0), (large, 1)]) == pytest.approx(5 + 8 * (1 - 0.5 * 0.5) + 3)


def test_scratch_is_its_steps_and_little_else(cell: Cell) -> None:
    ((stage,), _), *_ = trials_of(cell)
    refit = epochs_of(stage, 200, 16, cell.epochs) * steps_an_epoch(200, 16)
    search = epochs_of(stage, 160, 16, cell.epochs) * steps_an_epoch(160, 16)
    assert batch_size_of(stage, 200, cell.batch_size) == 16
    steps = 0.3 * BATCH_NORM * (refit + cell.tuning["trials"] * search)
    assert steps < seconds(cell) < 1.3 * steps
    frozen = seconds(cell, timing=replace(TIMING, batch_norm=False))
    assert steps / BATCH_NORM < frozen < 1.2 * steps / BATCH_NORM


def test_a_part_of_the_network_takes_its_share(cell: Cell) -> None:
    whole, part, head = (
        seconds(cell, strategy=name)
        for name in ("full_finetune", "partial_finetune:unfreeze=0.5", "feature_extraction")
    )
    assert 0.4 * whole < part < 0.55 * whole
    assert head < 0.1 * part


def test_more_of_anything_takes_longer(cell: Cell) -> None:
    for strategy in ("scratch", "partial_finetune", "logistic", "prototypical", "dann", "wise_ft"):
        base = seconds(cell, strategy=strategy)
        assert seconds(cell, replace(COUNTS, n=2000), strategy=strategy) > base, strategy
        assert seconds(cell, replace(COUNTS, n_test=50_000), strategy=strategy) > base, strategy
        tuning = {**cell.tuning, "trials": 8}
        assert seconds(cell, strategy=strategy, tuning=tuning) >= base, strategy


def test_seeds_share_what_is_traced_and_stored(cell: Cell) -> None:
    one = replace(cell, strategy="feature_extraction", fraction=1.0)
    counts = replace(COUNTS, n=2000)
    both = together([(reckon(one, TIMING, counts), seed) for seed in (0, 1)])
    stored = 0.01 * (2000 + 500)
    assert 2 * seconds(one, counts) - both >= stored + TIMING.building


def test_outputs_that_are_too_large_to_store_are_computed_in_each_step(cell: Cell) -> None:
    huge = replace(TIMING, row_bytes=[2**50] * 5)
    assert seconds(cell, strategy="partial_finetune", timing=huge) > 1.2 * seconds(
        cell, strategy="partial_finetune"
    )


def test_steps_of_larger_batches_follow_what_was_timed() -> None:
    assert 0.3 * 1.5 < TIMING.step(32) < 0.3 * 2
    two = replace(TIMING, steps=[(16, 0.5), (128, 0.6)])
    assert two.step(64) == pytest.approx(0.5 + 0.1 * 48 / 112)
    assert 0 < two.step(4) <= 0.5
    assert [TIMING.above(cut) for cut in ("top", 0.01, 0.5, 0.99, "input")] == [0, 1, 2, 3, 4]


def test_trials_try_the_choices_one_after_the_other_and_no_point_twice(cell: Cell) -> None:
    partial = trials_of(replace(cell, strategy="partial_finetune"))
    assert [trial.stages[-1].cut for trial in partial] == [0.5, 0.25, 0.75, 0.5]
    assert len(trials_of(replace(cell, strategy="hyperrule"))) == 1
    assert len(trials_of(replace(cell, strategy="hyperrule", head={**cell.head, "dropout": [0.0, 0.1]}))) == 2
    assert len(trials_of(replace(cell, strategy="knn", tuning={**cell.tuning, "trials": 9}))) == 6


def test_it_is_known_what_can_be_told(cell: Cell) -> None:
    for strategy in ("scratch", "knn", "siamese", "multi_task", "dann"):
        assert can_reckon(replace(cell, strategy=strategy)), strategy
    assert not can_reckon(replace(cell, strategy="cycle_gan"))


def test_episodes_cost_without_a_backbone_too(cell: Cell) -> None:
    settings = {"ways": [5, 20], "shots": [1, 5], "episodes": 1000, "queries": 5}
    few = replace(
        cell, protocol="few-shot", protocol_settings=settings, strategy="nearest_pixel", backbone=""
    )
    counts = Counts(n=0, n_source=1000, n_pool=500, n_test=100)
    assert 1 < together([(reckon(few, None, counts), 0)]) < 60
    backed = {
        s: seconds(few, counts, strategy=s, backbone="Conv4") for s in ("feature_extraction", "prototypical")
    }
    assert 0 < backed["feature_extraction"] < backed["prototypical"] < math.inf


def test_what_will_be_skipped_is_known(cell: Cell) -> None:
    assert not is_skipped(replace(cell, strategy="full_finetune"), COUNTS)
    assert is_skipped(replace(cell, strategy="full_finetune", weights="none"), COUNTS)
    assert not is_skipped(replace(cell, weights=""), COUNTS)
    assert is_skipped(replace(cell, strategy="dann"), COUNTS)
    assert not is_skipped(replace(cell, strategy="dann", companions={"source": {}}), COUNTS)
