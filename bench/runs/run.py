"""From a plan to a finished run directory: prepare, run what is missing, store, report."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.deciding.rounds import in_rounds
from bench.errors import RequestError, RunLocked
from bench.execution.executor import Executor, executor
from bench.execution.queue import Queue
from bench.plans.loading import load_plan
from bench.plans.plan import Plan, budget_seconds
from bench.plans.resolved import Resolved, resolve
from bench.ranking.rank import choose_backbones
from bench.records import AGAIN, Cell, Record
from bench.runs.directory import check_same, run_info, with_stored
from bench.runs.experience import Experience
from bench.runs.forecast import Forecast
from bench.runs.growth import GROWS, shrinks
from bench.runs.latency import latencies
from bench.runs.prepare import Prepared, prepare
from bench.runs.reporter import Reporter
from bench.runs.results import Run, load
from bench.runs.takeover import Offer, looks_before, offers, take
from bench.runs.timing import time_batches
from bench.store import Shard, Store, is_written_here
from reports.statistics.looks import declared, looks_of

if TYPE_CHECKING:
    from bench.deciding.chooser import Chooser

RETRYABLE = ("failed", "oom", "timeout", "killed", "crashed")


def default_out(plan: Plan) -> Path:
    """``runs/<dataset>-<short plan hash>``."""
    last = plan.datasets[0].rstrip("/").rpartition("/")[2]
    name = last.partition(":")[2] or last
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
    fresh: bool = False,
) -> Run:
    """Runs a plan, or what is missing of it, and writes the report.

    In a directory of an earlier run, more seeds, fractions, strategies, backbones or trials are added to what is
    there; what the plan leaves out of these is as it is there. Finished cells of the run directories beside it that
    are the same are copied.

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
        fresh: take no cells from other runs, now and whenever this one is resumed.

    Returns:
        The run, with all its records.

    Raises:
        RequestError: the plan cannot be run, or the directory holds another one.
        RunLocked: another run is working in the directory, or on this shard.
        StoreError: the directory cannot be written any more; run the plan again.
    """
    began = time.monotonic()
    reporter = reporter or Reporter()
    again = _again(tuple(retry))
    if workers is not None and workers < 1:
        raise RequestError("workers", workers, "1 or more")
    part = Shard.parse(shard) if shard is not None else None
    given = load_plan(plan)
    resolved = resolve(given)
    if part is not None and resolved.plan.is_cut_short:
        remedy = "Which cell is next depends on all results, and shards share none. Leave out one of the two."
        raise RequestError("shard", shard, "left out beside --budget or --until decided", remedy)
    directory = Path(out) if out is not None else default_out(resolved.plan)
    _check_apart(directory, resolved.plan)
    store = Store(directory)
    with _opened(executor, ray_address, workers, store, resolved.plan, reporter) as runs:
        resolved, chosen = _backbones_chosen(resolved, store, runs, part, reporter.say)
        resolved, grows = with_stored(resolved, given, store)
        if chosen is not None:
            chosen = {**chosen, "chosen": resolved.plan.backbones}  # those that were chosen before stay
        prepared = prepare(resolved, reporter.say, runs.fetch)
        check_same(store, prepared)
        reporter.say(f"Run directory: {directory}")  # not before the data are known to be there
        with _locked(store, part):
            for sentence in grows:
                reporter.say(sentence)
            if chosen is not None and store.read_ranking() != chosen:
                store.write_ranking(chosen)
            work = _Work(prepared, store, part, again, began)
            # Several shards may begin at the same time.
            with store.holding("plan") if part is not None else contextlib.nullcontext():
                report_changed = _keep_plan(store, prepared.plan)
                offered = _declare(work, fresh)
            for sentence in take(store, offered):
                reporter.say(sentence)
            if offered:
                work.look_again()
            _run_cells(work, runs, reporter)
            runs.close()
            return _reported(work, report_changed)


@dataclass
class _Work:
    """What of a run's cells is there, and what is to be done.

    Attributes:
        prepared: the plan with its cells.
        store: of the run directory.
        part: which of them are asked for; None: all.
        again: statuses that are run once more.
        began: when it was asked for, by the monotonic clock.
    """

    prepared: Prepared
    store: Store
    part: Shard | None
    again: frozenset[str]
    began: float

    def __post_init__(self) -> None:
        self.ids = [cell.id for cell in self.prepared.cells]
        self.stored = {record.cell_id: record for record in self.store.records(self.ids)}
        mine = [c for c in self.prepared.cells if self.part is None or self.part.has(c.id)]
        self.todo = [c for c in mine if c.id not in self.stored or self.stored[c.id].status in self.again]

    def look_again(self) -> None:
        """Takes note of finished cells that have come into the directory."""
        found = {cell.id: record for cell in self.todo if (record := self.store.finished(cell.id))}
        self.stored = dict(sorted({**self.stored, **found}.items()))
        self.todo = [cell for cell in self.todo if cell.id not in found]


def _check_apart(directory: Path, plan: Plan) -> None:
    """Refuses to write a run among the examples of its datasets; a folder of its own there is no part of them.

    Raises:
        RequestError: the directory holds examples.
    """
    if not directory.is_dir() or not any(directory.iterdir()):
        return
    out = directory.resolve()
    if is_written_here(os.listdir(out)) and out not in {Path(spec).resolve() for spec in plan.datasets}:
        return
    others = (plan.source_dataset, plan.auxiliary_dataset)
    roots = [Path(spec).resolve() for spec in (*plan.datasets, *others) if spec and Path(spec).is_dir()]
    if any(out.is_relative_to(root) for root in roots):
        remedy = "This one is part of the dataset. For instance: --out runs/first"
        raise RequestError("out", str(directory), "a new folder, or that of this run", remedy)


def _again(retry: tuple[str, ...]) -> frozenset[str]:
    """The statuses of cells that are run once more."""
    for status in retry:
        if status not in RETRYABLE:
            raise RequestError("retry", status, f"some of {', '.join(RETRYABLE)}")
    return AGAIN | set(retry)


def _opened(
    kind: str, address: str | None, workers: int | None, store: Store, plan: Plan, reporter: Reporter
) -> Executor:
    seconds = plan.limits.cell_seconds
    return executor(kind, address, workers, store, plan.threads, plan.backend, seconds, reporter.event)


def _backbones_chosen(
    resolved: Resolved, store: Store, runs: Executor, part: Shard | None, say: Callable[[str], None]
) -> tuple[Resolved, dict[str, Any] | None]:
    """See ``bench.ranking.rank.choose_backbones``. Of several shards the first to come chooses for all."""
    if resolved.plan.auto is None or part is None:
        return choose_backbones(resolved, store, runs, say)
    with store.holding("ranking"):
        resolved, chosen = choose_backbones(resolved, store, runs, say)
        if chosen is not None and store.read_ranking() != chosen:
            store.write_ranking(chosen)
        return resolved, chosen


@contextlib.contextmanager
def _locked(store: Store, part: Shard | None) -> Iterator[None]:
    try:
        store.lock(part)
    except OSError as error:
        expected = f"a directory that can be written ({error.strerror})"
        raise RequestError("out", str(store.directory), expected) from None
    try:
        yield
    finally:
        store.unlock()


def _keep_plan(store: Store, plan: Plan) -> bool:
    """Writes the plan where there is none yet, or where it has grown, and settings of the report that are new;
    whether these are.

    Settings that were not given stay: they may say that examples are private.

    Raises:
        RunLocked: the plan there has grown since it was read.
    """
    if not store.plan_path.exists():
        store.write_plan(plan.to_toml())
        return False
    stored = load_plan(store.plan_path)
    if shrinks(stored, plan):
        raise RunLocked(f"{store.directory}: this run has just grown elsewhere. Type the same command again.")
    changed = "report" in plan.model_fields_set and stored.report != plan.report
    if changed or shrinks(plan, stored):
        update = {key: getattr(plan, key) for key in (*GROWS, "tuning", *(["report"] if changed else []))}
        store.write_plan(stored.model_copy(update=update).to_toml())
    return changed


def _declare(work: _Work, fresh: bool) -> list[Offer]:
    """Writes run.json where cells are to be run or are others than before; what other runs offer of them.

    It is written before anything is copied: the looks of those runs count from then on.
    """
    store, info = work.store, work.store.read_run()
    if not work.todo and info.get("cells") == work.ids:
        return []
    fresh = fresh or info.get("fresh", False)
    offered = [] if fresh else offers(store, [cell for cell in work.todo if cell.id not in work.stored])
    known = info.get("looks")
    own = [r for cell_id in info.get("cells", ()) if not known and (r := store.finished(cell_id))]
    looks = looks_before(known, own)
    for offer in offered:
        looks = declared(looks, offer.looks)
    names = [*info.get("taken_over", []), *(offer.store.directory.name for offer in offered)]
    info |= {"looks": looks, "fresh": fresh, "taken_over": list(dict.fromkeys(names))}
    info = run_info(work.prepared, info)
    if work.prepared.plan.is_cut_short:  # which cells it will have is known in the end
        del info["cells"]
    store.write_run(info)
    return offered


def _run_cells(work: _Work, runs: Executor, reporter: Reporter) -> None:
    """Runs what is to be done; every record is stored as it comes."""
    info, cut_short = work.store.read_run(), work.prepared.plan.is_cut_short
    forecast = Forecast.of_plan(work.prepared)
    time_batches(forecast.untimed(work.todo), runs, reporter.say)
    chooser = _chooser(work, forecast) if cut_short else None
    queue: Queue = Queue(*in_rounds(work.todo)) if chooser is None else chooser
    runs.workers = min(runs.workers, max(1, len(queue)))
    reporter.begin(work.prepared, work.store, work.todo, runs.workers, queue)
    ran = []
    try:
        for record in _records(work, runs, info, queue, forecast) if queue else ():
            ran.append(record)
            reporter.record(record)
    finally:
        reporter.end()
    if ran:
        Experience().learn(ran)
    if chooser is not None:
        work.store.write_run(info | {"cells": chooser.chosen(), "course": chooser.course()})


def _chooser(work: _Work, forecast: Forecast) -> Chooser:
    """The queue of a run that ends when it is decided, or when its time is up."""
    from bench.deciding.chooser import (
        Chooser,
        Rules,
    )  # statistics, which no other run needs before its report

    plan = work.prepared.plan

    def seconds(cell: Cell) -> float:
        needed, known = forecast.seconds([cell])
        return needed if known else math.nan

    looks = looks_of(work.store.directory)
    rules = Rules(looks, plan.report.region, budget_seconds(plan.budget), Experience().gain)
    stored = [record for record in work.stored.values() if record.status not in work.again]
    directory = work.store.directory
    return Chooser(
        work.prepared.cells, stored, seconds, rules, directory, lambda: time.monotonic() - work.began
    )


def _records(
    work: _Work, runs: Executor, info: dict[str, Any], queue: Queue, forecast: Forecast
) -> Iterator[Record]:
    runs.provenance = {name: info[name] for name in ("versions", "git", "hardware")}
    measured = latencies(work.prepared, work.todo, runs, info)
    for record in runs.run(queue, measured):
        work.store.write(record)
        if record.status == "ok":
            forecast.add(Cell.of(record.cell), record.costs.get("wall_seconds") or 0.0)
            forecast.save()
        queue.add(record)
        yield record


def _reported(work: _Work, report_changed: bool) -> Run:
    """The run with all its records, and with a report that is of these."""
    store, part = work.store, work.part
    # Two shards may end at the same time.
    with store.holding("report") if part is not None else contextlib.nullcontext():
        anew = work.todo or part
        result = load(store.directory) if anew else Run(store.directory, list(work.stored.values()))
        result.warnings.extend(store.damaged)
        if part is not None:
            here = {record.cell_id for record in result.records}
            result.elsewhere = sum(not part.has(id) for id in set(work.ids) - here)
        is_old = work.todo or report_changed or not store.has_report_of(result.records)
        if not result.elsewhere and is_old:
            result.report()
    return result
