"""The answer in words: what to use, how sure that is, and what would change it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from reports import words
from reports.statistics.decisions import Decision
from reports.statistics.intervals import MINIMUM_SEEDS, MOST_IMAGES, MOST_SEEDS
from reports.statistics.pairs import Candidate, Comparison
from reports.tables import configuration_name, several_backbones


@dataclass(frozen=True)
class Answer:
    """What may be said about one dataset, in words."""

    dataset: str
    claim: str
    headline: str
    sentences: list[str]
    by_labels: list[list[str]] = field(default_factory=list)


def answers(
    results: pd.DataFrame, decisions: Sequence[Decision], price_per_hour: float = 0.0
) -> list[Answer]:
    """One answer a dataset, at its largest label count that has a result; costs in money if there is a price."""
    found = []
    for dataset in dict.fromkeys(results["dataset"]):
        mine = [decision for decision in decisions if decision.dataset == dataset]
        if mine:
            answer = _answer(mine[-1], price_per_hour)
            if len(mine) > 1:
                several = has_several(mine)
                answer.by_labels.extend(_at_labels(decision, several) for decision in mine)
            found.append(answer)
            continue
        measured = ((results["dataset"] == dataset) & (results["status"] == "ok")).any()
        reason = (
            "Only the majority class was measured: that is the floor, not an answer."
            if measured
            else "No cell of this dataset has a result; below is what became of them."
        )
        found.append(Answer(words.clean(dataset, 80), "none", "There is no answer yet.", [reason]))
    return found


def _answer(decision: Decision, price_per_hour: float) -> Answer:
    leader, chosen = decision.leader, decision.recommended
    several = has_several([decision])

    def name(candidate: Candidate) -> str:
        return who(candidate, several)

    def some(candidates: list[Candidate]) -> str:
        names = [name(c) for c in candidates[:3]]
        more = len(candidates) - len(names)
        return words.listed([*names, f"{more} more"] if more else names)

    n, right, interval = words.count(decision.n), words.percent(leader.accuracy), _interval(leader)
    others, first = len(decision.comparisons), decision.comparisons[0] if decision.comparisons else None
    sentences = []
    if decision.claim == "floor":
        assert decision.floor is not None
        beat = "is surely better than" if decision.floor.difference > 0 else "beat"
        headline = f"With {n} labelled images, nothing {beat} always answering with the most frequent class."
        doubt = ""
        if math.isfinite(decision.floor.low) and decision.floor.difference > 0:
            doubt = f", a lead that may be chance ({words.difference(decision.floor)})"
        sentences.append(
            f"The best, {name(leader)}, classified {right} of the test images correctly{interval}, against "
            f"{words.percent(decision.floor.candidate.accuracy)} of that class{doubt}."
        )
    elif decision.claim == "provisional":
        headline = f"Provisionally: {name(leader)}, with {right} of new images classified correctly."
        sentences.append(
            f"Provisionally, because {words.plural(leader.seeds, 'seed')} cannot tell a difference from chance: "
            f"nothing is claimed below {MINIMUM_SEEDS}. This is with {n} labelled images."
        )
        if first is not None:
            lead = words.points(first.difference)
            sentences.append(f"Its observed lead over the next, {name(first.candidate)}, is {lead} points.")
    elif decision.claim == "alone":
        headline = f"{words.capital(name(leader))} classifies {right} of new images correctly{interval}."
        sentences.append(f"That is with {n} labelled images. There is nothing to compare it with.")
    elif decision.claim == "tied":
        headline = f"Use {name(chosen)}: as good as the best, and the cheapest of them to train."
        tied_with_leader = decision.with_verdict("tied")
        best = f", against {right} of the best, {name(leader)}" if leader != chosen else ""
        sentences.append(
            f"With {n} labelled images it classifies {words.percent(chosen.accuracy)} of new images correctly"
            f"{_interval(chosen)}{best}. {words.capital(some(tied_with_leader))} "
            f"{'is' if len(tied_with_leader) == 1 else 'are'} tied "
            f"with {'it' if leader == chosen else name(leader)} (the difference is within {_region(decision)}, "
            "which counts as none)."
        )
        tied = [c for c in [leader, *tied_with_leader] if c != chosen]
        sentences += [f"{words.capital(name(c))} {_costs_beside(c, chosen)}." for c in tied[:3]]
    elif decision.claim in ("better", "incomplete"):
        headline = f"Use {name(leader)}: it classifies {right} of new images correctly{interval}."
        if decision.claim == "incomplete":
            headline = f"Not all has a result. Of what has, {name(leader)} is best with {right}{interval}."
            sentences.append(f"{words.capital(absence(decision))}: the answer may become another with that.")
        if first is None:
            sentences.append(f"That is with {n} labelled images.")
        else:
            others_tried = "the one other" if others == 1 else f"each of the {others} others"
            verb = "better than" if not decision.with_verdict("tied") else "better than, or tied with,"
            sentences.append(
                f"With {n} labelled images it is {verb} {others_tried}"
                f"{' tried' if decision.claim == 'better' else ' that have one'}; the next, "
                f"{name(first.candidate)}, is {words.points(first.difference)} points behind "
                f"(95% interval {words.points(first.low)} to {words.points(first.high)})."
            )
    else:
        headline = f"Undecided: {name(leader)} leads with {right}{interval}, but its lead may be chance."
        doubtful = next(c for v in ("undecided", "unknown") for c in decision.comparisons if c.verdict == v)
        if math.isfinite(doubtful.low):
            low, high = words.points(doubtful.low, True), words.points(doubtful.high, True)
            doubt = f"95% interval {low} to {high}"
        else:
            doubt = f"on {words.plural(doubtful.seeds, 'common seed')}"
        sentences.append(
            f"With {n} labelled images, its lead over {name(doubtful.candidate)} is "
            f"{words.points(doubtful.difference, True)} points ({doubt}). "
            f"{_what_would_settle(doubtful)}"
        )
    if decision.claim not in ("floor", "provisional") and decision.optimism >= TOLD_OPTIMISM:
        sentences.append(
            f"As the highest of {1 + others}, {right} is probably {words.points(decision.optimism)} points too "
            "high; its interval allows for that."
        )
    lost = [c for c in decision.with_verdict("unknown") if c.seeds < leader.seeds]
    if lost and leader.seeds >= MINIMUM_SEEDS:
        sentences.append(
            f"Of {some(lost)} nothing can be said: {'it has' if len(lost) == 1 else 'they have'} a result on too "
            f"few of the {leader.seeds} seeds."
        )
    if decision.absent and decision.claim != "incomplete":
        sentences.append(f"{words.capital(absence(decision))}.")
    beaten = decision.with_verdict("better")
    if decision.claim in ("undecided", "tied") and beaten:
        sentences.append(f"{words.capital(name(leader))} is better than {some(beaten)}.")
    if decision.claim in ("undecided", "provisional", "incomplete"):
        sentences.append(
            f"If you must choose now: {name(chosen)}, {words.percent(chosen.accuracy)}, the cheapest to train "
            f"within {_region(decision)} of the leader ({words.duration(chosen.seconds)} instead of "
            f"{words.duration(leader.seconds)})."
            if chosen != leader
            else f"If you must choose now: {name(leader)}; nothing cheaper to train is within {_region(decision)} "
            "of it."
        )
    if decision.claim == "undecided" and math.isfinite(leader.best):
        sentences.append(f"The probability that {name(leader)} is the best of all is {_sure(leader.best)}.")
    elif math.isfinite(leader.best) and decision.comparisons and decision.claim in ("better", "tied"):
        sentences.append(
            f"The probability that {name(leader)} has the highest accuracy of all is {_sure(leader.best)}."
        )
    price = (
        f"; {words.money(chosen.seconds, price_per_hour)} at {price_per_hour:g} an hour"
        if price_per_hour
        else ""
    )
    use = [
        text
        for value, text in (
            (chosen.latency_ms, f"{chosen.latency_ms:.3g} ms an image"),
            (chosen.params, f"{words.magnitude(chosen.params)} parameters"),
        )
        if math.isfinite(value) and value > 0
    ]
    sentences.append(
        f"Cost: {words.duration(chosen.seconds)} to tune and train {name(chosen)} once (one seed, this machine"
        f"{price}); in use {words.listed(use)}."
        if use
        else f"Cost: {words.duration(chosen.seconds)} to tune and train {name(chosen)} once (one seed, this "
        f"machine{price})."
    )
    scratch = [c.candidate for c in decision.comparisons if c.candidate.strategy == "scratch"]
    # The one on the same backbone, where there is one.
    scratch.sort(key=lambda candidate: candidate.backbone != chosen.backbone)
    against = [f"{name(c)} reached {words.percent(c.accuracy)}" for c in scratch[:1]]
    if decision.floor is not None and decision.claim != "floor":
        floor = words.percent(decision.floor.candidate.accuracy)
        against.append(f"always answering with the most frequent class {floor}")
    if against:
        sentences.append(f"For comparison, {words.listed(against)}.")
    if weights := which_weights(decision):
        sentences.append(weights)
    return Answer(words.clean(decision.dataset, 80), decision.claim, headline, sentences)


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
        what += f"{words.percent(candidate.accuracy)})"
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


TOLD_OPTIMISM = 0.0015
"""Less is not worth a sentence."""

STATUSES = {
    "missing": "was not run",
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


def _interval(candidate: Candidate) -> str:
    """`` (95% interval 79.1% to 83.0%)``, or nothing."""
    if not math.isfinite(candidate.low):
        return ""
    return f" (95% interval {words.percent(candidate.low)} to {words.percent(candidate.high)})"


def _costs_beside(candidate: Candidate, chosen: Candidate) -> str:
    """What another costs where that differs from the chosen one."""
    parts = [f"takes {words.duration(candidate.seconds)} to tune and train once"]
    if abs(candidate.latency_ms - chosen.latency_ms) > 0.1 * chosen.latency_ms:
        parts.append(f"{candidate.latency_ms:.3g} ms an image")
    if candidate.params != chosen.params and math.isfinite(candidate.params):
        parts.append(f"has {words.magnitude(candidate.params)} parameters")
    return words.listed(parts)


def _region(decision: Decision) -> str:
    text = words.points(decision.region)
    return f"{text} {'point' if text == '1.0' else 'points'}"


def _sure(probability: float) -> str:
    return (
        "over 99.9%" if probability > 0.9995 else words.percent(probability, 1 if probability > 0.99 else 0)
    )


def _what_would_settle(doubtful: Comparison) -> str:
    if doubtful.verdict == "unknown":
        return "More seeds that both have would tell."
    ways = []
    if doubtful.more_seeds is not None:
        ways.append(words.plural(doubtful.more_seeds, "seed"))
    if doubtful.more_images is not None:
        ways.append(f"a test set of {words.count(doubtful.more_images)} images")
    if ways:
        return f"If the difference is what it looks like, {' or '.join(ways)} would settle it."
    return (
        f"If the difference is what it looks like, neither {MOST_SEEDS} seeds nor a test set of "
        f"{words.count(MOST_IMAGES)} images alone would settle it."
    )


def has_several(decisions: Sequence[Decision]) -> bool:
    """Whether more than one backbone takes part, so that it has to be named."""
    candidates = [
        c for d in decisions for c in (d.leader, *(comparison.candidate for comparison in d.comparisons))
    ]
    return several_backbones((c.backbone, c.weights) for c in candidates)


def who(candidate: Candidate, several: bool = True) -> str:
    return configuration_name(candidate.strategy, candidate.backbone, candidate.weights, several)


def _at_labels(decision: Decision, several: bool) -> list[str]:
    """A row of the table of answers: labels, who leads, accuracy, lead over the next, probability that it is best,
    what may be said."""
    leader = decision.leader
    interval = (
        f" ({words.percent(leader.low)} to {words.percent(leader.high)})" if leader.low == leader.low else ""
    )
    chosen = who(decision.recommended, several)
    lead = "–"
    if decision.comparisons:
        first = decision.comparisons[0]
        lead = f"{words.points(first.difference, True)} points over {who(first.candidate, several)}"
    verdict = {
        "provisional": f"provisional, fewer than {MINIMUM_SEEDS} seeds: {chosen}",
        "better": "better than all others",
        "floor": "not better than the most frequent class",
        "tied": f"tied; take {chosen}{_interval(decision.recommended)}, the cheapest to train",
        "incomplete": f"{absence(decision)}; for now {chosen}",
        "alone": "nothing to compare with",
        "undecided": f"undecided; if you must, {chosen}",
    }[decision.claim]
    return [
        words.count(decision.n),
        who(leader, several),
        words.percent(leader.accuracy) + interval,
        lead,
        _sure(leader.best) if math.isfinite(leader.best) and decision.comparisons else "–",
        verdict,
    ]
