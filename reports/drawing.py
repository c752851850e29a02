"""How figures are drawn: one style, one frame, names beside lines; PNG, SVG and CSV of each.

A strategy has one colour, one marker and one place in the order, in every figure. Text comes from users: none is
parsed as mathematics.
"""

from __future__ import annotations

import gc
import html
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import joblib
import matplotlib.style
import numpy as np
import pandas as pd
from joblib.externals.loky import get_reusable_executor
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.system.files import write_atomic
from reports import words
from reports.tables import write_csv

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
_TOKENS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", PAPER: "var(--paper)"}

_LABEL_POINTS = 11.5

_MANY = 12
"""Panels that take as long to draw as another process to start."""
_MOST_PROCESSES = 8

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
    "axes.titley": 1.0,  # given, and not looked for again each time something is drawn
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
class Frame:
    """A panel and where its axes lie in it, in inches. Names of lines stand in the right margin."""

    width: float = 4.8
    height: float = 3.4
    left: float = 0.62
    right: float = 1.65
    bottom: float = 0.62
    top: float = 0.42

    @property
    def across(self) -> float:
        return self.width - self.left - self.right

    @property
    def up(self) -> float:
        return self.height - self.bottom - self.top


FRAME = Frame()


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
    svgs: tuple[Markup, ...]
    """One SVG a panel, to be placed in HTML: colours by CSS variables, ids that are unique in the page."""
    numbers: pd.DataFrame


def style_of(strategy: str, strategies: Sequence[str] = ()) -> tuple[str, str]:
    """Colour and marker; one that is not among the five with their own gets them by its name's place in the order.

    Colours of those five that are not among ``strategies`` are free.
    """
    if strategy in _KNOWN:
        return _KNOWN[strategy]
    free = [colour for name, (colour, marker) in _KNOWN.items() if marker and name not in strategies]
    colours = [*_COLOURS, *free]
    # Neighbours differ in both; as an odd number has no divisor in common with eight, all pairs come up before one
    # does again.
    odd = len(colours) - (len(colours) + 1) % 2
    place = sorted({*strategies, strategy} - set(_KNOWN)).index(strategy)
    return colours[place % odd], _MARKERS[place % len(_MARKERS)]


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
    frame: Frame = FRAME
    dataset: str = ""

    def of(self, dataset: str, place: int) -> Plan:
        """The same for one dataset; ``place``, from 1, tells its files from those of others, 0: there are none."""
        name = f"{self.name}-{place}-{slug(dataset)}" if place else self.name
        return replace(self, name=name, dataset=dataset)


_MARK = re.compile(r' id="strategy:([^"]*)"')


def mark(strategy: str, *artists: Artist) -> None:
    """Says whose these are: in SVG they get the attribute ``data-strategy``."""
    for artist in artists:
        artist.set_gid(f"strategy:{words.clean(strategy)}")


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
    axes.set_title(words.clean(title, 44), pad=10)
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
    (low, high), width = np.log(axes.get_xlim()), FRAME.across
    previous = np.inf
    for n in sorted(names, reverse=True):
        place = (np.log(n) - low) / (high - low) * width
        if previous - place < 0.44:
            names[n] = ""
        else:
            previous = place
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
    height = FRAME.up * 72
    wanted = [(y - low) / (high - low) for _, _, y in ends]
    placed = spread_labels(wanted, _LABEL_POINTS / height, 0.0, 1.0)
    for i, (strategy, x, _) in enumerate(ends):
        colour, symbol = style_of(strategy, everyone)
        text = texts[i] if texts else words.strategy_name(strategy, 22)
        if leaders:
            start = axes.transAxes.inverted().transform(axes.transData.transform((x, low)))[0]
            line = Line2D([start, 1.025], [wanted[i], placed[i]], transform=axes.transAxes, color=colour,
                          alpha=0.5, linewidth=0.6, clip_on=False, zorder=1)  # fmt: skip
            mark(strategy, axes.add_artist(line))
        point = Line2D([1.045], [placed[i]], marker=symbol or ".", markersize=5 if symbol else 3, color=colour,
                       transform=axes.transAxes, clip_on=False, linestyle="none", zorder=2)  # fmt: skip
        name = axes.text(1.075, placed[i], text, transform=axes.transAxes, va="center_baseline", fontsize=8.5)
        mark(strategy, axes.add_artist(point), name)


def round_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones, on a logarithmic axis: at least two where there are any."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        found = [m * 10.0**e for e in decades for m in steps if low <= m * 10.0**e <= high]
        if len(found) >= 3:
            return found
    return found


@contextmanager
def styled() -> Iterator[None]:
    # From the defaults: a notebook may have set a style, and other processes know nothing of it.
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # names in any script
        yield


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Python looks for cycles of garbage less often: a seventh of the time, where so many objects are made."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _place(index: int, panels: int) -> tuple[int, int]:
    """Row and column of a panel, three to a row."""
    return divmod(index, min(3, panels))


def figure(plan: Plan) -> Figure:
    frame, panels = plan.frame, len(plan.panels)
    rows, columns = _place(panels - 1, panels)[0] + 1, min(3, panels)
    width, height = columns * frame.width, rows * frame.height
    drawn = Figure(figsize=(width, height), facecolor=PAPER)
    for index, panel in enumerate(plan.panels):
        row, column = _place(index, panels)
        left, bottom = column * frame.width + frame.left, height - (row + 1) * frame.height + frame.bottom
        place = (left / width, bottom / height, frame.across / width, frame.up / height)
        panel(drawn.add_axes(place, facecolor="none"))
    return drawn


