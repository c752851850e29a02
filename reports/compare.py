"""Two runs side by side: what changed, and whether by more than noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from reports import words
from reports.answer import who
from reports.statistics import EQUIVALENCE, MINIMUM_SEEDS, Comparison, Measured, compare_pairs, succeeded
from reports.tables import CONFIGURATION, backbone_title

KEYS = [*CONFIGURATION, "fraction"]

SAID = {
    "better": "better",
    "worse": "worse",
    "tied": "the same",
    "undecided": "not beyond noise",
    "unknown": "too few common seeds to tell",
}


@dataclass(frozen=True)
class Change:
    """One configuration at one label count in both runs.

    Attributes:
        dataset, fraction, n: of the second run.
        before, after: mean accuracies.
        comparison: the second run against the first; its intervals are simultaneous over all changes.
        seconds: median of tuning plus refit, before and after.
    """

    dataset: str
    fraction: float
    n: float
    before: float
    after: float
    comparison: Comparison
    seconds: tuple[float, float]


@dataclass(frozen=True)
class Changes:
    """What changed from one run to another.

    Attributes:
        changes: of what both have, in the order of the results.
        only_first, only_second: what one run has and the other has not, in words.
        plan: plan key -> (first, second), where they differ.
    """

    changes: tuple[Change, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    plan: dict[str, tuple[Any, Any]]

    def to_json(self) -> dict[str, Any]:
        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(v) for key, v in value.items()}
            if isinstance(value, (list, tuple)):
                return [plain(v) for v in value]
            return None if isinstance(value, float) and not math.isfinite(value) else value

        content: dict[str, Any] = plain(asdict(self))
        return content


def _same(first: Measured, second: Measured) -> bool:
    columns = ["cell_id", "accuracy"]
    return first.cells[columns].sort_index().equals(second.cells[columns].sort_index())


def compare(
    results: tuple[pd.DataFrame, pd.DataFrame],
    directories: tuple[Path | None, Path | None],
    plans: tuple[dict[str, Any], dict[str, Any]] = ({}, {}),
    region: float = EQUIVALENCE,
) -> Changes:
    """Compares two runs, paired by seed and, where both predicted the same test images, by image.

    Args:
        results: frames of ``tables.results_frame``, of the first and of the second run.
        directories: their run directories, for predictions.
        plans: contents of their plan.toml.
        region: differences within plus or minus this are equivalent.
    """
    groups: list[dict[tuple[Any, ...], pd.DataFrame]] = []
    for frame in results:
        cells_of = succeeded(frame).groupby(KEYS, sort=False)
        groups.append({key: cells.set_index("seed") for key, cells in cells_of})
    first, second = groups
    common = [key for key in second if key in first]
    runs = [(Measured(second[key], directories[1]), Measured(first[key], directories[0])) for key in common]
    changes = []
    for key, (now, then), comparison in zip(common, runs, compare_pairs(runs, region), strict=True):
        if comparison.verdict != "unknown" and _same(
            now, then
        ):  # these very cells with these very results: nothing to be estimated
            comparison = replace(comparison, difference=0.0, low=0.0, high=0.0, p=1.0, verdict="tied")
        seconds = then.candidate.seconds, now.candidate.seconds
        n = float(second[key]["n"].median())
        changes.append(
            Change(str(key[0]), float(key[-1]), n, then.accuracy, now.accuracy, comparison, seconds)
        )

    def names(mine: dict[tuple[Any, ...], Any], other: dict[tuple[Any, ...], Any]) -> tuple[str, ...]:
        return tuple(
            f"{words.clean(key[0], 40)}, {words.strategy_name(key[3])} {backbone_title(key[1], key[2])} at "
            f"{words.fraction_name(key[4])}"
            for key in mine
            if key not in other
        )

    differing = {
        key: (plans[0].get(key), plans[1].get(key))
        for key in sorted({*plans[0], *plans[1]})
        if plans[0].get(key) != plans[1].get(key)
    }
    return Changes(tuple(changes), names(first, second), names(second, first), differing)


def text(changes: Changes) -> str:
    """What changed in a few lines, what is beyond noise first."""
    lines = [f"Plan: {key}: {then!r}, now {now!r}" for key, (then, now) in changes.plan.items()]
    if not changes.changes:
        lines.append("The runs have no configuration and label count in common.")
    order = ("worse", "better", "undecided", "unknown", "tied")
    known = [c for c in changes.changes if c.comparison.verdict != "unknown"]
    beyond = [c for c in known if c.comparison.verdict in ("better", "worse")]
    if known:
        lines.append(
            f"{len(beyond)} of {len(known)} results differ beyond noise (95% over all of them together)."
        )
    elif changes.changes:
        lines.append(f"Nothing is claimed: there are fewer than {MINIMUM_SEEDS} common seeds.")
    lines += map(_line, sorted(changes.changes, key=lambda c: order.index(c.comparison.verdict)))
    for which, only in (("first", changes.only_first), ("second", changes.only_second)):
        lines += _listed(f"only in the {which}", only)
    return "\n".join(lines)


def _line(change: Change) -> str:
    comparison = change.comparison
    interval = (
        f" ({words.points(comparison.low, True)} to {words.points(comparison.high, True)})"
        if math.isfinite(comparison.low)
        else ""
    )
    then, now = (words.duration(s) for s in change.seconds)
    return (
        f"  {words.clean(change.dataset, 40)}, {who(comparison.candidate)}, {words.count(change.n)} labels: "
        f"{words.percent(change.before)} to {words.percent(change.after)}, "
        f"{words.points(comparison.difference, True)} points{interval}: {SAID[comparison.verdict]}; {then} to {now}"
    )


def _listed(what: str, items: Sequence[str], most: int = 10) -> list[str]:
    more = [f"  {what}: {len(items) - most} more"] if len(items) > most else []
    return [f"  {what}: {item}" for item in items[:most]] + more
