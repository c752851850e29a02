"""What several questions say in the same words: who a candidate is, what has no result, which weights are best."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from bench.modalities.registry import modality, size_of
from bench.records import FRACTIONS, Record
from bench.system.names import of_others
from reports import words
from reports.statistics.decisions import Decision
from reports.statistics.pairs import Candidate
from reports.tables import backbone_title, configuration_name, several_backbones

SURE = {
    "better": "beyond noise",
    "tied": "which counts as tied",
    "undecided": "not told apart",
    "unknown": "too few seeds to tell",
}
"""How sure a verdict on the leader against another makes its lead."""


def which_weights(decision: Decision) -> str:
    """Which weights are best to begin with on the leader's backbone; empty where only one set was run on it."""
    found = decision.by_weights(decision.leader.backbone)
    if len([weights for weights in found if weights]) < 2:
        return ""
    leader, tied, others, settled = "", [], [], True
    for weights, (candidate, comparison) in found.items():
        what = f"{words.weights_name(weights)} ({words.strategy_name(candidate.strategy)}, "
        what += f"{words.percent(candidate.value)})"
        if comparison is None:
            leader = what
            continue
        doubt = SURE[comparison.verdict]
        if math.isfinite(comparison.low):
            low, high = words.points(comparison.low, True), words.points(comparison.high, True)
            doubt = f"{low} to {high}, {doubt}"
        if comparison.verdict == "tied":
            tied.append(f"{what} ({low} to {high} points)")
            continue
        others.append(f"{what} by {words.points(comparison.difference)} points ({doubt})")
        settled = settled and comparison.verdict == "better"
    verdict = "Best to begin with are" if settled else "What is best to begin with is undecided:"
    verdict = "Tied to begin with are" if tied else verdict
    ahead = f", ahead of {'; of '.join(others)}" if others else ""
    return f"{verdict} {words.listed([leader, *tied])}{ahead}."


STATUSES = {
    "missing": "was not run",
    "budget": "did not fit the budget",
    "oom": "ran out of memory",
    "timeout": "ran out of time",
    "failed": "failed",
    "killed": "was killed",
    "crashed": "crashed",
}
"""What became of cells without a result, in a sentence."""


def absence(decision: Decision, most: int = 3) -> str:
    """What has no result here, and why: ``full fine-tuning ran out of memory``."""
    several = has_several([decision]) or len({a.backbone for a in decision.absent if a.backbone}) > 1
    found: dict[str, list[str]] = {}
    for a in decision.absent:
        name = configuration_name(a.strategy, a.backbone, a.weights, several and bool(a.backbone))
        name = name if a.strategy else f"everything on {words.clean(a.backbone, 60)}"
        found.setdefault(STATUSES.get(a.status, a.status), []).append(name)
    parts = []
    for what, names in found.items():
        more = len(names) - most
        what = what if len(names) == 1 else re.sub("^was ", "were ", what)
        parts.append(f"{words.listed([*names[:most], f'{more} more'] if more > 0 else names)} {what}")
    return words.listed(parts)


def small_maps(records: Sequence[Record]) -> list[str]:
    """Sentences on pretrained backbones whose last feature map was too small, by the size of their inputs."""
    found: dict[tuple[str, int], set[str]] = {}
    for record in records:
        cell = record.cell
        if of_others(cell["weights"]) and min(record.feature_map, default=2) < 2:
            place = cell["modality"], size_of(cell["examples"], cell["modality"])
            found.setdefault(place, set()).add(backbone_title(cell["backbone"], cell["weights"]))
    places = found.items()
    return [text for (kind, size), names in places for text in modality(kind).small_maps(sorted(names), size)]


def interval_of(candidate: Candidate) -> str:
    """`` (95% interval 79.1% to 83.0%)``, or nothing."""
    if not math.isfinite(candidate.low):
        return ""
    return f" (95% interval {words.percent(candidate.low)} to {words.percent(candidate.high)})"


def has_several(decisions: Sequence[Decision]) -> bool:
    """Whether more than one backbone takes part, so that it has to be named."""
    candidates = [
        c for d in decisions for c in (d.leader, *(comparison.candidate for comparison in d.comparisons))
    ]
    return several_backbones((c.backbone, c.weights) for c in candidates)


def who(candidate: Candidate, several: bool = True) -> str:
    return configuration_name(candidate.strategy, candidate.backbone, candidate.weights, several)


def row_name(row: Any, several: bool, limit: int = 0) -> str:
    """The configuration of a row of a frame, in words; ``several``: with its backbone."""
    if not several:
        return words.strategy_name(row.strategy, limit)
    return words.clean(configuration_name(row.strategy, row.backbone, row.weights), limit)


def cell_label(record: Record) -> str:
    """A cell in words."""
    cell = record.cell
    backbone = backbone_title(cell["backbone"], cell["weights"])
    parts = [words.strategy_name(cell["strategy"]), backbone, words.clean(cell["dataset_name"], 40)]
    is_share = cell["protocol"] == FRACTIONS
    labels = words.fraction_name(cell["fraction"]) if is_share else cell["protocol"]
    return f"{' · '.join(filter(None, parts))} · {labels} · seed {cell['seed']}"
