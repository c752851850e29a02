"""A ranking of backbones, and how well it agrees with what was measured."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bench.cli.terminal import print_table
from bench.system.names import short_backbone, shown
from reports.words import strategy_name

if TYPE_CHECKING:
    from bench.ranking.ranking import Ranking
    from bench.runs.agreement import Agreement, Correlation

_HEADINGS = {
    "probe": "probe %",
    "knn": "kNN %",
    "nearest_mean": "mean %",
    "logme": "LogME",
    "h_score": "H-score",
    "leep": "LEEP",
    "nce": "NCE",
    "imagenet_top1": "ImageNet %",
    "params": "params",
}


def print_ranking(ranking: Ranking, agrees: Agreement | None) -> None:
    """Relevance, accuracy and size side by side; what decides, what the columns mean, who was left out and why."""
    from bench.ranking.ranking import COLUMNS, DECIDES

    kind = ranking.kind
    headings = {**_HEADINGS, "ms_per_image": f"ms/{kind.noun.one}"}
    print(
        f"{shown(ranking.name)}: {ranking.images:,} of {ranking.pool:,} labelled {kind.noun.many}, "
        f"{kind.sized(ranking.input)}, {ranking.classes} classes. The most frequent one makes up "
        f"{ranking.majority:.1%}. No test {kind.noun.one} was seen."
    )
    rows = [
        [
            str(place),
            _backbone(ranked.backbone),
            *(_score(ranking, ranked.value(c), c) for c in COLUMNS),
        ]
        for place, ranked in enumerate(ranking.backbones, start=1)
    ]
    print_table(["", "backbone", *(headings[column] for column in COLUMNS)], rows, left=(1,))
    for warning in ranking.warnings:
        print(f"\nWarning: {shown(warning)}")
    print(f"\nOrder: {ranking.why}.\n")
    for column, meaning in ranking.columns.items():
        more = "; ± half the width of its 95% CI" if column == DECIDES else ""
        print(f"  {headings[column]:10} {meaning}{more}")
    _print_missing(ranking)
    if agrees is not None:
        _print_agreement(agrees)


def _print_missing(ranking: Ranking) -> None:
    """Scores that some backbones lack, and backbones that were left out, by reason."""
    from bench.ranking.ranking import SCORES

    reasons: dict[str, list[str]] = defaultdict(list)
    for ranked in ranking.backbones:
        for reason in {ranked.missing[name] for name in SCORES if name in ranked.missing}:
            names = ", ".join(_HEADINGS[name] for name in SCORES if ranked.missing.get(name) == reason)
            reasons[f"No {names}: {reason}"].append(ranked.backbone)
    for backbone, reason in ranking.left_out:
        reasons[f"Left out, {reason}"].append(backbone)
    if reasons:
        print()
    for reason, backbones in reasons.items():
        print(f"{shown(reason)}: {', '.join(map(_backbone, backbones))}")


def _backbone(text: str) -> str:
    return shown(short_backbone(text))


def _score(ranking: Ranking, value: float | None, column: str) -> str:
    if value is None:
        return "-"
    if column == "probe":
        return f"{value * 100:.1f} ± {ranking.margin(value) * 100:.1f}"
    if column in ("knn", "nearest_mean"):
        return f"{value * 100:.1f}"
    return {
        "params": f"{value / 1e6:.2f} M",
        "imagenet_top1": f"{value:.1f}",
        "ms_per_image": f"{value:.1f}",
    }.get(column, f"{value:.3f}")


def _print_agreement(agrees: Agreement) -> None:
    """Measured accuracies, and how each column orders them."""
    print(f"\nMeasured in {shown(agrees.run)}, mean over seeds with the most labels:")
    for remark in agrees.remarks:
        print(f"  {shown(remark)}")
    strategies, measured = list(agrees.accuracies), list(agrees.accuracies.values())
    backbones = list(dict.fromkeys(name for of in measured for name in of))
    rows = [
        [_backbone(name), *(f"{of[name] * 100:.1f}" if name in of else "-" for of in measured)]
        for name in backbones
    ]
    print_table(["backbone", *map(strategy_name, strategies)], rows, left=(0,))
    if agrees.probe_error is not None:
        print(f"The predicted probe is off by {agrees.probe_error * 100:.1f} points on average.")
    usable = [c for c in agrees.correlations if c.weighted_tau is not None or c.spearman is not None]
    if not usable:
        print(f"No rank correlation: {len(backbones)} of these backbones were measured, and that is too few.")
        return
    print("\nRank correlation with it (Kendall's weighted tau / Spearman, number of backbones):")
    by_place = {(c.column, c.strategy): c for c in usable}
    rows = [
        [_HEADINGS[column], *(_correlation(by_place.get((column, strategy))) for strategy in strategies)]
        for column in dict.fromkeys(c.column for c in usable)
    ]
    print_table(["", *map(strategy_name, strategies)], rows, left=(0,))


def _correlation(c: Correlation | None) -> str:
    return "-" if c is None else f"{_signed(c.weighted_tau)} / {_signed(c.spearman)} ({c.backbones})"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
