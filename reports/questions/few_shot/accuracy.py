"""How accurate are they in episodes? Strategies by settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from reports import words
from reports.questions.few_shot.measurements import FLOOR, Measurement, measured
from reports.results import Results
from reports.sections import Grid, GridCell, Section
from reports.tables import several_backbones, strategy_key

if TYPE_CHECKING:
    from rich.console import Group

CAPTION = Markup(
    "Each cell shows the mean accuracy over episodes and seeds. Below it stands the 95% CI over new classes, and ± "
    "over episodes alone, as papers report it. The highest of a column is bold. <code>few_shot.csv</code> has the "
    "raw numbers."
)


def section(run: Results) -> Section | None:
    """One table a dataset; None where nothing has a result."""
    tables = grids(run)
    return Section("measured", "Accuracy on new classes", tables, "Accuracy") if tables else None


def grids(run: Results) -> list[Grid]:
    """See ``few_shot_tables``."""
    return few_shot_tables(run.once(measured))


def few_shot_tables(found: Sequence[Measurement]) -> list[Grid]:
    """One table a dataset: configurations by settings, the best marked."""
    datasets = dict.fromkeys(m.dataset for m in found)
    return [_table([m for m in found if m.dataset == dataset]) for dataset in datasets]


def _table(found: Sequence[Measurement]) -> Grid:
    settings = sorted({m.setting for m in found})
    best = {s: max(m.accuracy for m in found if m.setting == s) for s in settings}
    several = several_backbones((m.backbone, m.weights) for m in found)
    rows = []
    for place in sorted({m.place for m in found}, key=lambda p: (p[0] == FLOOR, strategy_key(p[0]), *p[1:])):
        of_place = {m.setting: m for m in found if m.place == place}
        first = next(iter(of_place.values()))
        auc = first.verification
        cells = [
            *(_cell(of_place.get(s), best[s]) for s in settings),
            GridCell(f"{auc:.3f}" if math.isfinite(auc) else "–"),
            GridCell(words.duration(first.seconds)),
        ]
        rows.append((place[0], words.capital(first.name(several)), cells))
    chance = [*(words.percent(1 / ways) for _, ways, _ in settings), "0.500", "–"]
    rows.append(("chance", "Chance", [GridCell(text) for text in chance]))
    return Grid(
        words.clean(found[0].dataset, 60),
        [*map(setting_title, settings), "same or not (AUC)", "to tune and train"],
        rows,
        "accuracy in episodes",
        CAPTION,
    )


def setting_title(setting: tuple[str, int, int]) -> str:
    """``20-way 1-shot``, and ``20-way 1-shot, within``."""
    scope, ways, shots = setting
    return f"{ways}-way {shots}-shot" + (", within" if scope == "within" else "")


def _cell(m: Measurement | None, best: float) -> GridCell:
    if m is None:
        return GridCell("–")
    interval = f"{words.percent(m.low)} to {words.percent(m.high)}" if math.isfinite(m.low) else "no interval"
    seeds = words.plural(m.seeds, "seed") if m.seeds else "nothing trained"
    sub = f"{interval} · {seeds} · ± {words.points(m.by_episodes)} by episodes"
    return GridCell(words.percent(m.accuracy), sub, m.accuracy == best)


def few_shot_terminal(found: Sequence[Measurement]) -> Group:
    """For the terminal: one ``rich`` table a dataset."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    tables = []
    for content in few_shot_tables(found):
        table = Table(title=Text(content.title, style="bold"), title_justify="left")
        table.add_column("accuracy in episodes", no_wrap=True)
        for column in content.columns:
            table.add_column(Text(column), justify="right")
        for _, name, cells in content.rows:
            table.add_row(Text(name), *(Text(cell.main) for cell in cells))
        tables.append(table)
    return Group(*tables)
