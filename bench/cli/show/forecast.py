"""What a run will take, in words, before hours are spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.cli.terminal import duration
from bench.plans.plan import Plan, budget_seconds
from bench.records import Cell
from bench.runs.forecast import Forecast
from bench.runs.prepare import Prepared
from bench.system.names import titled
from reports.words import strategy_name

LONG = 600
"""Seconds from which a run is worth a hint at a shorter one."""
NAMED = 5
"""Kinds of cells that are named one by one, at most."""


def forecast_lines(forecast: Forecast, prepared: Prepared, cells: Sequence[Cell], workers: int) -> list[str]:
    """How long some cells of a plan will take, and which of them will not end within their limit, sentences."""
    seconds, known = forecast.elapsed(cells, workers)
    if not known and forecast.is_short(cells):
        return ["A short run: a forecast would take longer than it saves."]
    if not seconds:
        return [] if known else [f"No forecast: nothing can be told of {_unknown(forecast, cells)}."]
    how = "as such cells took before" if forecast.is_measured(cells) else "timed on this machine"
    more = "" if known else f", and more for {_unknown(forecast, cells)}"
    about = f"about {duration(seconds)} on {workers} worker{'s' if workers > 1 else ''} ({how}){more}."
    if prepared.plan.is_cut_short:
        line = f"{_ends(prepared.plan)} All of it, with {prepared.plan.looks[-1]} seeds, would take {about}"
    else:
        sooner = "30m" if seconds > 3 * LONG else "5m"
        line = f"A{about[1:]}" + (f" --budget {sooner} gives an answer sooner." if seconds > LONG else "")
    return [line, *_over(forecast, cells, prepared.plan.limits.cell_seconds)]


def _ends(plan: Plan) -> str:
    """When a run ends that need not run all of its cells."""
    budget = f", after {duration(budget_seconds(plan.budget))} at the latest" if plan.budget else ""
    return f"It ends when the answer is decided{budget}."


def _unknown(forecast: Forecast, cells: Sequence[Cell]) -> str:
    return ", ".join(dict.fromkeys(strategy_name(cell.strategy) for cell in forecast.unknown(cells)))


def _over(forecast: Forecast, cells: Sequence[Cell], limit: float) -> list[str]:
    """A warning that names the cells that are forecast to be ended by ``limits.cell_seconds``."""
    kinds: Counter[str] = Counter()
    longest = 0.0
    for cell in cells:
        seconds, _ = forecast.seconds([cell])
        if seconds > limit:
            longest = max(longest, seconds)
            share = f" at {cell.fraction * 100:g}%" if cell.fraction else ""
            kinds[f"{strategy_name(cell.strategy)} on {titled(cell.backbone, cell.weights)}{share}"] += 1
    if not kinds:
        return []
    names = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(NAMED))
    more = f" and {len(kinds) - NAMED} other kinds" if len(kinds) > NAMED else ""
    return [
        f"Warning: {kinds.total()} of {len(cells)} cells would take longer than limits.cell_seconds "
        f"({limit:g} s) and be ended: {names}{more}. The longest takes about {duration(longest)}: "
        f"--set limits.cell_seconds={_rounded_up(1.5 * longest)} lets all of them end."
    ]


def _rounded_up(seconds: float) -> int:
    """To full quarters of an hour."""
    return 900 * (int(seconds) // 900 + 1)
