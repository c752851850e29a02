"""Figures: functions that return numbers, and thin functions that draw them.

Every figure is small multiples of one panel a backbone, all with the same y axis. A strategy has one colour,
one marker and one place in the order, in every figure. Text comes from users: none is parsed as mathematics.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.files import write_atomic
from reports import words
from reports.tables import (
    CONFIGURATION,
    Panel,
    backbone_title,
    ordered,
    panels,
    summary_frame,
    write_csv,
)

# Okabe & Ito's colours, which people with any kind of colour vision tell apart; the lightest three come last.
_KNOWN = {
    "scratch": ("#D55E00", "o"),
    "feature_extraction": ("#CC79A7", "s"),
    "partial_finetune": ("#009E73", "^"),
    "full_finetune": ("#0072B2", "D"),
    "majority": ("#5c6670", ""),
}
_OTHER = [(colour, marker) for marker in "vPX<>ph*" for colour in ("#E69F00", "#56B4E9", "#BFAE00")]

INK, MUTED, GRID, PAPER = "#1b1f24", "#5c6670", "#dde2e7", "#ffffff"
_TOKENS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", PAPER: "var(--paper)"}

# Inches: a panel, and where its axes lie in it. The labels of the lines stand in the right margin.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM, _TOP = 4.8, 3.4, 0.62, 1.65, 0.62, 0.42
_LABEL_POINTS = 11.5
_NAMED = 8
"""Up to so many points of the cost figure are named; of more, those on the front are numbered."""

_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "transfer-bench",  # the same bytes from run to run
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
}


@dataclass(frozen=True)
class FigureInfo:
    """A figure that was drawn: ``path`` is its PNG; SVG and the numbers as CSV lie beside it."""

    name: str
    dataset: str
    title: str
    path: Path
    alt: str
    conclusion: str
    """What to conclude from it, one or two sentences."""
    svgs: tuple[str, ...]
    """One SVG a panel, to be placed in HTML: colours by CSS variables, ids that are unique in the page."""
    numbers: pd.DataFrame


def style_of(strategy: str, strategies: Sequence[str] = ()) -> tuple[str, str]:
    """Colour and marker; a strategy we do not know gets the next free pair by its name's place in the order."""
    if strategy in _KNOWN:
        return _KNOWN[strategy]
    others = sorted({*strategies, strategy} - set(_KNOWN))
    return _OTHER[others.index(strategy) % len(_OTHER)]


def draw_all(results: pd.DataFrame, curves: pd.DataFrame, out: Path) -> list[FigureInfo]:
    """Draws every figure that the results allow, as PNG and SVG with the numbers as CSV, into ``out``.

    Args:
        results: the frame of ``tables.results_frame``.
        curves: the frame of ``tables.curves_frame``.
        out: a folder; made if need be.
    """
    datasets = list(dict.fromkeys(results["dataset"]))
    found = []
    for index, dataset in enumerate(datasets):
        suffix = f"-{index + 1}-{_slug(dataset)}" if len(datasets) > 1 else ""
        of_dataset = results[results["dataset"] == dataset]
        for draw in (_accuracy_figure, _cost_figure, _curves_figure):
            plan = draw(of_dataset, curves)
            if plan is not None:
                found.append(_save(plan, suffix, dataset, out))
    return found


# --- numbers ----------------------------------------------------------------------------------------------


