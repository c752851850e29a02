"""What does accuracy cost? Time, latency and size against accuracy, and who is on which Pareto front."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.modalities.nouns import Noun
from reports import words
from reports.drawing import (
    MUTED,
    PAPER,
    Plan,
    frame_of,
    label_ends,
    limits,
    mark,
    of_each_dataset,
    round_ticks,
    set_up,
    style_of,
    ticks,
    time_ticks,
)
from reports.phrases import row_name
from reports.results import Results
from reports.sections import Part, Section, Table
from reports.statistics.credits import metric_of
from reports.statistics.decisions import CONFIGURATION
from reports.tables import (
    backbone_title,
    configuration_name,
    ordered,
    rows_of,
    several_backbones,
    summary_frame,
)
from reports.words import IMAGES


def section(run: Results) -> Section | None:
    """What each configuration costs with the most labels; None where none has a result."""
    table = cost_table(run.frame, run.several, run.price_per_hour, run.noun)
    plans = of_each_dataset(run.frame, lambda mine: cost_plan(mine, run.noun, run.strategies))
    parts: list[Part] = [*plans, table]
    return Section("costs", "Cost", parts, "Cost", run.several) if table.rows else None


COSTS = {
    "seconds": "time to tune and train one seed",
    "inference_ms_per_image": "inference time for one {one}, in ms",
    "params": "parameters",
}
"""What accuracy is weighed against: columns of the summary, and how they are called."""


def differs(costs: pd.Series[Any]) -> bool:
    """Whether costs differ by more than a twentieth."""
    return bool(costs.max() > 1.05 * costs.min())


def cost_numbers(results: pd.DataFrame) -> pd.DataFrame:
    """Costs and the metric that decides, with the most labels that have results, and who is on which Pareto front.

    ``front_seconds``, ``front_inference_ms_per_image`` and ``front_params`` mark configurations that no other
    beats in it at the same or lower cost of that kind.
    """
    summary, metric = summary_frame(results), metric_of(results)
    summary = summary[(summary["seeds"] > 0) & (summary["strategy"] != "majority") & (summary["seconds"] > 0)]
    summary = summary[summary["fraction"] == summary["fraction"].max()]
    numbers = summary[[*CONFIGURATION, "fraction", "n", "seeds", *COSTS, metric]]
    numbers = numbers.sort_values(["seconds", metric], ascending=[True, False]).reset_index(drop=True)
    for cost in COSTS:
        by_cost = numbers[numbers[cost].notna()].sort_values([cost, metric], ascending=[True, False])
        best_before = by_cost[metric].cummax().shift(fill_value=-1.0)
        front = by_cost.index[by_cost[metric] > best_before]
        numbers[f"front_{cost}"] = numbers.index.isin(front)
    return numbers


_NAMED = 8
"""Up to so many points of the cost figure are named; of more, those on the front are numbered."""


def cost_plan(results: pd.DataFrame, noun: Noun, everyone: Sequence[str] = ()) -> Plan | None:
    """The metric that decides against costs, of one dataset; None where nothing has a result.

    Args:
        results: the frame of ``tables.results_frame``.
        noun: what examples are called.
        everyone: all strategies of the run, those that matter first; empty: those of the dataset.
    """
    one, many, metric = noun.one, noun.many, metric_of(results)
    name = words.metric_name(metric)
    numbers = cost_numbers(results)
    if numbers.empty:
        return None
    dataset = words.clean(results["dataset"].iloc[0], 60)
    several = several_backbones(zip(numbers["backbone"], numbers["weights"], strict=True))
    front = numbers[numbers["front_seconds"]]
    numbered = len(numbers) > _NAMED
    steps = [
        (f"{place} " if numbered else "")
        + f"{row_name(row, several)} ({words.percent(getattr(row, metric))} in {words.duration(row.seconds)})"
        for place, row in enumerate(rows_of(front), 1)
    ]
    n = words.count(numbers["n"].iloc[0])
    conclusion = (
        f"No other configuration is cheaper to train or more accurate than {steps[0]}."
        if len(steps) == 1
        else f"Worth their training time: {words.brief(steps, 19)}. Every other configuration takes at least as "
        "long as one of these, and is no more accurate."
    )
    # Strategies on one backbone give networks of one size and speed: nothing to weigh.
    costs = [c for c in COSTS if c == "seconds" or differs(numbers[c])]
    if len(costs) == 1 and numbers["params"].min() > 0:
        ms = numbers["inference_ms_per_image"].median()
        conclusion += f" In use all cost the same: {words.magnitude(numbers['params'].max())} parameters" + (
            f" and {ms:.3g} ms per {noun.one}." if np.isfinite(ms) else "."
        )
    for cost in costs[1:]:
        leaders = [
            row_name(row, several) for row in rows_of(numbers[numbers[f"front_{cost}"]].sort_values(cost))
        ]
        what = "inference time" if cost == "inference_ms_per_image" else "size"
        conclusion += f" Worth their {what}: {words.brief(leaders)}."
    everyone = everyone or ordered(results["strategy"])
    against = words.listed([COSTS[c] for c in costs]).format(one=one)

    def panel_of(cost: str) -> Callable[[Axes], None]:
        return lambda axes: _draw_cost(axes, numbers, metric, cost, everyone, noun)

    return Plan(
        "cost",
        f"Cost against {name} with {n} labelled {many}",
        f"Scatter chart of test {name} on {dataset} against {against} with {n} labelled {many}, one point "
        "a configuration; a stepped line joins the Pareto front of each: in training "
        f"time {words.listed(steps)}.",
        conclusion,
        [panel_of(cost) for cost in costs],
        numbers,
        frame_of(len(costs), numbers["strategy"].nunique() if numbered else 2 * len(numbers)),
    )


def _draw_cost(
    axes: Axes, numbers: pd.DataFrame, metric: str, cost: str, everyone: Sequence[str], noun: Noun
) -> None:
    several = several_backbones(zip(numbers["backbone"], numbers["weights"], strict=True))
    low, high = limits(numbers[metric])
    numbers = numbers[numbers[cost].notna() & (numbers[cost] > 0)].sort_values(cost, kind="stable")
    title = "all backbones" if several else backbone_title(numbers["backbone"].iloc[0], "")
    set_up(axes, title, COSTS[cost].format(one=noun.one), f"test {words.metric_name(metric)}", low, high)
    axes.set_xscale("log")
    left, right = numbers[cost].min() / 1.6, numbers[cost].max() * 1.6
    axes.set_xlim(left, right)
    if cost == "seconds":
        ticks(axes, time_ticks(left, right), lambda seconds: words.duration(seconds).replace(".0 ", " "))
    else:
        ticks(axes, round_ticks(left, right), words.magnitude)
    front = numbers[numbers[f"front_{cost}"]]
    axes.step(front[cost], front[metric], where="post", color=MUTED, linewidth=1, linestyle="--")
    for row in rows_of(numbers):
        colour, marker = style_of(str(row.strategy), everyone)
        best = row.Index in front.index
        point = axes.plot(getattr(row, cost), getattr(row, metric), marker=marker, color=colour,
                          markersize=8 if best else 6, alpha=1 if best else 0.5, markeredgecolor=PAPER,
                          linestyle="none")  # fmt: skip
        what = words.duration(row.seconds) if cost == "seconds" else words.magnitude(getattr(row, cost))
        unit = {"inference_ms_per_image": " ms", "params": " parameters"}.get(cost, "")
        value = f"{row_name(row, several)}: {words.percent(getattr(row, metric))}, {what}{unit}"
        mark(str(row.strategy), *point, values=[value])
    if len(numbers) > _NAMED:
        for place, row in enumerate(rows_of(front), 1):
            at = getattr(row, cost), getattr(row, metric)
            axes.annotate(str(place), at, (0, 6), textcoords="offset points", ha="center", fontsize=8)
        ends = [
            (strategy, 0.0, float(numbers.loc[numbers["strategy"] == strategy, metric].mean()))
            for strategy in ordered(numbers["strategy"])
        ]
        label_ends(axes, ends, everyone)
    else:
        ends = [(row.strategy, getattr(row, cost), getattr(row, metric)) for row in rows_of(numbers)]
        texts = [row_name(row, several) for row in rows_of(numbers)]
        label_ends(axes, ends, everyone, texts=texts, leaders=True)


def cost_table(results: pd.DataFrame, several: bool, price_per_hour: float, noun: Noun = IMAGES) -> Table:
    """What each configuration costs with the most labels, and on which Pareto fronts it lies.

    Args:
        results: the frame of ``tables.results_frame``.
        several: whether there is more than one dataset.
        price_per_hour: of the machine; 0: no column of money.
        noun: what examples are called.
    """
    columns = [
        "configuration",
        words.metric_name(metric_of(results)),
        "time to tune and train",
        f"inference, ms per {noun.one}",
        "parameters",
        "peak memory",
    ]
    columns += [f"money, at {price_per_hour:g} an hour"] if price_per_hour else []
    rows: list[list[str]] = []
    strategies: list[str] = []
    conclusions: list[str] = []
    for dataset, of_dataset in results.groupby("dataset", sort=False):
        numbers, of = cost_numbers(of_dataset), str(dataset) if several else ""
        if len(numbers):
            conclusions.append(
                words.sentence(_cost_conclusion(numbers, metric_of(results), price_per_hour), of)
            )
        rows += _cost_rows(numbers, of_dataset, of, price_per_hour)
        strategies += numbers["strategy"].tolist()
    return Table(
        conclusions,
        columns,
        rows,
        "With the most labels, cheapest to train first. A star marks the Pareto front: no other configuration is "
        f"as cheap and as accurate. Inference time is for one {noun.one} at a time on one thread.",
        strategies,
        "Cost of each configuration",
    )


def _cost_rows(
    numbers: pd.DataFrame, results: pd.DataFrame, of: str, price_per_hour: float
) -> Iterator[list[str]]:
    """The rows of one dataset; ``of`` is its name where there are several."""
    memory = summary_frame(results).set_index([*CONFIGURATION, "fraction"])["peak_memory_mb"]
    backbones = several_backbones(zip(numbers["backbone"], numbers["weights"], strict=True))
    differ = {cost: differs(numbers[cost]) for cost in COSTS}
    for row in numbers.to_dict("records"):
        used = float(memory.get(tuple(row[key] for key in (*CONFIGURATION, "fraction")), math.nan))
        # Where all are of one size and speed there is no front.
        fronts = {cost: " *" if row[f"front_{cost}"] and differ[cost] else "" for cost in COSTS}
        latency = row["inference_ms_per_image"]
        yield [
            configuration_name(row["strategy"], row["backbone"], row["weights"], backbones, of),
            words.percent(row[metric_of(results)]),
            words.duration(row["seconds"]) + fronts["seconds"],
            f"{latency:.3g}{fronts['inference_ms_per_image']}" if math.isfinite(latency) else "–",
            words.magnitude(row["params"]) + fronts["params"],
            f"{words.count(used)} MB" if math.isfinite(used) else "–",
            *([words.money(row["seconds"], price_per_hour)] if price_per_hour else []),
        ]


def _cost_conclusion(numbers: pd.DataFrame, metric: str, price_per_hour: float) -> str:
    """What accuracy costs: the cheapest to train against the most accurate.

    Args:
        numbers: of ``cost_numbers``, the cheapest first.
        metric: that decides.
        price_per_hour: of the machine; 0: no money.
    """
    several = several_backbones(zip(numbers["backbone"], numbers["weights"], strict=True))
    # The mean over the seeds that somebody survived is not comparable.
    whole = numbers[numbers["seeds"] == numbers["seeds"].max()]
    highest = "the highest mean" if len(whole) == len(numbers) else "the highest mean of those with all seeds"
    numbers = whole
    cheapest, best = numbers.iloc[0], numbers[numbers[metric] == numbers[metric].max()].iloc[0]

    def name(row: pd.Series[Any]) -> str:
        return configuration_name(row["strategy"], row["backbone"], row["weights"], several)

    def cost(row: pd.Series[Any]) -> str:
        money = f", {words.money(row['seconds'], price_per_hour)} of money" if price_per_hour else ""
        return words.duration(row["seconds"]) + money

    if best.name == cheapest.name:
        what = f"{words.percent(best[metric])}, {cost(best)}"
        if len(numbers) == 1:
            return f"{name(best)} is the only configuration with results ({what})."
        return f"{name(best)} is the cheapest to train and has {highest} ({what})."
    lead = words.in_points(best[metric] - cheapest[metric])
    times = words.magnitude(best["seconds"] / cheapest["seconds"])
    return (
        f"{name(best)} has {highest}, {lead} above {name(cheapest)}, the cheapest to train. It takes "
        f"{times} times as long ({cost(best)} against {cost(cheapest)})."
    )
