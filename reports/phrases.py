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
from reports.statistics.pairs import Candidate, Comparison
from reports.tables import backbone_title, configuration_name, several_backbones

FINDINGS = {
    "better": "a clear difference",
    "tied": "a tie",
    "undecided": "too close to call",
    "unknown": "too few seeds to tell",
}
"""What a verdict on the leader against another says of its lead."""


def which_weights(decision: Decision) -> str:
    """Which weights are best on the leader's backbone; empty where only one set was run on it."""
    found = decision.by_weights(decision.leader.backbone)
    if len([weights for weights in found if weights]) < 2:
        return ""
    leader, tied, behind, settled = "", [], [], True
    for weights, (candidate, comparison) in found.items():
        name = words.weights_name(weights)
        what = f"{name} ({words.strategy_name(candidate.strategy)}, {words.percent(candidate.value)})"
        if comparison is None:
            leader = what
        elif comparison.verdict == "tied":
            tied.append(f"{what}{_between(comparison)}")
        else:
            lead = words.in_points(comparison.difference)
            found_so = f"{lead}{_between(comparison)}: {FINDINGS[comparison.verdict]}"
            behind.append(f"Ahead of {what} by {found_so}.")
            settled = settled and comparison.verdict == "better"
    best = f"The best weights are {leader}." if settled else f"{words.capital(leader)} lead so far."
    best = f"The best weights tie: {words.listed([leader, *tied])}." if tied else best
    return " ".join([best, *behind])


def _between(comparison: Comparison) -> str:
    """The interval of a difference, where there is one."""
    if not math.isfinite(comparison.low):
        return ""
    return f" ({words.points(comparison.low, True)} to {words.points(comparison.high, True)})"


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
