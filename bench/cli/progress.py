"""What a person sees of a run: a live display in a terminal, plain lines in a log file."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.show.forecast import forecast_lines
from bench.cli.terminal import Steps, cell_name, duration, quoted
from bench.execution.queue import Queue
from bench.plans.plan import Plan, budget_seconds
from bench.plans.protocol import protocol
from bench.records import FINAL, Cell, Record
from bench.runs.forecast import Forecast
from bench.runs.prepare import Prepared
from bench.runs.results import Run
from bench.runs.run import Reporter
from bench.store import Store
from bench.system.names import shown

if TYPE_CHECKING:
    from bench.backbones.own import WeightSource
    from bench.execution.jobs import Event

TICK_SECONDS = 30
"""Without a terminal: how often a line says what runs, while no cell ends."""
SO_FAR = "  So far: "
ANSWER_SECONDS = 10
"""How often the answer so far is told, at most."""


class TerminalReporter(Reporter):
    """Prints to standard output; live if that is a terminal.

    Args:
        level: 0: the answer and what failed; 1: progress as well; 2: every step of the preparation.
    """

    def __init__(self, level: int = 1) -> None:
        self.level = level
        self._step = Steps(level, lambda text: print(shown(text), flush=True))
        self.directory: Path | None = None
        self.started = time.monotonic()
        self._live: Any = None
        self._running: dict[int, tuple[str, str]] = {}
        self._done = 0
        self._total = 0
        self._last_line = 0.0
        self._forecast: Forecast | None = None
        self._waiting: dict[str, Cell] = {}
        self._workers = 1
        self._forecast_seconds: float | None = None
        self._queue = Queue()
        self._plan: Plan | None = None
        self._records: list[Record] = []
        self._answer: list[str] = []
        self._answered = 0.0

    def say(self, text: str) -> None:
        self._step(text)

    def begin(
        self, prepared: Prepared, store: Store, todo: Sequence[Cell], workers: int, queue: Queue
    ) -> None:
        self.directory, self._queue, self._plan = store.directory, queue, prepared.plan
        self._total = len(todo)
        self._waiting = {cell.id: cell for cell in todo}
        self._workers = workers
        self._forecast = Forecast.of_plan(prepared)
        # With a store of its own: what that one found damaged is told once.
        self._records = Store(store.directory).records([cell.id for cell in prepared.cells])
        if not self.level:
            return
        for warning in (*prepared.warnings, *store.damaged):
            print(f"Warning: {shown(warning)}")
        if not queue:
            print(f"Nothing to do: {self._finished(prepared)}.", flush=True)
            return
        seconds, known = self._forecast.elapsed(todo, workers)
        if not self._is_cut_short:
            self._forecast_seconds = seconds if known and seconds else None
        stored = len(prepared.cells) - len(todo)
        kept = f" ({stored} of {len(prepared.cells)} are finished already)" if stored else ""
        cells = f"Up to {len(todo)}" if self._is_cut_short else f"{len(todo)}"
        print(
            f"{cells} cells to run on {workers} worker{'s' if workers > 1 else ''}{kept}.",
            flush=True,
        )
        for line in forecast_lines(self._forecast, prepared, todo, workers):
            print(shown(line), flush=True)
        if sys.stdout.isatty():  # no notebook is
            from rich.live import Live

            self._live = Live(
                self._screen(), refresh_per_second=4, transient=True, get_renderable=self._screen
            )
            self._live.start()

    @property
    def _is_cut_short(self) -> bool:
        return self._plan is not None and self._plan.is_cut_short

    def _finished(self, prepared: Prepared) -> str:
        if self._is_cut_short:
            return "the answer is decided, or --budget is too short for another cell"
        return f"all {len(prepared.cells)} cells are finished"

    def event(self, event: Event) -> None:
        label = cell_name(event.cell) if event.cell else ""
        if event.kind == "note":
            self._print(f"{label}: {event.text}")
            return
        if event.kind == "ended":
            self._running.pop(event.worker, None)
            return
        self._running[event.worker] = (label, event.text)
        if self.directory is None:  # still being prepared
            return
        if self._live is None and time.monotonic() - self._last_line > TICK_SECONDS:
            self._print("  " + self._status(), flush_only=True)

    def record(self, record: Record) -> None:
        self._done += 1
        cell = Cell.of(record.cell)
        seconds = record.costs.get("wall_seconds") or 0.0
        self._waiting.pop(record.cell_id, None)
        self._records.append(record)
        if record.status == "ok":
            outcome = _outcome(record)
            if self._forecast is not None:
                self._forecast.add(cell, seconds)
        else:
            outcome = f"{record.status}: {shown((record.error or {}).get('message', ''))}"
        of = "" if self._is_cut_short else f"/{self._total}"
        done = f"[{self._done:>{len(str(self._total))}}{of}]"
        self._print(f"{done} {cell_name(cell)}: {outcome} · {duration(seconds)}{self._left()}")
        self._say_answer()

    def _say_answer(self) -> None:
        """The answer so far, where it has become another; not too often, for it takes a moment."""
        if not self.level:
            return
        is_fresh = self._answer and time.monotonic() - self._answered < ANSWER_SECONDS
        if (
            is_fresh
            or self.directory is None
            or self._plan is None
            or not protocol(self._plan.protocol).shares_labels
        ):
            return
        from reports.so_far import so_far

        found = so_far(self._records, self.directory, self._plan.report.region)
        self._answered = time.monotonic()
        if found and found != self._answer:
            self._answer = found
            for line in found:
                self._print(f"{SO_FAR}{shown(line)}")

    def end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def summary(self, result: Run) -> None:
        """The answer, the table, what failed, and how to go on."""
        if not result.elsewhere:
            _print_answers(result)
        if self.level and any(record.status == "ok" for record in result.records):
            _print_results(result)
        _print_failures([record for record in result.records if record.status not in FINAL])
        if not self.level:
            return
        took = f" after {duration(time.monotonic() - self.started)}" if self._total else ""
        if self._forecast_seconds is not None:
            took += f" (forecast: {duration(self._forecast_seconds)})"
        if result.elsewhere:
            print(
                f"This shard is done{took}. {result.elsewhere} cells of other shards are not there yet. The last "
                f"shard writes the report. To write it now: python -m bench report {quoted(result.directory)}",
                flush=True,
            )
            return
        print(f"Report{took}: {shown(str((result.directory / 'report.html').resolve()))}", flush=True)
        _print_next(result)

    def _left(self) -> str:
        """``about 3 min left``; ``over ...`` while something waits of which no speed is known yet."""
        if self._plan is not None and self._plan.budget:
            left = budget_seconds(self._plan.budget) - (time.monotonic() - self.started)
            return f" · {duration(max(left, 0.0))} left at most"
        if self._forecast is None or not self._waiting or self._is_cut_short:
            return ""
        seconds, known = self._forecast.elapsed([*self._waiting.values()], self._workers, started=True)
        if not seconds:
            return ""
        return f" · {'about' if known else 'over'} {duration(seconds)} left"

    def _status(self) -> str:
        running = "; ".join(
            f"{label} ({text})" if label and text else label or text for label, text in self._running.values()
        )
        of = "" if self._is_cut_short else f" of {self._total}"
        return f"{self._done}{of} cells done. Now: {running}{self._left()}"

    def _print(self, text: str, flush_only: bool = False) -> None:
        if not self.level:
            return
        self._last_line = time.monotonic()
        if self._live is not None:
            if not flush_only:
                self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, flush=True)

    def _screen(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        elapsed = time.monotonic() - self.started
        total, completed = float(max(self._total, 1)), float(self._done)
        of = f" of {self._total}"
        if self._plan is not None and self._is_cut_short:
            budget = budget_seconds(self._plan.budget)
            total, completed, of = (budget, elapsed, "") if math.isfinite(budget) else (total, completed, "")
        lines: list[Any] = [ProgressBar(total=total, completed=min(completed, total), width=60)]
        lines.append(Text(f"{self._done}{of} cells · {duration(elapsed)}{self._left()}"))
        lines += [Text(f"So far: {shown(line)}", style="bold") for line in self._answer]
        for number, (label, text) in sorted(self._running.items()):
            lines.append(Text(f"  worker {number + 1}: {label}  {text}", style="dim"))
        if (cell := self._queue.upcoming()) is not None:
            lines.append(Text(f"  next: {cell_name(cell)}", style="dim"))
        return Group(*lines)


class NotebookReporter(TerminalReporter):
    """Keeps its progress in one place of a notebook's cell, which every event writes anew."""

    def __init__(self, level: int = 1) -> None:
        super().__init__(level)
        self._place: Any = None
        self._line = ""

    def _print(self, text: str, flush_only: bool = False) -> None:
        from importlib import import_module

        self._last_line = time.monotonic()
        if not text.startswith(SO_FAR):
            self._line = text
        shows = {"text/plain": "\n".join([self._line, *(f"{SO_FAR}{line}" for line in self._answer)])}
        if self._place is None:
            self._place = import_module("IPython.display").display(shows, raw=True, display_id=True)
        else:
            self._place.update(shows, raw=True)

    def summary(self, result: Run) -> None:
        """The answer and what failed; the run that is returned shows the rest."""
        _print_answers(result)
        _print_failures([record for record in result.records if record.status not in FINAL])
        if not result.elsewhere:
            print(f"Report: {shown(str((result.directory / 'report.html').resolve()))}", flush=True)


