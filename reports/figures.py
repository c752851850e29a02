"""The figures: functions that return numbers, and thin functions that draw them.

Every figure is small multiples of one panel a backbone (or a measure), all with the same y axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from reports import words
from reports.drawing import (
    MUTED,
    PAPER,
    Plan,
    count_ticks,
    label_ends,
    limits,
    mark,
    on_log_axis,
    round_ticks,
    set_up,
    style_of,
    ticks,
    time_ticks,
)
from reports.labels import FARTHEST, LabelCurve
from reports.statistics.intervals import LEVEL
from reports.tables import (
    CONFIGURATION,
    Panel,
    backbone_title,
    configuration_name,
    ordered,
    panels,
    places,
    several_backbones,
    summary_frame,
)


def main_plans(results: pd.DataFrame, curves: pd.DataFrame) -> Iterator[Plan]:
    """Accuracy, cost and learning curves of each dataset, as far as the results allow.

    Args:
        results, curves: the frames of ``tables``.
    """
    for dataset, place in places(results).items():
        of_dataset = results[results["dataset"] == dataset]
        for figure in (_accuracy_figure, _cost_figure, curves_figure):
            plan = figure(of_dataset, curves)
            if plan is not None:
                yield plan.of(dataset, place)


def label_plans(results: pd.DataFrame, fitted: Sequence[LabelCurve]) -> Iterator[Plan]:
    """The fitted learning curves of each dataset that has some.

    Args:
        results: the frame of ``tables.results_frame``.
        fitted: of ``labels.label_curves``.
    """
    for dataset, place in places(results).items():
        mine = [curve for curve in fitted if curve.key[0] == dataset]
        if mine:
            yield _labels_figure(results[results["dataset"] == dataset], mine).of(dataset, place)


# --- numbers ----------------------------------------------------------------------------------------------


def accuracy_numbers(results: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy by configuration and label count: n, seeds, mean, spread, and the 95% band from 3 seeds on."""
    summary = summary_frame(results)
    columns = [*CONFIGURATION, "fraction", "n", "seeds", "accuracy", "spread", "min", "max", "half_width"]
    return summary.loc[summary["seeds"] > 0, columns].reset_index(drop=True)


COSTS = {
    "seconds": "tuning and training time for one seed",
    "inference_ms_per_image": "milliseconds for one image",
    "params": "parameters",
}
"""What accuracy is weighed against: columns of the summary, and how they are called."""


def differs(costs: pd.Series[Any]) -> bool:
    """Whether costs differ by more than a twentieth."""
    return bool(costs.max() > 1.05 * costs.min())


def cost_numbers(results: pd.DataFrame) -> pd.DataFrame:
    """Costs and accuracy at the largest label count that has results, and who is on which Pareto front.

    ``front_seconds``, ``front_inference_ms_per_image`` and ``front_params`` mark configurations that no other
    beats in accuracy at the same or lower cost of that kind.
    """
    summary = summary_frame(results)
    summary = summary[(summary["seeds"] > 0) & (summary["strategy"] != "majority") & (summary["seconds"] > 0)]
    summary = summary[summary["fraction"] == summary["fraction"].max()]
    numbers = summary[[*CONFIGURATION, "fraction", "n", "seeds", *COSTS, "accuracy"]]
    numbers = numbers.sort_values(["seconds", "accuracy"], ascending=[True, False]).reset_index(drop=True)
    for cost in COSTS:
        by_cost = numbers[numbers[cost].notna()].sort_values([cost, "accuracy"], ascending=[True, False])
        best_before = by_cost["accuracy"].cummax().shift(fill_value=-1.0)
        front = by_cost.index[by_cost["accuracy"] > best_before]
        numbers[f"front_{cost}"] = numbers.index.isin(front)
    return numbers


