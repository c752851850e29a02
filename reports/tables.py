"""Records as pandas tables: raw numbers, one order everywhere, CSV files that a spreadsheet opens safely."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.records import Record
from bench.system.files import write_atomic
from bench.system.names import titled
from bench.system.spreadsheets import defused
from reports import words
from reports.columns import CLASSIFICATION, COSTS, CURVES, LATER, MANY_LABELS, RESULTS, named
from reports.statistics.credits import metric_of, task_of
from reports.statistics.decisions import CONFIGURATION
from reports.statistics.intervals import t_half_width

if TYPE_CHECKING:
    from rich.console import Group

COLUMNS = tuple(RESULTS)
"""The columns of ``results.csv``, in order."""

CURVE_COLUMNS = tuple(CURVES)

STRATEGY_ORDER = ("scratch", "feature_extraction", "partial_finetune", "full_finetune")
"""The order of strategies in every table and figure; others follow by name, ``majority`` comes last."""


_TEXT = named(RESULTS, "text")
_WHOLE = named(RESULTS | CURVES, "whole") | {"cells", "seeds"}
_METRICS = (*CLASSIFICATION, *LATER, *MANY_LABELS)


def strategy_key(strategy: str) -> tuple[int, str]:
    """Sorts strategies in their canonical order."""
    if strategy in STRATEGY_ORDER:
        return STRATEGY_ORDER.index(strategy), ""
    return len(STRATEGY_ORDER) + (strategy == "majority"), strategy


def ordered(strategies: Iterable[str]) -> list[str]:
    """Each strategy once, in canonical order."""
    return sorted(set(strategies), key=strategy_key)


def results_frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row a record, with the columns ``COLUMNS``, sorted by dataset, backbone, strategy, fraction, seed.

    Numbers are raw; what is missing is NaN. ``trials`` is their number, ``hyperparameters`` is JSON,
    ``error`` is the message. ``total_seconds`` is less than tuning plus refit by the stored features that both
    use: each of these counts them as if alone. Two datasets of one name are told apart by their fingerprint.
    """
    names = dataset_names(records)
    rows = [_row(record, names) for record in records]
    order = ("dataset", "backbone", "weights", "strategy", "fraction", "seed", "cell_id")
    rows.sort(key=lambda row: [strategy_key(row[key]) if key == "strategy" else row[key] for key in order])
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame = frame.astype({column: object if column in _TEXT else float for column in COLUMNS})
    known = frame["tune_seconds"].fillna(0) + frame["fit_seconds"]  # of records that lack the total
    frame["total_seconds"] = frame["total_seconds"].fillna(known)
    return frame.astype({"seed": int})


def curves_frame(records: Sequence[Record]) -> pd.DataFrame:
    """The learning curves in long form: one row a (cell, run, stage, epoch, metric) that was measured.

    ``images`` and ``seconds`` count from the start of the run, over all its stages.
    """
    place = ("run", "stage", "epoch", "images", "seconds")
    rows = [
        (record.cell_id, *(point.get(key) for key in place), metric, value)
        for record in records
        for point in record.curves
        for metric, value in point.items()
        if metric not in place and value is not None
    ]
    frame = pd.DataFrame(rows, columns=list(CURVE_COLUMNS))
    return frame.astype(dict.fromkeys(("epoch", "images", "seconds", "value"), float))


