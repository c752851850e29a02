"""What a person sees of a run: a live display in a terminal, plain lines in a log file."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def duration(seconds: float) -> str:
    """``34 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


class TerminalReporter(Reporter):
    """Prints to standard output; live if that is a terminal."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self.started = time.monotonic()
        self._live: Any = None
        self._running: dict[int, tuple[str, str]] = {}
        self._counts: Counter[str] = Counter()
        self._total = 0
        self._last = ""
        self._last_line = 0.0
        self._forecast: Forecast | None = None
        self._waiting: dict[str, Cell] = {}
        self._workers = 1
        self._forecast_seconds: float | None = None

    def say(self, text: str) -> None:
        print(shown(text), flush=True)

    def begin(self, prepared: Prepared, store: Store, todo: Sequence[Cell], workers: int) -> None:
        self.directory = store.directory
        self._total = len(todo)
        sizes = prepared.sizes
        self._forecast = Forecast(sizes)
        self._waiting = {cell.id: cell for cell in todo}
        self._workers = workers
        seconds, known = self._forecast.seconds(todo)
        self._forecast_seconds = seconds / min(workers, len(todo)) if known and seconds else None
        for warning in prepared.warnings:
            print(f"Warning: {shown(warning)}")
        for damaged in store.damaged:
            print(f"Warning: {shown(damaged)}")
        stored = len(prepared.cells) - len(todo)
        kept = f"; {stored} of {len(prepared.cells)} are finished already" if stored else ""
        if not todo:
            print(f"Nothing to do: all {len(prepared.cells)} cells are finished.", flush=True)
            return
        print(f"{len(todo)} cells to run on {workers} worker{'s' if workers > 1 else ''}{kept}.", flush=True)
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
        self._counts["done"] += 1
        self._counts[record.status] += 1
        cell = Cell(**record.cell)
        seconds = record.costs.get("wall_seconds") or 0.0
        self._waiting.pop(record.cell_id, None)
        if record.status == "ok" and self._forecast is not None:
            self._forecast.add(cell, seconds)
        if record.status == "ok":
            outcome = _outcome(record)
        else:
            outcome = f"{record.status}: {shown((record.error or {}).get('message', ''))}"
        done = f"[{self._counts['done']:>{len(str(self._total))}}/{self._total}]"
        self._last = f"{shown(cell.label)}: {outcome}"
        self._print(f"{done} {self._last} · {duration(seconds)}{self._left()}")
        if self._live is not None:
            self._live.update(self._screen())

    def end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def summary(self, result: Run) -> None:
        """The table, what failed, and where the report is."""
        from rich.console import Console

        from reports.questions.few_shot.accuracy import few_shot_terminal
        from reports.questions.few_shot.measurements import measurements
        from reports.results import is_few_shot
        from reports.tables import terminal_table

        if any(record.status == "ok" for record in result.records):
            width = None if sys.stdout.isatty() else max(120, shutil.get_terminal_size().columns)
            console = Console(width=width, highlight=False)
            if is_few_shot(result.records):
                console.print(few_shot_terminal(measurements(result.records, result.directory)))
            else:
                console.print(terminal_table(result.results))
        failed = [record for record in result.records if record.status not in FINAL]
        for record in failed:
            message = (record.error or {}).get("message", "")
            print(f"{record.status}: {shown(Cell(**record.cell).label)} ({record.cell_id}): {shown(message)}")
        if failed:
            statuses = sorted({record.status for record in failed})
            print(f"{len(failed)} cells gave no result. To run them again: --retry {','.join(statuses)}")
        took = f" after {duration(time.monotonic() - self.started)}" if self._total else ""
        if self._forecast_seconds is not None:
            took += f" (forecast: {duration(self._forecast_seconds)})"
        if result.elsewhere:
            print(
                f"This shard is done{took}; {result.elsewhere} cells of other shards are not there yet. Whichever "
                f"ends last writes the report, or: python -m bench report {shlex.quote(str(result.directory))}",
                flush=True,
            )
            return
        print(f"Report{took}: {shown(str((result.directory / 'report.html').resolve()))}", flush=True)

    def _left(self) -> str:
        """``about 3 min left``; ``over ...`` while something waits of which no speed is known yet."""
        if self._forecast is None or not self._waiting:
            return ""
        seconds, known = self._forecast.seconds(self._waiting.values())
        if not seconds:
            return ""
        left = duration(seconds / min(self._workers, len(self._waiting)))
        return f" · {'about' if known else 'over'} {left} left"

    def _status(self) -> str:
        running = "; ".join(
            f"{label} ({text})" if label and text else label or text for label, text in self._running.values()
        )
        return f"{self._counts['done']} of {self._total} cells done; now: {running}{self._left()}"

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

        lines: list[Any] = [ProgressBar(total=max(self._total, 1), completed=self._counts["done"], width=60)]
        elapsed = duration(time.monotonic() - self.started)
        lines.append(Text(f"{self._counts['done']} of {self._total} cells · {elapsed}{self._left()}"))
        for number, (label, text) in sorted(self._running.items()):
            lines.append(Text(f"  worker {number + 1}: {label}  {text}", style="dim"))
        return Group(*lines)


def _outcome(record: Record) -> str:
    """The accuracy of a record that is ok; in the few-shot protocol that of every setting."""
    if not record.episodes:
        return f"accuracy {record.metrics['accuracy']:.3f}"
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
        from bench.commands.pretraining.pretrain import verdict

        self.say(verdict(source))
        for baseline in source.baselines:
            self.say(f"  {baseline.name}: {baseline.accuracy:.1%}")
        self.say(f"Source after {duration(time.monotonic() - self.started)}: {source.directory}")
        if source.learned:
            weights = shlex.quote(f"source:{source.directory}")
            self.say(
                f"  python -m bench run --dataset DATASET --backbone {source.backbone} --weights imagenet "
                f"--weights {weights}"
            )
