"""How figures are drawn: one style, one frame, names beside lines; PNG, SVG and CSV of each.

A strategy has one colour, one marker and one place in the order, in every figure. At most eight colours are told
apart at a glance: strategies beyond these are grey and named. Text comes from users: none is parsed as mathematics.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports import words
from reports.tables import places

# Okabe & Ito's colours, which people with any kind of colour vision tell apart; the lightest three come last.
_KNOWN = {
    "scratch": ("#D55E00", "o"),
    "feature_extraction": ("#CC79A7", "s"),
    "partial_finetune": ("#009E73", "^"),
    "full_finetune": ("#0072B2", "D"),
    "majority": ("#5c6670", ""),
}
_COLOURS, _MARKERS = ("#E69F00", "#56B4E9", "#BFAE00"), "vPX<>ph*"

INK, MUTED, GRID, PAPER = "#1b1f24", "#5c6670", "#dde2e7", "#ffffff"
GREY = "#8b959e"
"""Of strategies that stand back; seen on white as on black."""

_LABEL_POINTS = 11.5
_LABEL_LETTERS = 26
"""So many fit into the right margin."""
_LETTER_INCHES = 0.075

VALUE = "\u241f"
"""Between a strategy and the values of its points, in the id of an artist."""


@dataclass(frozen=True)
class Frame:
    """A panel and where its axes lie in it, in inches. Names of lines stand in the right margin."""

    width: float = 9.2
    height: float = 3.9
    left: float = 0.7
    right: float = 1.95
    bottom: float = 0.62
    top: float = 0.62

    @property
    def across(self) -> float:
        return self.width - self.left - self.right

    @property
    def up(self) -> float:
        return self.height - self.bottom - self.top

    @property
    def is_wide(self) -> bool:
        """Whether it takes the width of the page."""
        return self.width > HALF.width * 1.2


WIDE, HALF = Frame(), Frame(width=5.5, right=1.9)


def frame_of(panels: int, lines: int = 0) -> Frame:
    """One panel has the width of the page, of several two stand side by side; taller where many lines are named."""
    frame = WIDE if panels == 1 else HALF
    names = lines * _LABEL_POINTS / 72
    return replace(frame, height=max(frame.height, frame.top + names + frame.bottom))


def style_of(strategy: str, strategies: Sequence[str] = ()) -> tuple[str, str]:
    """Colour and marker. The first of ``strategies`` get the colours that are free, all further ones are grey.

    Five have their own; the colours of those that are not among ``strategies`` are free.
    """
    if strategy in _KNOWN:
        return _KNOWN[strategy]
    free = [colour for name, (colour, marker) in _KNOWN.items() if marker and name not in strategies]
    colours = [*_COLOURS, *free]
    place = [s for s in dict.fromkeys([*strategies, strategy]) if s not in _KNOWN].index(strategy)
    return colours[place] if place < len(colours) else GREY, _MARKERS[place % len(_MARKERS)]


def stands_back(strategy: str, strategies: Sequence[str]) -> bool:
    """Whether it is drawn grey and thin, behind the others."""
    return style_of(strategy, strategies)[0] == GREY


@dataclass(frozen=True)
class Plan:
    """A figure before it is drawn: one function a panel. ``name`` is that of its files."""

    kind: ClassVar[str] = "figure"
    """Of a part of a section, see ``sections``."""

    name: str
    title: str
    alt: str
    conclusion: str
    panels: list[Callable[[Axes], None]]
    numbers: pd.DataFrame
    frame: Frame = WIDE
    dataset: str = ""

    def of(self, dataset: str, place: int) -> Plan:
        """The same for one dataset; ``place``, from 1, tells its files from those of others, 0: there are none."""
        name = f"{self.name}-{place}-{slug(dataset)}" if place else self.name
        return replace(self, name=name, dataset=dataset)


def of_each_dataset(results: pd.DataFrame, figure: Callable[[pd.DataFrame], Plan | None]) -> Iterator[Plan]:
    """The figure of each dataset that has one; ``figure`` makes it of the dataset's results."""
    for dataset, place in places(results).items():
        plan = figure(results[results["dataset"] == dataset])
        if plan is not None:
            yield plan.of(dataset, place)


def mark(strategy: str, *artists: Artist, values: Sequence[str] = ()) -> None:
    """Says whose these are: in SVG they get the attribute ``data-strategy``.

    Args:
        values: what the page says of each marker when it is pointed at; empty: nothing.
    """
    for artist in artists:
        artist.set_gid(f"strategy:{VALUE.join(words.clean(text) for text in (strategy, *values))}")


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


# --- drawing ----------------------------------------------------------------------------------------------


def limits(values: Sequence[float] | pd.Series[Any]) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    margin = max(0.02, 0.06 * (high - low))
    return max(-0.02, low - margin), min(1.02, high + margin)


