"""Several datasets or backbones: who does well everywhere, and not just here.

Ranks and interquartile means with a stratified bootstrap (Agarwal et al. 2021, arXiv:2108.13264), and, over enough
datasets, Friedman's test with the critical difference of Nemenyi (Demšar 2006, JMLR 7:1-30).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reports import words
from reports.drawing import INK, MUTED, Frame, Plan, mark, style_of
from reports.results import Results
from reports.sections import Section, Table
from reports.statistics.credits import metric_of
from reports.statistics.intervals import LEVEL, MINIMUM_SEEDS, Floats
from reports.tables import ordered, panels

MINIMUM_DATASETS = 5
"""Below so many datasets Friedman's test cannot find anything, and no diagram is drawn."""
DRAWS = 2000


def section(run: Results) -> Section | None:
    """Ranks of strategies and of backbones, and the diagram of critical differences."""
    tables = standings_tables(run.frame)
    difference = critical_difference(runs_frame(run.frame))
    plans = [difference_plan(difference)] if difference else []
    if not tables:
        return None
    return Section("standings", "Over all datasets and backbones", [*tables, *plans], "Overall")


@dataclass(frozen=True)
class Standing:
    """How one strategy (or backbone) does over all contexts in which all of them have results.

    Attributes:
        name: of the strategy, or the backbone's title.
        rank: mean over contexts, 1 is best; ties share.
        first: in how many contexts it has the highest mean.
        value: interquartile mean over contexts and seeds of the metric that decides, with a 95% interval (``low``,
            ``high``) over seeds; NaN where a context has fewer than three.
    """

    name: str
    rank: float
    first: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Standings:
    """Those of all strategies, or of all backbones, best rank first.

    Attributes:
        what: ``strategy`` or ``backbone``.
        contexts: in how many (dataset, backbone), or (dataset, strategy), they were compared.
    """

    what: str
    contexts: int
    rows: tuple[Standing, ...]


@dataclass(frozen=True)
class Difference:
    """Mean ranks of strategies over datasets, and how far apart they have to be.

    Attributes:
        datasets: how many.
        ranks: by strategy, best first.
        p: of Friedman's test that all are alike.
        critical: ranks further apart than this differ (Nemenyi).
    """

    datasets: int
    ranks: dict[str, float]
    p: float
    critical: float


def runs_frame(results: pd.DataFrame) -> pd.DataFrame:
    """What is compared: one row a (dataset, backbone, strategy, seed) at each dataset's most labels.

    ``backbone`` is its title. Training from scratch counts for every set of weights of its backbone.
    """
    columns = ["dataset", "backbone", "strategy", "seed", "metric", metric_of(results)]
    parts = []
    for panel in panels(results):
        cells = panel.results
        cells = cells[(cells["status"] == "ok") & (cells["strategy"] != "majority")]
        cells = cells[cells["fraction"] == results.loc[results["dataset"] == panel.dataset, "fraction"].max()]
        parts.append(cells.assign(backbone=panel.title)[columns])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def standings(runs: pd.DataFrame, what: str) -> Standings | None:
    """The standings of ``strategy`` or ``backbone``; None with fewer than two of them, or of common contexts."""
    if runs.empty:
        return None
    metric = metric_of(runs)
    context = ["dataset", "backbone" if what == "strategy" else "strategy"]
    table = runs.groupby([*context, what])[metric].mean().unstack(what).dropna()
    if len(table) < 2 or table.shape[1] < 2:
        return None
    ranks = table.rank(axis=1, ascending=False)
    best = table.eq(table.max(axis=1), axis=0).sum()
    measured = {key: cells.to_numpy(float) for key, cells in runs.groupby([*context, what])[metric]}
    rows = []
    rng = np.random.default_rng(0)
    for name in table.columns:
        scores = [measured[(*place, name)] for place in table.index]
        rows.append(Standing(str(name), float(ranks[name].mean()), int(best[name]), *_iqm(scores, rng)))
    return Standings(what, len(table), tuple(sorted(rows, key=lambda row: row.rank)))


def _iqm(scores: Sequence[Floats], rng: np.random.Generator) -> tuple[float, float, float]:
    """The interquartile mean of all scores, and its interval: seeds are drawn again within each context.

    A bootstrap of n values has a variance (n - 1) / n times too small; deviations are scaled back (Rao & Wu 1988,
    JASA 83:231). Nor does it know that this variance is itself an estimate; Student's t does, with half of the
    degrees of freedom, as the mean is that of half of the scores. Simulated coverage at 95%: .95 to .98.
    """
    from scipy import special  # stats would take a second to import

    value = _interquartile_mean(np.concatenate(scores)[None])[0]
    if min(len(some) for some in scores) < MINIMUM_SEEDS:
        return float(value), math.nan, math.nan
    degrees = sum(len(some) - 1 for some in scores) / 2
    wider = special.stdtrit(degrees, (1 + LEVEL) / 2) / special.ndtri((1 + LEVEL) / 2)
    drawn = []
    for some in scores:
        again = some[rng.integers(len(some), size=(DRAWS, len(some)))]
        drawn.append(some.mean() + (again - some.mean()) * math.sqrt(len(some) / (len(some) - 1)))
    tail = (1 - LEVEL) / 2
    found = np.quantile(_interquartile_mean(np.concatenate(drawn, axis=1)), [tail, 1 - tail])
    low, high = value + (found - value) * wider
    return float(value), max(0.0, float(low)), min(1.0, float(high))


def _interquartile_mean(rows: Floats) -> Floats:
    """The mean of each row without its lowest and its highest quarter."""
    cut = rows.shape[1] // 4
    return np.asarray(np.sort(rows, axis=1)[:, cut : rows.shape[1] - cut].mean(axis=1))