def summary_frame(results: pd.DataFrame) -> pd.DataFrame:
    """One row a (dataset, backbone, weights, strategy, fraction): what its seeds have in common.

    Columns: ``n`` (labelled examples), ``cells`` (records of any status), ``seeds`` (those that are ok),
    ``metric`` (that decides), ``accuracy`` and the other metrics (means), of the one that decides ``spread``
    (standard deviation over seeds; NaN for one), ``min``, ``max`` and ``half_width`` (of the 95% t interval of the
    mean over seeds; NaN below three),
    ``seconds`` (median of ``total_seconds``), and medians of latency, parameters and memory.
    """
    keys = [*CONFIGURATION, "fraction"]
    ok = results[results["status"] == "ok"]
    ok = ok.assign(seconds=ok["total_seconds"])
    groups = ok.groupby(keys, sort=False)
    metric = metric_of(results)
    decides = groups[metric]
    medians = ["seconds", "inference_ms_per_image", "params", "trainable_params", "peak_memory_mb"]
    summary = results.groupby(keys, sort=False).size().to_frame("cells")
    summary = summary.join(
        [
            decides.count().rename("seeds"),
            groups[[*_METRICS]].mean(),
            decides.std().rename("spread"),
            decides.min().rename("min"),
            decides.max().rename("max"),
            groups[medians].median(),
        ]
    ).reset_index()
    summary["seeds"] = summary["seeds"].fillna(0).astype(int)
    summary["half_width"] = [
        t_half_width(spread, seeds) for spread, seeds in zip(summary["spread"], summary["seeds"], strict=True)
    ]
    # A configuration that failed used as many labels as those beside it.
    sizes = results.groupby(["dataset", "fraction"])["n"].median().rename("n")
    summary = summary.join(sizes, on=["dataset", "fraction"])
    summary["metric"] = metric
    summary["task"] = task_of(results)
    columns = [
        *keys,
        "n",
        "metric",
        "task",
        "cells",
        "seeds",
        *_METRICS,
        "spread",
        "min",
        "max",
        "half_width",
        *medians,
    ]
    return summary[columns]


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Writes a table as UTF-8 CSV, atomically: floats in full precision, what is missing left empty.

    A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    safe = frame.copy()
    for column in safe.columns:
        if pd.api.types.is_numeric_dtype(safe[column]):
            if column in _WHOLE and (safe[column].dropna() % 1 == 0).all():
                safe[column] = safe[column].astype("Int64")  # 341, not 341.0
        else:
            safe[column] = safe[column].map(defused)
    write_atomic(path, safe.to_csv(index=False, lineterminator="\n"))


