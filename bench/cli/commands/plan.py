"""``bench plan``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.options import Out, PlanOptions, Set, VoiceOptions
from bench.cli.terminal import Steps

if TYPE_CHECKING:
    from bench.plans.plan import Plan
    from bench.plans.resolved import Resolved
    from bench.runs.prepare import Prepared


def plan(
    *,
    options: PlanOptions,
    out: Out = None,
    set_: Set = None,
    voice: VoiceOptions,
) -> None:
    """Show the cells of a plan and how long they will take.  Trains nothing but a few timed batches."""
    from bench.cli.show.plan import print_plan

    print_plan(*prepared_plan(options.plan(set_, out), options.directory(out), Steps(voice.level)))


def prepared_plan(given: Plan, out: Path | None, tell: Steps) -> tuple[Prepared, Path]:
    """Returns a plan with its cells, a few batches timed, and the run directory that they would go to."""
    from bench.plans.resolved import resolve
    from bench.runs.directory import with_stored
    from bench.runs.prepare import prepare
    from bench.runs.run import default_out
    from bench.store import Store

    resolved = resolve(given)
    if resolved.plan.auto is not None:
        resolved, out = _choose_backbones(resolved, out, tell)
    out = out or default_out(resolved.plan)
    resolved, grows = with_stored(resolved, given, Store(out))
    for sentence in grows:
        tell(sentence)
    prepared = prepare(resolved, tell)
    _time_batches(prepared, tell)
    return prepared, out


def _choose_backbones(resolved: Resolved, out: Path | None, tell: Steps) -> tuple[Resolved, Path]:
    """Returns the plan with the best backbones by rank, and the run directory that keeps them."""
    from bench.ranking.rank import choose_backbones, ranking_executor
    from bench.runs.run import default_out
    from bench.store import Store

    out = out or default_out(resolved.plan)
    with ranking_executor(resolved.plan) as runs:
        return choose_backbones(resolved, Store(out), runs, tell)[0], out


def _time_batches(prepared: Prepared, tell: Steps) -> None:
    """Times a few batches of what the forecast knows nothing of."""
    from bench.execution.executor import executor
    from bench.runs.forecast import Forecast
    from bench.runs.timing import TIMING_SECONDS, time_batches
    from bench.store import Store

    plan = prepared.plan
    if untimed := Forecast.of_plan(prepared).untimed(prepared.cells):
        nowhere = Store(Path(tempfile.gettempdir()))
        with executor("local", None, None, nowhere, plan.threads, plan.backend, TIMING_SECONDS) as runs:
            time_batches(untimed, runs, tell)
