"""What is said about a decision: a headline and a line by its claim, then the details."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.modalities.nouns import Noun
from bench.records import ACCURACY
from reports import words
from reports.forest import forest_of
from reports.phrases import absence, has_several, which_weights, who
from reports.sections import Answer
from reports.statistics.decisions import Decision
from reports.statistics.intervals import MINIMUM_SEEDS, MOST_EXAMPLES, MOST_SEEDS
from reports.statistics.pairs import Candidate, Comparison
from reports.tables import backbone_title


def claimed(decision: Decision, price_per_hour: float, noun: Noun) -> Answer:
    """The headline and the line by what is claimed, then the details."""
    about = _About(decision, price_per_hour, noun)
    return Answer(
        words.clean(decision.dataset, 80),
        decision.claim,
        headline=_headline(about),
        line=line_of(decision, [no_network(decision), _backbones(about), _lost(about)], _first(about)),
        sentences=[text for tell in _DETAILS if (text := tell(about))],
        about=_measured_on(about),
        forest=forest_of(decision, RECOMMENDED.get(_claim(decision), "")),
    )


@dataclass(frozen=True)
class _About:
    """A decision with the words for it that many sentences need."""

    decision: Decision
    price_per_hour: float
    noun: Noun

    @property
    def claim(self) -> str:
        return self.decision.claim

    @property
    def leader(self) -> Candidate:
        return self.decision.leader

    @property
    def chosen(self) -> Candidate:
        return self.decision.recommended

    @property
    def first(self) -> Comparison | None:
        """The leader against the closest other."""
        return self.decision.comparisons[0] if self.decision.comparisons else None

    @property
    def n(self) -> str:
        return words.count(self.decision.n)

    def name(self, candidate: Candidate) -> str:
        return who(candidate, has_several([self.decision]))

    def some(self, candidates: Sequence[Candidate]) -> str:
        return words.some([self.name(c) for c in candidates], 3)


# --- what is claimed: a headline and a line ---------------------------------------------------------------

_LEADS = {
    "better": "use {}",
    "decided": "use {}",
    "incomplete": "so far, use {}",
    "undecided": "use {} for now",
    "provisional": "provisionally, use {}",
    "alone": "{}",
}
"""How the headline names whom to take, by ``Decision.claim``; of ``floor`` it names nobody."""

RECOMMENDED = {
    "better": "recommended",
    "decided": "recommended",
    "incomplete": "so far",
    "undecided": "for now",
    "provisional": "provisional",
}
"""The mark of whom the headline names, by ``Decision.claim``: no surer than the headline."""


def headline_of(claim: str, name: str, figure: str) -> str:
    """Whom to take and what that reaches, no surer than the claim."""
    return f"{words.capital(_LEADS[claim].format(name))}: {figure}"


def _headline(about: _About) -> str:
    decision = about.decision
    if decision.claim == "floor":
        return f"{floor_said(decision)}."
    # Where the backbones tie, the strategy alone is the answer.
    name = who(about.chosen, several=False) if _do_backbones_tie(decision) else about.name(about.chosen)
    return headline_of(_claim(decision), name, _of_new(about))


def floor_said(decision: Decision) -> str:
    """Of the claim ``floor``: that nothing is better than the most frequent class, or surely so."""
    assert decision.floor is not None
    surely = "surely " if decision.floor.difference > 0 else ""
    return f"Nothing is {surely}better than always answering with {words.FLOORS[decision.task]}"


def _of_new(about: _About) -> str:
    """What the recommended one reaches on new examples."""
    metric, value = about.decision.metric, about.chosen.value
    if metric == ACCURACY:
        return f"{words.percent(value)} of new {about.noun.many} correct"
    return f"{words.measured(metric, value)} on new {about.noun.many}"


def _measured_on(about: _About) -> list[str]:
    """Labels, test examples and seeds, and the backbone if there is one alone."""
    decision, many = about.decision, about.noun.many
    seeds = [c.seeds for c in decision.candidates]
    ran = words.plural(max(seeds), "seed")
    backbones = {backbone_title(c.backbone, c.weights) for c in decision.candidates} - {""}
    return [
        f"{about.n} labels",
        f"{words.count(decision.n_test)} test {many}",
        ran if min(seeds) == max(seeds) else f"{min(seeds)} to {ran}",
        *(backbones if len(backbones) == 1 else []),
    ]


LONGEST_LINE = 30
"""Words."""


def line_of(decision: Decision, others: Sequence[str] = (), first: str = "") -> str:
    """One line below the headline: what is given up at most, and what was to be compared and has no result.

    Args:
        decision: what it is about.
        others: what else to say, if there is something and room for it.
        first: in place of what is given up.
    """
    line = first or f"{words.capital(_bounded(decision))}."
    if decision.absent:
        line = f"{line} {words.capital(_missing(decision, LONGEST_LINE - len(line.split())))}."
    for text in others:
        if text and len(line.split()) + len(text.split()) <= LONGEST_LINE:
            line = f"{line} {text}"
    return line


def _missing(decision: Decision, room: int) -> str:
    """What has no result, in so many words if possible; strategies without any are always named."""
    ran = {c.strategy for c in decision.candidates}
    without = list(dict.fromkeys(a.strategy for a in decision.absent if a.strategy not in {*ran, ""}))
    named = [words.strategy_name(name) for name in without[:2]]
    more = len(
        {(a.strategy, a.backbone, a.weights) for a in decision.absent if a.strategy not in without[:2]}
    )
    names = [*named, *([f"{more} more" if named else words.plural(more, "candidate")] if more else [])]
    short = f"{words.listed(names)} {'has' if len(names) == 1 and (named or more == 1) else 'have'} no result"
    found = [text for text in (absence(decision, 2), absence(decision, 1)) if len(text.split()) <= room]
    return next((text for text in found if all(name in text for name in named)), short)


def no_network(decision: Decision) -> str:
    """That a strategy without a network is as good as any with one; empty if one is clearly better."""
    found = _best_without(decision)
    if found is None or decision.claim == "floor":
        return ""
    clearly, without = ("", decision.leader) if found.candidate.backbone else ("clearly ", found.candidate)
    return f"No network is {clearly}better than {words.strategy_name(without.strategy)}, which uses none."


def more_like(decision: Decision, noun: Noun) -> str:
    """What to try where ``no_network`` speaks: other weights than those that did not help."""
    began = any(c.weights not in ("", "none") for c in decision.candidates)
    fit = "The pretrained weights may not fit these {0}. Try" if began else "Try"
    return f"{fit} weights pretrained on {{0}} {{1}}.".format(noun.many, noun.alike)


def _best_without(decision: Decision) -> Comparison | None:
    """The leader against what has a network if the leader has none, or the reverse; None if the network leads
    clearly or too few seeds can tell, or if there is only one of the two."""
    leads = bool(decision.leader.backbone)
    others = [c for c in decision.comparisons if bool(c.candidate.backbone) != leads]
    is_settled = leads and (decision.claim == "provisional" or (others[:1] and others[0].verdict == "better"))
    return others[0] if others and not is_settled else None


def _bounded(decision: Decision) -> str:
    """What is given up at most, or why that cannot be said."""
    if decision.claim == "provisional":
        seeds = words.plural(decision.leader.seeds, "seed")
        return f"{seeds} cannot tell a difference from chance: a comparison needs {MINIMUM_SEEDS}"
    if decision.claim == "alone":
        return "there is nothing to compare it with"
    if decision.compared < 2:
        return gives_up(decision)
    text = f"{gives_up(decision)} (95% confidence)"
    return f"no clear winner: {text}" if decision.claim == "undecided" else text


def _first(about: _About) -> str:
    """What stands in place of what is given up, where the claim is another."""
    decision = about.decision
    if decision.claim == "floor":
        assert decision.floor is not None
        leader, floor = about.leader, words.percent(decision.floor.candidate.value)
        reached = words.measured(decision.metric, leader.value)
        return f"The best, {about.name(leader)}, reaches {reached}, {words.FLOORS[decision.task]} {floor}."
    if _is_strategy_decided(decision):
        assert decision.strategy is not None
        return f"Averaged over backbones, {gives_up(decision.strategy, 'strategies')} (95% confidence)."
    return ""


def _claim(decision: Decision) -> str:
    """What the headline claims: a strategy may be decided where the pair is not."""
    return "decided" if _is_strategy_decided(decision) else decision.claim


def _is_strategy_decided(decision: Decision) -> bool:
    """Whether the pair is not decided, but the strategy is, on whichever backbone."""
    return decision.claim == "undecided" and decision.settled_strategy is not None


def _do_backbones_tie(decision: Decision) -> bool:
    backbone = decision.backbone
    return _is_strategy_decided(decision) and backbone is not None and not backbone.is_decided


def _backbones(about: _About) -> str:
    """Whether the backbones are too close to call."""
    return "The backbones are too close to call." if _do_backbones_tie(about.decision) else ""


def gives_up(decision: Decision, among: str = "tried") -> str:
    """What the recommended one gives up at most, as the end of a sentence about it; ``among`` whom."""
    tried = decision.compared
    if tried < 2:
        return f"nothing else has {MINIMUM_SEEDS} seeds to compare it with"
    if tried < len(decision.candidates):
        among = "compared" if among == "tried" else f"{among} compared"
    if decision.recommended.at_most <= 0:
        return f"it is the best of the {tried} {among}"
    if decision.recommended.at_most >= 1:
        return f"what it gives up against the best of the {tried} {among} is not known"
    bound = words.in_points(words.raised(decision.recommended.at_most))
    return f"it gives up at most {bound} against the best of the {tried} {among}"


# --- the details, as far as there is something to say -----------------------------------------------------


def _interval(about: _About) -> str:
    """How sure the figure is."""
    chosen = about.chosen
    if not math.isfinite(chosen.low):
        return ""
    return (
        f"With {about.n} labelled {about.noun.many}, the 95% CI of {about.name(chosen)} is "
        f"{words.percent(chosen.low)} to {words.percent(chosen.high)}."
    )


def _chance(about: _About) -> str:
    """How far the best is ahead of the most frequent class, where that may be chance."""
    floor = about.decision.floor
    if about.claim != "floor" or floor is None or floor.difference <= 0 or not math.isfinite(floor.low):
        return ""
    return f"The difference may be chance: {words.difference(floor)} points (95% CI)."


def _highest(about: _About) -> str:
    """Who has the highest mean, and the next."""
    if about.claim == "floor" or len(about.decision.candidates) < 2:
        return ""
    first, second, *_ = sorted(about.decision.candidates, key=lambda c: -c.value)
    fewer = f" over {words.plural(first.seeds, 'seed')}" if first.seeds < second.seeds else ""
    value = words.measured(about.decision.metric, first.value)
    return (
        f"{words.capital(about.name(first))} has the highest mean, {value}{fewer}. "
        f"{words.capital(about.name(second))} follows with {words.percent(second.value)}."
    )


def _paired(about: _About) -> str:
    """By how much one of the two closest is ahead on what both have seen."""
    closest = about.first
    if about.claim == "floor" or closest is None or closest.seeds == 0:
        return ""
    ahead, behind = about.leader, closest.candidate
    if closest.difference < 0:
        ahead, behind = behind, ahead
    on = f"the same seeds and test {about.noun.many}" if closest.paired else "the same seeds"
    return (
        f"On {on}, {about.name(ahead)} is {words.points(abs(closest.difference))} points ahead of "
        f"{about.name(behind)}."
    )


def _open(about: _About) -> str:
    """Why it is not decided."""
    if about.claim != "undecided" or _is_strategy_decided(about.decision) or about.decision.compared < 2:
        return ""
    return f"It is not decided yet: the bound is above {words.in_points(about.decision.region)}."


def _settles(about: _About) -> str:
    return would_decide(about.decision, about.noun)


def would_decide(decision: Decision, noun: Noun) -> str:
    """How many seeds or test examples would decide what is undecided; empty of any other claim."""
    many = noun.many
    if decision.claim != "undecided":
        return ""
    ways = []
    if decision.more_seeds is not None:
        ways.append(words.plural(decision.more_seeds, "seed"))
    if decision.more_images is not None:
        ways.append(f"{words.count(decision.more_images)} test {many}")
    if ways:
        return f"{words.capital(words.listed(ways, 'or'))} would probably decide it."
    return (
        f"The difference is too small to resolve, even with {MOST_SEEDS} seeds or {words.count(MOST_EXAMPLES)} "
        f"test {many}. Choose by cost."
    )


def _cheaper(about: _About) -> str:
    """What those that train in less time would give up at most."""
    chosen = about.chosen
    if about.claim not in _BOUNDED:
        return ""
    cheap = [
        c for c in about.decision.candidates if c.seconds < WORTH_SAVING * chosen.seconds and c.at_most < 1
    ]
    cheap.sort(key=lambda c: c.at_most)
    told = [
        f"{words.capital(about.name(c))} trains in {words.duration(c.seconds)} instead of "
        f"{words.duration(chosen.seconds)} and gives up at most {words.in_points(words.raised(c.at_most))}."
        for c in cheap[:2]
    ]
    return " ".join(told)


def _optimism(about: _About) -> str:
    """How much too high the leader's value is because it was chosen as the highest."""
    decision = about.decision
    if about.claim in ("floor", "provisional") or decision.optimism < TOLD_OPTIMISM:
        return ""
    return (
        f"{words.measured(decision.metric, about.leader.value)} is probably {words.points(decision.optimism)} "
        f"points optimistic, because it is the best of {1 + len(decision.comparisons)} results. The interval "
        "accounts for this."
    )


