"""A plan: its data, its cells, what they will cost."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from bench.cli.terminal import duration
from bench.datasets import Dataset
from bench.datasets.splits import subset_size
from bench.records import Cell
from bench.runs.forecast import Forecast
from bench.runs.prepare import Prepared
from bench.system.machine import default_workers
from bench.system.names import shown, titled


def print_plan(prepared: Prepared, out: Path) -> None:
    """The cells of a plan, where they would go, and how much they would train."""
    for dataset in prepared.datasets:
        _print_dataset(dataset, prepared)
    for note in prepared.notes:
        print(f"Note: {shown(note)}")
    for warning in prepared.warnings:
        print(f"Warning: {shown(warning)}")
    forecast = Forecast(prepared.sizes)
    _print_cells(prepared, forecast)
    tuning = prepared.plan.tuning
    print(f"{len(prepared.cells)} cells; {tuning.trials} trials each ({tuning.algorithm}).")
    print(_forecast(*forecast.seconds(prepared.cells)))
    print(f"Run directory: {shown(str(out))}")


def _print_dataset(dataset: Dataset, prepared: Prepared) -> None:
    """How large a dataset is, and what is learned from beside it."""
    plan = prepared.plan
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


def _print_cells(prepared: Prepared, forecast: Forecast) -> None:
    """A line for the seeds of each dataset, backbone, strategy and fraction."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("dataset", "backbone", "strategy", "fraction", "n", "cells", "training images", "time"):
        table.add_column(
            heading, justify="left" if heading in ("dataset", "backbone", "strategy") else "right"
        )
    groups: dict[tuple[str, str, str, float], list[Cell]] = defaultdict(list)
    for cell in prepared.cells:
        backbone = titled(cell.backbone, cell.weights)
        groups[(cell.dataset_name, backbone, cell.strategy, cell.fraction)].append(cell)
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
            "-" if cells[0].few_shot else f"{subset_size(prepared.sizes[cells[0].fingerprint], fraction):,}",
            str(len(cells)),
            f"{work:,.0f}" if work else "-",
            "not known yet" if not known else duration(seconds) if work else "-",
        )
    width = None if sys.stdout.isatty() else 140
    Console(width=width, highlight=False).print(table)


def _forecast(seconds: float, known: bool) -> str:
    """How long the whole plan will take, as far as it is known."""
    if not seconds:
        return "No forecast: nothing like it has run on this machine yet. --calibrate measures it."
    workers = default_workers()
    more = "" if known else ", and more for what has not been measured on this machine yet"
    return f"Forecast from earlier runs: {duration(seconds / workers)} with {workers} workers{more}."
