"""What a person sees of a run: a live display in a terminal, plain lines in a log file."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.show.forecast import forecast_lines
from bench.cli.terminal import duration, quoted
from bench.execution.queue import Queue
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


class TerminalReporter(Reporter):
    """Prints to standard output; live if that is a terminal."""

    def __init__(self) -> None:
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

    def say(self, text: str) -> None:
        print(shown(text), flush=True)

    def begin(
        self, prepared: Prepared, store: Store, todo: Sequence[Cell], workers: int, queue: Queue
    ) -> None:
        self.directory = store.directory
        self._total = len(todo)
        self._waiting = {cell.id: cell for cell in todo}
        self._workers = workers
        self._forecast = Forecast.of_plan(prepared)
        seconds, known = self._forecast.elapsed(todo, workers)
        self._forecast_seconds = seconds if known and seconds else None
        for warning in (*prepared.warnings, *store.damaged):
            print(f"Warning: {shown(warning)}")
        if not todo:
            print(f"Nothing to do: all {len(prepared.cells)} cells are finished.", flush=True)
            return
        stored = len(prepared.cells) - len(todo)
        kept = f"; {stored} of {len(prepared.cells)} are finished already" if stored else ""
        print(f"{len(todo)} cells to run on {workers} worker{'s' if workers > 1 else ''}{kept}.", flush=True)
        for line in forecast_lines(self._forecast, prepared, todo, workers):
            print(shown(line), flush=True)
        if sys.stdout.isatty():
            from rich.live import Live

            self._live = Live(self._screen(), refresh_per_second=4, transient=True)
            self._live.start()

    def event(self, event: Event) -> None:
        label = shown(event.cell.label) if event.cell else ""
        if event.kind == "note":
            self._print(f"{label}: {event.text}")
            return
        self._running[event.worker] = (label, event.text)
        if self.directory is None:  # still being prepared
            return
        if self._live is not None:
            self._live.update(self._screen())
        elif time.monotonic() - self._last_line > TICK_SECONDS:
            self._print("  " + self._status(), flush_only=True)

    def record(self, record: Record) -> None:
        self._done += 1
        cell = Cell.of(record.cell)
        seconds = record.costs.get("wall_seconds") or 0.0
        self._waiting.pop(record.cell_id, None)
        if record.status == "ok":
            outcome = _outcome(record)
            if self._forecast is not None:
                self._forecast.add(cell, seconds)
        else:
            outcome = f"{record.status}: {shown((record.error or {}).get('message', ''))}"
        done = f"[{self._done:>{len(str(self._total))}}/{self._total}]"
        self._print(f"{done} {shown(cell.label)}: {outcome} · {duration(seconds)}{self._left()}")
        if self._live is not None:
            self._live.update(self._screen())

    def end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def summary(self, result: Run) -> None:
        """The table, what failed, and where the report is."""
        if any(record.status == "ok" for record in result.records):
            _print_results(result)
        _print_failures([record for record in result.records if record.status not in FINAL])
        took = f" after {duration(time.monotonic() - self.started)}" if self._total else ""
        if self._forecast_seconds is not None:
            took += f" (forecast: {duration(self._forecast_seconds)})"
        if result.elsewhere:
            print(
                f"This shard is done{took}; {result.elsewhere} cells of other shards are not there yet. Whichever "
                f"ends last writes the report, or: python -m bench report {quoted(result.directory)}",
                flush=True,
            )
        else:
            print(f"Report{took}: {shown(str((result.directory / 'report.html').resolve()))}", flush=True)

    def _left(self) -> str:
        """``about 3 min left``; ``over ...`` while something waits of which no speed is known yet."""
        if self._forecast is None or not self._waiting:
            return ""
        seconds, known = self._forecast.elapsed([*self._waiting.values()], self._workers, started=True)
        if not seconds:
            return ""
        left = duration(seconds)
        return f" · {'about' if known else 'over'} {left} left"

    def _status(self) -> str:
        running = "; ".join(
            f"{label} ({text})" if label and text else label or text for label, text in self._running.values()
        )
        return f"{self._done} of {self._total} cells done; now: {running}{self._left()}"

    def _print(self, text: str, flush_only: bool = False) -> None:
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

        lines: list[Any] = [ProgressBar(total=max(self._total, 1), completed=self._done, width=60)]
        elapsed = duration(time.monotonic() - self.started)
        lines.append(Text(f"{self._done} of {self._total} cells · {elapsed}{self._left()}"))
        for number, (label, text) in sorted(self._running.items()):
            lines.append(Text(f"  worker {number + 1}: {label}  {text}", style="dim"))
        return Group(*lines)


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
        print(f"{record.status}: {shown(Cell.of(record.cell).label)} ({record.cell_id}): {shown(message)}")
    if failed:
        statuses = sorted({record.status for record in failed})
        print(f"{len(failed)} cells gave no result. To run them again: --retry {','.join(statuses)}")


def _outcome(record: Record) -> str:
    """The metric of a record that is ok; in the few-shot protocol the accuracy of every setting."""
    from reports.words import metric_name

    if not record.episodes:
        metric = record.cell["metric"]
        value = record.metrics.get(metric)
        return f"{metric_name(metric)} {'not defined' if value is None else f'{value:.3f}'}"
    return ", ".join(
        f"{e['ways']}-way {e['shots']}-shot{' within' if e['scope'] == 'within' else ''} {e['accuracy']:.3f}"
        for e in record.episodes
    )


class PretrainingReporter:
    """What a person sees of a pretraining: a line now and then."""

    def __init__(self) -> None:
        self.started = self._last = time.monotonic()

    def say(self, text: str) -> None:
        print(shown(text), flush=True)

    def event(self, event: Event) -> None:
        if event.kind == "note" or time.monotonic() - self._last > TICK_SECONDS:
            self._last = time.monotonic()
            self.say(f"  {duration(self._last - self.started)}: {event.text}")

    def summary(self, source: WeightSource) -> None:
        """What it has learned, where it lies, and how it is used."""
        from bench.commands.pretraining.card import verdict

        self.say(verdict(source))
        for baseline in source.baselines:
            self.say(f"  {baseline.name}: {baseline.accuracy:.1%}")
        self.say(f"Source after {duration(time.monotonic() - self.started)}: {source.directory}")
        if source.learned:
            weights = quoted(f"source:{source.directory}")
            self.say(
                f"  python -m bench run --dataset DATASET --backbone {source.backbone} --weights imagenet "
                f"--weights {weights}"
            )