def set_up(axes: Axes, title: str, x: str, y: str, low: float, high: float) -> None:
    axes.set_title(words.clean(title, 60), pad=18)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    digits = 1 if high - low < 0.06 else 0
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.percent(value, digits)))
    axes.grid(visible=False, axis="x")


def ticks(axes: Axes, values: Sequence[float], text: Callable[[float], str]) -> None:
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))


def on_log_axis(counts: Any, sizes: pd.Series[Any]) -> Any:
    """Label counts where a logarithmic axis can show them: none at all at a third of the fewest that are some.

    Args:
        counts: to be shown, an array or a number.
        sizes: all label counts of the axis.
    """
    some = sizes[sizes > 0]
    return np.where(np.asarray(counts) > 0, counts, some.min() / 3 if len(some) else 1.0)


def count_ticks(axes: Axes, sizes: pd.Series[Any]) -> None:
    """Ticks at the label counts; where two would overlap, the one further left has no text."""
    names = {
        float(on_log_axis(n, sizes)): f"{words.count(n)}\n{words.fraction_name(float(str(f)))}"
        for f, n in sizes.items()
    }
    (low, high), width = np.log(axes.get_xlim()), size_of(axes)[0]
    previous = np.inf
    for n in sorted(names, reverse=True):
        place = (np.log(n) - low) / (high - low) * width
        room = _LETTER_INCHES * max(map(len, names[n].split("\n")))
        if previous - place < room / 2:
            names[n] = ""
        else:
            previous = place - room / 2 - 0.08
    ticks(axes, sorted(names), lambda value: names.get(value, ""))


def label_ends(
    axes: Axes,
    ends: Sequence[tuple[Any, Any, Any]],
    everyone: Sequence[str],
    texts: Sequence[str] = (),
    leaders: bool = False,
) -> None:
    """Names the lines that end at (x, y) in the right margin, each with its marker, none over another."""
    low, high = axes.get_ylim()
    width, height = size_of(axes)
    wanted = [(y - low) / (high - low) for _, _, y in ends]
    names = [
        words.wrapped(texts[i] if texts else words.strategy_name(strategy, _LABEL_LETTERS), _LABEL_LETTERS)
        for i, (strategy, *_) in enumerate(ends)
    ]
    lines = max((name.count("\n") + 1 for name in names), default=1)
    placed = spread_labels(wanted, lines * _LABEL_POINTS / (72 * height), 0.0, 1.0)
    for i, (strategy, x, _) in enumerate(ends):
        colour, symbol = style_of(strategy, everyone)
        if leaders:
            start = axes.transAxes.inverted().transform(axes.transData.transform((x, low)))[0]
            line = Line2D([start, 1 + 0.08 / width], [wanted[i], placed[i]], transform=axes.transAxes,
                          color=colour, alpha=0.5, linewidth=0.6, clip_on=False, zorder=1)  # fmt: skip
            mark(strategy, axes.add_artist(line))
        point = Line2D([1 + 0.14 / width], [placed[i]], marker=symbol or ".", markersize=5 if symbol else 3,
                       color=colour, transform=axes.transAxes, clip_on=False, linestyle="none",
                       zorder=2)  # fmt: skip
        name = axes.text(1 + 0.22 / width, placed[i], names[i], transform=axes.transAxes, va="center_baseline",
                         fontsize=8.5, linespacing=1.0, color=MUTED if colour == GREY else INK)  # fmt: skip
        mark(strategy, axes.add_artist(point), name)


def size_of(axes: Axes) -> tuple[float, float]:
    """Width and height in inches."""
    return float(axes.bbox.width / axes.figure.dpi), float(axes.bbox.height / axes.figure.dpi)


def mark_changes(axes: Axes, changes: Sequence[tuple[float, float, str]]) -> None:
    """Rings where the best strategy changes, and above the panel from where which one leads.

    Args:
        changes: where on the x axis (drawn and in words), on the y axis, and the strategy that leads from there on.
    """
    width, previous = size_of(axes)[0], np.inf
    for x, y, text in reversed(changes):
        axes.plot(x, y, marker="o", markersize=11, markerfacecolor="none", markeredgecolor=INK,
                  markeredgewidth=1.2, linestyle="none", zorder=4)  # fmt: skip
        place = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[0]
        half = len(text) * _LETTER_INCHES * 0.45
        middle = min(max(place * width, half), width - half)
        if middle + half > previous:
            continue  # no room: the ring alone, and its words in the conclusion
        previous = middle - half
        axes.axvline(x, color=MUTED, linewidth=0.8, linestyle=":", zorder=1)
        axes.text(middle / width, 1.015, text, transform=axes.transAxes, ha="center", va="bottom", fontsize=8,
                  color=MUTED)  # fmt: skip


def round_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones, on a logarithmic axis: at least two where there are any."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        found = [m * 10.0**e for e in decades for m in steps if low <= m * 10.0**e <= high]
        if len(found) >= 3:
            return found
    return found


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "dataset"
