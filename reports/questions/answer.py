"""The answer in words: what to use, how sure that is, and what would change it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from bench.modalities.nouns import Noun
from reports import words
from reports.claims import claimed
from reports.next_steps import next_steps
from reports.phrases import absence, has_several, who
from reports.questions.tiles import tiles
from reports.results import Results
from reports.sections import Answer, Section
from reports.statistics.decisions import Decision
from reports.statistics.intervals import MINIMUM_SEEDS
from reports.words import IMAGES


def section(run: Results) -> Section:
    """The answer for each dataset, what is asked next, and whether it depends on the number of labels."""
    return Section(
        "answer",
        "The answer",
        link="Answer",
        several=run.several,
        template="answer.html.j2",
        content={
            "answers": [replace(answer, tiles=tiles(run, answer)) for answer in answers_of(run)],
            "depends": depends_on_labels(run.decisions),
            "metric": words.metric_name(run.metric),
            "next": next_steps(run),
        },
        hidden=True,
    )


def answers_of(run: Results) -> list[Answer]:
    """One answer a dataset."""
    return answers(run.frame, run.decisions, run.price_per_hour, run.noun)


def answers(
    results: pd.DataFrame, decisions: Sequence[Decision], price_per_hour: float = 0.0, noun: Noun = IMAGES
) -> list[Answer]:
    """One answer a dataset, at its largest label count that has a result; costs in money if there is a price."""
    found = []
    for dataset in dict.fromkeys(results["dataset"]):
        mine = [decision for decision in decisions if decision.dataset == dataset]
        if mine:
            answer = claimed(mine[-1], price_per_hour, noun)
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
        found.append(Answer(words.clean(dataset, 80), "none", "There is no answer yet", reason))
    return found


def _at_labels(decision: Decision, several: bool) -> list[str]:
    """A row of the table of answers: labels, what to use, what that reaches and gives up at most, and what may be
    concluded."""
    chosen = decision.recommended
    interval = (
        f" ({words.percent(chosen.low)} to {words.percent(chosen.high)})" if math.isfinite(chosen.low) else ""
    )
    return [
        words.count(decision.n),
        who(chosen, several),
        words.percent(chosen.value) + interval,
        words.in_points(words.raised(chosen.at_most))
        if decision.compared > 1 and chosen.at_most < 1
        else "–",
        conclusion(decision, several),
    ]


def conclusion(decision: Decision, several: bool) -> str:
    """What may be said of a decision, in a few words."""
    if decision.compared == 1 and decision.absent:
        return "only this one was run"
    rivals = [who(c, several) for c in decision.with_verdict("undecided") if c != decision.recommended]
    rivals = rivals or [who(decision.leader, several)]
    return {
        "provisional": f"provisional: fewer than {MINIMUM_SEEDS} seeds",
        "better": "the best of all tried",
        "floor": f"not better than {words.FLOORS[decision.task]}",
        "decided": "decided",
        "incomplete": f"decided among what has a result: {absence(decision) or 'others have fewer seeds'}",
        "alone": "nothing to compare with",
        "undecided": f"not decided: {words.some(rivals, 2)} may be better",
    }[decision.claim]


def depends_on_labels(decisions: Sequence[Decision]) -> dict[str, str]:
    """By dataset (as ``Answer`` calls it), whether the answer depends on the number of labels; of those with
    more than one label count.

    Args:
        decisions: of ``decide``.
    """
    found = {}
    for dataset in dict.fromkeys(decision.dataset for decision in decisions):
        # Where fewer were run, nothing was chosen.
        mine = [d for d in decisions if d.dataset == dataset and len(d.candidates) > 1]
        mine = [d for d in mine if d.compared > 1 or d.claim == "provisional"]
        if len(mine) < 2:
            continue
        several = has_several(mine)
        counts: dict[str, list[str]] = {}
        for decision in mine:
            counts.setdefault(who(decision.recommended, several), []).append(words.count(decision.n))
        settled = sum(decision.is_decided for decision in mine)
        if len(counts) == 1:
            text = f"no: use {next(iter(counts))} at all {len(mine)} label counts"
        else:
            chosen = [f"{name} with {words.listed(at)} labels" for name, at in counts.items()]
            text = f"yes: use {', and '.join(chosen)}"
        where = (
            "none of them" if not settled else "all" if settled == len(mine) else f"{settled} of {len(mine)}"
        )
        found[words.clean(dataset, 80)] = words.sentence(f"{text}. The answer is decided at {where}.")
    return found
