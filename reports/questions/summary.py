"""The summary: strategies by label counts."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from reports import words
from reports.results import Results
from reports.sections import Grid, GridCell, Section
from reports.statistics.credits import metric_of, task_of
from reports.tables import Panel, column_title, ordered, panels, rows_of, statuses, summary_frame

CAPTION = (
    "Each cell shows the mean test {metric} ± its standard deviation over seeds, in points. Below it stands the "
    "median time to tune and train one seed. The highest mean of a column is bold."
)


def section(run: Results) -> Section | None:
    """One table a dataset and backbone; None of an empty run."""
    tables = grids(run)
    return Section("summary", "Summary", tables, "Summary", len(tables) > 1) if tables else None


def grids(run: Results) -> list[Grid]:
    """See ``summary_tables``."""
    return summary_tables(run.frame)


def summary_tables(results: pd.DataFrame) -> list[Grid]:
    """One table a panel, strategies by label counts: the metric that decides with its spread, and seconds; the best
    mean of a column is marked. With a conclusion."""
    summary = summary_frame(results)
    return [_summary_table(panel, panel.select(summary)) for panel in panels(results)]


def _summary_table(panel: Panel, summary: pd.DataFrame) -> Grid:
    sizes = summary.groupby("fraction")["n"].median().sort_index()
    metric = metric_of(summary)
    best = summary.groupby("fraction")[metric].max()
    rows: dict[tuple[str, float], Any] = {(row.strategy, row.fraction): row for row in rows_of(summary)}

    def cell(strategy: str, fraction: float) -> GridCell:
        row = rows.get((strategy, fraction))
        if row is None or not row.seeds:
            return GridCell("–" if row is None else statuses(panel.results, strategy, fraction))
        return _cell(row, best[fraction])

    return Grid(
        " · ".join(filter(None, (words.clean(panel.dataset, 60), panel.title))),
        [column_title(float(str(f)), n) for f, n in sizes.items()],
        [
            (strategy, words.strategy_name(strategy), [cell(strategy, fraction) for fraction in sizes.index])
            for strategy in ordered(summary["strategy"])
        ],
        "Summary",
        CAPTION.format(metric=words.metric_name(metric)),
        _summary_conclusion(summary),
    )


def _cell(row: Any, best: float) -> GridCell:
    spread = f" ± {words.points(row.spread)}" if math.isfinite(row.spread) else ""
    seeds = f"{row.seeds} of {row.cells} seeds"
    seeds = words.plural(row.seeds, "seed") if row.seeds == row.cells else seeds
    value = getattr(row, row.metric)
    return GridCell(
        words.percent(value) + spread,
        f"{words.duration(row.seconds)} · {seeds}",
        value == best,
    )


def _floored(summary: pd.DataFrame, trained: pd.DataFrame) -> int:
    """In how many columns the most frequent class is higher than all that is trained."""
    metric = metric_of(summary)
    best = trained.groupby("fraction")[metric].max()
    floor = summary[summary["strategy"] == "majority"].groupby("fraction")[metric].max()
    return int((floor.reindex(best.index) > best).sum())


def _summary_conclusion(summary: pd.DataFrame) -> str:
    """How often each strategy is first, and how far seeds scatter; without those that lost seeds: their means are
    not comparable."""
    trained = summary[(summary["strategy"] != "majority") & (summary["seeds"] > 0)]
    if trained.empty:
        return ""
    whole = trained[trained["seeds"] == trained.groupby("fraction")["seeds"].transform("max")]
    among = " among those with all seeds" if len(whole) < len(trained) else ""
    trained = whole
    firsts = trained.loc[trained.groupby("fraction")[metric_of(trained)].idxmax()]
    names = [
        f"{words.strategy_name(str(strategy))} in {times}"
        for strategy, times in firsts["strategy"].value_counts(sort=False).items()
    ]
    text = f"Highest mean{among}: {words.some(names)} of {words.plural(len(firsts), 'column')}."
    if floored := _floored(summary, trained):
        text += f" Always answering with {words.FLOORS[task_of(summary)]} is higher in {floored}."
    scattered = trained.dropna(subset="spread").sort_values("spread")
    if len(scattered):
        widest = scattered.iloc[-1]
        text += (
            f" Seeds scatter most for {words.strategy_name(widest['strategy'])} with {words.count(widest['n'])} "
            f"labels, by ±{words.in_points(widest['spread'])}."
        )
    return text
