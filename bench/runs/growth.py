"""How a run grows: a plan that asks for more in the directory of another keeps what is there, and adds to it.

More seeds, fractions, strategies and backbones leave every cell as it was. More trials change every cell: all run
again, and the records of before stay where they are without being part of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.backbones.spec import parse_backbone
from bench.plans.plan import NUMBERLESS, Plan
from bench.plans.resolved import Resolved, resolve
from bench.plans.strategies import get_strategy

LISTS = ("backbones", "strategies", "fractions")
GROWS = (*LISTS, "seeds")
"""Keys of a plan of which its run may have more later."""


def other_settings(stored: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """The keys by which two plans differ where no run can grow: each would change the cells that are there."""
    stored, asked = _without_trials(stored), _without_trials(asked)
    keys = sorted({*stored, *asked} - {*NUMBERLESS, *GROWS})
    return [key for key in keys if stored.get(key) != asked.get(key)]


def _without_trials(plan: dict[str, Any]) -> dict[str, Any]:
    return {**plan, "tuning": {**plan.get("tuning", {}), "trials": None}}


def grown(asked: Resolved, given: Plan, stored: Plan) -> Resolved:
    """The plan of a run directory with what is asked for beyond it.

    Nothing of the directory's plan is lost: seeds and trials are the larger number, all else is what either has.
    What was not given is as it is there, whatever its default.

    Args:
        asked: the plan, all of its backbones named.
        given: the same as it was given, which knows what it left out.
        stored: the plan of the directory, which differs in nothing but what may grow.

    Raises:
        RequestError: a name in the directory's plan is not known here.
    """
    plan, is_given = asked.plan, given.model_fields_set
    there, more = _lists(stored), _lists(plan)
    both = {key: list(dict.fromkeys(there[key] + more[key] * (key in is_given))) for key in LISTS}
    tunes = "tuning" in is_given and "trials" in given.tuning.model_fields_set
    trials = max(stored.tuning.trials, plan.tuning.trials) if tunes else stored.tuning.trials
    return resolve(
        plan.model_copy(
            update={
                **both,
                "fractions": sorted(both["fractions"]),
                "seeds": max(stored.seeds, plan.seeds) if "seeds" in is_given else stored.seeds,
                "tuning": plan.tuning.model_copy(update={"trials": trials}),
            }
        )
    )


def has_more_trials(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two tunings differ in nothing but that the later has more trials."""
    return {**then, "trials": now["trials"]} == now and now["trials"] > then.get("trials", 0)


def _lists(plan: Plan) -> dict[str, list[Any]]:
    """The values of the keys that are lists, each written in the one way that run directories hold."""
    return {
        "backbones": [parse_backbone(text).text for text in plan.named],
        "strategies": [get_strategy(text).text for text in plan.strategies],
        "fractions": plan.fractions,
    }


def shrinks(before: Plan, after: Plan) -> bool:
    """Whether a plan lacks something of an earlier one that a run may only have more of."""
    then, now = _lists(before), _lists(after)
    lacks = any(not {*then[key]} <= {*now[key]} for key in LISTS)
    return lacks or after.seeds < before.seeds or after.tuning.trials < before.tuning.trials


def told(stored: Plan, plan: Plan) -> list[str]:
    """How a run grows, in sentences; none if it does not."""
    more = []
    there, now = _lists(stored), _lists(plan)
    for key in LISTS:
        if new := [value for value in now[key] if value not in there[key]]:
            more.append(f"{key} {', '.join(map(str, new))}")
    if plan.seeds > stored.seeds:
        more.append(f"{plan.seeds} seeds instead of {stored.seeds}")
    if plan.tuning.trials > stored.tuning.trials:
        text = f"The run grows: {plan.tuning.trials} trials instead of {stored.tuning.trials}"
        return [
            f"{'; '.join([text, *more])}.",
            "More trials change every cell, so all run again. Earlier records stay in cells/, outside the report.",
        ]
    return [f"The run grows: {'; '.join(more)}. What is finished stays."] if more else []