def curve_numbers(results: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """The winning trials' curves at the largest label count: train and validation accuracy by images seen."""
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


def label_numbers(fitted: Sequence[LabelCurve]) -> pd.DataFrame:
    """The fitted curves at 40 label counts each: median and 95% interval; ``measured`` where it was."""
    rows = []
    for curve in fitted:
        measured = dict(zip(curve.n, curve.accuracy, strict=True))
        grid = np.unique([*np.geomspace(curve.n[0], curve.n[-1] * FARTHEST, 40), *curve.n])
        tail = (1 - LEVEL) / 2
        low, value, high = np.quantile(curve.fitted.at(grid), [tail, 0.5, 1 - tail], axis=0)
        for i, n in enumerate(grid.tolist()):
            rows.append((*curve.key, n, value[i], low[i], high[i], measured.get(n, np.nan)))
    return pd.DataFrame(rows, columns=[*CONFIGURATION, "n", "accuracy", "low", "high", "measured"])


# --- figures ----------------------------------------------------------------------------------------------


def _accuracy_figure(results: pd.DataFrame, curves: pd.DataFrame) -> Plan | None:
    numbers = accuracy_numbers(results)
    if numbers.empty:
        return None
    low, high = limits([*results["accuracy"].dropna(), *(numbers["accuracy"] - numbers["half_width"]).dropna(),
                         *(numbers["accuracy"] + numbers["half_width"]).dropna()])  # fmt: skip
    everyone = ordered(results["strategy"])

    def panel_of(panel: Panel) -> Callable[[Axes], None]:
        return lambda axes: _draw_accuracy(axes, panel, numbers, everyone, low, high)

    some = panels(results)
    dataset = words.clean(results["dataset"].iloc[0], 60)
    return Plan(
        "accuracy",
        "Test accuracy against labelled images",
        f"Line chart of test accuracy on {dataset} against the number of labelled images, one line a strategy"
        f"{', one panel a backbone' if len(some) > 1 else ''}. {_accuracy_in_words(numbers)}",
        _accuracy_conclusion(numbers),
        [panel_of(panel) for panel in some],
        numbers,
    )


_NAMED = 8
"""Up to so many points of the cost figure are named; of more, those on the front are numbered."""


def _cost_figure(results: pd.DataFrame, curves: pd.DataFrame) -> Plan | None:
    numbers = cost_numbers(results)
    if numbers.empty:
        return None
    dataset = words.clean(results["dataset"].iloc[0], 60)
    several = several_backbones(zip(numbers["backbone"], numbers["weights"], strict=True))
    front = numbers[numbers["front_seconds"]]
    numbered = len(numbers) > _NAMED
    steps = [
        (f"{place} " if numbered else "")
        + f"{_who(row, several)} ({words.percent(row.accuracy)} in {words.duration(row.seconds)})"
        for place, row in enumerate(_rows(front), 1)
    ]
    n = words.count(numbers["n"].iloc[0])
    conclusion = (
        f"Nothing tried was both cheaper to train and better than {steps[0]}."
        if len(steps) == 1
        else f"Worth their training time, from cheap to accurate: {words.listed(steps)}. Every other "
        "configuration takes at least as long as one of these and is no more accurate."
    )
    # Strategies on one backbone give networks of one size and speed: nothing to weigh.
    costs = [c for c in COSTS if c == "seconds" or differs(numbers[c])]
    if len(costs) == 1 and numbers["params"].min() > 0:
        ms = numbers["inference_ms_per_image"].median()
        conclusion += (
            f" In use all cost the same: {words.magnitude(numbers['params'].max())} parameters"
            + (f" and {ms:.3g} ms an image" if np.isfinite(ms) else "")
            + ", one image at a time on one thread."
        )
    for cost in costs[1:]:
        leaders = [_who(row, several) for row in _rows(numbers[numbers[f"front_{cost}"]].sort_values(cost))]
        what = "latency" if cost == "inference_ms_per_image" else "size"
        conclusion += f" Worth their {what}: {words.listed(leaders)}."
    everyone = ordered(results["strategy"])

    def panel_of(cost: str) -> Callable[[Axes], None]:
        return lambda axes: _draw_cost(axes, numbers, cost, everyone)

    return Plan(
        "cost",
        f"Cost against accuracy with {n} labelled images",
        f"Scatter chart of test accuracy on {dataset} against {words.listed([COSTS[c] for c in costs])} with {n} "
        f"labelled images, one point a configuration; a stepped line joins the Pareto front of each: in training "
        f"time {words.listed(steps)}.",
        conclusion,
        [panel_of(cost) for cost in costs],
        numbers,
    )


def curves_figure(results: pd.DataFrame, curves: pd.DataFrame) -> Plan | None:
    """Learning curves of one dataset; None where nothing was trained.

    Args:
        results, curves: the frames of ``tables``.
    """
    numbers = curve_numbers(results, curves)
    if numbers["val_accuracy"].notna().sum() == 0:
        return None
    low, high = limits([*numbers["val_accuracy"].dropna(), *numbers["train_accuracy"].dropna()])
    everyone = ordered(results["strategy"])

    def panel_of(panel: Panel, mine: pd.DataFrame) -> Callable[[Axes], None]:
        return lambda axes: _draw_curves(axes, panel.title, mine, everyone, low, high)

    some = [(panel, numbers[numbers["cell_id"].isin(panel.results["cell_id"])]) for panel in panels(results)]
    dataset, n = words.clean(results["dataset"].iloc[0], 60), words.count(numbers["n"].iloc[0])
    return Plan(
        "curves",
        f"Learning curves with {n} labelled images",
        f"Line chart of validation (solid) and training (dashed) accuracy on {dataset} against images seen in "
        f"training, for the winning trial of each strategy with {n} labelled images, the head's stage included.",
        _gap_conclusion(numbers),
        [panel_of(panel, mine) for panel, mine in some if len(mine)],
        numbers,
    )


def _labels_figure(results: pd.DataFrame, fitted: Sequence[LabelCurve]) -> Plan:
    numbers = label_numbers(fitted)
    low, high = limits([*numbers["low"], *numbers["high"], *numbers["measured"].dropna()])
    everyone = ordered(results["strategy"])

    def panel_of(panel: Panel) -> Callable[[Axes], None]:
        return lambda axes: _draw_labels(axes, panel.title, panel.select(numbers), everyone, low, high)

    some = [panel for panel in panels(results) if len(panel.select(numbers))]
    dataset = words.clean(results["dataset"].iloc[0], 60)
    return Plan(
        "labels",
        "Learning curves over labels, fitted",
        f"Line chart of test accuracy on {dataset} against the number of labelled images: measured means as dots, "
        f"fitted curves with 95% bands up to {FARTHEST:g} times the most labels, dashed beyond what was measured.",
        f"Dots were measured; what lies to the right of them is an extrapolation, up to {FARTHEST:g} times the "
        "most labels, with its 95% interval.",
        [panel_of(panel) for panel in some],
        numbers,
    )


def _draw_labels(
    axes: Axes, title: str, numbers: pd.DataFrame, everyone: Sequence[str], low: float, high: float
) -> None:
    set_up(axes, title, "labelled images (training and validation)", "test accuracy", low, high)
    axes.set_xscale("log")
    left, right = numbers["n"].min(), numbers["n"].max()
    axes.set_xlim(left, right)
    ticks(axes, round_ticks(left, right), words.magnitude)
    ends = []
    for strategy in ordered(numbers["strategy"]):
        colour, marker = style_of(strategy, everyone)
        mine = numbers[numbers["strategy"] == strategy]
        known, most = mine.dropna(subset="measured"), mine.loc[mine["measured"].notna(), "n"].max()
        inside, beyond = mine[mine["n"] <= most], mine[mine["n"] >= most]
        band = axes.fill_between(mine["n"], mine["low"], mine["high"], color=colour, alpha=0.12, linewidth=0)
        lines = axes.plot(inside["n"], inside["accuracy"], color=colour, linewidth=1.4)
        lines += axes.plot(
            beyond["n"], beyond["accuracy"], color=colour, linewidth=1.4, linestyle=(0, (4, 2))
        )
        lines += axes.plot(known["n"], known["measured"], marker=marker, color=colour, markersize=5,
                           markeredgecolor=PAPER, linestyle="none")  # fmt: skip
        mark(strategy, band, *lines)
        ends.append((strategy, right, float(mine["accuracy"].iloc[-1])))
    label_ends(axes, ends, everyone, leaders=True)


def _draw_accuracy(
    axes: Axes, panel: Panel, numbers: pd.DataFrame, everyone: Sequence[str], low: float, high: float
) -> None:
    sizes = numbers.groupby("fraction")["n"].median()
    numbers = panel.select(numbers)
    ends = []
    set_up(axes, panel.title, "labelled images (training and validation)", "test accuracy", low, high)
    axes.set_xscale("log")
    margin = 1.12 if len(sizes) > 1 else 2
    ends_of_axis = on_log_axis([sizes.min(), sizes.max()], sizes)
    axes.set_xlim(ends_of_axis[0] / margin, ends_of_axis[1] * margin)
    count_ticks(axes, sizes)
    for strategy in ordered(numbers["strategy"]):
        colour, marker = style_of(strategy, everyone)
        mine = numbers[numbers["strategy"] == strategy].sort_values("n")
        x, mean, half = (mine[c].to_numpy() for c in ("n", "accuracy", "half_width"))
        x = on_log_axis(x, sizes)
        if strategy == "majority":
            mark(strategy, axes.axhline(mean[-1], color=colour, linestyle=(0, (1, 2)), linewidth=1.3))
            x = np.array(axes.get_xlim())
        else:
            cells = panel.results[(panel.results["strategy"] == strategy) & (panel.results["status"] == "ok")]
            if np.isfinite(half).any():
                band = axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.14, linewidth=0)
                mark(strategy, band)
            places = on_log_axis(cells["n"].to_numpy(), sizes)
            dots = axes.plot(places, cells["accuracy"], ".", color=colour, alpha=0.55, markersize=4)
            line = axes.plot(x, mean, color=colour, marker=marker, markersize=5, linewidth=1.8,
                             markeredgecolor=PAPER, markeredgewidth=0.6)  # fmt: skip
            mark(strategy, *dots, *line)
        ends.append((strategy, x[-1], mean[-1]))
    label_ends(axes, ends, everyone, leaders=True)