@dataclass(frozen=True)
class Panel:
    """What is looked at together: the cells of one backbone on one dataset.

    ``results`` includes the cells that use no pretrained weights (``scratch``) or no backbone (``majority``).
    """

    dataset: str
    backbone: str
    weights: str
    results: pd.DataFrame

    def select(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of another frame that belong to this panel."""
        mine = frame["backbone"].isin([self.backbone, ""]) & frame["weights"].isin([self.weights, ""])
        return frame[mine & (frame["dataset"] == self.dataset)]

    @property
    def title(self) -> str:
        """The backbone, with its weights where they are not ImageNet's."""
        return backbone_title(self.backbone, self.weights) or "no backbone"


def backbone_title(backbone: str, weights: str) -> str:
    """The backbone as people read it, with its weights where they are not ImageNet's."""
    return words.clean(titled(backbone, weights), 60)


def configuration_name(
    strategy: str, backbone: str, weights: str, several: bool = True, dataset: str = ""
) -> str:
    """A configuration in words: ``LoRA on MobileNet``, or ``cats: LoRA on MobileNet``.

    Args:
        several: whether the backbone has to be named, see ``several_backbones``.
        dataset: where there are several of them, its name.
    """
    name, title = words.strategy_name(strategy), backbone_title(backbone, weights) if several else ""
    name = f"{name} on {title}" if title else name
    return f"{words.clean(dataset, 40)}: {name}" if dataset else name


def several_backbones(found: Iterable[tuple[str, str]]) -> bool:
    """Whether (backbone, weights) have to be told apart in words: more than one backbone, or one with more than one
    set of weights. Training from scratch has no weights, the majority class no backbone."""
    pairs = {pair for pair in found if pair[0]}
    backbones = {backbone for backbone, _ in pairs}
    return len(backbones) > 1 or len({weights for _, weights in pairs if weights}) > 1


def panels(results: pd.DataFrame) -> list[Panel]:
    """One panel a (dataset, backbone, weights), in the order of the table. There is none for no weights beside
    others: what it would show, training from scratch, is in these too."""
    found = []
    for dataset, of_dataset in results.groupby("dataset", sort=False):
        pairs = list(dict.fromkeys(zip(of_dataset["backbone"], of_dataset["weights"], strict=True)))
        best = {backbone: max(_told(w) for b, w in pairs if b == backbone) for backbone, _ in pairs}
        own = [(b, w) for b, w in pairs if b and (_told(w) == 2 or _told(w) == best[b])]
        for backbone, weights in own or [("", "")]:
            panel = Panel(str(dataset), backbone, weights, of_dataset)
            found.append(replace(panel, results=panel.select(of_dataset)))
    return found


def _told(weights: str) -> int:
    """How much a set of weights has to tell beside others of the same backbone."""
    return 0 if not weights else 1 if weights == "none" else 2


def rows_of(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows, with columns as attributes."""
    return frame.itertuples()


def terminal_table(results: pd.DataFrame) -> Group:
    """Strategies by fractions, for the terminal: one ``rich`` table a panel, in a group to be printed.

    A cell of the table shows the mean over seeds of the metric that decides, its standard deviation, and seconds.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    tables: list[Any] = []
    everything = summary_frame(results)
    for panel in panels(results):
        summary = panel.select(everything)
        sizes = summary.groupby("fraction")["n"].median().sort_index()
        title = " · ".join(filter(None, (words.clean(panel.dataset), panel.title)))
        table = Table()
        table.add_column(f"test {words.metric_name(metric_of(results))}", no_wrap=True)
        for fraction, n in sizes.items():
            table.add_column(Text(column_title(float(str(fraction)), n)), justify="right")
        cells = {(row.strategy, row.fraction): row for row in summary.itertuples()}
        for strategy in ordered(summary["strategy"]):
            line = [_terminal_cell(cells.get((strategy, f)), panel.results) for f in sizes.index]
            table.add_row(Text(words.capital(words.strategy_name(strategy))), *(Text(text) for text in line))
        tables += [Text(title, style="bold"), table]
    note = "Mean over seeds ± standard deviation, and the time to tune and train one seed."
    return Group(*tables, *([Text(note)] if tables else []))


def column_title(fraction: float, n: float) -> str:
    """``10% (n=341)``."""
    return words.fraction_name(fraction) + (f" (n={words.count(n)})" if np.isfinite(n) else "")


def statuses(results: pd.DataFrame, strategy: str, fraction: float) -> str:
    """What became of the cells of a strategy at a fraction that have no result: ``failed, timeout``."""
    cells = results[(results["strategy"] == strategy) & (results["fraction"] == fraction)]
    return ", ".join(dict.fromkeys(cells.loc[cells["status"] != "ok", "status"]))


def _terminal_cell(row: Any, results: pd.DataFrame) -> str:
    if row is None:
        return "–"
    if not row.seeds:
        return statuses(results, row.strategy, row.fraction)
    spread = f" ± {100 * row.spread:.1f}" if np.isfinite(row.spread) else ""
    seeds = f" ({row.seeds}/{row.cells} ok)" if row.seeds < row.cells else ""
    return f"{words.percent(getattr(row, row.metric))}{spread} · {words.duration(row.seconds)}{seeds}"


def _row(record: Record, names: dict[str, str]) -> dict[str, Any]:
    cell = record.cell
    source, auxiliary = (cell["companions"].get(kind, {}) for kind in ("source", "auxiliary"))
    row = {
        "cell_id": record.cell_id,
        "status": record.status,
        "dataset": names[cell["fingerprint"]],
        **{key: cell[key] for key in ("backbone", "weights", "strategy", "fraction", "seed")},
        **{key: getattr(record, key) for key in ("n", "n_train", "n_val", "n_test", "epochs")},
        **{key: record.metrics.get(key) for key in _METRICS},
        **{key: record.costs.get(key) for key in COSTS},
        "trials": len(record.trials),
        "hyperparameters": json.dumps(record.hyperparameters, sort_keys=True, ensure_ascii=False),
        "error": (record.error or {}).get("message", np.nan),
        "source_dataset": source.get("name", ""),
        "n_source": record.n_source,
        "auxiliary": ", ".join([*auxiliary.get("columns", {}), *filter(None, [auxiliary.get("name")])]),
        "n_auxiliary": record.n_auxiliary,
        "metric": cell["metric"],
        "class_weight": cell["class_weight"],
        "steps": record.steps,
        "task": cell["task"],
    }
    # A file name that is not UTF-8 reaches us with unpaired surrogates, which no table or file can hold.
    return {
        key: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for key, value in row.items()
    }


def places(results: pd.DataFrame) -> dict[str, int]:
    """The datasets, each with its place from 1; one alone has 0."""
    names = dict.fromkeys(results["dataset"])
    return {name: place if len(names) > 1 else 0 for place, name in enumerate(names, 1)}


def dataset_names(records: Sequence[Record]) -> dict[str, str]:
    """The name of each fingerprint, made unique where two datasets share one."""
    fingerprints: dict[str, set[str]] = defaultdict(set)
    names: dict[str, str] = {}
    for record in records:
        fingerprint, name = record.cell["fingerprint"], str(record.cell["dataset_name"])
        fingerprints[name].add(fingerprint)
        names.setdefault(fingerprint, name)
    return {f: f"{name} ({f[:6]})" if len(fingerprints[name]) > 1 else name for f, name in names.items()}
