"""The answer: which strategy tells new classes apart best, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from reports import words
from reports.claims import gives_up
from reports.phrases import absence
from reports.questions.few_shot.measurements import FLOOR, Measurement, decided, measured
from reports.results import Results
from reports.sections import Answer, Section
from reports.statistics.decisions import Decision
from reports.statistics.missing import Absent, Missing
from reports.statistics.pairs import Comparison
from reports.tables import several_backbones


def section(run: Results) -> Section:
    """The answer for each dataset."""
    found = answers_of(run)
    nothing = [Answer("", "none", "There is no answer yet.", ["No cell has a result."])]
    return Section(
        "answer",
        "The answer",
        link="Answer",
        several=len(found) > 1,
        template="answer.html.j2",
        content={"answers": found or nothing, "depends": {}, "next": []},
        hidden=True,
    )


def answers_of(run: Results) -> list[Answer]:
    """One answer a dataset that has a result."""
    return few_shot_answers(run.once(measured), run.region, Missing(run.frame, run.directory))


def few_shot_answers(
    found: Sequence[Measurement], region: float, missing: Missing | None = None
) -> list[Answer]:
    """One a dataset, about the hardest setting: most classes, fewest labels.

    Args:
        found: of ``measurements``.
        region: a difference in accuracy within plus or minus this counts as none.
        missing: what of the run has no result; None: nothing is.
    """
    answers = []
    for dataset in dict.fromkeys(m.dataset for m in found):
        absent = () if missing is None else missing.at(dataset)
        answers.append(_answer([m for m in found if m.dataset == dataset], region, absent))
    return answers


_DOUBT = {
    "provisional": "Provisionally: ",
    "incomplete": "Not all has a result. Of what has: ",
}


def _answer(found: Sequence[Measurement], region: float, absent: tuple[Absent, ...]) -> Answer:
    """About one dataset."""
    hardest = max((m.setting for m in found if m.scope == "all"), key=lambda s: (s[1], -s[2]))
    several = several_backbones((m.backbone, m.weights) for m in found)
    there = {m.place: m for m in found if m.setting == hardest}
    decision = replace(decided([*there.values()], region), absent=absent)
    chosen, leader = (
        there[c.strategy, c.backbone, c.weights] for c in (decision.recommended, decision.leader)
    )
    best = chosen if decision.claim in ("decided", "undecided") else leader
    sentences = [
        _bound(decision),
        *(_compared(comparison, there, several) for comparison in _told(decision)),
        *_choice(decision, chosen, leader, several),
        f"{words.capital(absence(decision))}." if absent else "",
        _beside(best, there.values(), several),
        *_within(best, found),
    ]
    headline = _DOUBT.get(decision.claim, "") + _headline(best, several)
    return Answer(words.clean(best.dataset, 80), decision.claim, headline, [s for s in sentences if s])


def _headline(best: Measurement, several: bool) -> str:
    interval = f" ({words.percent(best.low)} to {words.percent(best.high)})"
    return (
        f"{words.capital(best.name(several))} tells {best.ways} new classes apart by "
        f"{words.plural(best.shots, 'label')} each with {words.percent(best.accuracy)} accuracy"
        f"{interval if math.isfinite(best.low) else ''}."
    )


def _bound(decision: Decision) -> str:
    """What the recommended one gives up at most."""
    if decision.claim not in ("better", "decided", "undecided") or not decision.comparisons:
        return ""
    return f"{words.capital(gives_up(decision))} (95% confidence)."


def _beside(best: Measurement, there: Iterable[Measurement], several: bool) -> str:
    """What chance reaches, and the floor."""
    floor = next((m for m in there if m.strategy == FLOOR and m is not best), None)
    reaches = f", {floor.name(several)} reaches {words.percent(floor.accuracy)}" if floor else ""
    return f"Chance is {words.percent(1 / best.ways)}{reaches}."


def _within(best: Measurement, found: Sequence[Measurement]) -> list[str]:
    """What the best reaches within superclasses, where that was measured."""
    setting = ("within", best.ways, best.shots)
    return [
        f"Among classes of one superclass, which are more alike, it reaches {words.percent(m.accuracy)}."
        for m in found
        if m.place == best.place and m.setting == setting
    ][:1]


TOLD = 3
"""Comparisons of the leader that an answer tells, at most."""


def _told(decision: Decision) -> list[Comparison]:
    """The closest of what is not settled; if all is, the closest."""
    open_ = [c for c in decision.comparisons if c.verdict != "better"]
    return (open_ or list(decision.comparisons[:1]))[:TOLD]


def _compared(comparison: Comparison, there: dict[Any, Measurement], several: bool) -> str:
    """What may be said of the leader and another."""
    c = comparison.candidate
    other = there[c.strategy, c.backbone, c.weights]
    who = f"{other.name(several)} ({words.percent(other.accuracy)})"
    interval = f"{words.points(comparison.low, True)} to {words.points(comparison.high, True)} points"
    if not math.isfinite(comparison.low):
        return f"Near the best is {who}; whether the difference is real cannot be said."
    return {
        "tied": f"{words.capital(who)} is as good: the difference is {interval}.",
        "better": f"The next is {who}, and the lead on the same episodes is {interval}.",
    }.get(comparison.verdict, f"{words.capital(who)} may be as good: the difference is {interval}.")


def _choice(decision: Decision, chosen: Measurement, leader: Measurement, several: bool) -> list[str]:
    """What the claim means for whoever has to choose."""
    if decision.claim == "decided" and chosen is not leader:
        return [
            f"It is as good as the best, {leader.name(several)} ({words.percent(leader.accuracy)}), and cheaper: "
            f"{words.duration(chosen.seconds)} instead of {words.duration(leader.seconds)}."
        ]
    if decision.claim == "provisional":
        seeds = words.plural(decision.leader.seeds, "seed")
        return [f"Only {seeds}: how much another training would differ is not known."]
    return []
