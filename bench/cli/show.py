"""What commands print: tables and sentences for the terminal."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.progress import duration
from bench.commands.strategy_check.check import StrategyCheck
from bench.datasets.splits import subset_size
from bench.records import Cell
from bench.runs.forecast import Forecast
from bench.runs.prepare import Prepared
from bench.system.machine import default_workers
from bench.system.names import short_backbone, shown, titled

if TYPE_CHECKING:
    from bench.commands.export.export import Exported
    from bench.ranking.rank import Ranking
    from bench.runs.agreement import Agreement
    from bench.runs.repeat import Repetition


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
    from reports.phrases import who

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
    from bench.ranking.rank import COLUMNS, DECIDES, SCORES, WHY

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


def print_check(found: StrategyCheck) -> None:
    """Problems first, then advice."""
    number = len(found.problems)
    what = "nothing wrong" if found.ok else f"{number} problem{'s' if number > 1 else ''}"
    print(f"{found.strategy}: {what}")
    for problem in found.problems:
        print(f"- {problem}")
    if found.advice:
        print("\nWorth changing:")
        for text in found.advice:
            print(f"- {text}")
    if found.ran:
        print(f"\n{found.ran}")
