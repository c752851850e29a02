"""What is said about a decision: the headline and first sentences by its claim, then what may be added to any."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.modalities.nouns import Noun
from bench.records import ACCURACY
from reports import words
from reports.phrases import absence, has_several, interval_of, which_weights, who
from reports.sections import Answer
from reports.statistics.decisions import Decision
from reports.statistics.intervals import MINIMUM_SEEDS, MOST_EXAMPLES, MOST_SEEDS
from reports.statistics.pairs import Candidate, Comparison


def claimed(decision: Decision, price_per_hour: float, noun: Noun) -> Answer:
    """The headline and first sentences by what is claimed, then what may be added to any claim."""
    about = _About(decision, price_per_hour, noun)
    headline, *sentences = _CLAIMS[decision.claim](about)
    sentences += [text for tell in _FURTHER if (text := tell(about))]
    return Answer(words.clean(decision.dataset, 80), decision.claim, headline, sentences)


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

    @property
    def reached(self) -> str:
        """The leader's value of the metric that decides."""
        return words.measured(self.decision.metric, self.leader.value)

    def scored(self, candidate: Candidate, past: bool = False) -> str:
        """What a candidate reaches on new examples; in the past, on test examples."""
        examples = f"{'the test' if past else 'new'} {self.noun.many}"
        return words.scored(self.decision.metric, candidate.value, examples, past)

    @property
    def interval(self) -> str:
        """The leader's."""
        return interval_of(self.leader)

    def name(self, candidate: Candidate) -> str:
        return who(candidate, has_several([self.decision]))

    def some(self, candidates: Sequence[Candidate]) -> str:
        return words.some([self.name(c) for c in candidates], 3)


# --- what is claimed: the headline, and what it rests on --------------------------------------------------


def _floor(about: _About) -> list[str]:
    many = about.noun.many
    floor, leader = about.decision.floor, about.leader
    assert floor is not None
    beat = "is surely better than" if floor.difference > 0 else "beat"
    doubt = ""
    if math.isfinite(floor.low) and floor.difference > 0:
        doubt = f", a lead that may be chance ({words.difference(floor)})"
    return [
        f"With {about.n} labelled {many}, nothing {beat} always answering with the most frequent class.",
        f"The best, {about.name(leader)}, {about.scored(leader, past=True)}{about.interval}, "
        f"against {words.percent(floor.candidate.value)} of that class{doubt}.",
    ]


def _provisional(about: _About) -> list[str]:
    many = about.noun.many
    leader, first = about.leader, about.first
    said = [
        f"Provisionally: {about.name(leader)}, with {_of_new(about)}.",
        f"Provisionally, because {words.plural(leader.seeds, 'seed')} cannot tell a difference from chance: "
        f"nothing is claimed below {MINIMUM_SEEDS}. This is with {about.n} labelled {many}.",
    ]
    if first is not None:
        lead = words.points(first.difference)
        said.append(f"Its observed lead over the next, {about.name(first.candidate)}, is {lead} points.")
    return said


def _of_new(about: _About) -> str:
    """What the leader reaches on new examples, as something that it has."""
    correctly = " classified correctly" if about.decision.metric == ACCURACY else ""
    return f"{about.reached} {'of' if correctly else 'on'} new {about.noun.many}{correctly}"


def _alone(about: _About) -> list[str]:
    many = about.noun.many
    name = words.capital(about.name(about.leader))
    return [
        f"{name} {about.scored(about.leader)}{about.interval}.",
        f"That is with {about.n} labelled {many}. There is nothing to compare it with.",
    ]


def _tied(about: _About) -> list[str]:
    many = about.noun.many
    leader, chosen = about.leader, about.chosen
    tied = about.decision.with_verdict("tied")
    best = f", against {about.reached} of the best, {about.name(leader)}" if leader != chosen else ""
    others = [c for c in [leader, *tied] if c != chosen]
    return [
        f"Use {about.name(chosen)}: as good as the best, and the cheapest of them to train.",
        f"With {about.n} labelled {many} it {about.scored(chosen)}"
        f"{interval_of(chosen)}{best}. {words.capital(about.some(tied))} {'is' if len(tied) == 1 else 'are'} tied "
        f"with {'it' if leader == chosen else about.name(leader)} (the difference is within "
        f"{_region(about.decision)}, which counts as none).",
        *(f"{words.capital(about.name(c))} {_costs_beside(c, chosen, about.noun)}." for c in others[:3]),
    ]


