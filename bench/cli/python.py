"""``bench.run`` in Python: the command line's run, with as much said as is asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.runs.run import Reporter
from bench.runs.run import run as run_plan

if TYPE_CHECKING:
    from bench.plans.plan import Plan
    from bench.runs.results import Run


def run(
    plan: str | Path | dict[str, Any] | Plan,
    out: str | Path | None = None,
    workers: int | None = None,
    retry: Iterable[str] = (),
    reporter: Reporter | None = None,
    shard: str | None = None,
    executor: str = "local",
    ray_address: str | None = None,
    fresh: bool = False,
    verbose: int = 1,
) -> Run:
    """Runs a plan, or what is missing of it, shows the answer, and writes the report.

    Args:
        plan: a plan, a dictionary, or the path of a TOML file.
        out: the run directory, resumed if it exists. Default: ``runs/<dataset>-<short plan hash>``.
        workers: cells at a time. Default: one per core. Results do not depend on it.
        retry: statuses to run again of ``failed``, ``oom``, ``timeout``.
        reporter: is told what happens, in place of all that ``verbose`` would print.
        shard: ``i/k``: only the i-th of k shares of the cells.
        executor: ``local`` child processes, or ``ray`` for a cluster.
        ray_address: of a running cluster. Default: one on this machine alone.
        fresh: take no cells from other runs, now and whenever this one is resumed.
        verbose: 0 for silence, 1 for progress and the answer, 2 for every step of the preparation as well.

    Returns:
        The run, with all its records. In a notebook it shows its answer.

    Raises:
        RequestError: the plan cannot be run, or the directory holds another one.
        RunLocked: another run is working in the directory, or on this shard.
        StoreError: the directory cannot be written any more. Run the plan again.
    """
    settings = (shard, executor, ray_address, fresh)
    if reporter is not None or not verbose:
        return run_plan(plan, out, workers, retry, reporter, *settings)
    from bench.cli.progress import NotebookReporter, TerminalReporter

    spoken = NotebookReporter(verbose) if in_notebook() else TerminalReporter(verbose)
    result = run_plan(plan, out, workers, retry, spoken, *settings)
    spoken.summary(result)
    return result


def in_notebook() -> bool:
    """Whether this is IPython with a kernel. Nothing is imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
