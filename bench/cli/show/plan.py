"""A plan: its data, its cells, what they will cost."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from bench.cli.show.forecast import forecast_lines
from bench.cli.terminal import duration
from bench.datasets import Dataset
from bench.modalities.findings import count
from bench.plans.plan import Tuning
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
    forecast = Forecast.of_plan(prepared)
    _print_cells(prepared, forecast)
    tuning = prepared.plan.tuning
    most = "Up to " if prepared.plan.is_cut_short else ""
    print(f"{most}{len(prepared.cells)} cells, {_search(tuning)}.")
    for line in forecast_lines(forecast, prepared, prepared.cells, default_workers()):
        print(shown(line))
    print(f"Run directory: {shown(str(out))}")


def _search(tuning: Tuning) -> str:
    """How hyperparameters are chosen."""
    return (
        f"{count(tuning.trials, 'trial')} each ({tuning.algorithm})"
        if tuning.trials
        else "no search: the defaults"
    )


def _print_dataset(dataset: Dataset, prepared: Prepared) -> None:
    """How large a dataset is, and what is learned from beside it."""
    print(f"{shown(dataset.name)}: {prepared.resolved.protocol.introduction(prepared.plan, dataset)}")
    if groups := dataset.group_counts:
        print("\n".join(f"  {line}" for line in map(shown, groups.sentences(dataset.kind.noun))))
    for companion in prepared.companions.values():
        for line in companion.introduction(dataset):
            print(f"  {shown(line)}")


def _print_cells(prepared: Prepared, forecast: Forecast) -> None:
    """A line for the seeds of each dataset, backbone, strategy and fraction."""
    from rich.console import Console
    from rich.table import Table

    from reports.words import strategy_name

    protocol, many = prepared.resolved.protocol, prepared.datasets[0].kind.noun.many
    table = Table(box=None, pad_edge=False)
    counted = "fraction", "n", "cells", "steps", f"training {many}", "time"
    for heading in ("dataset", "backbone", "strategy", *counted):
        table.add_column(heading, justify="right" if heading in counted else "left")
    groups: dict[tuple[str, str, str, float], list[Cell]] = defaultdict(list)
    for cell in prepared.cells:
        backbone = titled(cell.backbone, cell.weights)
        groups[(cell.dataset_name, backbone, cell.strategy, cell.fraction)].append(cell)
    for (dataset_name, backbone, strategy, _), cells in sorted(groups.items(), key=lambda item: item[0][-1]):
        work = sum(forecast.work(cell) for cell in cells)
        seconds, known = forecast.seconds(cells)
        table.add_row(
            shown(dataset_name),
            shown(backbone) or "-",
            strategy_name(strategy),
            protocol.share(cells[0]),
            protocol.size(cells[0], prepared.sizes[cells[0].fingerprint]),
            str(len(cells)),
            f"{steps:,}" if (steps := forecast.steps(cells[0])) else "-",
            f"{work:,.0f}" if work else "-",
            "not known" if not known else duration(seconds) if seconds else "-",
        )
    width = None if sys.stdout.isatty() else 140
    Console(width=width, highlight=False).print(table)
