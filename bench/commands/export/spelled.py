"""What train.py can spell out: schedules of stages, and strategies whose learning from features has a macro."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from jinja2.runtime import Macro

from bench.errors import RequestError
from bench.plans.strategies import get_strategy
from bench.system.templates import template
from strategies.base import Stage, Strategy
from strategies.on_features import OnFeatures

TEMPLATES = Path(__file__).parent / "templates"
SIMPLE_FIELDS = (
    "name", "cut", "learning_rate", "weight_decay", "steps", "epochs", "weights", "batch_norm", "warmup",
)  # fmt: skip
"""Fields of a stage that every train.py has; the others have a macro each in ``train_fields.py.j2``."""
BODY_FIELDS = ("rate_decay", "decay_to")
"""Fields that change nothing where the head alone trains."""


def macros(name: str) -> list[str]:
    """The macros of a template."""
    module = template(TEMPLATES, name).module
    return [key for key, value in vars(module).items() if isinstance(value, Macro)]


def method_of(strategy: Strategy, name: str) -> str:
    """The macro that writes how a strategy learns from features; empty for a schedule of stages.

    Raises:
        RequestError: it is neither.
    """
    if strategy.needs_source:
        raise _refusal(name, "It learns from a source dataset, too: choose another with --strategy.")
    if strategy.needs_auxiliary:
        raise _refusal(name, "It learns auxiliary labels, too: choose another with --strategy.")
    if type(strategy).fit is Strategy.fit:
        return ""
    if not strategy.uses_backbone:
        raise _refusal(name, "It uses no network: there is nothing to export.")
    if isinstance(strategy, OnFeatures) and type(strategy).fit is OnFeatures.fit:
        for method in macros("train_methods.py.j2"):
            if type(strategy).learn is type(get_strategy(method)).learn:  # type: ignore[attr-defined]
                return method
    raise _refusal(name, "It trains with code of its own: choose another with --strategy.")


def fields_of(stage: Stage, strategy: str) -> list[str]:
    """The macros of ``train_fields.py.j2`` that a stage needs: its fields that have an effect.

    Raises:
        RequestError: there is none for one of them.
    """
    changed = [
        field.name
        for field in dataclasses.fields(Stage)
        if field.name not in SIMPLE_FIELDS and getattr(stage, field.name) != field.default
    ]
    known = macros("train_fields.py.j2")
    for name in changed:
        if name not in known:
            raise _refusal(
                strategy,
                f"Its stage {stage.name!r} sets {name!r}, which is not among "
                f"{', '.join((*SIMPLE_FIELDS, *known))}: choose another with --strategy.",
            )
    return [name for name in changed if stage.cut != "top" or name not in BODY_FIELDS]


def _refusal(strategy: str, reason: str) -> RequestError:
    return RequestError("strategy", strategy, "a strategy that train.py can spell out", reason)