def _lost(about: _About) -> str:
    """Those with too few seeds beside a leader with enough."""
    seeds = about.leader.seeds
    lost = [c for c in about.decision.with_verdict("unknown") if c.seeds < seeds]
    if not lost or seeds < MINIMUM_SEEDS:
        return ""
    who_lost = (
        f"{words.capital(about.name(lost[0]))} has" if len(lost) == 1 else f"{len(lost)} candidates have"
    )
    return f"{who_lost} fewer than {MINIMUM_SEEDS} seeds."


def _beaten(about: _About) -> str:
    """Who is surely not the best, where it is not all others."""
    beaten = about.decision.with_verdict("better")
    if about.claim not in ("undecided", "decided", "incomplete") or not beaten:
        return ""
    verb = "is" if len(beaten) == 1 else "are"
    return f"{words.capital(about.some(beaten))} {verb} ruled out: the best is better, or as good."


def _cost(about: _About) -> str:
    """What the recommended one costs to train and in use."""
    chosen, price = about.chosen, about.price_per_hour
    money = f"; {words.money(chosen.seconds, price)} at {price:g} an hour" if price else ""
    uses = (
        (chosen.latency_ms, f"{chosen.latency_ms:.3g} ms {about.noun.any}"),
        (chosen.params, f"{words.magnitude(chosen.params)} parameters"),
    )
    use = [text for value, text in uses if math.isfinite(value) and value > 0]
    return (
        f"Cost: {words.duration(chosen.seconds)} to tune and train {about.name(chosen)} once (one seed, this "
        f"machine{money}){f'; in use {words.listed(use)}' if use else ''}."
    )