def accuracy_numbers(results: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy by configuration and label count: n, seeds, mean, spread, and the 95% band from 3 seeds on."""
    summary = summary_frame(results)
    columns = [*CONFIGURATION, "fraction", "n", "seeds", "accuracy", "spread", "min", "max", "half_width"]
    return summary.loc[summary["seeds"] > 0, columns].reset_index(drop=True)


def cost_numbers(results: pd.DataFrame) -> pd.DataFrame:
    """Seconds and accuracy at the largest label count that has results, and who is on the Pareto front.

    ``front`` marks configurations that no other beats in accuracy at the same or lower cost.
    """
    summary = summary_frame(results)
    summary = summary[(summary["seeds"] > 0) & (summary["strategy"] != "majority") & (summary["seconds"] > 0)]
    summary = summary[summary["fraction"] == summary["fraction"].max()]
    numbers = summary[[*CONFIGURATION, "fraction", "n", "seeds", "seconds", "accuracy"]]
    numbers = numbers.sort_values(["seconds", "accuracy"], ascending=[True, False]).reset_index(drop=True)
    best_before = numbers["accuracy"].cummax().shift(fill_value=-1.0)
    return numbers.assign(front=numbers["accuracy"] > best_before)


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


def spread_labels(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions as near as possible to the given ones, at least ``gap`` apart, between ``low`` and ``high``.

    Where there is not enough room, the gap shrinks.
    """
    if not positions:
        return []
    gap = min(gap, (high - low) / max(1, len(positions) - 1))
    order = np.argsort(positions, kind="stable")
    # Least squares with a minimal gap is an isotonic regression of what is left when the gaps are taken out.
    blocks: list[list[float]] = []
    for rank, index in enumerate(order):
        blocks.append([positions[index] - rank * gap, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, m), (b, n) = blocks[-2:]
            blocks[-2:] = [[(a * m + b * n) / (m + n), m + n]]
    flat = [value for value, size in blocks for _ in range(int(size))]
    top = high - (len(positions) - 1) * gap
    placed = [0.0] * len(positions)
    for rank, index in enumerate(order):
        placed[index] = min(max(flat[rank], low), top) + rank * gap
    return placed


def time_ticks(low: float, high: float) -> list[float]:
    """Round numbers of seconds, minutes or hours between two times, two to six of them where possible."""
    coarse = [0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 360000]
    fine = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800, 3600, 10800, 36000, 108000]
    finest = [m * 10.0**e for e in range(-3, 2) for m in (1, 2, 4, 6)] + [
        m * unit for unit in (60, 600, 3600, 36000) for m in (1, 2, 3, 4)
    ]
    for candidates in (coarse, fine, sorted(finest)):
        ticks = [float(t) for t in candidates if low <= t <= high]
        if len(ticks) >= 3:
            return ticks
    return ticks


# --- figures ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """A figure before it is drawn: one function a panel."""

    name: str
    title: str
    alt: str
    conclusion: str
    panels: list[Callable[[Axes], None]]
    numbers: pd.DataFrame


def _accuracy_figure(results: pd.DataFrame, curves: pd.DataFrame) -> _Plan | None:
    numbers = accuracy_numbers(results)
    if numbers.empty:
        return None
    low, high = _limits([*results["accuracy"].dropna(), *(numbers["accuracy"] - numbers["half_width"]).dropna(),
                         *(numbers["accuracy"] + numbers["half_width"]).dropna()])  # fmt: skip
    everyone = ordered(results["strategy"])

    def panel_of(panel: Panel) -> Callable[[Axes], None]:
        return lambda axes: _draw_accuracy(axes, panel, numbers, everyone, low, high)

    some = panels(results)
    dataset = words.clean(results["dataset"].iloc[0], 60)
    return _Plan(
        "accuracy",
        "Test accuracy against labelled images",
        f"Line chart of test accuracy on {dataset} against the number of labelled images, one line a strategy"
        f"{', one panel a backbone' if len(some) > 1 else ''}. {_accuracy_in_words(numbers)}",
        _accuracy_conclusion(numbers),
        [panel_of(panel) for panel in some],
        numbers,
    )


def _cost_figure(results: pd.DataFrame, curves: pd.DataFrame) -> _Plan | None:
    numbers = cost_numbers(results)
    if numbers.empty:
        return None
    dataset = words.clean(results["dataset"].iloc[0], 60)
    several = numbers["backbone"].nunique() > 1
    front = numbers[numbers["front"]]
    numbered = len(numbers) > _NAMED
    steps = [
        (f"{place} " if numbered else "")
        + f"{_who(row, several)} ({words.percent(row.accuracy)} in {words.duration(row.seconds)})"
        for place, row in enumerate(_rows(front), 1)
    ]
    n = words.count(numbers["n"].iloc[0])
    conclusion = (
        f"Nothing tried was both cheaper and better than {steps[0]}."
        if len(steps) == 1
        else f"Worth their cost, from cheap to accurate: {words.listed(steps)}. Every other configuration costs "
        "at least as much as one of these and is no more accurate."
    )
    everyone = ordered(results["strategy"])
    return _Plan(
        "cost",
        f"Cost against accuracy with {n} labelled images",
        f"Scatter chart of test accuracy on {dataset} against seconds of tuning and training with {n} labelled "
        f"images, one point a configuration; a stepped line joins the Pareto front: {words.listed(steps)}.",
        conclusion,
        [lambda axes: _draw_cost(axes, numbers, everyone)],
        numbers,
    )


def _curves_figure(results: pd.DataFrame, curves: pd.DataFrame) -> _Plan | None:
    numbers = curve_numbers(results, curves)
    if numbers["val_accuracy"].notna().sum() == 0:
        return None
    low, high = _limits([*numbers["val_accuracy"].dropna(), *numbers["train_accuracy"].dropna()])
    everyone = ordered(results["strategy"])

    def panel_of(panel: Panel, mine: pd.DataFrame) -> Callable[[Axes], None]:
        return lambda axes: _draw_curves(axes, panel.title, mine, everyone, low, high)

    some = [(panel, numbers[numbers["cell_id"].isin(panel.results["cell_id"])]) for panel in panels(results)]
    dataset, n = words.clean(results["dataset"].iloc[0], 60), words.count(numbers["n"].iloc[0])
    return _Plan(
        "curves",
        f"Learning curves with {n} labelled images",
        f"Line chart of validation (solid) and training (dashed) accuracy on {dataset} against images seen in "
        f"training, for the winning trial of each strategy with {n} labelled images, the head's stage included.",
        _gap_conclusion(numbers),
        [panel_of(panel, mine) for panel, mine in some if len(mine)],
        numbers,
    )


def _draw_accuracy(
    axes: Axes, panel: Panel, numbers: pd.DataFrame, everyone: Sequence[str], low: float, high: float
) -> None:
    sizes = numbers.groupby("fraction")["n"].median()
    numbers = panel.select(numbers)
    ends = []
    _set_up(axes, panel.title, "labelled images (training and validation)", "test accuracy", low, high)
    axes.set_xscale("log")
    margin = 1.12 if len(sizes) > 1 else 2
    axes.set_xlim(sizes.min() / margin, sizes.max() * margin)
    _count_ticks(axes, sizes)
    for strategy in ordered(numbers["strategy"]):
        colour, marker = style_of(strategy, everyone)
        mine = numbers[numbers["strategy"] == strategy].sort_values("n")
        x, mean, half = (mine[c].to_numpy() for c in ("n", "accuracy", "half_width"))
        if strategy == "majority":
            axes.axhline(mean[-1], color=colour, linestyle=(0, (1, 2)), linewidth=1.3)
            x = np.array(axes.get_xlim())
        else:
            cells = panel.results[(panel.results["strategy"] == strategy) & (panel.results["status"] == "ok")]
            if np.isfinite(half).any():
                axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.14, linewidth=0)
            axes.plot(cells["n"], cells["accuracy"], ".", color=colour, alpha=0.55, markersize=4)
            axes.plot(x, mean, color=colour, marker=marker, markersize=5, linewidth=1.8, markeredgecolor=PAPER,
                      markeredgewidth=0.6)  # fmt: skip
        ends.append((strategy, x[-1], mean[-1]))
    _label_ends(axes, ends, everyone, leaders=True)