def _draw_cost(axes: Axes, numbers: pd.DataFrame, cost: str, everyone: Sequence[str]) -> None:
    several = several_backbones(zip(numbers["backbone"], numbers["weights"], strict=True))
    low, high = limits(numbers["accuracy"])
    numbers = numbers[numbers[cost].notna() & (numbers[cost] > 0)].sort_values(cost, kind="stable")
    title = "all backbones" if several else backbone_title(numbers["backbone"].iloc[0], "")
    set_up(axes, title, COSTS[cost], "test accuracy", low, high)
    axes.set_xscale("log")
    left, right = numbers[cost].min() / 1.6, numbers[cost].max() * 1.6
    axes.set_xlim(left, right)
    if cost == "seconds":
        ticks(axes, time_ticks(left, right), lambda seconds: words.duration(seconds).replace(".0 ", " "))
    else:
        ticks(axes, round_ticks(left, right), words.magnitude)
    front = numbers[numbers[f"front_{cost}"]]
    axes.step(front[cost], front["accuracy"], where="post", color=MUTED, linewidth=1, linestyle="--")
    for row in _rows(numbers):
        colour, marker = style_of(str(row.strategy), everyone)
        best = row.Index in front.index
        point = axes.plot(getattr(row, cost), row.accuracy, marker=marker, color=colour,
                          markersize=8 if best else 6, alpha=1 if best else 0.5, markeredgecolor=PAPER,
                          linestyle="none")  # fmt: skip
        mark(str(row.strategy), *point)
    if len(numbers) > _NAMED:
        for place, row in enumerate(_rows(front), 1):
            axes.annotate(str(place), (getattr(row, cost), row.accuracy), (0, 6), textcoords="offset points",
                          ha="center", fontsize=8)  # fmt: skip
        ends = [
            (strategy, 0.0, float(numbers.loc[numbers["strategy"] == strategy, "accuracy"].mean()))
            for strategy in ordered(numbers["strategy"])
        ]
        label_ends(axes, ends, everyone)
    else:
        ends = [(row.strategy, getattr(row, cost), row.accuracy) for row in _rows(numbers)]
        texts = [_who(row, several, 21) for row in _rows(numbers)]
        label_ends(axes, ends, everyone, texts=texts, leaders=True)