def _print_answers(result: Run) -> None:
    """The headline of each dataset's answer, and why the run ended before all was measured."""
    for dataset, headline in result.headlines():
        print(f"{shown(dataset)}{shown(headline)}", flush=True)
    for text in result.ends():
        print(shown(text), flush=True)


def _print_next(result: Run) -> None:
    """Commands to go on with."""
    steps = result.next_steps()
    width = max((len(command) for command, _ in steps), default=0)
    for place, (command, what) in enumerate(steps):
        lead = "To go on:" if place == 0 else ""
        print(f"{lead:<10}{shown(command):<{width}}  # {what}", flush=True)


def _print_results(result: Run) -> None:
    from rich.console import Console

    from reports.pages import page_of
    from reports.results import Results

    width = None if sys.stdout.isatty() else max(120, shutil.get_terminal_size().columns)
    console = Console(width=width, highlight=False)
    run = Results(result.records, {}, "", result.directory)
    console.print(page_of(run).terminal(run))


def _print_failures(failed: Sequence[Record]) -> None:
    for record in failed:
        message = (record.error or {}).get("message", "")
        print(f"{record.status}: {cell_name(Cell.of(record.cell))} ({record.cell_id}): {shown(message)}")
    if failed:
        statuses = sorted({record.status for record in failed})
        print(f"{len(failed)} cells gave no result. To run them again: --retry {','.join(statuses)}")


