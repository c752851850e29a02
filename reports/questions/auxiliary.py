"""What did auxiliary labels bring? Every strategy that learns some, against the same strategy without them.

The two have the same stages, budget, seeds, labels and test examples of the target, and see its examples in
the same order and views. Learning another task beside one's own can do harm, negative transfer (Pan & Yang 2010, A
survey on transfer learning, doi:10.1109/TKDE.2009.191), so that is named.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.modalities.nouns import Noun
from bench.records import ACCURACY
from reports import words
from reports.results import Results
from reports.sections import Section, Table
from reports.statistics.credits import metric_of
from reports.statistics.pairs import Comparison, Measured, compare_pairs
from reports.tables import configuration_name, several_backbones
from reports.words import IMAGES

LEARNED = 6
"""Of so many configurations the learned weights are told."""
WEIGHT = "weight of "
"""How the metrics of curves begin that are learned weights of losses."""
_VERDICTS = {
    "better": "helps",
    "worse": "negative transfer",
    "tied": "no difference",
    "undecided": "too close to call",
    "unknown": "too few seeds",
}
_SENTENCES = {
    "helps": "auxiliary labels clearly help",
    "negative transfer": "auxiliary labels clearly harm (negative transfer)",
    "no difference": "auxiliary labels make no difference",
    "too close to call": "too close to call",
    "too few seeds": "not compared below three seeds",
}


def section(run: Results) -> Section | None:
    """What auxiliary labels brought, at each number of labels of the target."""
    found = brought(run.frame, run.curves, run.counterparts, run.directory, run.region)
    table = auxiliary_table(found, run.several, run.noun, run.metric)
    return (
        None
        if table is None
        else Section("auxiliary", "Did auxiliary labels help?", [table], "Auxiliary labels")
    )


@dataclass(frozen=True)
class Brought:
    """What auxiliary labels brought to one strategy at one number of labels of the target.

    Attributes:
        counterpart: the same strategy without them.
        auxiliary: the names of the auxiliary tasks.
        labels: how many auxiliary labels the refit had, a median over seeds.
        value, without: of the metric that decides, with and without them, means over seeds.
        comparison: the paired difference of the two; intervals are corrected for the strategies compared here.
        weights: what the auxiliary losses weighed, by how many seeds chose so: ``{"0.3": 2, "learned": 1}``.
        learned: by auxiliary task, its learned weight at the end, a mean over the seeds that learned it.
    """

    dataset: str
    backbone: str
    source: str
    strategy: str
    counterpart: str
    auxiliary: str
    n: float
    labels: float
    value: float
    without: float
    comparison: Comparison
    weights: Mapping[str, int]
    learned: Mapping[str, float]

    @property
    def verdict(self) -> str:
        """``helps``, ``negative transfer``, ``no difference``, ``too close to call`` or ``too few seeds``."""
        return _VERDICTS[self.comparison.verdict]


def brought(
    results: pd.DataFrame,
    curves: pd.DataFrame,
    counterparts: Mapping[str, str],
    directory: Path | None,
    region: float,
) -> list[Brought]:
    """Every strategy with auxiliary labels that was run beside its counterpart, by rising number of labels.

    Args:
        results, curves: the frames of ``tables``.
        counterparts: by strategy, what it is without auxiliary labels; of run.json.
        directory: the run directory, for predictions.
        region: differences within plus or minus this are equivalent.
    """
    if not counterparts:
        return []
    ok = results[(results["status"] == "ok") & results[metric_of(results)].notna()]
    learned = set(ok.loc[ok["auxiliary"] != "", "strategy"])
    found = []
    keys = ["dataset", "backbone", "weights", "fraction"]
    for (dataset, backbone, source, _), cells in ok.groupby(keys, sort=True):
        runs = {
            str(strategy): Measured(mine.set_index("seed"), directory)
            for strategy, mine in cells.groupby("strategy", sort=False)
        }
        pairs = [(s, c) for s, c in counterparts.items() if s in learned and s in runs and c in runs]
        compared = compare_pairs([(runs[s], runs[c]) for s, c in pairs], region)
        for (strategy, counterpart), comparison in zip(pairs, compared, strict=True):
            run = runs[strategy]
            found.append(
                Brought(
                    str(dataset), str(backbone), str(source), strategy, counterpart,
                    str(run.cells["auxiliary"].iloc[0]), float(run.cells["n"].median()),
                    float(run.cells["n_auxiliary"].median()), run.value, runs[counterpart].value, comparison,
                    dict(Counter(map(_weight, run.cells["hyperparameters"]))),
                    _learned(run.cells["cell_id"], curves),
                )
            )  # fmt: skip
    return found


def _weight(hyperparameters: str) -> str:
    return str(json.loads(hyperparameters).get("auxiliary_weight", "–"))


def _learned(cells: pd.Series[Any], curves: pd.DataFrame) -> dict[str, float]:
    mine = curves[(curves["run"] == "refit") & curves["cell_id"].isin(cells)]
    mine = mine[mine["metric"].str.startswith(WEIGHT)]
    last = mine.sort_values("images").groupby(["cell_id", "metric"], sort=False)["value"].last()
    means = last.groupby("metric").mean()
    return {str(metric).removeprefix(WEIGHT): float(value) for metric, value in means.items()}


def auxiliary_table(
    found: Sequence[Brought], several: bool, noun: Noun = IMAGES, metric: str = ACCURACY
) -> Table | None:
    """What auxiliary labels brought, as a table with conclusions; None where nothing can be compared.

    Args:
        found: of ``brought``.
        several: whether there is more than one dataset.
        noun: what examples are called.
        metric: that decides.
    """
    if not found:
        return None
    many = noun.many
    backbones = several_backbones((b.backbone, b.source) for b in found)

    def name(b: Brought) -> str:
        return configuration_name(b.strategy, b.backbone, b.source, backbones, b.dataset if several else "")

    return Table(
        _told(found, name),
        [
            "strategy",
            "labels",
            "auxiliary labels",
            words.metric_name(metric),
            "without",
            "difference",
            "weight",
            "conclusion",
        ],
        [
            [
                name(b),
                words.count(b.n),
                f"{words.count(b.labels)} of {words.clean(b.auxiliary, 60)}",
                words.percent(b.value),
                words.percent(b.without),
                words.difference(b.comparison),
                _weights(b.weights),
                b.verdict,
            ]
            for b in found
        ],
        f"Test {words.metric_name(metric)} of the same strategy with and without auxiliary labels. Both have the "
        f"same stages, {many} in the same order, seeds and number of trials. Differences are in points, paired on "
        f"seeds and test {many}, and corrected for the number of strategies. Weight: of the auxiliary loss, as "
        f"chosen on the target's validation {many}, with its number of seeds.",
        [b.strategy for b in found],
        "Effect of auxiliary labels",
    )


def _told(found: Sequence[Brought], name: Callable[[Brought], str]) -> list[str]:
    """Where auxiliary labels help or harm, and where the weights of their losses ended."""
    conclusions = []
    for n in sorted({b.n for b in found}):
        for verdict, said in _SENTENCES.items():
            mine = [b for b in found if b.n == n and b.verdict == verdict]
            if mine:
                each = [f"{name(b)} ({words.difference(b.comparison)})" for b in mine]
                conclusions.append(f"With {words.count(n)} labels, {said}: {words.brief(each)}.")
    learned = [b for b in found if b.learned]
    for b in learned[:LEARNED]:
        ends = [f"{weight:.2g} for {words.clean(task, 40)}" for task, weight in b.learned.items()]
        conclusions.append(
            f"{words.capital(name(b))} learned the weight of the auxiliary loss with {words.count(b.n)} labels: it "
            f"ended at {words.listed(ends)}, with 1 for the target."
        )
    if len(learned) > LEARNED:
        conclusions.append(f"{len(learned) - LEARNED} more learned it: see the table.")
    return conclusions


def _weights(weights: Mapping[str, int]) -> str:
    return ", ".join(f"{words.clean(value, 20)} ({count})" for value, count in sorted(weights.items()))


def method_lines(run_info: Mapping[str, Any], noun: Noun = IMAGES) -> list[str]:
    """How auxiliary labels were used, a sentence or two each."""
    many = noun.many
    lines = []
    tasks = {task["fingerprint"]: task for tasks in run_info.get("auxiliary", {}).values() for task in tasks}
    for task in tasks.values():
        name, classes = (
            words.clean(task["name"], 60),
            words.plural(len(task["class_names"]), "class", "classes"),
        )
        known, n = words.count(task["known"]), words.count(task["n"])
        if task["kind"] == "column":
            lines.append(
                f"Auxiliary labels {name}: a column of the manifest with {classes}, known for {known} of {n} "
                f"{many} of the pool. Learned are those of a cell's labelled {many} or, with images=pool, of all "
                f"{many} of the pool; in tuning never those of {many} that validate; those of test {many} never."
            )
        else:
            lines.append(
                f"Auxiliary dataset {name}: {known} of {n} {many} with {classes} of its own; the others share a "
                f"group with test {many} of the target and are left out. In tuning those that share one with {many}"
                " that validate are left out too. Its own test part is not used."
            )
    if tasks:
        lines.append(
            "Hyperparameters are chosen by the target's validation labels alone. A learned weight "
            "follows the uncertainty of each task (Kendall et al. 2018, arXiv:1705.07115)."
        )
    return lines
