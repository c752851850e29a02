"""How did it learn? Accuracy in training and on validation examples, by examples seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.modalities.nouns import Noun
from reports import words
from reports.drawing import (
    PAPER,
    Plan,
    frame_of,
    label_ends,
    limits,
    mark,
    of_each_dataset,
    round_ticks,
    set_up,
    stands_back,
    style_of,
    ticks,
)
from reports.results import Results
from reports.sections import Section
from reports.statistics.decisions import CONFIGURATION
from reports.tables import Panel, ordered, panels


def section(run: Results) -> Section | None:
    """Learning curves over training of each dataset."""
    plans = [*of_each_dataset(run.frame, lambda mine: _plan_of(mine, run))]
    return Section("curves", "Learning curves", plans, "Learning curves", run.several) if plans else None


def _plan_of(mine: pd.DataFrame, run: Results) -> Plan | None:
    return curves_plan(mine, run.curves, run.noun, run.strategies, run.many_labels)


def curve_numbers(results: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """The chosen trials' curves at the largest label count: train and validation accuracy by examples seen."""
    ok = results[(results["status"] == "ok") & results["cell_id"].isin(curves["cell_id"])]
    ok = ok[ok["fraction"] == ok["fraction"].max()]
    mine = curves[(curves["run"] == "search") & curves["cell_id"].isin(ok["cell_id"])]
    mine = mine[mine["metric"].isin(["train_accuracy", "val_accuracy"])]
    points = mine.pivot_table(
        index=["cell_id", "stage", "epoch", "images"], columns="metric", values="value", sort=False
    ).reset_index()
    cells = ok[["cell_id", *CONFIGURATION, "fraction", "n", "seed"]]
    numbers = cells.merge(points, on="cell_id").sort_values("images", kind="stable")
    for metric in ("train_accuracy", "val_accuracy"):
        if metric not in numbers:
            numbers[metric] = np.nan
    order = {cell_id: i for i, cell_id in enumerate(cells["cell_id"])}
    return numbers.sort_values("cell_id", key=lambda ids: ids.map(order), kind="stable").reset_index(
        drop=True
    )


def curves_plan(
    results: pd.DataFrame,
    curves: pd.DataFrame,
    noun: Noun,
    everyone: Sequence[str] = (),
    many_labels: bool = False,
) -> Plan | None:
    """Learning curves of one dataset; None where nothing was trained.

    Args:
        results, curves: the frames of ``tables``.
        noun: what examples are called.
        everyone: all strategies of the run, those that matter first; empty: those of the dataset.
        many_labels: whether an example has any number of labels. Shown is then the share of right answers.
    """
    many, what = noun.many, "accuracy"
    if many_labels:
        what = "share of right yes-or-no answers"
    numbers = curve_numbers(results, curves)
    if numbers["val_accuracy"].notna().sum() == 0:
        return None
    low, high = limits([*numbers["val_accuracy"].dropna(), *numbers["train_accuracy"].dropna()])
    everyone = everyone or ordered(results["strategy"])

    def panel_of(panel: Panel, mine: pd.DataFrame) -> Callable[[Axes], None]:
        return lambda axes: _draw_curves(axes, panel.title, mine, everyone, noun, low, high, what)

    some = [(panel, numbers[numbers["cell_id"].isin(panel.results["cell_id"])]) for panel in panels(results)]
    some = [(panel, mine) for panel, mine in some if len(mine)]
    dataset, n = words.clean(results["dataset"].iloc[0], 60), words.count(numbers["n"].iloc[0])
    return Plan(
        "curves",
        f"{words.capital(what)} during training, with {n} labelled {many}",
        f"Line chart of validation (solid) and training (dashed) {what} on {dataset} against {many} seen in "
        f"training, for the chosen trial of each strategy with {n} labelled {many}, the head's stage included.",
        _gap_conclusion(numbers) if not many_labels else _DRAWN,
        [panel_of(panel, mine) for panel, mine in some],
        numbers,
        frame_of(len(some), numbers["strategy"].nunique()),
    )


def _draw_curves(
    axes: Axes,
    title: str,
    numbers: pd.DataFrame,
    everyone: Sequence[str],
    noun: Noun,
    low: float,
    high: float,
    what: str,
) -> None:
    many = noun.many
    set_up(axes, title, f"{many} seen (solid: validation, dashed: training)", what, low, high)
    # The first pass has as much room as a few times more examples: some stages, as a probe's on stored features,
    # are many times as long as others, and the start is where curves differ most.
    after = numbers.loc[numbers["images"] > 0, "images"]
    first, most = (float(after.min()), float(after.max())) if len(after) else (1.0, 1.0)
    axes.set_xscale("symlog", linthresh=first, linscale=0.5)
    axes.set_xlim(0, most * 1.1)
    ticks(axes, [0.0, *round_ticks(first, most)], words.magnitude)
    ends = []
    for strategy in ordered(numbers["strategy"]):
        colour, marker = style_of(strategy, everyone)
        mine = numbers[numbers["strategy"] == strategy]
        seen, validation, training = (
            mine[name].to_numpy() for name in ("images", "val_accuracy", "train_accuracy")
        )
        cells, behind = pd.factorize(mine["cell_id"])[0], stands_back(strategy, everyone)
        for cell in range(1 if behind else cells.max(initial=-1) + 1):
            first = cell == 0
            known = (cells == cell) & np.isfinite(validation)
            line = axes.plot(seen[known], validation[known], color=colour,
                             alpha=1 if first else 0.35, linewidth=1.8 if first and not behind else 0.8,
                             zorder=1.5 if behind else 2)  # fmt: skip
            mark(strategy, *line)
            if not first or not known.any():
                continue
            trained = (cells == cell) & np.isfinite(training) & (not behind)
            dashed = axes.plot(seen[trained], training[trained], color=colour, linewidth=1,
                               linestyle=(0, (4, 2)), alpha=0.8)  # fmt: skip
            x, y = seen[known][-1], validation[known][-1]
            end = axes.plot(
                x, y, marker=marker, color=colour, markersize=5, markeredgecolor=PAPER, linestyle="none"
            )
            mark(strategy, *dashed)
            mark(
                strategy,
                *end,
                values=[_value(strategy, y, training[(cells == cell) & np.isfinite(training)])],
            )
            ends.append((strategy, x, y))
    label_ends(axes, ends, everyone)


def _value(strategy: str, validation: float, training: Sequence[float]) -> str:
    """What the page says of the end of a line."""
    text = f"{words.strategy_name(strategy)}: validation {words.percent(validation)}"
    return text + (f", training {words.percent(training[-1])}" if len(training) else "")


_DRAWN = "Solid lines show the first seed on the validation set, dashed lines on its training set."


def _gap_conclusion(numbers: pd.DataFrame) -> str:
    last = numbers.dropna(subset=["val_accuracy", "train_accuracy"]).groupby("cell_id", sort=False).tail(1)
    if last.empty:
        return "Solid lines show accuracy on the validation set. Training accuracy was not recorded."
    gaps = (last["train_accuracy"] - last["val_accuracy"]).groupby(last["strategy"]).mean()
    widest = str(gaps.idxmax())
    if gaps[widest] < 0.05:
        return f"Training accuracy ends at most 5 points above validation: no sign of overfitting. {_DRAWN}"
    return (
        f"{words.capital(words.strategy_name(widest))} has the widest gap between training and validation at the "
        f"end: {words.in_points(gaps[widest])}. More labels or stronger augmentation help most there. {_DRAWN}"
    )
