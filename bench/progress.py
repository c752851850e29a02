"""What a person sees of a run: a live display in a terminal, plain lines in a log file."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.backbones import short_backbone, titled
from bench.datasets.source import shown
from bench.datasets.splits import subset_size
from bench.forecast import Forecast
from bench.records import FINAL, Cell, Record
from bench.runs import Prepared, Reporter, Run, default_workers
from bench.store import Store

if TYPE_CHECKING:
    from bench.agreement import Agreement
    from bench.backbones.sources import WeightSource
    from bench.execution.local import Event
    from bench.export import Exported
    from bench.ranking import Ranking
    from bench.repeat import Repetition

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

        from reports.few_shot import few_shot_terminal, is_few_shot, measurements
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
        from bench.pretraining import verdict

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


def print_repetition(repetition: Repetition) -> None:
    """Whether a cell came out the same, else what differs, in numbers and around it."""
    cell = Cell(**repetition.now.cell)
    print(f"{shown(cell.label)} ({cell.id})")
    if repetition.differences:
        print("It did not come out the same:")
    else:
        accuracy = repetition.now.metrics.get("accuracy")
        exactly = "" if accuracy is None else f", accuracy {accuracy:.4f}, every prediction to the last bit"
        print(f"It came out the same: {repetition.now.status}{exactly}.")
    for where, changes in (("", repetition.differences), ("around it, ", repetition.surroundings)):
        for name, (then, now) in changes.items():
            print(f"  {where}{shown(name)}: then {shown(str(then))}, now {shown(str(now))}")


def print_export(exported: Exported) -> None:
    """Where it lies, how good it is, and whether it is the model that was measured."""
    from reports.answer import who

    print(f"{shown(who(exported.candidate))}, trained on all labels: {shown(str(exported.folder))}")
    print(
        f"  accuracy on the test images: {exported.accuracy:.1%} (measured: {exported.measured:.1%} with "
        f"{exported.labels:,} labels)"
    )
    if exported.difference == exported.difference:
        print(
            f"  its test probabilities differ from the measured ones by {exported.difference:.2g} on average"
        )
    print("  model.keras, train.py, card.md")


def print_plan(prepared: Prepared, out: Path) -> None:
    """The cells of a plan, where they would go, and how much they would train."""
    from rich.console import Console
    from rich.table import Table

    plan = prepared.plan
    sizes = prepared.sizes
    for dataset in prepared.datasets:
        if plan.protocol == "few-shot":
            few, images = plan.few_shot, len(dataset.pool.ids) + len(dataset.test.ids)
            ways, shots = (" and ".join(map(str, counts)) for counts in (few.ways, few.shots))
            print(
                f"{shown(dataset.name)}: {len(dataset.class_names)} new classes, {images:,} images; "
                f"{few.episodes:,} episodes of each of {ways} ways with {shots} shots"
            )
        else:
            print(
                f"{shown(dataset.name)}: {len(dataset.class_names)} classes, pool of {len(dataset.pool.ids):,} "
                f"images, test set of {len(dataset.test.ids):,}"
            )
        if domain := prepared.domains.get(dataset.fingerprint):
            print(
                f"  source {shown(domain.dataset.name)}: {len(domain.rows):,} labelled images, {domain.left_out:,} "
                "more left out for images of the dataset that they share a group with"
            )
        for task in prepared.auxiliary.get(dataset.fingerprint, ()):
            about = task.summary()
            print(
                f"  auxiliary {shown(task.name)}: {about['known']:,} of {about['n']:,} images labelled, "
                f"{len(task.class_names)} classes"
            )
    for note in prepared.notes:
        print(f"Note: {shown(note)}")
    for warning in prepared.warnings:
        print(f"Warning: {shown(warning)}")
    table = Table(box=None, pad_edge=False)
    for heading in ("dataset", "backbone", "strategy", "fraction", "n", "cells", "training images", "time"):
        table.add_column(
            heading, justify="left" if heading in ("dataset", "backbone", "strategy") else "right"
        )
    groups: dict[tuple[str, str, str, float], list[Cell]] = defaultdict(list)
    for cell in prepared.cells:
        backbone = titled(cell.backbone, cell.weights)
        groups[(cell.dataset_name, backbone, cell.strategy, cell.fraction)].append(cell)
    forecast = Forecast(sizes)
    for (dataset_name, backbone, strategy, fraction), cells in sorted(
        groups.items(), key=lambda item: item[0][-1]
    ):
        work = sum(forecast.work(cell) for cell in cells)
        seconds, known = forecast.seconds(cells)
        table.add_row(
            shown(dataset_name),
            shown(backbone) or "-",
            strategy,
            "few-shot" if cells[0].few_shot else f"{fraction * 100:g}%",
            "-" if cells[0].few_shot else f"{subset_size(sizes[cells[0].fingerprint], fraction):,}",
            str(len(cells)),
            f"{work:,.0f}" if work else "-",
            "not known yet" if not known else duration(seconds) if work else "-",
        )
    width = None if sys.stdout.isatty() else 140
    Console(width=width, highlight=False).print(table)
    seconds, known = forecast.seconds(prepared.cells)
    workers = default_workers()
    print(f"{len(prepared.cells)} cells; {plan.tuning.trials} trials each ({plan.tuning.algorithm}).")
    if seconds:
        more = "" if known else ", and more for what has not been measured on this machine yet"
        print(f"Forecast from earlier runs: {duration(seconds / workers)} with {workers} workers{more}.")
    else:
        print("No forecast: nothing like it has run on this machine yet. --calibrate measures it.")
    print(f"Run directory: {shown(str(out))}")


_HEADINGS = {
    "probe": "probe %",
    "knn": "kNN %",
    "nearest_mean": "mean %",
    "logme": "LogME",
    "h_score": "H-score",
    "leep": "LEEP",
    "nce": "NCE",
    "imagenet_top1": "ImageNet %",
    "params": "params",
    "ms_per_image": "ms/image",
}


def print_ranking(ranking: Ranking, agrees: Agreement | None) -> None:
    """Relevance, accuracy and size side by side; what decides, what the columns mean, who was left out and why."""
    from bench.ranking import COLUMNS, DECIDES, SCORES, WHY

    print(
        f"{shown(ranking.name)}: {ranking.images:,} of {ranking.pool:,} labelled images, {ranking.image_size} px, "
        f"{ranking.classes} classes of which the commonest makes up {ranking.majority:.1%}; no test image was seen"
    )
    rows = [
        [
            str(place),
            _backbone(ranked.backbone),
            *(_score(ranking, ranked.value(c), c) for c in COLUMNS),
        ]
        for place, ranked in enumerate(ranking.backbones, start=1)
    ]
    _print_table(["", "backbone", *(_HEADINGS[column] for column in COLUMNS)], rows, left=(1,))
    print(f"\nOrder: {WHY}.\n")
    for column, meaning in COLUMNS.items():
        more = "; ± half the width of its 95% interval" if column == DECIDES else ""
        print(f"  {_HEADINGS[column]:10} {meaning}{more}")
    absent: dict[str, list[str]] = defaultdict(list)
    for ranked in ranking.backbones:
        for reason in {ranked.missing[name] for name in SCORES if name in ranked.missing}:
            names = ", ".join(_HEADINGS[name] for name in SCORES if ranked.missing.get(name) == reason)
            absent[f"No {names}: {reason}"].append(ranked.backbone)
    left_out: dict[str, list[str]] = defaultdict(list)
    for backbone, reason in ranking.left_out:
        left_out[reason].append(backbone)
    if absent or left_out:
        print()
    for reason, backbones in absent.items():
        print(f"{shown(reason)}: {', '.join(map(_backbone, backbones))}")
    for reason, backbones in left_out.items():
        print(f"Left out, {shown(reason)}: {', '.join(map(_backbone, backbones))}")
    if agrees is not None:
        _print_agreement(agrees)


def _backbone(text: str) -> str:
    return shown(short_backbone(text))


def _score(ranking: Ranking, value: float | None, column: str) -> str:
    if value is None:
        return "-"
    if column == "probe":
        return f"{value * 100:.1f} ± {ranking.margin(value) * 100:.1f}"
    if column in ("knn", "nearest_mean"):
        return f"{value * 100:.1f}"
    return {
        "params": f"{value / 1e6:.2f} M",
        "imagenet_top1": f"{value:.1f}",
        "ms_per_image": f"{value:.1f}",
    }.get(column, f"{value:.3f}")


def _print_agreement(agrees: Agreement) -> None:
    """Measured accuracies, and how each column orders them."""
    print(f"\nMeasured in {shown(agrees.run)}, mean over seeds with the most labels:")
    for remark in agrees.remarks:
        print(f"  {shown(remark)}")
    strategies, measured = list(agrees.accuracies), list(agrees.accuracies.values())
    backbones = list(dict.fromkeys(name for of in measured for name in of))
    rows = [
        [_backbone(name), *(f"{of[name] * 100:.1f}" if name in of else "-" for of in measured)]
        for name in backbones
    ]
    _print_table(["backbone", *map(shown, strategies)], rows, left=(0,))
    if agrees.probe_error is not None:
        print(f"The predicted probe is off by {agrees.probe_error * 100:.1f} points on average.")
    usable = [c for c in agrees.correlations if c.weighted_tau is not None or c.spearman is not None]
    if not usable:
        print(f"No rank correlation: {len(backbones)} of these backbones were measured, and that is too few.")
        return
    print("\nRank correlation with it (Kendall's weighted tau / Spearman; number of backbones):")
    by_place = {(c.column, c.strategy): c for c in usable}
    rows = []
    for column in dict.fromkeys(c.column for c in usable):
        cells = [by_place.get((column, strategy)) for strategy in strategies]
        rows.append(
            [
                _HEADINGS[column],
                *(
                    "-" if c is None else f"{_signed(c.weighted_tau)} / {_signed(c.spearman)} ({c.backbones})"
                    for c in cells
                ),
            ]
        )
    _print_table(["", *map(shown, strategies)], rows, left=(0,))


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    width = None if sys.stdout.isatty() else 160
    Console(width=width, highlight=False).print(table)