def _better(about: _About) -> list[str]:
    return [
        f"Use {about.name(about.leader)}: it {about.scored(about.leader)}{about.interval}.",
        _lead(about, " tried"),
    ]


def _incomplete(about: _About) -> list[str]:
    leader = about.name(about.leader)
    return [
        f"Not all has a result. Of what has, {leader} is best with {about.reached}{about.interval}.",
        f"{words.capital(absence(about.decision))}: the answer may become another with that.",
        _lead(about, " that have one"),
    ]


def _lead(about: _About, which: str) -> str:
    """By how much the leader is ahead of the others; ``which`` says what these are."""
    many = about.noun.many
    decision, first, others = about.decision, about.first, len(about.decision.comparisons)
    if first is None:
        return f"That is with {about.n} labelled {many}."
    tried = "the one other" if others == 1 else f"each of the {others} others"
    verb = "better than" if not decision.with_verdict("tied") else "better than, or tied with,"
    return (
        f"With {about.n} labelled {many} it is {verb} {tried}{which}; the next, "
        f"{about.name(first.candidate)}, is {words.points(first.difference)} points behind "
        f"(95% interval {words.points(first.low)} to {words.points(first.high)})."
    )


def _undecided(about: _About) -> list[str]:
    many = about.noun.many
    comparisons, name = about.decision.comparisons, about.name(about.leader)
    doubtful = next(c for v in ("undecided", "unknown") for c in comparisons if c.verdict == v)
    doubt = f"on {words.plural(doubtful.seeds, 'common seed')}"
    if math.isfinite(doubtful.low):
        low, high = words.points(doubtful.low, True), words.points(doubtful.high, True)
        doubt = f"95% interval {low} to {high}"
    return [
        f"Undecided: {name} leads with {about.reached}{about.interval}, but its lead may be chance.",
        f"With {about.n} labelled {many}, its lead over {about.name(doubtful.candidate)} is "
        f"{words.points(doubtful.difference, True)} points ({doubt}). {_what_would_settle(doubtful, about.noun)}",
    ]


_CLAIMS = {
    "floor": _floor,
    "provisional": _provisional,
    "alone": _alone,
    "tied": _tied,
    "better": _better,
    "incomplete": _incomplete,
    "undecided": _undecided,
}
"""By ``Decision.claim``."""


# --- what may be added to any claim, or nothing -----------------------------------------------------------


def _optimism(about: _About) -> str:
    """How much too high the leader's value is because it was chosen as the highest."""
    decision = about.decision
    if about.claim in ("floor", "provisional") or decision.optimism < TOLD_OPTIMISM:
        return ""
    return (
        f"As the highest of {1 + len(decision.comparisons)}, {about.reached} is probably "
        f"{words.points(decision.optimism)} points too high; its interval allows for that."
    )


def _lost(about: _About) -> str:
    """Those with too few seeds beside a leader with enough."""
    seeds = about.leader.seeds
    lost = [c for c in about.decision.with_verdict("unknown") if c.seeds < seeds]
    if not lost or seeds < MINIMUM_SEEDS:
        return ""
    return (
        f"Of {about.some(lost)} nothing can be said: {'it has' if len(lost) == 1 else 'they have'} a result on too "
        f"few of the {seeds} seeds."
    )


def _absent(about: _About) -> str:
    """What has no result, unless that is the claim."""
    told = about.decision.absent and about.claim != "incomplete"
    return f"{words.capital(absence(about.decision))}." if told else ""


