"""What to take under given constraints, at a number of labels that may lie between those measured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import RequestError, did_you_mean
from bench.modalities.nouns import Noun
from reports import words
from reports.claims import floor_said, gives_up
from reports.phrases import absence, which_weights, who
from reports.statistics.answers import Answers
from reports.statistics.credits import metric_of
from reports.statistics.decisions import EQUIVALENCE, Decision, decide_among, in_parts
from reports.statistics.intervals import MINIMUM_SEEDS
from reports.statistics.looks import looks_of
from reports.statistics.missing import Missing
from reports.statistics.pairs import Candidate, Comparison, Measured
from reports.words import IMAGES

BEYOND = 1.1
"""How far outside of the measured label counts, as a factor, the nearest of them still answers."""


VERDICTS = {
    "tied": "within a point of the best",
    "better": "ruled out",
    "undecided": "may be the best",
    "unknown": "too few seeds to tell",
}
"""What may be said of another than the leader, see ``Family.comparison``."""


@dataclass(frozen=True)
class Constraints:
    """What a recommendation has to keep to; None: no limit.

    Attributes:
        labels: labelled examples, training and validation together; default: the most that were measured.
        seconds: of tuning and training one seed.
        latency_ms: of one example.
        params: of the whole network.
        strategies: only among these; empty: any.
    """

    labels: float | None = None
    seconds: float | None = None
    latency_ms: float | None = None
    params: float | None = None
    strategies: tuple[str, ...] = ()

    def refusal(self, candidate: Candidate, noun: Noun = IMAGES) -> str:
        """Why a candidate does not keep to them, or an empty string."""
        for name, limit, unit in (
            ("seconds", self.seconds, "s to tune and train"),
            ("latency_ms", self.latency_ms, f"ms {noun.any}"),
            ("params", self.params, "parameters"),
        ):
            value = getattr(candidate, name)
            if limit is not None and not value <= limit:
                known = f"{value:,.3g}" if name == "latency_ms" else f"{value:,.0f}"
                return (
                    f"{known} {unit}, more than {limit:,g}" if math.isfinite(value) else f"{unit}: not known"
                )
        return ""


def finite(value: Any) -> Any:
    """For JSON, which knows no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Recommendation:
    """The answer for one dataset.

    Attributes:
        dataset: its name.
        labels: for how many labelled examples this holds.
        measured: the label counts that it rests on: one, or the two on either side.
        decision: what may be said of those that keep to the constraints.
        excluded: (candidate, reason) of the others.
        limited: whether constraints left something out.
        noun: what examples are called.
    """

    dataset: str
    labels: float
    measured: tuple[float, ...]
    decision: Decision
    excluded: tuple[tuple[Candidate, str], ...]
    limited: bool = False
    noun: Noun = IMAGES

    def to_json(self) -> dict[str, Any]:
        decision = self.decision

        def candidate(c: Candidate) -> dict[str, Any]:
            return {k: finite(v) for k, v in c.to_json(decision.metric).items()}

        def comparison(c: Any) -> dict[str, Any]:
            content = {k: v for k, v in asdict(c).items() if k != "candidate"}
            return {"candidate": candidate(c.candidate), **{k: finite(v) for k, v in content.items()}}

        return {
            "dataset": self.dataset,
            "labels": self.labels,
            "measured": list(self.measured),
            "metric": decision.metric,
            "claim": decision.claim,
            "recommended": candidate(decision.recommended),
            "decided": decision.is_decided,
            "leader": candidate(decision.leader),
            "comparisons": [comparison(c) for c in decision.comparisons],
            "excluded": [{"candidate": candidate(c), "reason": reason} for c, reason in self.excluded],
            "absent": [asdict(a) for a in decision.absent],
        }


def recommend(
    results: pd.DataFrame,
    directory: Path | None,
    constraints: Constraints,
    dataset: str | None = None,
    region: float = EQUIVALENCE,
    noun: Noun = IMAGES,
) -> Recommendation:
    """Decides among the configurations that keep to the constraints.

    Between two measured label counts, a configuration's answers are those of the two, weighed linearly in the
    logarithm of the count, seed by seed and example by example; costs are weighed linearly in the count.

    Args:
        results: the frame of ``tables.results_frame``.
        directory: the run directory, for predictions.
        constraints: what to keep to.
        dataset: which, if the run has several.
        region: differences within plus or minus this are equivalent.
        noun: what examples are called.

    Raises:
        RequestError: no such dataset, a label count far outside of what was measured, or nothing keeps to the
            constraints.
    """
    name, everything = of_dataset(results, directory, dataset)
    ok = asked_for(everything, constraints)
    place = _place(ok, constraints.labels)
    runs, excluded = _kept(ok, place, directory, constraints, noun)
    if not runs:
        reasons = "; ".join(f"{who(c)}: {reason}" for c, reason in excluded[:5])
        raise RequestError("constraints", described(constraints), "met by some configuration", reasons)
    absent = tuple(
        a
        for a in Missing(results, directory).at(name, *place.fractions)
        if not constraints.strategies or a.strategy in constraints.strategies
    )
    majority = _majority(results, name, place, directory)
    looks = looks_of(directory)
    decision = decide_among(runs, region, name, math.nan, majority, place.labels, looks)
    decision = in_parts(replace(decision, absent=absent), runs, looks)
    limited = bool(excluded) or len(ok) < len(everything)
    measured = tuple(sorted({place.low, place.high}))
    return Recommendation(name, place.labels, measured, decision, tuple(excluded), limited, noun)