def _fit(about: _About) -> str:
    """By how much the best network is behind what has none, and what to do."""
    decision = about.decision
    if not no_network(decision):
        return ""
    closest = _best_without(decision)
    assert closest is not None
    network = closest.candidate if closest.candidate.backbone else decision.leader
    reached = words.measured(decision.metric, network.value)
    return f"The best network, {about.name(network)}, reaches {reached}. {more_like(decision, about.noun)}"


def _beside(about: _About) -> str:
    """What the most frequent class reaches."""
    if about.decision.floor is None or about.claim == "floor":
        return ""
    floor = words.percent(about.decision.floor.candidate.value)
    return f"For comparison, always answering with {words.FLOORS[about.decision.task]} reaches {floor}."


def _weights(about: _About) -> str:
    """Which weights are best to begin with."""
    return which_weights(about.decision)


_DETAILS = (
    _fit, _interval, _chance, _highest, _paired, _open, _settles, _cheaper, _beaten, _optimism, _cost, _beside,
    _weights,
)  # fmt: skip
"""In the order in which they are told."""

_BOUNDED = ("better", "decided", "incomplete", "undecided")
"""Claims with a bound of what is given up."""

WORTH_SAVING = 0.7
"""What takes a larger share of the recommended one's time is not told as cheaper."""

TOLD_OPTIMISM = 0.0015
"""Less is not worth a sentence."""