def _beaten(about: _About) -> str:
    """Whom the leader surely beats, where it does not beat all."""
    beaten = about.decision.with_verdict("better")
    if about.claim not in ("undecided", "tied") or not beaten:
        return ""
    return f"{words.capital(about.name(about.leader))} is better than {about.some(beaten)}."


def _if_you_must(about: _About) -> str:
    """What to take where nothing is settled."""
    leader, chosen, region = about.leader, about.chosen, _region(about.decision)
    if about.claim not in ("undecided", "provisional", "incomplete"):
        return ""
    if chosen == leader:
        return f"If you must choose now: {about.name(leader)}; nothing cheaper to train is within {region} of it."
    return (
        f"If you must choose now: {about.name(chosen)}, {words.percent(chosen.value)}, the cheapest to train "
        f"within {region} of the leader ({words.duration(chosen.seconds)} instead of "
        f"{words.duration(leader.seconds)})."
    )


def _probability(about: _About) -> str:
    """How probable it is that the leader is the best in truth."""
    leader, name = about.leader, about.name(about.leader)
    if not math.isfinite(leader.best):
        return ""
    if about.claim == "undecided":
        return f"The probability that {name} is the best of all is {sure(leader.best)}."
    if about.decision.comparisons and about.claim in ("better", "tied"):
        metric = words.metric_name(about.decision.metric)
        return f"The probability that {name} has the highest {metric} of all is {sure(leader.best)}."
    return ""


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


def _beside(about: _About) -> str:
    """What training from scratch reached, and the most frequent class."""
    decision, chosen = about.decision, about.chosen
    scratch = [c.candidate for c in decision.comparisons if c.candidate.strategy == "scratch"]
    # The one on the same backbone, where there is one.
    scratch.sort(key=lambda candidate: candidate.backbone != chosen.backbone)
    against = [f"{about.name(c)} reached {words.percent(c.value)}" for c in scratch[:1]]
    if decision.floor is not None and about.claim != "floor":
        floor = words.percent(decision.floor.candidate.value)
        against.append(f"always answering with the most frequent class {floor}")
    return f"For comparison, {words.listed(against)}." if against else ""


def _weights(about: _About) -> str:
    """Which weights are best to begin with."""
    return which_weights(about.decision)


_FURTHER = (_optimism, _lost, _absent, _beaten, _if_you_must, _probability, _cost, _beside, _weights)
"""In the order in which they are told."""


TOLD_OPTIMISM = 0.0015
"""Less is not worth a sentence."""


def _costs_beside(candidate: Candidate, chosen: Candidate, noun: Noun) -> str:
    """What another costs where that differs from the chosen one."""
    parts = [f"takes {words.duration(candidate.seconds)} to tune and train once"]
    if abs(candidate.latency_ms - chosen.latency_ms) > 0.1 * chosen.latency_ms:
        parts.append(f"{candidate.latency_ms:.3g} ms {noun.any}")
    if candidate.params != chosen.params and math.isfinite(candidate.params):
        parts.append(f"has {words.magnitude(candidate.params)} parameters")
    return words.listed(parts)


def _region(decision: Decision) -> str:
    text = words.points(decision.region)
    return f"{text} {'point' if text == '1.0' else 'points'}"


def sure(probability: float) -> str:
    """A probability near one in words."""
    return (
        "over 99.9%" if probability > 0.9995 else words.percent(probability, 1 if probability > 0.99 else 0)
    )


def _what_would_settle(doubtful: Comparison, noun: Noun) -> str:
    many = noun.many
    if doubtful.verdict == "unknown":
        return "More seeds that both have would tell."
    ways = []
    if doubtful.more_seeds is not None:
        ways.append(words.plural(doubtful.more_seeds, "seed"))
    if doubtful.more_images is not None:
        ways.append(f"a test set of {words.count(doubtful.more_images)} {many}")
    if ways:
        return f"If the difference is what it looks like, {' or '.join(ways)} would settle it."
    return (
        f"If the difference is what it looks like, neither {MOST_SEEDS} seeds nor a test set of "
        f"{words.count(MOST_EXAMPLES)} {many} alone would settle it."
    )
