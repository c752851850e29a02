"""Figures of the few-shot protocol: accuracy by shots, and how embeddings learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

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
    set_up,
    stands_back,
    style_of,
    ticks,
)
from reports.questions.few_shot.measurements import Measurement, by_accuracy, measured
from reports.questions.learning import curves_plan
from reports.results import Results
from reports.sections import Section
from reports.tables import backbone_title, places, strategy_key
from reports.words import IMAGES


def section(run: Results) -> Section | None:
    """Accuracy by shots and learning curves."""
    found = run.once(measured)
    plans = [*few_shot_plans(found, run.frame, run.curves, run.noun)]
    several = len({m.dataset for m in found}) > 1
    return Section("figures", "Accuracy by shots", plans, "Shots", several) if plans else None


def few_shot_plans(
    found: Sequence[Measurement], results: pd.DataFrame, curves: pd.DataFrame, noun: Noun = IMAGES
) -> Iterator[Plan]:
    """Of each dataset accuracy by shots, and learning curves where an embedding was trained.

    Args:
        found: of ``measurements``.
        results, curves: the frames of ``tables``.
        noun: what examples are called.
    """
    for dataset, place in places(results).items():
        mine = [m for m in found if m.dataset == dataset]
        if mine:
            yield _shots_figure(mine, noun).of(dataset, place)
        learned = curves_plan(results[results["dataset"] == dataset], curves, noun)
        if learned is not None:
            yield replace(
                learned,
                title="Accuracy during training",
                alt=f"Line chart of accuracy on {words.clean(dataset, 60)} against {noun.many} seen in training: "
                "in episodes of held-out classes of the source (solid) and in training batches (dashed).",
                conclusion="Solid lines show accuracy in episodes of held-out classes of the source. Dashed lines "
                "show training batches, which have other numbers of classes.",
            ).of(dataset, place)


def _shots_figure(found: Sequence[Measurement], noun: Noun) -> Plan:
    labelled = f"labelled {noun.many} of each class"
    chances = [1 / m.ways for m in found]
    known = pd.Series([value for m in found for value in (m.low, m.high, m.accuracy)]).dropna()
    low, high = limits([*known, *chances])
    everyone = by_accuracy(found)
    backbones = {(m.backbone, m.weights) for m in found if m.backbone} or {("", "")}
    panels: list[Callable[[Axes], None]] = []
    for scope, ways in sorted({(m.scope, m.ways) for m in found}):
        for backbone in sorted(backbones):
            mine = [
                m
                for m in found
                if (m.scope, m.ways) == (scope, ways) and (m.backbone, m.weights) in (backbone, ("", ""))
            ]
            title = f"{ways}-way{', within' if scope == 'within' else ''}"
            title += f", {backbone_title(*backbone)}" if len(backbones) > 1 else ""
            if mine:
                panels.append(_panel(mine, title, labelled, everyone, low, high))
    names = [
        "strategy", "backbone", "weights", "scope", "ways", "shots", "accuracy", "low", "high", "by_episodes",
    ]  # fmt: skip
    return Plan(
        "shots",
        f"Accuracy by {labelled}",
        f"Line charts of accuracy in episodes on {words.clean(found[0].dataset, 60)} against the number of "
        f"{labelled}, one for each number of classes, with 95% CIs; dotted: chance.",
        _conclusion(found),
        panels,
        pd.DataFrame([{name: getattr(m, name) for name in names} for m in found]),
        frame_of(len(panels), len(everyone)),
    )


def _panel(
    found: Sequence[Measurement], title: str, labelled: str, everyone: Sequence[str], low: float, high: float
) -> Callable[[Axes], None]:
    names = ["strategy", "shots", "accuracy", "low", "high"]
    numbers = pd.DataFrame([{name: getattr(m, name) for name in names} for m in found]).sort_values("shots")
    chance = 1 / found[0].ways

    def draw(axes: Axes) -> None:
        set_up(axes, title, labelled, "accuracy in episodes", low, high)
        axes.set_xscale("log")
        axes.set_xlim(numbers["shots"].min() / 1.25, numbers["shots"].max() * 1.25)
        ticks(axes, sorted(set(numbers["shots"])), words.count)
        axes.axhline(chance, color=MUTED, linewidth=1, linestyle=":")
        ends = []
        for strategy in sorted(set(numbers["strategy"]), key=strategy_key):
            colour, marker = style_of(strategy, everyone)
            mine = numbers[numbers["strategy"] == strategy]
            x, y = mine["shots"].to_numpy(), mine["accuracy"].to_numpy()
            ends_of_bars = (mine[name].fillna(mine["accuracy"]) for name in ("low", "high"))
            bars = axes.vlines(x, *ends_of_bars, color=colour, alpha=0.5, linewidth=1.4)
            line = axes.plot(x, y, color=colour, marker=marker, markersize=6, markeredgecolor=PAPER,
                             markeredgewidth=0.6,
                             linewidth=0.9 if stands_back(strategy, everyone) else 1.8)  # fmt: skip
            mark(strategy, bars)
            mark(strategy, *line, values=[
                f"{words.strategy_name(strategy)}, {words.plural(int(shots), 'label')} of each class: "
                f"{words.percent(value)}"
                for shots, value in zip(x, y, strict=True)
            ])  # fmt: skip
            ends.append((strategy, x[-1], y[-1]))
        label_ends(axes, ends, everyone, leaders=True)

    return draw


def _conclusion(found: Sequence[Measurement]) -> str:
    """What more labels bring to the best, with most classes."""
    ways = max(m.ways for m in found if m.scope == "all")
    mine = [m for m in found if (m.scope, m.ways) == ("all", ways)]
    fewest = min(m.shots for m in mine)
    best = max((m for m in mine if m.shots == fewest), key=lambda m: m.accuracy)
    more = max((m for m in mine if m.place == best.place), key=lambda m: m.shots)
    said = f"With {ways} classes and {words.plural(fewest, 'label')} of each, {words.strategy_name(best.strategy)} "
    said += f"reaches {words.percent(best.accuracy)}"
    said += f", and {words.percent(more.accuracy)} with {more.shots}." if more is not best else "."
    return f"{said} Bars are 95% confidence intervals (CIs) over new classes and, from three seeds on, trainings."