def _draw_cost(axes: Axes, numbers: pd.DataFrame, everyone: Sequence[str]) -> None:
    several = numbers["backbone"].nunique() > 1
    low, high = _limits(numbers["accuracy"])
    title = "all backbones" if several else backbone_title(numbers["backbone"].iloc[0], "")
    _set_up(axes, title, "tuning and training time for one seed", "test accuracy", low, high)
    axes.set_xscale("log")
    left, right = numbers["seconds"].min() / 1.6, numbers["seconds"].max() * 1.6
    axes.set_xlim(left, right)
    _ticks(axes, time_ticks(left, right), lambda seconds: words.duration(seconds).replace(".0 ", " "))
    front = numbers[numbers["front"]]
    axes.step(front["seconds"], front["accuracy"], where="post", color=MUTED, linewidth=1, linestyle="--")
    for row in _rows(numbers):
        colour, marker = style_of(str(row.strategy), everyone)
        axes.plot(row.seconds, row.accuracy, marker=marker, color=colour, markersize=8 if row.front else 6,
                  alpha=1 if row.front else 0.5, markeredgecolor=PAPER, linestyle="none")  # fmt: skip
    if len(numbers) > _NAMED:
        for place, row in enumerate(_rows(front), 1):
            axes.annotate(str(place), (row.seconds, row.accuracy), (0, 6), textcoords="offset points",
                          ha="center", fontsize=8)  # fmt: skip
        ends = [
            (strategy, 0.0, float(numbers.loc[numbers["strategy"] == strategy, "accuracy"].mean()))
            for strategy in ordered(numbers["strategy"])
        ]
        _label_ends(axes, ends, everyone)
    else:
        ends = [(row.strategy, row.seconds, row.accuracy) for row in _rows(numbers)]
        texts = [_who(row, several, 21) for row in _rows(numbers)]
        _label_ends(axes, ends, everyone, texts=texts, leaders=True)


