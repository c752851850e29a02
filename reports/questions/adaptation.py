"""Did adaptation help? Every strategy that adapts, against the same training with nothing adapted.

On the same seeds, test examples and labels of the target. Without any of these that is the source alone. Where
there are some, strategies that align domains learn from them too, and the source alone does not: what they are
compared with is then the labels of both together, or what the labels bring would count as what aligning brings.
Transfer between domains can do harm (Pan & Yang 2010, A survey on transfer learning, doi:10.1109/TKDE.2009.191), so
that is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.modalities.nouns import Noun
from reports import words
from reports.results import Results
from reports.sections import Section, Table
from reports.statistics.credits import metric_of
from reports.statistics.decisions import succeeded
from reports.statistics.pairs import Comparison, Measured, compare_pairs
from reports.tables import backbone_title, configuration_name, several_backbones
from reports.words import IMAGES

SOURCE_ONLY, BOTH = "source_only", "source_and_target"
"""Nothing adapted: with the labels of the source, and of both."""
LABELLED = (BOTH, "source_then_target")
"""A source and labels of the target, and nothing else: no adaptation."""
_VERDICTS = {
    "better": "helps",
    "worse": "harms",
    "tied": "no difference",
    "undecided": "too close to call",
    "unknown": "too few seeds",
}


def section(run: Results) -> Section | None:
    """What adaptation brought, at each number of labels of the target."""
    found = adaptations(run.frame, run.counterparts, run.directory, run.region)
    table = adaptation_table(found, run.frame, run.several, run.noun)
    return None if table is None else Section("adaptation", "Did adaptation help?", [table], "Adaptation")


@dataclass(frozen=True)
class Adaptation:
    """One strategy against the same with nothing adapted, at one number of labels of the target.

    Attributes:
        source: the name of the source dataset.
        against: the strategy that it is compared with.
        with_labels: whether it learns from labels of the target and ``against`` does not.
        value, baseline: of the metric that decides, of the strategy and of ``against``, means over seeds.
        comparison: the paired difference of the two; intervals are corrected for the strategies compared here.
    """

    dataset: str
    backbone: str
    weights: str
    strategy: str
    source: str
    against: str
    with_labels: bool
    n: float
    value: float
    baseline: float
    comparison: Comparison

    @property
    def verdict(self) -> str:
        """``helps``, ``harms``, ``no difference``, ``too close to call`` or ``too few seeds``."""
        return _VERDICTS[self.comparison.verdict]


def adaptations(
    results: pd.DataFrame, counterparts: Mapping[str, str], directory: Path | None, region: float
) -> list[Adaptation]:
    """Every strategy that adapts and was run beside one with nothing adapted, by rising number of labels.

    Args:
        results: the frame of ``tables.results_frame``.
        counterparts: by strategy, what it is without what it adds; of run.json.
        directory: the run directory, for predictions.
        region: differences within plus or minus this are equivalent.
    """
    ok = succeeded(results)
    ok = ok[ok["source_dataset"] != ""]
    found = []
    keys = ["dataset", "backbone", "weights", "fraction"]
    for (dataset, backbone, weights, fraction), cells in ok.groupby(keys, sort=True):
        runs = {
            str(strategy): Measured(mine.set_index("seed"), directory)
            for strategy, mine in cells.groupby("strategy", sort=False)
        }
        pairs = []
        for strategy in runs:
            wanted = counterparts.get(strategy, "")
            if _base(wanted) in (SOURCE_ONLY, BOTH) and (against := _against(wanted, bool(fraction), runs)):
                pairs.append((strategy, against, _base(wanted) == BOTH))
        compared = compare_pairs([(runs[s], runs[against]) for s, against, _ in pairs], region)
        for (strategy, against, learns), comparison in zip(pairs, compared, strict=True):
            run = runs[strategy]
            found.append(
                Adaptation(
                    str(dataset), str(backbone), str(weights), strategy, str(run.cells["source_dataset"].iloc[0]),
                    against, learns and bool(fraction) and _base(against) == SOURCE_ONLY,
                    float(run.cells["n"].median()), run.value, runs[against].value, comparison,
                )
            )  # fmt: skip
    return found


def _base(strategy: str) -> str:
    return strategy.partition(":")[0]


def _against(wanted: str, labelled: bool, runs: Mapping[str, Measured]) -> str:
    """What a strategy is compared with: its counterpart, with the same given hyperparameters if that was run; the
    source alone where there is none, or no label of the target, which is the same. Empty: nothing is there."""
    base, _, given = wanted.partition(":")
    for name in [BOTH, SOURCE_ONLY] if labelled and base == BOTH else [SOURCE_ONLY]:
        same = f"{name}:{given}" if given else name
        if found := [text for text in (same, *runs) if text in runs and _base(text) == name]:
            return found[0]
    return ""


def adaptation_table(
    found: Sequence[Adaptation], results: pd.DataFrame, several: bool, noun: Noun = IMAGES
) -> Table | None:
    """What adaptation brought, as a table with conclusions; None where there is nothing to compare.

    Args:
        found: of ``adaptations``.
        results: the frame of ``tables.results_frame``, for what labels of the target do without adaptation.
        several: whether there is more than one dataset.
    """
    if not found:
        return None
    backbones = several_backbones((a.backbone, a.weights) for a in found)

    def name(a: Adaptation) -> str:
        return configuration_name(a.strategy, a.backbone, a.weights, backbones, a.dataset if several else "")

    name_of = words.metric_name(metric_of(results))
    conclusions = _told(found, name)
    conclusions += _labels_alone(found, results, several)
    conclusions += _without_source(found, results, several)
    return Table(
        conclusions,
        [
            "strategy",
            "labels of the target",
            name_of,
            "against",
            f"its {name_of}",
            "difference",
            "conclusion",
        ],
        [
            [
                name(a),
                words.count(a.n),
                words.percent(a.value),
                words.strategy_name(a.against),
                words.percent(a.baseline),
                words.difference(a.comparison),
                f"{a.verdict}, labels included" if a.with_labels else a.verdict,
            ]
            for a in found
        ],
        f"Test {name_of} on the target of strategies that also learn from {words.clean(found[0].source, 40)} and "
        "adapt. Each is compared with fine-tuning without adaptation, in points. That uses the labels of the "
        "source, and those of the target where the strategy does. Comparisons are paired on seeds and test "
        f"{noun.many}, and corrected for the number of strategies. The source alone uses labels of the target only "
        "to tune.",
        [a.strategy for a in found],
        "Adaptation against the source alone",
    )


def _told(found: Sequence[Adaptation], name: Callable[[Adaptation], str]) -> list[str]:
    """Who is better, worse or neither than with nothing adapted, at each number of labels."""
    conclusions = []
    for n, with_labels in dict.fromkeys((a.n, a.with_labels) for a in found):
        for verdict, said, of_labels in (
            ("helps", "adaptation clearly helps", "clearly better than the source alone"),
            ("harms", "adaptation clearly harms", "clearly worse than the source alone"),
            ("no difference", "a tie with no adaptation", "a tie with the source alone"),
            (
                "too close to call",
                "too close to call against no adaptation",
                "too close to call against the source alone",
            ),
            ("too few seeds", "not compared below three seeds", "not compared below three seeds"),
        ):
            mine = [a for a in found if (a.n, a.with_labels, a.verdict) == (n, with_labels, verdict)]
            if mine:
                each = [f"{name(a)} ({words.difference(a.comparison)})" for a in mine]
                told = of_labels if with_labels else said
                conclusions.append(f"{_labels(n)}, {told}: {words.brief(each, 11)}.")
        if with_labels:
            conclusions.append(
                f"{_labels(n)}, this includes the effect of these labels: the source alone does not learn from "
                f"them. Add {BOTH} to separate the effect of adaptation."
            )
    return conclusions


def _labels(n: float) -> str:
    return f"With {words.count(n)} labels of the target" if n else "Without any label of the target"


def _labels_alone(found: Sequence[Adaptation], results: pd.DataFrame, several: bool) -> list[str]:
    """What a source and labels of the target reach with nothing adapted, at each number of labels."""
    metric = metric_of(results)
    of_source = results[(results["status"] == "ok") & (results["source_dataset"] != "")]
    of_source = of_source.assign(base=of_source["strategy"].map(_base))
    said = []
    keys = ["dataset", "backbone", "weights", "fraction"]
    for (dataset, backbone, weights, _), cells in of_source.groupby(keys, sort=True):
        labelled, alone = cells[cells["base"].isin(LABELLED)], cells[cells["base"] == SOURCE_ONLY]
        if labelled.empty or alone.empty or dataset not in {a.dataset for a in found}:
            continue
        means = labelled.groupby("strategy", sort=False)[metric].mean()
        each = [f"{words.strategy_name(str(s))} {words.percent(mean)}" for s, mean in means.items()]
        prefix = f"{words.clean(dataset, 40)}: with" if several else "With"
        where = several_backbones((a.backbone, a.weights) for a in found)
        on = f" on {backbone_title(str(backbone), str(weights))}" if where else ""
        said.append(
            f"{prefix} {words.count(float(labelled['n'].median()))} labels of the target and no adaptation{on}: "
            f"{words.listed(each)}. The source alone reaches {words.percent(alone[metric].mean())}."
        )
    return said


def _without_source(found: Sequence[Adaptation], results: pd.DataFrame, several: bool) -> list[str]:
    """What the best strategy without the source reaches, at each number of labels."""
    metric = metric_of(results)
    known = {a.strategy for a in found} | {a.against for a in found}
    known |= {s for s in results["strategy"] if _base(s) in (SOURCE_ONLY, *LABELLED)}
    ok = results[(results["status"] == "ok") & (results["strategy"] != "majority")]
    own = ok[ok["source_dataset"] == ""]
    with_it = ok[(ok["source_dataset"] != "") & ok["strategy"].isin(known)]
    said = []
    for (dataset, fraction), cells in own.groupby(["dataset", "fraction"], sort=False):
        mine = with_it[(with_it["dataset"] == dataset) & (with_it["fraction"] == fraction)]
        if mine.empty:
            continue
        best, best_own = _best(mine), _best(cells)
        title = backbone_title(best_own["backbone"], best_own["weights"])
        prefix = f"{words.clean(dataset, 40)}: with" if several else "With"
        said.append(
            f"{prefix} {words.count(float(cells['n'].median()))} labels, the best without the source is "
            f"{words.strategy_name(best_own['strategy'])} on {title}: {words.percent(best_own[metric])}. "
            f"The best with it is {words.strategy_name(best['strategy'])}: {words.percent(best[metric])}."
        )
    return said


def _best(cells: pd.DataFrame) -> pd.Series[Any]:
    metric = metric_of(cells)
    means = cells.groupby(["strategy", "backbone", "weights"], as_index=False)[metric].mean()
    return means.loc[means[metric].idxmax()]


def source_lines(run_info: Mapping[str, Any], noun: Noun) -> list[str]:
    """How a source dataset was used."""
    one, many = noun.one, noun.many
    source = run_info.get("source_dataset") or {}
    if not source:
        return []
    kinds = {"groups": "a group of the user's", "names": "a file name", "none": f"nothing but {noun.content}"}
    left_out = [
        f"{words.count(t['left_out'])} of its {words.count(source['n'])} {many} were left out for test {many} "
        f"({many} are one group that share {kinds.get(t['grouping'], t['grouping'])}, or their {noun.content})"
        for t in source.get("targets", {}).values()
    ]
    return [
        f"Source: strategies that adapt learn from the labelled {many} of {words.clean(source['name'], 60)}, and "
        f"those that align domains from {many} of the target's pool without their labels. Where the target has "
        "labels, they learn from these too, but for source only and AdaBN, which only tune with them. "
        f"{'; '.join(left_out)}. In tuning, source {many} that share a group with a validation {one} are left out "
        "too. Its own test part is not used.",
        "Without any label of the target, tuning is on a fifth of the source, held out by groups. Stages that "
        "align the domains then run to their end, and the weight of alignment is never searched: labels of the "
        "source know nothing of the target and would always choose least alignment.",
    ]