def _draw_curves(
    axes: Axes, title: str, numbers: pd.DataFrame, everyone: Sequence[str], low: float, high: float
) -> None:
    set_up(axes, title, "images seen (solid: validation, dashed: training)", "accuracy", low, high)
    # The first pass has as much room as a few times more images: some stages, as a probe's on stored features, are
    # many times as long as others, and the start is where curves differ most.
    seen = numbers.loc[numbers["images"] > 0, "images"]
    first, most = (float(seen.min()), float(seen.max())) if len(seen) else (1.0, 1.0)
    axes.set_xscale("symlog", linthresh=first, linscale=0.5)
    axes.set_xlim(0, most * 1.1)
    ticks(axes, [0.0, *round_ticks(first, most)], words.magnitude)
    ends = []
    for strategy in ordered(numbers["strategy"]):
        colour, marker = style_of(strategy, everyone)
        mine = numbers[numbers["strategy"] == strategy]
        images, validation, training = (
            mine[name].to_numpy() for name in ("images", "val_accuracy", "train_accuracy")
        )
        cells = pd.factorize(mine["cell_id"])[0]
        for cell in range(cells.max(initial=-1) + 1):
            first = cell == 0
            known = (cells == cell) & np.isfinite(validation)
            line = axes.plot(images[known], validation[known], color=colour,
                             alpha=1 if first else 0.35, linewidth=1.8 if first else 0.8)  # fmt: skip
            mark(strategy, *line)
            if not first or not known.any():
                continue
            trained = (cells == cell) & np.isfinite(training)
            dashed = axes.plot(images[trained], training[trained], color=colour, linewidth=1,
                               linestyle=(0, (4, 2)), alpha=0.8)  # fmt: skip
            x, y = images[known][-1], validation[known][-1]
            end = axes.plot(
                x, y, marker=marker, color=colour, markersize=5, markeredgecolor=PAPER, linestyle="none"
            )
            mark(strategy, *dashed, *end)
            ends.append((strategy, x, y))
    label_ends(axes, ends, everyone)