class Drawing:
    """Draws figures and writes each as PNG and SVG with its numbers as CSV, atomically.

    Of many, other processes draw some from the moment that they are added, the same to the last bit; the rest, and
    all of few, are drawn here in ``finish``.
    """

    def __init__(self, plans: Sequence[Plan], out: Path):
        """
        Args:
            plans: those that are known first; how many processes there are depends on them.
            out: the folder to write into.
        """
        self._out = out.absolute()
        self._plans: list[Plan] = []
        self._futures: list[Future[FigureInfo]] = []
        panels = sum(len(plan.panels) for plan in plans)
        others = min(joblib.cpu_count() - 1, panels // _MANY, _MOST_PROCESSES)
        self._pool = get_reusable_executor(others, timeout=2) if others else None
        self.add(plans)

    def add(self, plans: Sequence[Plan]) -> None:
        self._plans += plans
        if self._pool is not None:
            # A pool of which a process was killed takes no more; finish() draws what is left.
            with suppress(BrokenExecutor):
                self._futures += [self._pool.submit(_save, plan, self._out) for plan in plans]

    def finish(self) -> dict[str, FigureInfo]:
        """The figures, all of them written, by the names of their plans."""
        drawn = {plan.name: _save(plan, self._out) for plan in self._plans[len(self._futures) :]}
        elsewhere = []
        for plan, future in reversed([*zip(self._plans, self._futures, strict=False)]):  # the last begin last
            if future.cancel():
                drawn[plan.name] = _save(plan, self._out)
            else:
                elsewhere.append((plan, future))
        for plan, future in elsewhere:
            try:
                drawn[plan.name] = future.result()
            except BrokenExecutor:  # its process was killed, for want of memory perhaps
                drawn[plan.name] = _save(plan, self._out)
        return {plan.name: drawn[plan.name] for plan in self._plans}


def _save(plan: Plan, out: Path) -> FigureInfo:
    png, svg = io.BytesIO(), io.StringIO()
    with styled(), collecting_rarely():
        drawn = figure(plan)
        FigureCanvasSVG(drawn).print_svg(svg, metadata={"Date": None, "Creator": None})
        drawn.set_dpi(144)
        FigureCanvasAgg(drawn).print_png(png, metadata={"Software": None}, pil_kwargs={"compress_level": 4})
    document = _MARK.sub(r' class="mark" data-strategy="\1"', svg.getvalue())
    path = out / f"{plan.name}.png"
    write_atomic(path, png.getvalue())
    write_atomic(path.with_suffix(".svg"), document)
    write_csv(plan.numbers, path.with_suffix(".csv"))
    svgs = tuple(panel_svgs(document, plan))
    return FigureInfo(
        plan.name, plan.dataset, plan.title, path, plan.alt, plan.conclusion, svgs, plan.numbers
    )


def panel_svgs(svg: str, plan: Plan) -> Iterator[Markup]:
    """Cuts an SVG document of matplotlib's into one element a panel, to be placed in an HTML page.

    Its size follows the page, its colours the page's colour scheme, its ids do not meet those of another, and
    its font is the page's. Further panels of a figure are hidden from screen readers: the first one speaks.
    """
    frame, panels = plan.frame, len(plan.panels)
    svg = _in_tags(r"font-family: [^;\"]*", lambda match: "font-family: system-ui, sans-serif", svg)
    svg = _in_tags("|".join(_TOKENS), lambda match: _TOKENS[match[0]], svg)
    definitions = re.finditer(r'<(path|clipPath) id="([^"]+)"(?:[^>]*/>|>.*?</clipPath>)', svg, re.DOTALL)
    shared = {match[2]: match[0] for match in definitions}
    for index in range(panels):
        group = re.search(rf'^  <g id="axes_{index + 1}">.*?^  </g>$', svg, re.DOTALL | re.MULTILINE)
        assert group is not None, "matplotlib writes one group a pair of axes"
        tags = "".join(_TAG.findall(group[0]))
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', tags))
        missing = sorted(used - set(re.findall(r' id="([^"]+)"', tags)))
        body = f"<defs>{''.join(shared[name] for name in missing)}</defs>\n{group[0]}"
        body = _in_tags(r' id="|href="#|url\(#', _followed_by(f"{plan.name}-{index}-"), body)
        row, column = _place(index, panels)
        box = " ".join(
            f"{inches * 72:g}"
            for inches in (column * frame.width, row * frame.height, frame.width, frame.height)
        )
        speaks = 'aria-hidden="true"' if index else f'role="img" aria-label="{html.escape(plan.alt)}"'
        yield Markup(f'<svg viewBox="{box}" {speaks}>{body.replace("xlink:href", "href")}</svg>')


def _followed_by(text: str) -> Callable[[re.Match[str]], str]:
    return lambda match: match[0] + text


_TAG = re.compile(r"<[^>]*>")


def _in_tags(pattern: str, replace: Callable[[re.Match[str]], str], svg: str) -> str:
    """Substitutes inside tags only: text between them may say anything."""
    found = re.compile(pattern)
    return _TAG.sub(lambda tag: found.sub(replace, tag[0]), svg)


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "dataset"
