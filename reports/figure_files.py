"""The files of figures: PNG, SVG and CSV of each, and its panels as SVG for the page."""

from __future__ import annotations

import gc
import html
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import matplotlib.style
import pandas as pd
from joblib.externals.loky import get_reusable_executor
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bench.system.files import write_atomic
from reports.drawing import GRID, INK, MUTED, PAPER, VALUE, Plan
from reports.tables import write_csv

_TOKENS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", PAPER: "var(--paper)"}


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


_MARK = re.compile(r' id="strategy:([^"]*)"')


def _marked(found: re.Match[str]) -> str:
    """The attributes of an artist: whose it is, and the values of its markers; of nobody's, these alone."""
    # A name may look like a colour or a reference, which are replaced in tags.
    strategy, *values = re.sub("(?<!&)#", "&#35;", found[1]).split(VALUE)
    whose = f' data-strategy="{strategy}"' if strategy else ""
    return f' class="mark"{whose}' + (f' data-values="{VALUE.join(values)}"' if values else "")


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
    """Row and column of a panel, two to a row."""
    return divmod(index, min(2, panels))


def figure(plan: Plan) -> Figure:
    frame, panels = plan.frame, len(plan.panels)
    rows, columns = _place(panels - 1, panels)[0] + 1, min(2, panels)
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
    document = _MARK.sub(_marked, svg.getvalue())
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
