"""The stages of a strategy that is a schedule, at many points of its space."""

from __future__ import annotations

from typing import Any

from bench.commands.strategy_check.findings import Findings, told_as
from bench.commands.strategy_check.space import Reading, check_read
from strategies.base import Info, Stage, Strategy
from strategies.refuse import stage_problems

POINTS = 20
"""Points of the space whose stages are looked at."""


def check_stages(strategy: Strategy, space: Any, info: Info, found: Findings) -> None:
    """Looks at the stages at the default and at random points, up to the first that has a problem."""
    read: set[str] = set()
    for number in range(POINTS):
        problems = _problems_at(_point(space, number), strategy, info, read, found)
        for problem in problems:
            found.wrong(problem)
        if problems:
            return
    check_read(space, read, found)


def _point(space: Any, number: int) -> Any:
    """The default first, then random ones."""
    point = space.copy()
    if number:
        point.values = {hp.name: hp.random_sample(number) for hp in space.space}
    return point


def _problems_at(point: Any, strategy: Strategy, info: Info, read: set[str], found: Findings) -> list[str]:
    with told_as("stages()", found, f" with {point.values}" if point.values else ""):
        stages = strategy.stages(Reading(point, read), info)
        same = strategy.stages(Reading(point, read), info) == stages
    problems = stage_problems(stages) or _unfair(strategy, stages)
    if not same:
        problems.append("stages() gives another schedule when it is asked again.")
    return problems


def _unfair(strategy: Strategy, stages: list[Stage]) -> list[str]:
    """What can be trained, but not as the strategy says or as others are."""
    problems = [
        f"Stage {stage.name!r}: learning_rate={stage.learning_rate:g} is relative: each step would move a kernel "
        "by more than its own size."
        for stage in stages
        if stage.learning_rate >= 1
    ]
    problems += [
        f"Stage {stage.name!r}: learning_rate x weight_decay is {stage.learning_rate * stage.weight_decay:g}: a "
        "step would take off all of a kernel."
        for stage in stages
        if stage.learning_rate * stage.weight_decay >= 1
    ]
    first, last = stages[0], stages[-1]
    if not last.steps:
        problems.append(
            f"The last stage, {last.name!r}, has steps=0: with few labels an epoch is a handful of steps, so it "
            "would train next to nothing. Say how many steps it takes at least."
        )
    if strategy.uses_weights != (first.weights == "pretrained"):
        problems.append(
            f"uses_weights is {strategy.uses_weights}, but its stages start from {first.weights} weights."
        )
    return problems