@dataclass(frozen=True)
class _Place:
    """Where a label count lies between those that were measured.

    Attributes:
        labels: the label count.
        low, high: the nearest that were measured, on either side.
        fractions: their fractions.
        share: weight of ``high`` in values of the metric, 0 to 1.
        of_costs: weight of ``high`` in costs.
    """

    labels: float
    low: float
    high: float
    fractions: tuple[float, float]
    share: float
    of_costs: float


def _place(ok: pd.DataFrame, wanted: float | None) -> _Place:
    """The place of the label count that is wanted; None: the most that were measured."""
    # With groups of examples n differs from seed to seed: the fraction says what belongs together.
    sizes = ok.groupby("fraction")["n"].median().sort_values()
    counts = sizes.to_numpy()
    labels = float(counts[-1]) if wanted is None else wanted
    if not counts[0] / BEYOND <= labels <= counts[-1] * BEYOND:
        raise RequestError(
            "labels",
            labels,
            f"a number from {counts[0]:,.0f} to {counts[-1]:,.0f}, which were measured",
            "Beyond them this would be a guess. Run larger or smaller fractions.",
        )
    inside = min(max(labels, counts[0]), counts[-1])
    low, high = counts[counts <= inside][-1], counts[counts >= inside][0]
    first, second = (float(sizes.index[counts == n][-1]) for n in (low, high))
    share = 0.0 if low == high else _share(inside, low, high)
    of_costs = (inside - low) / (high - low) if high > low else 0.0
    return _Place(labels, float(low), float(high), (first, second), share, of_costs)


def _kept(
    ok: pd.DataFrame, place: _Place, directory: Path | None, constraints: Constraints, noun: Noun
) -> tuple[list[Measured], list[tuple[Candidate, str]]]:
    """The configurations that keep to the constraints, and (candidate, reason) of the others."""
    runs: list[Measured] = []
    excluded = []
    for _, cells in ok.groupby(["strategy", "backbone", "weights"], sort=False):
        low, high = (cells[cells["fraction"] == fraction].set_index("seed") for fraction in place.fractions)
        if not len(low.index.intersection(high.index)):
            largest = cells[cells["fraction"] == cells["fraction"].max()]
            some = Measured(largest.set_index("seed"), None)
            excluded.append((some.candidate, "not measured at these label counts"))
            continue
        run = Between(low, high, directory, place.share, place.of_costs)
        if reason := constraints.refusal(run.candidate, noun):
            excluded.append((run.candidate, reason))
        else:
            runs.append(run)
    return runs, excluded


def _majority(results: pd.DataFrame, name: str, place: _Place, directory: Path | None) -> Measured | None:
    """The most frequent class, if it was measured."""
    floors = results[
        (results["dataset"] == name) & (results["strategy"] == "majority") & (results["status"] == "ok")
    ]
    # It is right as often whatever the number of labels: one end will do.
    floors = floors[floors["fraction"] == place.fractions[1]].set_index("seed")
    return Measured(floors, directory) if len(floors) else None


def of_dataset(
    results: pd.DataFrame, directory: Path | None, dataset: str | None
) -> tuple[str, pd.DataFrame]:
    """The dataset that is meant and its results that may be recommended."""
    ok = results[(results["status"] == "ok") & (results["strategy"] != "majority")]
    names = sorted(set(ok["dataset"]))
    if not names:
        raise RequestError("DIR", str(directory), "a run with a result to recommend", "No cell has one.")
    if dataset is None and len(names) > 1:
        raise RequestError("dataset", None, f"one of {', '.join(names)}", "This run has several.")
    if dataset is not None and dataset not in names:
        raise RequestError("dataset", dataset, f"one of {', '.join(names)}", did_you_mean(dataset, names))
    name = dataset or names[0]
    return name, ok[ok["dataset"] == name]


def asked_for(ok: pd.DataFrame, constraints: Constraints) -> pd.DataFrame:
    """The results of the strategies that were asked for."""
    there = sorted(set(ok["strategy"]))
    for strategy in constraints.strategies:
        if strategy not in there:
            expected = f"one with a result: {', '.join(there)}"
            raise RequestError("strategy", strategy, expected, did_you_mean(strategy, there))
    return ok[ok["strategy"].isin(constraints.strategies)] if constraints.strategies else ok