def _outcome(record: Record) -> str:
    """The metric of a record that is ok; in the few-shot protocol the accuracy of every setting."""
    from reports.words import metric_name

    if not record.episodes:
        metric = record.cell["metric"]
        value = record.metrics.get(metric)
        return f"{metric_name(metric)} {'not defined' if value is None else f'{value:.1%}'}"
    return ", ".join(
        f"{e['ways']}-way {e['shots']}-shot{' within' if e['scope'] == 'within' else ''} {e['accuracy']:.1%}"
        for e in record.episodes
    )


class PretrainingReporter:
    """What a person sees of a pretraining: a line now and then; see ``TerminalReporter`` for the level."""

    def __init__(self, level: int = 1) -> None:
        self.level = level
        self._step = Steps(level, lambda text: print(shown(text), flush=True))
        self.started = self._last = time.monotonic()

    def say(self, text: str) -> None:
        self._step(text)

    def event(self, event: Event) -> None:
        if self.level and (event.kind == "note" or time.monotonic() - self._last > TICK_SECONDS):
            self._last = time.monotonic()
            print(f"  {duration(self._last - self.started)}: {shown(event.text)}", flush=True)

    def summary(self, source: WeightSource) -> None:
        """What it has learned, where it lies, and how it is used."""
        from bench.commands.pretraining.card import verdict

        print(verdict(source))
        for baseline in source.baselines:
            print(f"  {baseline.name}: {baseline.accuracy:.1%}")
        print(f"Source after {duration(time.monotonic() - self.started)}: {source.directory}")
        if source.learned:
            weights = quoted(f"source:{source.directory}")
            print(
                f"  python -m bench run --dataset DATASET --backbone {source.backbone} --weights imagenet "
                f"--weights {weights}"
            )
