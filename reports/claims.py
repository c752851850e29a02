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


def _use(about: _About) -> list[str]:
    """Whom to take, and what that gives up at most."""
    chosen = about.chosen
    if _is_strategy_decided(about.decision):
        return _use_strategy(about)
    return [
        f"Use {about.name(chosen)}: {gives_up(about.decision)}.",
        f"With {about.n} labelled {about.noun.many}, it {about.scored(chosen)}{interval_of(chosen)}.",
    ]


def _is_strategy_decided(decision: Decision) -> bool:
    """Whether the pair is not decided, but the strategy is, on whichever backbone."""
    strategy = decision.strategy
    pair = decision.claim == "undecided"
    return pair and strategy is not None and strategy.is_decided and decision.backbone is not None


def _use_strategy(about: _About) -> list[str]:
    """The strategy is decided, and the backbone may be."""
    strategy, backbone = about.decision.strategy, about.decision.backbone
    assert strategy is not None
    assert backbone is not None
    name, chosen = who(strategy.recommended, several=False), backbone.recommended
    headline = f"Use {name}. The backbones are too close to call."
    if backbone.is_decided:
        headline = f"Use {about.name(chosen)}."
    return [
        headline,
        f"With {about.n} labelled {about.noun.many}, {about.name(chosen)} {about.scored(chosen)}"
        f"{interval_of(chosen)}.",
        f"Averaged over the backbones, {name} {gives_up(strategy)[3:]}.",
    ]


def gives_up(decision: Decision, among: str = "tried") -> str:
    """What the recommended one gives up at most, as the end of a sentence about it; ``among`` whom."""
    tried = decision.compared
    if tried < 2:
        return f"nothing else has {MINIMUM_SEEDS} seeds to compare it with"
    if decision.recommended.at_most <= 0:
        return f"it is the best of the {tried} {among}"
    bound = words.points(max(decision.recommended.at_most, LEAST_BOUND))
    bound = "1 point" if bound == "1.0" else f"{bound} points"
    return f"it gives up at most {bound} against the best of the {tried} {among}"


def _incomplete(about: _About) -> list[str]:
    """It is decided among what has a result."""
    headline, *sentences = _use(about)
    missing = absence(about.decision)
    if missing:
        sentences.insert(0, f"{words.capital(missing)}. That may change the answer.")
    return [f"So far, u{headline[1:]}", *sentences]


_CLAIMS = {
    "floor": _floor,
    "provisional": _provisional,
    "alone": _alone,
    "decided": _use,
    "better": _use,
    "incomplete": _incomplete,
    "undecided": _use,
}
"""By ``Decision.claim``."""


# --- what may be added to any claim, or nothing -----------------------------------------------------------


def _guaranteed(about: _About) -> str:
    """How sure the claim is, and whether it decides."""
    if about.claim not in _BOUNDED or about.decision.compared < 2:
        return ""
    if about.claim == "undecided" and not _is_strategy_decided(about.decision):
        return f"The confidence is 95%. It is not decided yet: the bound is above {_region(about.decision)}."
    return "The confidence is 95%."


def _runner_up(about: _About) -> str:
    """The lead of whoever has the highest mean over the next."""
    first, leader = about.first, about.leader
    if about.claim not in _BOUNDED or first is None:
        return ""
    return (
        f"{words.capital(about.name(leader))} has the highest mean, {about.reached}. "
        f"{words.capital(about.name(first.candidate))} is {words.points(first.difference)} points behind."
    )


def _settles(about: _About) -> str:
    """What would decide it."""
    decision, many = about.decision, about.noun.many
    if about.claim != "undecided":
        return ""
    ways = []
    if decision.more_seeds is not None:
        ways.append(words.plural(decision.more_seeds, "seed"))
    if decision.more_images is not None:
        ways.append(f"{words.count(decision.more_images)} test {many}")
    if ways:
        return f"{words.capital(words.listed(ways, 'or'))} would probably decide it."
    return (
        f"Neither {MOST_SEEDS} seeds nor {words.count(MOST_EXAMPLES)} test {many} alone would decide it. "
        "Choose by cost."
    )


def _cheaper(about: _About) -> str:
    """What those that train in less time would give up at most."""
    chosen = about.chosen
    if about.claim not in _BOUNDED:
        return ""
    cheap = [
        c
        for c in about.decision.candidates
        if c.seconds < WORTH_SAVING * chosen.seconds and math.isfinite(c.at_most)
    ]
    cheap.sort(key=lambda c: c.at_most)
    told = [
        f"{words.capital(about.name(c))} trains in {words.duration(c.seconds)} instead of "
        f"{words.duration(chosen.seconds)} and gives up at most {words.points(c.at_most)} points."
        for c in cheap[:2]
    ]
    return " ".join(told)


def _optimism(about: _About) -> str:
    """How much too high the leader's value is because it was chosen as the highest."""
    decision = about.decision
    if about.claim in ("floor", "provisional") or decision.optimism < TOLD_OPTIMISM:
        return ""
    return (
        f"{about.reached} is probably {words.points(decision.optimism)} points optimistic, because it is the best "
        f"of {1 + len(decision.comparisons)} results. The interval accounts for this."
    )


def _lost(about: _About) -> str:
    """Those with too few seeds beside a leader with enough."""
    seeds = about.leader.seeds
    lost = [c for c in about.decision.with_verdict("unknown") if c.seeds < seeds]
    if not lost or seeds < MINIMUM_SEEDS:
        return ""
    verb = "is" if len(lost) == 1 else "are"
    return f"{words.capital(about.some(lost))} {verb} not compared: fewer than {MINIMUM_SEEDS} seeds have a result."


def _absent(about: _About) -> str:
    """What has no result, unless that is the claim."""
    told = about.decision.absent and about.claim != "incomplete"
    return f"{words.capital(absence(about.decision))}." if told else ""


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


_FURTHER = (
    _guaranteed, _runner_up, _settles, _cheaper, _beaten, _optimism, _lost, _absent, _cost, _beside, _weights,
)  # fmt: skip
"""In the order in which they are told."""

_BOUNDED = ("better", "decided", "incomplete", "undecided")
"""Claims with a bound of what is given up."""

WORTH_SAVING = 0.7
"""What takes a larger share of the recommended one's time is not told as cheaper."""


LEAST_BOUND = 0.001
"""A bound below this is told as this: it is not nothing."""

TOLD_OPTIMISM = 0.0015
"""Less is not worth a sentence."""


def _region(decision: Decision) -> str:
    text = words.points(decision.region)
    return "1 point" if text == "1.0" else f"{text} points"
