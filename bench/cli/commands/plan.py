"""``bench plan``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import Out, PlanOptions, Set
from bench.cli.terminal import tell

if TYPE_CHECKING:
    from bench.plans.plan import Plan
    from bench.plans.resolved import Resolved


def plan(
    *,
    options: PlanOptions,
    out: Out = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure first what its cells take, on a small part of it.")
    ] = False,
    set_: Set = None,
) -> None:
    """Lists the cells of a plan and what they will cost.  Runs nothing, but for --calibrate."""
    from bench.cli.show.plan import print_plan
    from bench.plans.resolved import resolve
    from bench.runs.directory import with_stored
    from bench.runs.prepare import prepare
    from bench.runs.run import default_out
    from bench.store import Store

    given, out = options.plan(set_, out), options.directory(out)
    resolved = resolve(given)
    if resolved.plan.auto is not None:
        resolved, out = _choose_backbones(resolved, out)
    out = out or default_out(resolved.plan)
    resolved, grows = with_stored(resolved, given, Store(out))
    for sentence in grows:
        tell(sentence)
    prepared = prepare(resolved, tell)
    if calibrate:
        _calibrate(prepared.plan)
    print_plan(prepared, out)


def _choose_backbones(resolved: Resolved, out: Path | None) -> tuple[Resolved, Path]:
    """Returns the plan with the best backbones by rank, and the run directory that keeps them."""
    from bench.ranking.rank import choose_backbones, ranking_executor
    from bench.runs.run import default_out
    from bench.store import Store

    out = out or default_out(resolved.plan)
    with ranking_executor(resolved.plan) as runs:
        return choose_backbones(resolved, Store(out), runs, tell)[0], out


def _calibrate(plan: Plan) -> None:
    """Runs a small part of the plan, so that the forecast knows what its cells take."""
    from bench.runs.forecast import calibration
    from bench.runs.run import run

    with tempfile.TemporaryDirectory(prefix="transfer-bench-") as folder:
        print("Calibrating.", file=sys.stderr)
        run(calibration(plan), folder, fresh=True)