def _draw_curves(
    axes: Axes, title: str, numbers: pd.DataFrame, everyone: Sequence[str], low: float, high: float
) -> None:
    _set_up(axes, title, "images seen (solid: validation, dashed: training)", "accuracy", low, high)
    axes.set_xlim(0, max(1, numbers["images"].max()) * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.magnitude(value)))
    ends = []
    for strategy in ordered(numbers["strategy"]):
        colour, marker = style_of(strategy, everyone)
        cells = [cell for _, cell in numbers[numbers["strategy"] == strategy].groupby("cell_id", sort=False)]
        for rank, cell in enumerate(cells):
            validation, training = cell.dropna(subset="val_accuracy"), cell.dropna(subset="train_accuracy")
            first = rank == 0
            axes.plot(validation["images"], validation["val_accuracy"], color=colour,
                      alpha=1 if first else 0.35, linewidth=1.8 if first else 0.8)  # fmt: skip
            if not first or validation.empty:
                continue
            axes.plot(training["images"], training["train_accuracy"], color=colour, linewidth=1,
                      linestyle=(0, (4, 2)), alpha=0.8)  # fmt: skip
            x, y = validation["images"].iloc[-1], validation["val_accuracy"].iloc[-1]
            axes.plot(
                x, y, marker=marker, color=colour, markersize=5, markeredgecolor=PAPER, linestyle="none"
            )
            ends.append((strategy, x, y))
    _label_ends(axes, ends, everyone)


# --- words ------------------------------------------------------------------------------------------------


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    return frame.itertuples(index=False)


def _who(row: Any, several: bool, limit: int = 0) -> str:
    name = words.strategy_name(row.strategy)
    return words.clean(f"{name} on {backbone_title(row.backbone, row.weights)}" if several else name, limit)


def _accuracy_in_words(numbers: pd.DataFrame) -> str:
    largest = numbers[numbers["fraction"] == numbers["fraction"].max()]
    several = largest.loc[largest["strategy"] != "majority", "backbone"].nunique() > 1
    best = largest.sort_values("accuracy", ascending=False).head(8)
    values = [f"{_who(row, several)} {words.percent(row.accuracy)}" for row in _rows(best)]
    return f"With {words.count(largest['n'].iloc[0])} labels: {words.listed(values)}."


def _accuracy_conclusion(numbers: pd.DataFrame) -> str:
    trained = numbers[numbers["strategy"] != "majority"]
    if trained.empty:
        return "Only the majority class was measured: there is nothing to compare yet."
    several = trained["backbone"].nunique() > 1
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
        return "Training and validation accuracy end within 5 points of each other: no sign of overfitting."
    return (
        f"The widest gap between training and validation at the end is that of {words.strategy_name(widest)}, "
        f"{words.points(gaps[widest])} points: there, more labels or stronger augmentation have most to give."
    )


# --- drawing ----------------------------------------------------------------------------------------------


def _limits(values: Sequence[float] | pd.Series[Any]) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    margin = max(0.02, 0.06 * (high - low))
    return max(-0.02, low - margin), min(1.02, high + margin)


def _set_up(axes: Axes, title: str, x: str, y: str, low: float, high: float) -> None:
    axes.set_title(words.clean(title, 44), pad=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    digits = 1 if high - low < 0.06 else 0
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.percent(value, digits)))
    axes.grid(visible=False, axis="x")


def _ticks(axes: Axes, values: Sequence[float], text: Callable[[float], str]) -> None:
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))


def _count_ticks(axes: Axes, sizes: pd.Series[Any]) -> None:
    """Ticks at the label counts; where two would overlap, the one further left has no text."""
    names = {float(n): f"{words.count(n)}\n{words.fraction_name(float(str(f)))}" for f, n in sizes.items()}
    (low, high), width = np.log(axes.get_xlim()), _WIDTH - _LEFT - _RIGHT
    previous = np.inf
    for n in sorted(names, reverse=True):
        place = (np.log(n) - low) / (high - low) * width
        if previous - place < 0.44:
            names[n] = ""
        else:
            previous = place
    _ticks(axes, sorted(names), lambda value: names.get(value, ""))


