"""How many labels a target accuracy, or another metric that decides, needs, by the learning curves of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import RequestError
from bench.modalities.nouns import Noun
from bench.records import ACCURACY
from reports import words
from reports.recommend import Constraints, asked_for, described, finite, of_dataset
from reports.statistics.credits import metric_of
from reports.statistics.label_curves import FARTHEST, Prediction, label_curves
from reports.statistics.pairs import Measured
from reports.tables import configuration_name, several_backbones
from reports.words import IMAGES


@dataclass(frozen=True)
class LabelsNeeded:
    """How many labelled examples reach a target, for one dataset.

    Attributes:
        dataset: its name.
        target: of the metric that decides.
        fewest, most: the fewest and the most labels that were measured.
        needed: (strategy, backbone, weights) with its labels, fewest first; infinite where ``FARTHEST`` times the
            most do not suffice. Of the configurations whose network keeps to the constraints.
    """

    dataset: str
    target: float
    fewest: float
    most: float
    needed: tuple[tuple[tuple[str, str, str], Prediction], ...]
    noun: Noun = IMAGES
    metric: str = ACCURACY

    def to_json(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "metric": self.metric,
            "target": self.target,
            "fewest_measured": self.fewest,
            "most_measured": self.most,
            "needed": [
                {
                    "strategy": strategy,
                    "backbone": backbone,
                    "weights": weights,
                    "labels": finite(labels.value),
                    "low": finite(labels.low),
                    "high": finite(labels.high),
                }
                for (strategy, backbone, weights), labels in self.needed
            ],
        }


def labels_needed(
    results: pd.DataFrame,
    directory: Path | None,
    target: float,
    constraints: Constraints,
    dataset: str | None = None,
    noun: Noun = IMAGES,
) -> LabelsNeeded:
    """Labels for a target, by the learning curves of ``label_curves``.

    Args:
        results: the frame of ``tables.results_frame``.
        directory: the run directory, for predictions.
        target: of the metric that decides, above 0 and below 1.
        constraints: of latency and parameters; the number of labels is what is asked for.
        dataset: which, if the run has several.
        noun: what examples are called.

    Raises:
        RequestError: no such dataset, no such target, constraints on labels or time beside a target, or no learning
            curve can be fitted.
    """
    metric = metric_of(results)
    if not 0 < target < 1:
        article = "an" if metric in (ACCURACY, "auroc") else "a"
        expected = f"{article} {words.metric_name(metric)} above 0 and below 1, such as 0.9"
        raise RequestError("target", target, expected)
    if constraints.labels is not None or constraints.seconds is not None:
        field = "labels" if constraints.labels is not None else "max-seconds"
        raise RequestError(field, getattr(constraints, field.removeprefix("max-")), "nothing beside --target")
    name, ok = of_dataset(results, directory, dataset)
    ok = asked_for(ok, constraints)
    fits = []
    for (strategy, backbone, weights), cells in ok.groupby(["strategy", "backbone", "weights"], sort=False):
        candidate = Measured(cells.drop_duplicates("seed", keep="last").set_index("seed"), None).candidate
        if not constraints.refusal(candidate):
            fits.append((strategy, backbone, weights))
    curves, reason = label_curves(ok, directory)
    if not curves:
        raise RequestError("target", target, "a run whose learning curves can be fitted", reason)
    found = [
        ((strategy, backbone, weights), curve.needed(target))
        for curve in curves
        for _, backbone, weights, strategy in [curve.key]
        if (strategy, backbone, weights) in fits
    ]
    if not found:
        raise RequestError(
            "constraints", described(constraints), "some configuration that keeps to them", "None does."
        )
    found.sort(key=lambda item: (item[1].value, item[1].high))
    fewest, most = min(curve.n[0] for curve in curves), max(curve.n[-1] for curve in curves)
    return LabelsNeeded(name, target, fewest, most, tuple(found), noun, metric)


def needed_text(found: LabelsNeeded) -> str:
    """The answer in a few lines."""
    keys = [key for key, _ in found.needed]
    several = several_backbones((backbone, weights) for _, backbone, weights in keys)

    def name(key: tuple[str, str, str]) -> str:
        strategy, backbone, weights = key
        return configuration_name(strategy, backbone, weights, several)

    far = f"more than {words.count(found.most * FARTHEST)}"

    def labels(n: float) -> str:
        return words.count(n) if math.isfinite(n) else far

    (key, best), *_ = found.needed
    target, many = words.measured(found.metric, found.target), found.noun.many
    if math.isfinite(best.value):
        first = (
            f"For {target} about {labels(best.value)} labelled {many} are needed (95% interval "
            f"{labels(best.low)} to {labels(best.high)}), with {name(key)}."
            if best.value > found.fewest
            else f"For {target}, {labels(found.fewest)} labelled {many} or fewer are needed, with {name(key)}: "
            "that is the fewest that were measured."
        )
        if best.value > found.most:
            first += f" That is beyond the {words.count(found.most)} that were measured: an extrapolation."
    else:
        first = (
            f"{target} is not in sight: {words.count(found.most * FARTHEST)} labelled {many}, {FARTHEST:g} times "
            "the most that were measured, would probably not suffice for anything tried."
        )
    lines = [first]
    for key, needed in found.needed:
        interval = f" ({labels(needed.low)} to {labels(needed.high)})" if math.isfinite(needed.low) else ""
        lines.append(f"  {name(key)}: {labels(needed.value)}{interval}")
    return "\n".join(lines)
