"""How deep to tune: accuracy by what of the network trains, and how far tuning leads it away from where it came.

A common advice is to tune more of the network the more the new task differs from the one it was trained on
(Yosinski et al. 2014, arXiv:1411.1792). Here both sides of it are measured: what training more brings, and how
far the outputs of the blocks move when everything is free to (linear CKA, Kornblith et al. 2019, arXiv:1905.00414).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.modalities.nouns import Noun
from bench.records import ACCURACY, Record
from reports import words
from reports.drawing import (
    PAPER,
    Plan,
    frame_of,
    label_ends,
    limits,
    mark,
    set_up,
    style_of,
    ticks,
)
from reports.results import Results
from reports.sections import Part, Section, Table
from reports.statistics.credits import metric_of
from reports.statistics.decisions import CONFIGURATION, succeeded
from reports.statistics.intervals import rank_correlation, t_half_width
from reports.statistics.pairs import Comparison, Measured, compare_pairs
from reports.tables import backbone_title, dataset_names, ordered, places
from reports.words import IMAGES

BY_SHARE, BY_BLOCK = "partial_finetune", "surgical"
_GIVEN = {BY_SHARE: "unfreeze", BY_BLOCK: "depth"}
_ENDS = {"feature_extraction": 0.0, "full_finetune": 1.0}

LITTLE, MUCH = 0.1, 0.3
"""Below, and above, this mean of 1 - CKA over the blocks tuning is said to change a network little, or much."""

SETTINGS = 6
"""So many settings with the same sign of correlation are needed before a rule over them is spoken of."""


def section(run: Results) -> Section:
    """Accuracy by what of the network trains, and how far it moves."""
    found = settings(run.frame, similarity_frame(run.records), run.directory, run.region)
    table = depth_table(found, run.noun, run.metric)
    parts: list[Part] = [*depth_plans(found, run.frame, run.strategies), table]
    return Section("depth", "How deep to tune?", parts, "Depth", run.several, shown=bool(table.rows))


def similarity_frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row a (cell, block): configuration, fraction, seed, ``place`` from the input up, ``depth``, ``cka``."""
    names = dataset_names(records)
    rows = [
        {
            "dataset": names[record.cell["fingerprint"]],
            **{key: record.cell[key] for key in ("backbone", "weights", "strategy", "fraction", "seed")},
            "place": place,
            **point,
        }
        for record in records
        for place, point in enumerate(record.similarity)
    ]
    columns = [*CONFIGURATION, "fraction", "seed", "place", "block", "depth", "cka"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({"cka": float, "depth": float})


@dataclass(frozen=True)
class Setting:
    """One backbone on one dataset, with the most labels.

    Attributes:
        by_cut: one row a cut: kind (``share`` of the blocks, or one ``block``), cut (0..1: how large the share is,
            from the top; how deep the block lies, from the input), strategy, the metric that decides, low, high
            (95%; NaN below three seeds).
        similarity: one row a (strategy, block): depth, cka and half_width (95%, over seeds).
        deeper: what training most of the network brings over training least; None if only one was run.
        change: mean of 1 - CKA over the blocks where most was free to train; NaN if not measured.
        most: the strategy that trained most.
    """

    dataset: str
    backbone: str
    weights: str
    n: float
    by_cut: pd.DataFrame
    similarity: pd.DataFrame
    deeper: Comparison | None
    change: float
    most: str

    @property
    def holds(self) -> str:
        """Whether the advice fits: ``yes``, ``no``, or ``unclear``."""
        if self.deeper is None or math.isnan(self.change) or LITTLE <= self.change <= MUCH:
            return "unclear"
        pays, does_not = self.deeper.verdict == "better", self.deeper.verdict in ("tied", "worse")
        if not pays and not does_not:
            return "unclear"
        return "yes" if pays == (self.change > MUCH) else "no"


def settings(
    results: pd.DataFrame, similarity: pd.DataFrame, directory: Path | None, region: float
) -> list[Setting]:
    """A setting for every dataset and pretrained backbone on which more than one depth was tuned.

    Args:
        results, similarity: the frames of ``tables.results_frame`` and of ``similarity_frame``.
        directory: the run directory, for predictions.
        region: differences within plus or minus this are equivalent.
    """
    found = []
    keys, metric = ["dataset", "backbone", "weights"], metric_of(results)
    for (dataset, backbone, weights), cells in succeeded(results).groupby(keys, sort=False):
        cells = cells[cells["fraction"] == cells["fraction"].max()]
        measured = {
            str(strategy): Measured(mine, directory)
            for strategy, mine in cells.set_index("seed").groupby("strategy", sort=False)
        }
        by_cut = pd.DataFrame(
            [
                {"kind": kind, "cut": cut, "strategy": name, **_interval(measured[name])}
                for name in ordered(measured)
                for kind, cut in _cuts(name)
            ],
            columns=["kind", "cut", "strategy", metric, "low", "high"],
        ).sort_values(["kind", "cut"], ascending=[False, True], ignore_index=True)
        same = (similarity[["dataset", "backbone", "weights"]] == [dataset, backbone, weights]).all(axis=1)
        mine = _similarity(similarity[same & (similarity["fraction"] == cells["fraction"].max())])
        shares = by_cut[by_cut["kind"] == "share"]
        deeper, change, most = None, math.nan, ""
        if len(shares):
            most = str(shares["strategy"].iloc[-1])
            change = float(1 - mine.loc[mine["strategy"] == most, "cka"].mean())
        if len(shares) > 1:
            pair = (measured[most], measured[str(shares["strategy"].iloc[0])])
            deeper = compare_pairs([pair], region)[0]
        if deeper is not None or len(mine):
            n = float(cells["n"].median())
            found.append(
                Setting(str(dataset), str(backbone), str(weights), n, by_cut, mine, deeper, change, most)
            )
    return found


def _cuts(strategy: str) -> Iterator[tuple[str, float]]:
    if strategy in _ENDS:
        yield "share", _ENDS[strategy]
    name, _, options = strategy.partition(":")
    given = dict(option.split("=", 1) for option in options.split(",") if "=" in option)
    if name in _GIVEN and _GIVEN[name] in given:
        yield ("share" if name == BY_SHARE else "block"), float(given[_GIVEN[name]])


def _interval(measured: Measured) -> dict[str, float]:
    candidate = measured.candidate
    return {measured.metric: candidate.value, "low": candidate.low, "high": candidate.high}


def _similarity(rows: pd.DataFrame) -> pd.DataFrame:
    groups = rows.groupby(["strategy", "place", "block", "depth"], sort=False)["cka"]
    frame = groups.agg(["mean", "std", "count"]).reset_index().rename(columns={"mean": "cka"})
    frame["half_width"] = [t_half_width(s, int(n)) for s, n in zip(frame["std"], frame["count"], strict=True)]
    return frame.drop(columns=["std", "count"])


# --- in words ---------------------------------------------------------------------------------------------


def depth_table(found: Sequence[Setting], noun: Noun = IMAGES, metric: str = ACCURACY) -> Table:
    """What to conclude, and accuracy by cut as a table."""
    if not found:
        return Table([])
    datasets = {s.dataset for s in found}
    backbones = {(s.backbone, s.weights) for s in found}

    def where(s: Setting) -> str:
        names = [words.clean(s.dataset, 40)] if len(datasets) > 1 else []
        names += [backbone_title(s.backbone, s.weights)] if len(backbones) > 1 else []
        return " · ".join(names)

    conclusions = [sentence for s in found for sentence in _conclusions(s, where(s))]
    conclusions += _rule(found)
    if not any(len(s.by_cut[~s.by_cut["strategy"].isin(_ENDS)]) for s in found):
        conclusions.append(
            "To measure depths in between, add --strategy partial_finetune:unfreeze=0.25 and 0.5. For a single "
            "block, add surgical:depth=0 (the first) to surgical:depth=1 (the last)."
        )
    rows, strategies = [], []
    for s in found:
        for row in s.by_cut.to_dict("records"):
            what = _what_trains(row["kind"], row["cut"])
            change = s.similarity.loc[s.similarity["strategy"] == row["strategy"], "cka"]
            rows.append(
                [
                    f"{where(s)}: {what}" if where(s) else what,
                    words.percent(row[metric]),
                    f"{words.percent(row['low'])} to {words.percent(row['high'])}"
                    if math.isfinite(row["low"])
                    else "–",
                    words.percent(1 - change.mean(), 0) if len(change) else "–",
                ]
            )
            strategies.append(row["strategy"])
    return Table(
        conclusions,
        ["what trains", f"test {words.metric_name(metric)}", "95% CI", "change of the backbone"],
        rows,
        "With the most labels. Change is 100% minus the similarity (CKA) of a block's output before and after "
        f"tuning, averaged over all blocks, for training {noun.many}. 0% means the same up to rotation and scale, "
        f"100% means unrelated. By convention, below {words.percent(LITTLE, 0)} is little and above "
        f"{words.percent(MUCH, 0)} is much. A larger learning rate and more "
        "steps change more as well.",
        strategies,
        f"{words.capital(words.metric_name(metric))} by what of the network trains",
    )


def _what_trains(kind: str, cut: float) -> str:
    share = words.percent(cut, 0)
    if kind == "share":
        ends = {0.0: "the head alone", 1.0: "everything"}
        return ends.get(cut, f"the upper {share} of the blocks")
    ends = {0.0: "the first block", 1.0: "the last block"}
    return ends.get(cut, f"one block, {share} of the way from input to output")


def _conclusions(s: Setting, where: str) -> Iterator[str]:
    if s.deeper is not None:
        least = str(s.by_cut.loc[s.by_cut["kind"] == "share", "strategy"].iloc[0])
        comparison = s.deeper
        gain = words.in_points(comparison.difference, True)
        if math.isfinite(comparison.low):
            gain += f" ({words.points(comparison.low, True)} to {words.points(comparison.high, True)})"
        said = {
            "better": "so training more layers pays",
            "worse": "so training more layers harms",
            "tied": "a tie",
            "undecided": "too close to call",
            "unknown": "not compared below three seeds",
        }[comparison.verdict]
        names = words.strategy_name(s.most), words.strategy_name(least)
        yield words.sentence(f"{names[0]} against {names[1]}: {gain}, {said}.", where)
    if math.isfinite(s.change):
        mine = s.similarity[s.similarity["strategy"] == s.most].dropna(subset="cka")
        block = mine.iloc[int(mine["cka"].argmin())]
        size = "little" if s.change < LITTLE else "much" if s.change > MUCH else "somewhat"
        yield words.sentence(
            f"{words.strategy_name(s.most)} changes the backbone {size} (by {words.percent(s.change, 0)} on "
            f"average), most at {words.clean(block['block'], 40)} ({words.percent(1 - block['cka'], 0)}).",
            where,
        )
    verdict = {
        "yes": "this fits the advice to tune more where tasks differ more",
        "no": "this goes against the advice to tune more where tasks differ more",
    }.get(s.holds)
    if verdict:
        yield words.sentence(f"{verdict}.", where)


def _rule(found: Sequence[Setting]) -> list[str]:
    """Over several settings: does training more bring more where the backbone changes more?"""
    known = [
        (s.change, s.deeper.difference) for s in found if s.deeper is not None and math.isfinite(s.change)
    ]
    if len(known) < 2:
        return []
    if len(known) < SETTINGS:
        return [f"{len(known)} settings are too few to say whether that is a rule over them."]
    change, gain = np.array(known).T
    if np.ptp(change) == 0 or np.ptp(gain) == 0:
        return []
    correlation, p = rank_correlation(change, gain)
    verdict = "holds" if correlation > 0 else "is reversed"
    said = (
        f"the rule {verdict} over these settings"
        if p <= 0.05
        else "no rule beyond chance over these settings"
    )
    return [
        f"Change of the backbone and gain have a rank correlation of {correlation:+.2f} over {len(known)} settings "
        f"(p = {p:.2g}): {said}."
    ]


# --- figures ----------------------------------------------------------------------------------------------


def depth_plans(
    found: Sequence[Setting], results: pd.DataFrame, everyone: Sequence[str] = ()
) -> Iterator[Plan]:
    """Accuracy by cut and similarity by block of each dataset that has some."""
    for dataset, place in places(results).items():
        mine = [s for s in found if s.dataset == dataset]
        plan = _figure(mine, everyone or ordered(results["strategy"]), metric_of(results))
        if plan is not None:
            yield plan.of(dataset, place)


def _figure(found: Sequence[Setting], everyone: Sequence[str], metric: str) -> Plan | None:
    panels: list[Callable[[Axes], None]] = []
    numbers = []
    values = [v for s in found for v in s.by_cut[[metric, "low", "high"]].to_numpy().ravel()]
    for s in found:
        title = backbone_title(s.backbone, s.weights)
        for kind, fewest in (("share", 3), ("block", 2)):
            mine = s.by_cut[s.by_cut["kind"] == kind]
            if len(mine) < fewest:
                continue
            bounds = limits([value for value in values if math.isfinite(value)])
            panels.append(_metric_panel(mine, metric, kind, everyone, title, *bounds))
            numbers.append(mine.assign(measure=metric, backbone=s.backbone, weights=s.weights, n=s.n))
        if len(s.similarity):
            panels.append(_similarity_panel(s.similarity, everyone, title))
            numbers.append(s.similarity.assign(measure="cka", backbone=s.backbone, weights=s.weights, n=s.n))
    if not panels:
        return None
    dataset = words.clean(found[0].dataset, 60)
    return Plan(
        "depth",
        "Accuracy and change by depth",
        f"Charts of test {words.metric_name(metric)} on {dataset} by the share of the network that trains, and by "
        "the depth of a single block that trains, where several were run, and of the similarity (linear CKA) of "
        "each block's output before and after tuning, against its depth.",
        "Similarity near 100% means that tuning left a block's output as it was. Where it falls, the network "
        "had to change.",
        panels,
        pd.concat(numbers, ignore_index=True),
        frame_of(len(panels), max(s.similarity["strategy"].nunique() for s in found)),
    )


DEPTH = "depth of the block, input to output"


def _metric_panel(
    by_cut: pd.DataFrame,
    metric: str,
    kind: str,
    everyone: Sequence[str],
    title: str,
    low: float,
    high: float,
) -> Callable[[Axes], None]:
    base, x_axis, name = {
        "share": (BY_SHARE, "share of the blocks that train", "all above the cut"),
        "block": (BY_BLOCK, DEPTH, "one block alone"),
    }[kind]

    def draw(axes: Axes) -> None:
        set_up(axes, title, x_axis, f"test {words.metric_name(metric)}", low, high)
        axes.set_xlim(-0.06, 1.06)
        ticks(axes, [0, 0.25, 0.5, 0.75, 1], lambda value: words.percent(value, 0))
        colour, marker = style_of(base, everyone)
        x, y = by_cut["cut"].to_numpy(), by_cut[metric].to_numpy()
        bars = axes.vlines(x, by_cut["low"].fillna(by_cut[metric]), by_cut["high"].fillna(by_cut[metric]),
                           color=colour, alpha=0.5, linewidth=1.4)  # fmt: skip
        line = axes.plot(x, y, color=colour, marker=marker, markersize=5, markeredgecolor=PAPER,
                         linewidth=1.4 if kind == "share" else 0)  # fmt: skip
        mark(base, bars)
        mark(base, *line, values=[
            f"{_what_trains(kind, cut)}: {words.percent(value)}" for cut, value in zip(x, y, strict=True)
        ])  # fmt: skip
        label_ends(axes, [(base, x[-1], y[-1])], everyone, [name])

    return draw


def _similarity_panel(
    similarity: pd.DataFrame, everyone: Sequence[str], title: str
) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        low = min(0.0, float(similarity["cka"].min()) - 0.05)
        set_up(axes, title, DEPTH, "similarity to before tuning", low, 1.04)
        axes.set_xlim(0, 1.02)
        ticks(axes, [0, 0.25, 0.5, 0.75, 1], lambda value: words.percent(value, 0))
        ends = []
        for strategy in ordered(similarity["strategy"]):
            mine = similarity[similarity["strategy"] == strategy].sort_values("place")
            colour, marker = style_of(strategy, everyone)
            x, y, half = (mine[c].to_numpy(dtype=float) for c in ("depth", "cka", "half_width"))
            if np.isfinite(half).any():
                band = axes.fill_between(
                    x, y - half, np.minimum(y + half, 1), color=colour, alpha=0.12, linewidth=0
                )
                mark(strategy, band)
            line = axes.plot(
                x,
                y,
                color=colour,
                marker=marker,
                markersize=5,
                linewidth=1.8,
                markeredgecolor=PAPER,
                markeredgewidth=0.6,
            )
            mark(strategy, *line, values=[
                f"{words.strategy_name(strategy)}, {block}: {value:.2f}"
                for block, value in zip(mine["block"], y, strict=True)
            ])  # fmt: skip
            ends.append((strategy, x[-1], y[-1]))
        label_ends(axes, ends, everyone, leaders=True)

    return draw
