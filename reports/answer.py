"""The answer in words: what to use, how sure that is, and what would change it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from reports import words
from reports.statistics import (
    MINIMUM_SEEDS,
    MOST_IMAGES,
    MOST_SEEDS,
    Candidate,
    Comparison,
    Decision,
)
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

    n, right = words.count(decision.n), words.percent(leader.accuracy)
    interval = f" (95% interval {words.percent(leader.low)} to {words.percent(leader.high)})"
    interval = interval if math.isfinite(leader.low) else ""
    others, first = len(decision.comparisons), decision.comparisons[0] if decision.comparisons else None
    sentences = []
    if decision.claim == "floor":
        headline = f"With {n} labelled images, nothing beat always answering with the most frequent class."
        sentences.append(
            f"The best, {name(leader)}, classified {right} of the test images correctly{interval}."
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
        headline = f"{words.capital(name(leader))} classifies {right} of new images correctly."
        sentences.append(f"That is with {n} labelled images{interval}. There is nothing to compare it with.")
    elif decision.claim == "tied":
        headline = f"Use {name(chosen)}: as good as the best, and the cheapest of them."
        tied_with_leader = decision.with_verdict("tied")
        tied = [c for c in [leader, *tied_with_leader] if c != chosen]
        costs = words.listed([f"{name(c)} takes {words.duration(c.seconds)}" for c in tied[:3]])
        sentences.append(
            f"With {n} labelled images it classifies {words.percent(chosen.accuracy)} of new images correctly"
            + (
                f", against {words.percent(leader.accuracy)} of the best, {name(leader)}"
                if leader != chosen
                else ""
            )
            + f". {words.capital(some(tied_with_leader))} {'is' if len(tied_with_leader) == 1 else 'are'} tied "
            f"with {'it' if leader == chosen else name(leader)} (the difference is within {_region(decision)}, "
            f"which counts as none); {costs}."
        )
    elif decision.claim == "better":
        headline = f"Use {name(leader)}: it classifies {right} of new images correctly."
        assert first is not None
        sentences.append(
            f"With {n} labelled images{interval} it is better than "
            f"{'the one other' if others == 1 else f'each of the {others} others'} tried; the next, "
            f"{name(first.candidate)}, is {words.points(first.difference)} points behind "
            f"(95% interval {words.points(first.low)} to {words.points(first.high)})."
        )
    else:
        headline = f"Undecided: {name(leader)} leads with {right}, but its lead may be chance."
        doubtful = next(c for c in decision.comparisons if c.verdict in ("undecided", "unknown"))
        if math.isfinite(doubtful.low):
            low, high = words.points(doubtful.low, True), words.points(doubtful.high, True)
            doubt = f"95% interval {low} to {high}"
        else:
            doubt = f"on {words.plural(doubtful.seeds, 'common seed')}"
        sentences.append(
            f"With {n} labelled images{interval}, its lead over {name(doubtful.candidate)} is "
            f"{words.points(doubtful.difference, True)} points ({doubt}). "
            f"{_what_would_settle(doubtful)}"
        )
    beaten = decision.with_verdict("better")
    if decision.claim in ("undecided", "tied") and beaten:
        sentences.append(f"{words.capital(name(leader))} is better than {some(beaten)}.")
    if decision.claim in ("undecided", "provisional") and chosen != leader:
        sentences.append(
            f"If you must choose now: {name(chosen)}, {words.percent(chosen.accuracy)}, the cheapest within "
            f"{_region(decision)} of the leader ({words.duration(chosen.seconds)} instead of "
            f"{words.duration(leader.seconds)})."
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
    if math.isfinite(decision.floor):
        against.append(f"always answering with the most frequent class {words.percent(decision.floor)}")
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
    lead, verdict = "–", "nothing to compare with"
    if decision.comparisons:
        first = decision.comparisons[0]
        lead = f"{words.points(first.difference, True)} points over {who(first.candidate, several)}"
        verdict = {
            "provisional": f"provisional: fewer than {MINIMUM_SEEDS} seeds",
            "better": "better than all others",
            "floor": "no better than the most frequent class",
            "tied": f"tied; take {who(decision.recommended, several)}, the cheapest",
        }.get(decision.claim, "undecided")
    return [
        words.count(decision.n),
        who(leader, several),
        words.percent(leader.accuracy) + interval,
        lead,
        _sure(leader.best) if math.isfinite(leader.best) and decision.comparisons else "–",
        verdict,
    ]