def _label_ends(
    axes: Axes,
    ends: Sequence[tuple[Any, Any, Any]],
    everyone: Sequence[str],
    texts: Sequence[str] = (),
    leaders: bool = False,
) -> None:
    """Names the lines that end at (x, y) in the right margin, each with its marker, none over another."""
    low, high = axes.get_ylim()
    height = (_HEIGHT - _TOP - _BOTTOM) * 72
    wanted = [(y - low) / (high - low) for _, _, y in ends]
    placed = spread_labels(wanted, _LABEL_POINTS / height, 0.0, 1.0)
    for i, (strategy, x, _) in enumerate(ends):
        colour, marker = style_of(strategy, everyone)
        text = texts[i] if texts else words.clean(words.strategy_name(strategy), 21)
        if leaders:
            start = axes.transAxes.inverted().transform(axes.transData.transform((x, low)))[0]
            axes.plot([start, 1.025], [wanted[i], placed[i]], transform=axes.transAxes, color=colour, alpha=0.5,
                      linewidth=0.6, clip_on=False, zorder=1)  # fmt: skip
        axes.plot(1.045, placed[i], marker=marker or ".", markersize=5 if marker else 3, color=colour,
                  transform=axes.transAxes, clip_on=False, linestyle="none")  # fmt: skip
        axes.text(1.075, placed[i], text, transform=axes.transAxes, va="center_baseline", fontsize=8.5)


@contextmanager
def _styled() -> Iterator[None]:
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # names in any script
        yield


def _place(index: int, panels: int) -> tuple[int, int]:
    """Row and column of a panel, three to a row."""
    return divmod(index, min(3, panels))


def _figure(draw: Sequence[Callable[[Axes], None]]) -> Figure:
    rows, columns = _place(len(draw) - 1, len(draw))[0] + 1, min(3, len(draw))
    width, height = columns * _WIDTH, rows * _HEIGHT
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    for index, panel in enumerate(draw):
        row, column = _place(index, len(draw))
        left, bottom = column * _WIDTH + _LEFT, height - (row + 1) * _HEIGHT + _BOTTOM
        across, up = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _BOTTOM - _TOP
        axes = figure.add_axes((left / width, bottom / height, across / width, up / height), facecolor="none")
        panel(axes)
    return figure


def _save(plan: _Plan, suffix: str, dataset: str, out: Path) -> FigureInfo:
    name = plan.name + suffix
    png, svg = io.BytesIO(), io.StringIO()
    with _styled():
        figure = _figure(plan.panels)
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
        figure.set_dpi(144)
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None}, pil_kwargs={"compress_level": 4})
    write_atomic(out / f"{name}.png", png.getvalue())
    write_atomic(out / f"{name}.svg", svg.getvalue())
    write_csv(plan.numbers, out / f"{name}.csv")
    svgs = tuple(_panel_svgs(svg.getvalue(), len(plan.panels), name, plan.alt))
    return FigureInfo(
        name, dataset, plan.title, out / f"{name}.png", plan.alt, plan.conclusion, svgs, plan.numbers
    )


def _panel_svgs(svg: str, panels: int, prefix: str, alt: str) -> Iterator[str]:
    """Cuts an SVG document of matplotlib's into one element a panel, to be placed in an HTML page.

    Its size follows the page, its colours the page's colour scheme, its ids do not meet those of another, and
    its font is the page's. Further panels of a figure are hidden from screen readers: the first one speaks.
    """
    svg = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", svg)
    svg = re.sub("|".join(_TOKENS), lambda match: _TOKENS[match[0]], svg)
    definitions = re.finditer(r'<(path|clipPath) id="([^"]+)"(?:[^>]*/>|>.*?</clipPath>)', svg, re.DOTALL)
    shared = {match[2]: match[0] for match in definitions}
    for index in range(panels):
        group = re.search(rf'^  <g id="axes_{index + 1}">.*?^  </g>$', svg, re.DOTALL | re.MULTILINE)
        assert group is not None, "matplotlib writes one group a pair of axes"
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', group[0]))
        missing = sorted(used - set(re.findall(r' id="([^"]+)"', group[0])))
        body = f"<defs>{''.join(shared[name] for name in missing)}</defs>\n{group[0]}"
        body = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{prefix}-{index}-", body)
        row, column = _place(index, panels)
        box = f"{column * _WIDTH * 72:g} {row * _HEIGHT * 72:g} {_WIDTH * 72:g} {_HEIGHT * 72:g}"
        speaks = 'aria-hidden="true"' if index else f'role="img" aria-label="{html.escape(alt)}"'
        yield f'<svg viewBox="{box}" {speaks}>{body.replace("xlink:href", "href")}</svg>'


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "dataset"
