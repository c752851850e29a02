"""How long the cells of a plan train, as far as that is known before they run."""

from __future__ import annotations

from collections.abc import Callable

from bench.plans.given import EXAMPLE, Declared, declared
from strategies.base import Stage, Strategy
from strategies.lengths import batch_size_of, epochs_of, steps_an_epoch


def default_stages(strategy: Strategy, space: Callable[[Declared], None] | None = None) -> list[Stage]:
    """The schedule of a strategy at its defaults; empty where it is no schedule, or its stages cannot be told.

    Args:
        strategy: which.
        space: what declares its hyperparameters; by default its own ``space``.
    """
    try:
        point = declared(space or strategy.space)
        point.values.update(strategy.fixed)
        return strategy.stages(point, EXAMPLE)
    except Exception:  # the code of others may need more than names and defaults
        return []


def training(
    stages: list[Stage], n: int, n_source: int, batch_size: int, epochs: int, length: float
) -> tuple[int, int]:
    """The optimizer steps of the last stage, and the examples that all of them see.

    Stages of the head alone count only where there is no other: they are a small part of the rest.

    Args:
        stages: of a strategy.
        n: labelled examples of the target.
        n_source: labelled examples of the source.
        batch_size, epochs, length: of the plan.
    """
    steps = examples = 0
    for stage in [stage for stage in stages if stage.cut != "top"] or stages:
        labels = {"target": n, "source": n_source, "both": n + n_source}[stage.data]
        size = batch_size_of(stage, n, batch_size, n_source)
        steps = epochs_of(stage, labels, size, epochs, length) * steps_an_epoch(labels, size)
        examples += steps * size
    return steps, examples


def described(stages: list[Stage]) -> str:
    """How long a schedule takes, for people."""
    if len(stages) > 2:
        return f"{len(stages)} stages; the last: {_steps(stages[-1])}"
    return ", then ".join(f"{stage.name}: {_steps(stage)}" for stage in stages)


def _steps(stage: Stage) -> str:
    most = "--epochs" if stage.epochs is None else f"{stage.epochs} epochs"
    return f"{stage.steps} steps or {most}" if stage.steps else most