# --- words ------------------------------------------------------------------------------------------------


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    return frame.itertuples()


def _who(row: Any, several: bool, limit: int = 0) -> str:
    if not several:
        return words.strategy_name(row.strategy, limit)
    return words.clean(configuration_name(row.strategy, row.backbone, row.weights), limit)


def _accuracy_in_words(numbers: pd.DataFrame) -> str:
    largest = numbers[numbers["fraction"] == numbers["fraction"].max()]
    several = several_backbones(zip(largest["backbone"], largest["weights"], strict=True))
    best = largest.sort_values("accuracy", ascending=False).head(8)
    values = [f"{_who(row, several)} {words.percent(row.accuracy)}" for row in _rows(best)]
    return f"With {words.count(largest['n'].iloc[0])} labels: {words.listed(values)}."


def _accuracy_conclusion(numbers: pd.DataFrame) -> str:
    trained = numbers[numbers["strategy"] != "majority"]
    if trained.empty:
        return "Only the majority class was measured: there is nothing to compare yet."
    several = several_backbones(zip(trained["backbone"], trained["weights"], strict=True))
    best = trained.loc[trained.groupby("fraction")["accuracy"].idxmax()].sort_values("fraction")
    first, last = best.iloc[0], best.iloc[-1]
    text = (
        f"With {words.count(last['n'])} labelled images {_who(last, several)} has the highest mean, "
        f"{words.percent(last['accuracy'])}"
    )
    if len(best) == 1:
        return f"{text}. One label count says nothing about what more labels would bring."
    same = (first[CONFIGURATION] == last[CONFIGURATION]).all()
    start = f"with {words.count(first['n'])} {'it reached' if same else f'{_who(first, several)} leads with'}"
    text += f"; {start} {words.percent(first['accuracy'])}."
    before = best.iloc[-2]
    gain = last["accuracy"] - before["accuracy"]
    verb = f"added {words.points(gain)} points" if gain > 0 else "added nothing"
    return f"{text} The last step, from {words.count(before['n'])} labels on, {verb} to the best mean."


def _gap_conclusion(numbers: pd.DataFrame) -> str:
    last = numbers.dropna(subset=["val_accuracy", "train_accuracy"]).groupby("cell_id", sort=False).tail(1)
    if last.empty:
        return "Solid lines are validation accuracy; training accuracy was not recorded."
    gaps = (last["train_accuracy"] - last["val_accuracy"]).groupby(last["strategy"]).mean()
    widest = str(gaps.idxmax())
    if gaps[widest] < 0.05:
        return "Training accuracy nowhere ends more than 5 points above validation: no sign of overfitting."
    return (
        f"The widest gap between training and validation at the end is that of {words.strategy_name(widest)}, "
        f"{words.points(gaps[widest])} points: there, more labels or stronger augmentation have most to give."
    )
