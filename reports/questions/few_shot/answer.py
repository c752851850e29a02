"""The answer: which strategy tells new classes apart best, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from reports import words
from reports.claims import RECOMMENDED, headline_of, line_of
from reports.forest import forest_of
from reports.questions.few_shot.measurements import FLOOR, Measurement, decided, measured
from reports.questions.few_shot.tiles import hardest, next_steps, tiles
from reports.results import Results
from reports.sections import Answer, Section
from reports.statistics.decisions import Decision
from reports.statistics.missing import Absent, Missing
from reports.statistics.pairs import Candidate, Comparison
from reports.tables import configuration_name, several_backbones


def section(run: Results) -> Section:
    """The answer for each dataset, and what is asked next."""
    found = [replace(answer, tiles=tiles(run, answer)) for answer in answers_of(run)]
    nothing = [Answer("", "none", "There is no answer yet", "No cell has a result.")]
    return Section(
        "answer",
        "The answer",
        link="Answer",
        several=len(found) > 1,
        template="answer.html.j2",
        content={"answers": found or nothing, "depends": {}, "next": next_steps(run)},
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


def _answer(found: Sequence[Measurement], region: float, absent: tuple[Absent, ...]) -> Answer:
    """About one dataset."""
    several = several_backbones((m.backbone, m.weights) for m in found)
    there = {m.place: m for m in hardest(found)}
    decision = replace(decided([*there.values()], region), absent=absent)
    chosen = there[_place(decision.recommended)]
    figure = f"{words.percent(chosen.accuracy)} correct among {chosen.ways} new classes"
    candidates = [_with_interval(c, there[_place(c)]) for c in decision.candidates]
    sentences = [
        *_interval(chosen, several),
        *(_compared(comparison, decision, several) for comparison in _told(decision)),
        *_choice(decision, chosen, there[_place(decision.leader)], several),
        _beside(chosen, there.values(), several),
        *_within(chosen, found),
    ]
    return Answer(
        words.clean(chosen.dataset, 80),
        decision.claim,
        headline_of(decision.claim, chosen.name(several), figure),
        line_of(decision),
        sentences,
        about=[
            f"{chosen.ways} classes",
            f"{words.plural(chosen.shots, 'label')} each",
            words.plural(chosen.episodes, "episode"),
            words.plural(decision.leader.seeds, "seed"),
        ],
        forest=forest_of(decision, RECOMMENDED.get(decision.claim, ""), candidates),
    )


def _place(c: Candidate) -> tuple[str, str, str]:
    return c.strategy, c.backbone, c.weights


def _with_interval(c: Candidate, m: Measurement) -> Candidate:
    """Below three seeds, with the interval over classes alone."""
    return c if math.isfinite(c.low) else replace(c, low=m.low, high=m.high)


def _interval(chosen: Measurement, several: bool) -> list[str]:
    if not math.isfinite(chosen.low):
        return []
    interval = f"{words.percent(chosen.low)} to {words.percent(chosen.high)}"
    return [f"The 95% CI of {chosen.name(several)} over new classes is {interval}."]


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


def _compared(comparison: Comparison, decision: Decision, several: bool) -> str:
    """What may be said of the leader and another."""
    first, other = (
        configuration_name(c.strategy, c.backbone, c.weights, several)
        for c in (decision.leader, comparison.candidate)
    )
    if not math.isfinite(comparison.low):
        return f"{words.capital(first)} and {other} are not compared: too few seeds have a result."
    apart = words.points(abs(comparison.difference))
    ahead, behind = (first, other) if comparison.difference >= 0 else (other, first)
    said = f"On the same episodes, {ahead} is {apart} points ahead of {behind}"
    return {
        "tied": f"{said}, which counts as a tie.",
        "better": f"{said}: a clear difference.",
    }.get(comparison.verdict, f"{said}: too close to call.")


def _choice(decision: Decision, chosen: Measurement, leader: Measurement, several: bool) -> list[str]:
    """What the claim means for whoever has to choose."""
    if decision.claim == "decided" and chosen is not leader:
        return [
            f"It is as good as the best, {leader.name(several)}, and cheaper: "
            f"{words.duration(chosen.seconds)} instead of {words.duration(leader.seconds)}."
        ]
    return []
