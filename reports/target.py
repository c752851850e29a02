"""How many labels a target accuracy, or another metric that decides, needs, by the learning curves of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import RequestError
from bench.modalities.nouns import Noun
from bench.records import ACCURACY
from reports import words
from reports.recommend import Constraints, asked_for, described, finite, of_dataset
from reports.statistics.credits import metric_of
from reports.statistics.label_curves import FARTHEST, LabelCurve, Prediction, label_curves
from reports.statistics.measured_curves import MeasuredCurve, measured_curves
from reports.statistics.pairs import Measured
from reports.tables import configuration_name, several_backbones
from reports.words import IMAGES

Key = tuple[str, str, str]
"""Strategy, backbone and weights."""


@dataclass(frozen=True)
class LabelsNeeded:
    """How many labelled examples reach a target, for one dataset.

    Attributes:
        dataset: its name.
        target: of the metric that decides.
        fewest, most: the fewest and the most labels that were measured.
        needed: (strategy, backbone, weights) with its labels, fewest first; infinite where the farthest do not
            suffice: ``FARTHEST`` times the most, or the most of those ``between``. Of the configurations whose
            network keeps to the constraints.
        between: those of them that are read between the measured label counts, with the highest value there.
        why: no curve could be fitted to these; a sentence.
    """

    dataset: str
    target: float
    fewest: float
    most: float
    needed: tuple[tuple[Key, Prediction], ...]
    noun: Noun = IMAGES
    metric: str = ACCURACY
    between: Mapping[Key, float] = field(default_factory=dict)
    why: str = ""

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
                    "fitted": (strategy, backbone, weights) not in self.between,
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
    """Labels for a target, by the learning curves of ``label_curves``; where none can be fitted, by straight lines
    between the label counts that were measured, and nothing beyond these.

    Args:
        results: the frame of ``tables.results_frame``.
        directory: the run directory, for predictions.
        target: of the metric that decides, above 0 and below 1.
        constraints: of latency and parameters; the number of labels is what is asked for.
        dataset: which, if the run has several.
        noun: what examples are called.

    Raises:
        RequestError: no such dataset, no such target, constraints on labels or time beside a target, or nothing
            that keeps to the constraints learned from labels.
    """
    metric = metric_of(results)
    if not 0 < target < 1:
        article = "an" if metric in (ACCURACY, "auroc") else "a"
        expected = f"{article} {words.metric_name(metric)} above 0 and below 1, such as 0.9"
        raise RequestError("target", target, expected)
    if constraints.labels is not None or constraints.seconds is not None:
        field = "labels" if constraints.labels is not None else "max_seconds"
        raise RequestError(
            field, getattr(constraints, field.removeprefix("max_")), "left out beside --target"
        )
    name, ok = of_dataset(results, directory, dataset)
    ok = asked_for(ok, constraints)
    fits = []
    for (strategy, backbone, weights), cells in ok.groupby(["strategy", "backbone", "weights"], sort=False):
        candidate = Measured(cells.drop_duplicates("seed", keep="last").set_index("seed"), None).candidate
        if not constraints.refusal(candidate):
            fits.append((strategy, backbone, weights))
    if not fits:
        raise RequestError(
            "constraints", described(constraints), "met by some configuration", "None keeps to them."
        )
    fitted, why = label_curves(ok, directory)
    curves = {_place(curve): curve for curve in fitted}
    measured = {_place(curve): curve for curve in measured_curves(ok, directory)}
    found = [(key, (curves.get(key) or measured[key]).needed(target)) for key in fits if key in measured]
    if not found:
        raise RequestError("target", target, "asked of a run in which something learned from labels")
    found.sort(key=lambda item: (item[1].value, item[1].high))
    between = {key: max(measured[key].values) for key, _ in found if key not in curves}
    counts = [n for curve in measured.values() for n in curve.n]
    return LabelsNeeded(name, target, min(counts), max(counts), tuple(found), noun, metric, between, why)


def _place(curve: LabelCurve | MeasuredCurve) -> Key:
    _, backbone, weights, strategy = curve.key
    return strategy, backbone, weights


def needed_text(found: LabelsNeeded) -> str:
    """The answer in a few lines."""
    keys = [key for key, _ in found.needed]
    several = several_backbones((backbone, weights) for _, backbone, weights in keys)

    def name(key: Key) -> str:
        strategy, backbone, weights = key
        return configuration_name(strategy, backbone, weights, several)

    def labels(key: Key, n: float) -> str:
        farthest = found.most * (1 if key in found.between else FARTHEST)
        return words.count(n) if math.isfinite(n) else f"more than {words.count(farthest)}"

    lines = [_first(found, name, labels)]
    for key, needed in found.needed:
        known = math.isfinite(needed.low)
        interval = f" ({labels(key, needed.low)} to {labels(key, needed.high)})" if known else ""
        lines.append(f"  {name(key)}: {labels(key, needed.value)}{interval}")
    if found.between:
        lines.append(
            f"Read between the measured label counts; beyond {words.count(found.most)} all is a guess. "
            + (found.why or "Some have too few label counts or seeds for a learning curve.")
        )
    return "\n".join(lines)


def _first(found: LabelsNeeded, name: Callable[[Key], str], labels: Callable[[Key, float], str]) -> str:
    """What the target needs, and with what."""
    (key, best), *_ = found.needed
    target, many = words.measured(found.metric, found.target), found.noun.many
    if math.isfinite(best.value):
        if best.value <= found.fewest:
            return (
                f"For {target}, {labels(key, found.fewest)} labelled {many} or fewer are needed, with {name(key)}: "
                "that is the fewest that were measured."
            )
        unknown = math.isnan(best.low)
        interval = "" if unknown else f" (95% CI {labels(key, best.low)} to {labels(key, best.high)})"
        needed = f"about {labels(key, best.value)} labelled {many} are needed{interval}"
        first = f"For {target} {needed}, with {name(key)}."
        if best.value > found.most:
            first += f" That is beyond the {words.count(found.most)} that were measured: an extrapolation."
        return first
    if len(found.between) < len(found.needed):
        return (
            f"{target} is not in sight: {words.count(found.most * FARTHEST)} labelled {many}, {FARTHEST:g} times "
            "the most that were measured, would probably not suffice for anything tried."
        )
    highest = max(found.between, key=lambda key: found.between[key])
    return (
        f"{target} was not reached with up to {words.count(found.most)} labelled {many}. The most was "
        f"{words.measured(found.metric, found.between[highest])}, with {name(highest)}."
    )
