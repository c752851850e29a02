"""Times of a few batches, made up, and an executor that gives them."""

from __future__ import annotations

from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

from bench.plans.loading import load_plan
from bench.runs.forecast import Forecast
from bench.runs.prepare import prepare
from bench.runs.reckoning import Timing
from bench.runs.timing import time_batches

TIMING = Timing(
    building=1.0,
    forward_tracing=2.0,
    tracing=10.0,
    forward=0.01,
    steps=[(16, 0.3)],
    resetting=0.1,
    batch_norm=True,
    width=100,
    shares=[0.0, 0.2, 0.4, 0.7, 1.0],
    row_bytes=[200, 400, 800, 1600, 3000],
)


def timed(**changes: Any) -> Any:
    """An executor whose workers take these times."""
    return SimpleNamespace(time_batches=lambda jobs: [asdict(replace(TIMING, **changes)) for _ in jobs])


def keep_timings(plan: dict[str, Any]) -> None:
    """Leaves times of the backbones of a plan in the cache, as if workers had taken them."""
    prepared = prepare(load_plan(plan))
    time_batches(Forecast.of_plan(prepared).untimed(prepared.cells), timed(), lambda text: None)
