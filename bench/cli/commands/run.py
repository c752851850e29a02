"""``bench run``."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from bench.cli.options import ExecutionOptions, Out, PlanOptions, RepeatOptions, Set, VoiceOptions
from bench.cli.terminal import quoted
from bench.errors import RequestError


def run(
    *,
    options: PlanOptions,
    out: Out = None,
    where: ExecutionOptions,
    again: RepeatOptions,
    set_: Set = None,
    voice: VoiceOptions,
) -> None:
    """Run a benchmark, or resume an interrupted one.  With no arguments, run the quickstart."""
    if again != RepeatOptions():
        _repeat(again, options.trust)
    from bench.cli.progress import TerminalReporter
    from bench.plans.strategies import is_code
    from bench.runs.run import run as run_plan
    from bench.trackers.log import logged

    plan, out = options.plan(set_, out), options.directory(out)
    reporter = TerminalReporter(voice.level)
    try:
        result = logged(
            where.log, reporter, run_plan, plan, out, where.workers, where.statuses, shard=where.shard,
            executor=where.executor, ray_address=where.ray_address, fresh=where.fresh,
        )  # fmt: skip
    except KeyboardInterrupt:
        _say_how_to_resume(reporter.directory, " --trust" if any(map(is_code, plan.strategies)) else "")
        raise typer.Exit(130) from None
    reporter.summary(result)
    raise typer.Exit(result.exit_code)


def _repeat(again: RepeatOptions, trust: bool) -> None:
    """Repeats a cell and prints what came out; exit code 0 if the same."""
    if again.cell is None or again.from_ is None:
        raise RequestError("cell", again.cell, "given as --cell ID together with --from DIR")
    from bench.cli.show.results import print_repetition
    from bench.runs.repeat import repeat

    repetition = repeat(again.cell, again.from_, trust=trust)
    print_repetition(repetition)
    raise typer.Exit(1 if repetition.differences else 0)


def _say_how_to_resume(directory: Path | None, trust: str) -> None:
    if directory is None:
        print("\nInterrupted before anything was run.", file=sys.stderr)
    else:
        print(
            f"\nInterrupted. All finished cells are kept. To resume:\n"
            f"  python -m bench run {quoted(directory / 'plan.toml')}{trust}",
            file=sys.stderr,
        )
