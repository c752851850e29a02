"""Two runs side by side: what changed, and whether by more than noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import RequestError
from bench.modalities.nouns import Noun
from bench.modalities.registry import modality
from bench.records import ACCURACY
from bench.store import Store
from reports import words
from reports.phrases import who
from reports.statistics.credits import metric_of, task_of
from reports.statistics.decisions import CONFIGURATION, EQUIVALENCE, succeeded
from reports.statistics.intervals import MINIMUM_SEEDS
from reports.statistics.pairs import Comparison, Measured, compare_pairs
from reports.tables import backbone_title
from reports.words import IMAGES

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
        before, after: means of the metric that decides.
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
        data: by dataset, in words, what makes its examples or labels others than before.
        made_with: version, code, hardware or protocol -> (first, second), where they differ.
        metric: that decides.
    """

    changes: tuple[Change, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    plan: dict[str, tuple[Any, Any]]
    data: dict[str, str] = field(default_factory=dict)
    made_with: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    metric: str = ACCURACY

    def to_json(self) -> dict[str, Any]:
        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(v) for key, v in value.items()}
            if isinstance(value, (list, tuple)):
                return [plain(v) for v in value]
            return None if isinstance(value, float) and not math.isfinite(value) else value

        content: dict[str, Any] = plain(asdict(self))
        for change, shown in zip(self.changes, content["changes"], strict=True):
            shown["comparison"]["candidate"] = plain(change.comparison.candidate.to_json(self.metric))
        return content


def _same(first: Measured, second: Measured) -> bool:
    columns = ["cell_id", first.metric]
    return first.cells[columns].sort_index().equals(second.cells[columns].sort_index())


def compare(
    results: tuple[pd.DataFrame, pd.DataFrame],
    directories: tuple[Path | None, Path | None],
    plans: tuple[dict[str, Any], dict[str, Any]] = ({}, {}),
    region: float = EQUIVALENCE,
    run_infos: tuple[dict[str, Any], dict[str, Any]] = ({}, {}),
) -> Changes:
    """Compares two runs, paired by seed and, where both predicted the same test examples with the same labels, by
    example.

    Args:
        results: frames of ``tables.results_frame``, of the first and of the second run.
        directories: their run directories, for predictions.
        plans: contents of their plan.toml.
        region: differences within plus or minus this are equivalent.
        run_infos: contents of their run.json.

    Raises:
        RequestError: another metric decides in the second, or its labels are of another kind.
    """
    metric, other = map(metric_of, results)
    if metric != other:
        expected = f"a run in which {metric} decides, as in the first"
        raise RequestError("metric", other, expected, f"Run its plan again with --set metric={metric}.")
    task, other_task = map(task_of, results)
    if task != other_task:
        raise RequestError(
            "task", other_task, f"{task}, as in the first run", "Their metrics mean other things."
        )
    first, second = groups = [_grouped(frame) for frame in results]
    common = [key for key in second if key in first]
    tested = [
        _tested(found, directory, info)
        for found, directory, info in zip(groups, directories, run_infos, strict=True)
    ]
    runs = []
    for key in common:
        # Right answers to other questions are not paired by example.
        unlike = _relabelled(*(known.get(key[0], {}) for known in tested))
        before, after = (None, None) if unlike else directories
        runs.append((Measured(second[key], after), Measured(first[key], before)))
    compared = zip(common, runs, compare_pairs(runs, region), strict=True)
    return Changes(
        tuple(_change(key, *pair, comparison) for key, pair, comparison in compared),
        _only(first, second),
        _only(second, first),
        _differing(*plans),
        _data_changed(list(dict.fromkeys(key[0] for key in common)), tested, run_infos),
        _made_with(run_infos),
        metric,
    )


Cells = dict[tuple[Any, ...], pd.DataFrame]
"""The cells of each configuration at each label count, by seed; keys are ``KEYS``."""


def _grouped(results: pd.DataFrame) -> Cells:
    groups = succeeded(results).groupby(KEYS, sort=False)
    return {key: cells.set_index("seed") for key, cells in groups}


def _change(key: tuple[Any, ...], now: Measured, then: Measured, comparison: Comparison) -> Change:
    if comparison.verdict != "unknown" and _same(now, then):
        # These very cells with these very results: nothing to be estimated.
        comparison = replace(comparison, difference=0.0, low=0.0, high=0.0, p=1.0, verdict="tied")
    seconds = then.candidate.seconds, now.candidate.seconds
    n = float(now.cells["n"].median())
    return Change(str(key[0]), float(key[-1]), n, then.value, now.value, comparison, seconds)


def _only(mine: Cells, other: Cells) -> tuple[str, ...]:
    """What one has and the other has not, in words."""
    return tuple(
        f"{words.clean(key[0], 40)}, {words.strategy_name(key[3])} {backbone_title(key[1], key[2])} at "
        f"{words.fraction_name(key[4])}"
        for key in mine
        if key not in other
    )


