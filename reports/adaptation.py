"""Did adapting to the target help? Every strategy that learns from a source, against the source alone.

On the same seeds, test images and labels of the target, with which the source alone is tuned too. Transfer between
domains can do harm (Pan & Yang 2010, A survey on transfer learning, doi:10.1109/TKDE.2009.191), so that is named.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.records import Record
from reports import words
from reports.sections import Section
from reports.statistics import Comparison, Measured, compare_pairs, succeeded
from reports.tables import backbone_title, configuration_name, dataset_names, several_backbones

BASELINE = "source_only"
LARGEST = 4 * 2**20
"""Bytes of a file of pictures that is shown; ours are far smaller."""
MOST_PICTURES = 4
_VERDICTS = {
    "better": "helps",
    "worse": "harms",
    "tied": "no difference",
    "undecided": "not told",
    "unknown": "too few seeds",
}


@dataclass(frozen=True)
class Adaptation:
    """One strategy against the source alone, at one number of labels of the target.

    Attributes:
        source: the name of the source dataset.
        accuracy, baseline: of the strategy and of the source alone, means over seeds.
        comparison: the paired difference of the two; intervals are corrected for the strategies compared here.
    """

    dataset: str
    backbone: str
    weights: str
    strategy: str
    source: str
    n: float
    accuracy: float
    baseline: float
    comparison: Comparison

    @property
    def verdict(self) -> str:
        """``helps``, ``harms``, ``no difference``, ``not told`` or ``too few seeds``."""
        return _VERDICTS[self.comparison.verdict]


def adaptations(results: pd.DataFrame, directory: Path | None, region: float) -> list[Adaptation]:
    """Every strategy that was run with a source beside ``source_only``, by rising number of labels.

    Args:
        results: the frame of ``tables.results_frame``.
        directory: the run directory, for predictions.
        region: differences within plus or minus this are equivalent.
    """
    ok = succeeded(results)
    ok = ok[ok["source_dataset"] != ""]
    found = []
    keys = ["dataset", "backbone", "weights", "fraction"]
    for (dataset, backbone, weights, _), cells in ok.groupby(keys, sort=True):
        runs = {
            str(strategy): Measured(mine.set_index("seed"), directory)
            for strategy, mine in cells.groupby("strategy", sort=False)
        }
        baselines = [strategy for strategy in runs if strategy.partition(":")[0] == BASELINE]
        if not baselines:
            continue
        alone = runs.pop(baselines[0])
        compared = compare_pairs([(run, alone) for run in runs.values()], region)
        for (strategy, run), comparison in zip(runs.items(), compared, strict=True):
            found.append(
                Adaptation(
                    str(dataset), str(backbone), str(weights), strategy, str(run.cells["source_dataset"].iloc[0]),
                    float(run.cells["n"].median()), run.accuracy, alone.accuracy, comparison,
                )
            )  # fmt: skip
    return found


def adaptation_section(found: Sequence[Adaptation], results: pd.DataFrame, several: bool) -> Section | None:
    """What adaptation brought, as a table with conclusions; None where none was run beside the source alone.

    Args:
        found: of ``adaptations``.
        results: the frame of ``tables.results_frame``, for what the target's labels do without a source.
        several: whether there is more than one dataset.
    """
    if not found:
        return None
    backbones = several_backbones((a.backbone, a.weights) for a in found)

    def name(a: Adaptation) -> str:
        return configuration_name(a.strategy, a.backbone, a.weights, backbones, a.dataset if several else "")

    conclusions = []
    for n in dict.fromkeys(a.n for a in found):
        for verdict, said in (
            ("helps", "adaptation helps, beyond noise"),
            ("harms", "adaptation harms, beyond noise"),
            ("no difference", "no difference from the source alone"),
            ("not told", "not told from the source alone"),
            ("too few seeds", "nothing is claimed below three seeds"),
        ):
            mine = [a for a in found if a.n == n and a.verdict == verdict]
            if mine:
                each = [f"{name(a)} ({words.difference(a.comparison)})" for a in mine]
                conclusions.append(f"{_labels(n)}, {said}: {words.some(each)}.")
    conclusions += _without_source(found, results, several)
    return Section(
        conclusions,
        ["against the source alone", "labels of the target", "accuracy", "source only", "difference", "says"],
        [
            [
                name(a),
                words.count(a.n),
                words.percent(a.accuracy),
                words.percent(a.baseline),
                words.difference(a.comparison),
                a.verdict,
            ]
            for a in found
        ],
        f"Test accuracy on the target of what also learns from {words.clean(found[0].source, 40)}, and points "
        "against fine-tuning on that source alone, paired on seeds and test images, with intervals corrected for "
        "the number of strategies. The source alone uses labels of the target to tune with, where there are any.",
        [a.strategy for a in found],
    )


def _labels(n: float) -> str:
    return f"With {words.count(n)} labels of the target" if n else "Without any label of the target"


def _without_source(found: Sequence[Adaptation], results: pd.DataFrame, several: bool) -> list[str]:
    """What the best strategy without the source reaches, at each number of labels."""
    own = results[
        (results["status"] == "ok") & (results["source_dataset"] == "") & (results["strategy"] != "majority")
    ]
    said = []
    for dataset, of_dataset in own.groupby("dataset", sort=False):
        adapted = [a for a in found if a.dataset == dataset]
        for _, cells in of_dataset.groupby("fraction"):
            n = float(cells["n"].median())
            mine = [a for a in adapted if a.n == n]
            if not mine:
                continue
            means = cells.groupby(["strategy", "backbone", "weights"], as_index=False)["accuracy"].mean()
            own_best = means.loc[means["accuracy"].idxmax()]
            title = backbone_title(own_best["backbone"], own_best["weights"])
            best = max(mine, key=lambda a: a.accuracy)
            prefix = f"{words.clean(dataset, 40)}: with" if several else "With"
            said.append(
                f"{prefix} {words.count(n)} labels, the best without the source is "
                f"{words.strategy_name(own_best['strategy'])} on {title}, {words.percent(own_best['accuracy'])}; "
                f"the best with it {words.strategy_name(best.strategy)}, {words.percent(best.accuracy)}."
            )
    return said


@dataclass(frozen=True)
class Pictures:
    """What a strategy has made of some images: two rows, before and after, in one picture."""

    title: str
    uri: str


def pictures(records: Sequence[Record], directory: Path) -> list[Pictures]:
    """The pictures that strategies have left, of the first seed of each; at most four."""
    names = dataset_names(records)
    found: dict[tuple[str, str], Pictures] = {}
    for record in sorted(records, key=lambda r: (r.cell["fraction"], r.cell["seed"], r.cell_id)):
        path = directory / "predictions" / f"{record.cell_id}.png"
        key = (names[record.cell["fingerprint"]], record.cell["strategy"])
        if record.status != "ok" or key in found or not path.is_file() or path.stat().st_size > LARGEST:
            continue
        source = words.clean(record.cell.get("source_name", ""), 40)
        title = (
            f"{words.strategy_name(key[1])}: images of {source} (above) and what was made of them for "
            f"{words.clean(key[0], 40)} (below); {words.count(record.n or 0)} labels, seed {record.cell['seed']}"
        )
        uri = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
        found[key] = Pictures(title, uri)
    return list(found.values())[:MOST_PICTURES]
