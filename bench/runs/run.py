"""From a plan to a finished run directory: prepare, run what is missing, store, report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import RequestError
from bench.plans.plan import Plan, load_plan
from bench.records import AGAIN, Cell, Record
from bench.runs.directory import _check_same, _run_info
from bench.runs.forecast import Forecast
from bench.runs.latency import _latencies
from bench.runs.prepare import Prepared, canonical, prepare
from bench.runs.results import Run, load
from bench.store import Shard, Store
from bench.system.files import locked
from bench.system.machine import default_workers

if TYPE_CHECKING:
    from bench.execution.jobs import Event
    from bench.execution.local import LocalExecutor
    from bench.execution.ray import RayExecutor

    Executor = LocalExecutor | RayExecutor

RETRYABLE = ("failed", "oom", "timeout", "killed", "crashed")


class Reporter:
    """What is told while a run goes on; this one says nothing."""

    def say(self, text: str) -> None:
        """A step of the preparation."""

    def begin(self, prepared: Prepared, store: Store, todo: Sequence[Cell], workers: int) -> None:
        """Before the first cell."""

    def event(self, event: Event) -> None:
        """A worker has begun or gone on."""

    def record(self, record: Record) -> None:
        """A cell has ended."""

    def end(self) -> None:
        """After the last cell, whatever happened."""


def default_out(plan: Plan) -> Path:
    """``runs/<dataset>-<short plan hash>``."""
    name = (
        plan.datasets[0].rstrip("/").rpartition("/")[2].partition(":")[2]
        or plan.datasets[0].rstrip("/").rpartition("/")[2]
    )
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:40].strip(".-") or "data"
    return Path("runs") / f"{safe}-{plan.hash()}"


def run(
    plan: str | Path | dict[str, Any] | Plan,
    out: str | Path | None = None,
    workers: int | None = None,
    retry: Iterable[str] = (),
    reporter: Reporter | None = None,
    shard: str | None = None,
    executor: str = "local",
    ray_address: str | None = None,
) -> Run:
    """Runs a plan, or what is missing of it, and writes the report.

    Args:
        plan: a plan, a dictionary, or the path of a TOML file.
        out: the run directory; resumed if it exists. Default: ``runs/<dataset>-<short plan hash>``.
        workers: cells at a time; default: one a core. Results do not depend on it.
        retry: statuses to run again of ``failed``, ``oom``, ``timeout`` (``killed`` and ``crashed`` are anyway).
        reporter: is told what happens.
        shard: ``i/k``: only the i-th of k shares of the cells, for hosts that share nothing but a folder. The
            report is written by the shard that finds all cells there.
        executor: ``local`` child processes, or ``ray`` for a cluster.
        ray_address: of a running cluster; default: one on this machine alone.

    Returns:
        The run, with all its records.

    Raises:
        RequestError: the plan cannot be run, or the directory holds another one.
        RunLocked: another run is working in the directory, or on this shard.
        StoreError: the directory cannot be written any more; run the plan again.
    """
    reporter = reporter or Reporter()
    retry = tuple(retry)
    for status in retry:
        if status not in RETRYABLE:
            raise RequestError("retry", status, f"some of {', '.join(RETRYABLE)}")
    if workers is not None and workers < 1:
        raise RequestError("workers", workers, "a number of at least 1")
    part = Shard.parse(shard) if shard is not None else None
    plan = canonical(load_plan(plan))
    directory = Path(out) if out is not None else default_out(plan)
    reporter.say(f"Run directory: {directory}")
    store = Store(directory)
    with _executor(executor, ray_address, plan, store, workers, reporter) as runs:
        plan, chosen = _resolve(plan, store, runs, part, reporter.say)
        prepared = prepare(plan, reporter.say, runs.fetch)
        _check_same(store, prepared)
        try:
            store.lock(part)
        except OSError as error:
            expected = f"a directory that can be written ({error.strerror})"
            raise RequestError("out", str(directory), expected) from None
        try:
            if chosen is not None and store.read_ranking() != chosen:
                store.write_ranking(chosen)
            ids = [cell.id for cell in prepared.cells]
            stored = {record.cell_id: record for record in store.records(ids)}
            again = AGAIN | set(retry)
            mine = [c for c in prepared.cells if part is None or part.has(c.id)]
            todo = [c for c in mine if c.id not in stored or stored[c.id].status in again]
            stored_plan = load_plan(store.plan_path) if store.plan_path.exists() else None
            # Settings of the report that were not given stay: they may say that images are private.
            changed = (
                stored_plan is not None
                and "report" in plan.model_fields_set
                and stored_plan.report != plan.report
            )
            if stored_plan is None:
                store.write_plan(plan.to_toml())
            elif changed:
                store.write_plan(stored_plan.model_copy(update={"report": plan.report}).to_toml())
            info = store.read_run()
            if todo or info.get("cells") != ids:
                info = _run_info(prepared, info)
                store.write_run(info)
            runs.workers = min(runs.workers, max(1, len(todo)))
            reporter.begin(prepared, store, todo, runs.workers)
            try:
                if todo:
                    runs.provenance = {name: info[name] for name in ("versions", "git", "hardware")}
                    latencies = _latencies(prepared, todo, runs, info)
                    forecast = Forecast(prepared.sizes)
                    for record in runs.run(todo, latencies):
                        store.write(record)
                        if record.status == "ok":
                            forecast.add(Cell.of(record.cell), record.costs.get("wall_seconds") or 0.0)
                            forecast.save()
                        reporter.record(record)
            finally:
                reporter.end()
            runs.close()
            # Two shards may end at the same time.
            with locked(directory / ".lock-report") if part is not None else contextlib.nullcontext():
                result = load(directory) if todo or part else Run(directory, list(stored.values()))
                result.warnings.extend(store.damaged)
                if part is not None:
                    here = {record.cell_id for record in result.records}
                    result.elsewhere = sum(not part.has(i) for i in set(ids) - here)
                if not result.elsewhere and (todo or changed or not store.has_report_of(result.records)):
                    result.report()
            return result
        finally:
            store.unlock()


def _resolve(
    plan: Plan, store: Store, runs: Executor, part: Shard | None, say: Callable[[str], None]
) -> tuple[Plan, dict[str, Any] | None]:
    """See ``bench.ranking.rank.resolve``. Of several shards the first to come chooses for all."""
    if plan.auto is None:
        return plan, None
    from bench.ranking.rank import resolve

    if part is None:
        return resolve(plan, store, runs, say)
    with contextlib.ExitStack() as stack:
        with store.writing():
            stack.enter_context(locked(store.directory / ".lock-ranking"))
        plan, chosen = resolve(plan, store, runs, say)
        if chosen is not None and store.read_ranking() != chosen:
            store.write_ranking(chosen)
        return plan, chosen


def _executor(
    kind: str, ray_address: str | None, plan: Plan, store: Store, workers: int | None, reporter: Reporter
) -> Executor:
    options: dict[str, Any] = {
        "store": store,
        "threads": plan.threads,
        "backend": plan.backend,
        "cell_seconds": plan.limits.cell_seconds,
        "notify": reporter.event,
    }
    if kind == "ray":
        from bench.execution.ray import RayExecutor

        return RayExecutor(**options, workers=workers or 0, address=ray_address)
    if kind != "local":
        raise RequestError("executor", kind, "local or ray")
    if ray_address is not None:
        raise RequestError("ray-address", ray_address, "no address without --executor ray")
    from bench.execution.local import LocalExecutor

    return LocalExecutor(**options, workers=workers or default_workers())