def critical_difference(runs: pd.DataFrame) -> Difference | None:
    """Strategies over datasets, each the mean over the backbones that all were run on; None with too few."""
    if runs.empty:
        return None
    contexts = (
        runs.groupby(["dataset", "backbone", "strategy"])[metric_of(runs)].mean().unstack("strategy").dropna()
    )
    table = contexts.groupby("dataset").mean()
    datasets, strategies = table.shape
    if datasets < MINIMUM_DATASETS or strategies < 3:
        return None
    from scipy import stats

    p = float(stats.friedmanchisquare(*(table[name] for name in table.columns)).pvalue)
    q = float(stats.studentized_range.ppf(LEVEL, strategies, np.inf)) / math.sqrt(2)
    ranks = table.rank(axis=1, ascending=False).mean().sort_values()
    critical = q * math.sqrt(strategies * (strategies + 1) / (6 * datasets))
    return Difference(datasets, {str(name): float(rank) for name, rank in ranks.items()}, p, critical)


def difference_plan(found: Difference) -> Plan:
    """The diagram of critical differences: strategies on a line of ranks; a bar joins those that do not differ."""
    names = list(found.ranks)
    everyone = ordered(names)
    ranks = list(found.ranks.values())
    groups: list[tuple[int, int]] = []
    for i, rank in enumerate(ranks):
        end = max(k for k, other in enumerate(ranks) if other - rank <= found.critical)
        if end > i and not any(first <= i and end <= last for first, last in groups):
            groups.append((i, end))
    best = [words.strategy_name(name) for name in names if found.ranks[name] - ranks[0] <= found.critical]
    differ = found.p < 1 - LEVEL
    conclusion = (
        f"Over {found.datasets} datasets the strategies differ (Friedman, p = {found.p:.2g}). Ranks more than "
        f"{found.critical:.2f} apart differ (Nemenyi). Too close to the best rank to call: {words.brief(best)}."
        if differ
        else f"Over {found.datasets} datasets no strategy is told from another by rank (Friedman, "
        f"p = {found.p:.2g})."
    )

    def draw(axes: Axes) -> None:
        axes.set_xlim(len(names) + 0.2, 0.8)  # the best on the right
        axes.set_ylim(-0.3 - 0.35 * len(names), 0.5 + 0.22 * len(groups))
        axes.plot([1, len(names)], [0, 0], color=INK, linewidth=1)
        for place, name in enumerate(names):
            colour, marker = style_of(name, everyone)
            height = -0.35 * (place + 1)
            line = axes.plot([ranks[place]] * 2, [0, height], color=MUTED, linewidth=0.8)
            point = axes.plot(ranks[place], 0, marker=marker, color=colour, markersize=7, linestyle="none")
            text = axes.text(
                ranks[place] - 0.04, height, f"{words.strategy_name(name)} ({ranks[place]:.1f})", va="center"
            )
            mark(name, *line, *point, text)
        for level, (first, last) in enumerate(groups):
            height = 0.2 + 0.22 * level
            axes.plot([ranks[first] - 0.03, ranks[last] + 0.03], [height] * 2, color=INK, linewidth=3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("mean rank over datasets, with the most labels")
        axes.set_title(f"critical difference {found.critical:.2f}", pad=10)
        axes.yaxis.set_visible(False)
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)

    numbers = pd.DataFrame(
        [(name, rank, found.datasets, found.critical, found.p) for name, rank in found.ranks.items()],
        columns=["strategy", "rank", "datasets", "critical_difference", "friedman_p"],
    )
    return Plan(
        "ranks",
        "Strategies over all datasets",
        f"Diagram of critical differences of mean ranks over {found.datasets} datasets. {conclusion}",
        conclusion,
        [draw],
        numbers,
        Frame(height=1.6 + 0.3 * len(names), left=0.3, right=1.95, bottom=0.6, top=0.42),
    )


def standings_tables(results: pd.DataFrame) -> list[Table]:
    """Strategies over all datasets and backbones, and backbones over all datasets and strategies."""
    runs = runs_frame(results)
    found = [s for s in (standings(runs, "strategy"), standings(runs, "backbone")) if s is not None]
    sections = []
    for s in found:

        def name(text: str, what: str = s.what) -> str:
            return words.strategy_name(text) if what == "strategy" else words.clean(text, 60)

        best = s.rows[0]
        others = "backbone" if s.what == "strategy" else "strategy"
        rows = []
        for row in s.rows:
            interval = (
                f" ({words.percent(row.low)} to {words.percent(row.high)})" if math.isfinite(row.low) else ""
            )
            rows.append(
                [
                    name(row.name),
                    f"{row.rank:.1f}",
                    f"{row.first} of {s.contexts}",
                    words.percent(row.value) + interval,
                ]
            )
        sections.append(
            Table(
                [
                    f"Over {s.contexts} combinations of dataset and {others}, {name(best.name)} has the best mean "
                    f"rank, {best.rank:.1f} of {len(s.rows)}, and is first in {best.first}."
                ],
                [s.what, "mean rank", "first", f"interquartile mean {words.metric_name(metric_of(results))}"],
                rows,
                f"With the most labels of each dataset, over the combinations in which every {s.what} has a "
                "result. The interquartile mean leaves out the lowest and the highest quarter. Its 95% CI "
                "covers seeds (stratified bootstrap), not other datasets.",
                [row.name for row in s.rows] if s.what == "strategy" else [],
                f"Standings of {'strategies' if s.what == 'strategy' else 'backbones'}",
            )
        )
    return sections