class Between(Measured):
    """A configuration between two label counts.

    Args:
        low, high: its cells at either, by seed.
        directory: the run directory.
        share: weight of ``high`` in values of the metric, 0 to 1.
        of_costs: weight of ``high`` in costs.
    """

    def __init__(
        self, low: pd.DataFrame, high: pd.DataFrame, directory: Path | None, share: float, of_costs: float
    ) -> None:
        self.ends = Measured(low, directory), Measured(high, directory)
        self.share = share
        seeds = low.index.intersection(high.index)
        cells = high.loc[seeds].copy()
        metric = metric_of(cells)
        cells[metric] = _weighed(low.loc[seeds, metric], high.loc[seeds, metric], share)
        cells["total_seconds"] = _weighed(
            low.loc[seeds, "total_seconds"], high.loc[seeds, "total_seconds"], of_costs
        )
        super().__init__(cells, directory)

    def answers(self, seeds: Iterable[int]) -> Answers | None:
        chosen = list(seeds)
        low, high = (end.answers(chosen) for end in self.ends)
        if low is None or high is None or not np.array_equal(low.ids, high.ids):
            return None
        return replace(low, credits=_weighed(low.credits, high.credits, self.share))


def _share(n: float, low: float, high: float) -> float:
    """Where a label count lies between two others, 0 to 1, in logarithms; from no labels on, of one more."""
    more = 0 if low > 0 else 1
    return math.log((n + more) / (low + more)) / math.log((high + more) / (low + more))


def _weighed(low: Any, high: Any, share: float) -> Any:
    return (1 - share) * low + share * high


def described(constraints: Constraints) -> str:
    """Constraints as the user wrote them."""
    limits = [f"{k}={v:g}" for k, v in asdict(constraints).items() if isinstance(v, (int, float))]
    return ", ".join([*limits, *constraints.strategies])


def _beside(comparison: Comparison) -> str:
    """How far another is behind the leader, on the seeds that both have, or ahead."""
    where = "behind" if comparison.difference >= 0 else "ahead of"
    return f"{words.in_points(abs(comparison.difference))} {where}"


def _on_floor(decision: Decision) -> str:
    return f"{floor_said(decision)}." if decision.claim == "floor" else ""


def text(recommendation: Recommendation) -> str:
    """The answer in a few lines."""
    decision = recommendation.decision
    chosen, leader = decision.recommended, decision.leader
    n, noun = words.count(recommendation.labels), recommendation.noun
    between = (
        f" (between the measured {words.count(recommendation.measured[0])} and "
        f"{words.count(recommendation.measured[1])})"
        if len(recommendation.measured) > 1
        else ""
    )
    among = "that were asked for and keep to the constraints" if recommendation.limited else "tried"
    first = {
        "floor": _on_floor(decision),
        "alone": f"Use {who(chosen)}: nothing else "
        + ("keeps to the constraints." if recommendation.limited else "was tried."),
        "provisional": f"Provisionally {who(chosen)}: fewer than three seeds make no comparison.",
    }.get(decision.claim) or f"Use {who(chosen)}: {gives_up(decision, among)} (95% confidence)."
    if decision.claim == "incomplete":
        first = f"So far, u{first[1:]}"
        first += f" {words.capital(absence(decision) or f'others have fewer than {MINIMUM_SEEDS} seeds')}."
    interval = (
        f" (95% CI {words.percent(chosen.low)} to {words.percent(chosen.high)})"
        if math.isfinite(chosen.low)
        else ""
    )
    lines = [
        first,
        f"With {n} labelled {noun.many}{between} {who(chosen)} "
        f"{words.scored(decision.metric, chosen.value, f'new {noun.many}')}{interval}, takes "
        f"{words.duration(chosen.seconds)} to tune and train, "
        + (f"{chosen.latency_ms:.3g} ms {noun.any} and " if math.isfinite(chosen.latency_ms) else "")
        + f"{words.magnitude(chosen.params)} parameters.",
    ]
    for comparison in decision.comparisons[:8]:
        other = comparison.candidate
        doubt = (
            f" ({words.points(comparison.low, True)} to {words.points(comparison.high, True)})"
            if math.isfinite(comparison.low)
            else ""
        )
        lines.append(
            f"  {who(other)}: {words.percent(other.value)}, {_beside(comparison)} {who(leader)}{doubt}, "
            f"{VERDICTS[comparison.verdict]}, {words.duration(other.seconds)}"
        )
    if decision.floor is not None:
        floor = words.percent(decision.floor.candidate.value)
        lines.append(f"  always answering with {words.FLOORS[decision.task]}: {floor}")
    if decision.absent and decision.claim != "incomplete":
        lines.append(f"{words.capital(absence(decision))}.")
    if weights := which_weights(decision):
        lines.append(weights)
    lines += [f"  left out: {who(candidate)}: {reason}" for candidate, reason in recommendation.excluded[:8]]
    return "\n".join(lines)


# --- labels for a target --------------------------------------------------------------------------------------