def _differing(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The keys whose values differ."""
    return {
        key: (first.get(key), second.get(key))
        for key in sorted({*first, *second})
        if first.get(key) != second.get(key)
    }


Labels = dict[str, str]
"""Of test examples by id: the names of their classes, or their numbers where names are not known."""


def _tested(
    groups: Mapping[tuple[Any, ...], pd.DataFrame], directory: Path | None, run_info: dict[str, Any]
) -> dict[str, Labels]:
    """By dataset, the test examples of the first cell whose predictions can be read."""
    found: dict[str, Labels] = {}
    about = _by_name(run_info)
    for key, cells in groups.items():
        if directory is None or key[0] in found:
            continue
        for cell_id in cells["cell_id"]:
            arrays = Store(directory).arrays(cell_id)
            if arrays is None or not {"ids", "labels"} <= arrays.keys():
                continue
            ids, labels = arrays["ids"].astype(str).tolist(), arrays["labels"].tolist()
            names = about.get(key[0], ("", {}))[1].get("class_names", [])
            found[key[0]] = {i: _named(label, names) for i, label in zip(ids, labels, strict=True)}
            break
    return found


def _named(label: int | list[int], names: Sequence[str]) -> str:
    """A class by its name, or any number of labels, 0 and 1 of each class, by theirs."""
    if isinstance(label, list):
        return ";".join(_named(c, names) for c, there in enumerate(label) if there)
    return names[label] if label < len(names) else str(label)


def _by_name(run_info: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Fingerprint and description of each dataset, by its name in the results: see ``tables.dataset_names``."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for fingerprint, about in run_info.get("datasets", {}).items():
        name = str(about.get("name", ""))
        found |= {name: (fingerprint, about), f"{name} ({fingerprint[:6]})": (fingerprint, about)}
    return found


def _noun(about: Mapping[str, Any]) -> Noun:
    return modality(about["modality"]).noun if "modality" in about else IMAGES


def _relabelled(first: Labels, second: Labels) -> int:
    """How many examples have another label than before."""
    return sum(second[i] != label for i, label in first.items() if i in second)


def _data_changed(
    datasets: Sequence[str], tested: Sequence[dict[str, Labels]], run_infos: Sequence[dict[str, Any]]
) -> dict[str, str]:
    """By dataset, what makes it another one under the same name."""
    found = {}
    for dataset in datasets:
        then, now = (known.get(dataset, {}) for known in tested)
        (fingerprint, before), (other, after) = (_by_name(info).get(dataset, ("", {})) for info in run_infos)
        noun, said = _noun(after or before), []
        if then and now:
            gone, new = len(then.keys() - now.keys()), len(now.keys() - then.keys())
            if gone or new:
                said.append(f"{words.count(gone)} test {noun.many} are gone and {words.count(new)} are new")
            if others := _relabelled(then, now):
                said.append(
                    f"{words.plural(others, f'test {noun.one} has', f'test {noun.many} have')} another label"
                )
        if fingerprint and other and fingerprint != other:
            sizes = [about.get("n_pool", math.nan) for about in (before, after)]
            pool = (
                ""
                if sizes[0] == sizes[1]
                else f", {words.count(sizes[0])} in the pool, now {words.count(sizes[1])}"
            )
            said.insert(
                0, f"other {noun.many} or labels (fingerprint {fingerprint[:12]}, now {other[:12]}{pool})"
            )
            if then and then == now:
                said.append(f"the test {noun.many} and their labels have the same names")
        if said:
            found[dataset] = "; ".join(said)
    return found


def _made_with(run_infos: Sequence[dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """Versions, code, hardware and protocol, where both are known and differ."""
    known = []
    for info in run_infos:
        git = info.get("git") or {}
        known.append(
            {
                "protocol": info.get("protocol_version"),
                "code": git and git["commit"] + (" with uncommitted changes" if git.get("dirty") else ""),
                "Keras backend": info.get("backend"),
                **(info.get("hardware") or {}),
                **(info.get("versions") or {}),
                **(info.get("plugins") or {}),
            }
        )  # fmt: skip
    first, second = known
    if not all(run_infos):
        return {}
    return {
        key: (first.get(key), second.get(key))
        for key in dict.fromkeys([*first, *second])
        if first.get(key) != second.get(key)
    }


def text(changes: Changes) -> str:
    """What changed in a few lines: first what makes runs hard to compare, then what is beyond noise."""
    lines = [
        f"Data: {words.clean(dataset, 40)}: {said}. What differs may be the data's doing."
        for dataset, said in changes.data.items()
    ]
    lines += [
        f"Made with: {words.clean(key, 60)}: {words.clean(then, 100)}, now {words.clean(now, 100)}"
        for key, (then, now) in changes.made_with.items()
    ]
    lines += [f"Plan: {key}: {then!r}, now {now!r}" for key, (then, now) in changes.plan.items()]
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
    if changes.metric != ACCURACY:
        lines.append(f"Compared by {words.metric_name(changes.metric)}.")
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
