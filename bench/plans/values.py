"""What a stored cell says of itself, held against what its strategy, plan and modality can have said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from bench.errors import RecordError
from bench.modalities.registry import plan_keys
from bench.plans.given import LIMITS, declared
from bench.plans.plan import Head, Precision, Tuning
from bench.plans.protocol import PROTOCOLS, protocol
from bench.records import Cell, Record
from bench.system import backend
from bench.system.sections import Section
from strategies.base import Stage, Strategy
from strategies.refuse import stage_problems

OF_OTHER = ("dataset", "name", "fingerprint", "groups")
"""What the stamp of another dataset says of it."""


def check_cell(cell: Cell) -> None:
    """Refuses settings of a stored cell that no plan can have.

    Raises:
        RecordError: names the first of them.
    """
    choices = {
        "protocol": PROTOCOLS,
        "backend": backend.BACKENDS,
        "precision": get_args(Precision),
        "modality": plan_keys(),
    }
    for name, known in choices.items():
        if getattr(cell, name) not in known:
            raise _error(cell.id, f"cell.{name}", getattr(cell, name), " or ".join(known))
    sections: dict[str, type[Section]] = {
        "head": Head,
        "tuning": Tuning,
        "examples": plan_keys()[cell.modality],
        "protocol_settings": protocol(cell.protocol).settings or Section,
    }
    for name, section in sections.items():
        try:
            section.model_validate(getattr(cell, name))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, ("cell", name, *first["loc"])))
            raise _error(
                cell.id, place, first["input"], first["msg"].removeprefix("Input should be ")
            ) from None
        if missing := [key for key in section.model_fields if key not in getattr(cell, name)]:
            raise _error(cell.id, f"cell.{name}.{missing[0]}", "nothing", "what the cell was run with")
    for kind, stamp in cell.companions.items():
        if stamp.keys() != {"columns"} and (missing := [key for key in OF_OTHER if key not in stamp]):
            raise _error(cell.id, f"cell.companions.{kind}.{missing[0]}", "nothing", "what it was run with")


def check_hyperparameters(record: Record, strategy: Strategy) -> None:
    """Refuses hyperparameters that the strategy does not have, or that cannot have these values.

    Raises:
        RecordError: names the first of them.
    """
    space = declared(strategy.space)
    head = {key: value for key, value in record.cell["head"].items() if isinstance(value, list)}
    wanted = (
        {**space.values, **head, **strategy.fixed}
        if strategy.uses_backbone
        else {**space.values, **strategy.fixed}
    )
    found = record.hyperparameters
    for name in sorted({*wanted} ^ {*found}):
        what = (
            "left out, because its strategy has none of this name"
            if name in found
            else "given, because its strategy has one"
        )
        raise _error(record.cell_id, f"hyperparameters.{name}", found.get(name), what)
    for name, value in found.items():
        if expected := _expected(value, wanted[name], space.choices.get(name), head.get(name)):
            raise _error(record.cell_id, f"hyperparameters.{name}", value, expected)
        limit = {**LIMITS, **strategy.limits}.get(name)
        if limit and not isinstance(value, str) and not limit.least <= value <= limit.most:
            expected = f"a value from {limit.least:g} to {limit.most:g}"
            raise _error(record.cell_id, f"hyperparameters.{name}", value, expected)


def _expected(value: Any, usual: Any, choices: Sequence[Any] | None, head: Sequence[Any] | None) -> str:
    """What a value should have been; empty if it is."""
    if among := choices or head:
        return (
            "" if any(value == choice and type(value) is type(choice) for choice in among) else _listed(among)
        )
    if isinstance(usual, (str, bool)):
        return "" if type(value) is type(usual) else f"a value like {usual!r}"
    whole = isinstance(usual, int)
    fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    return "" if fits and math.isfinite(value) else "a whole number" if whole else "a number"


def _listed(values: Sequence[Any]) -> str:
    return " or ".join(map(repr, values))


def check_stages(record: Record, stages: Sequence[Stage]) -> None:
    """Refuses a schedule that follows from hyperparameters and cannot be trained.

    Raises:
        RecordError: says why.
    """
    if problems := stage_problems(stages):
        raise RecordError(f"{record.cell_id}.json: hyperparameters: {problems[0]}")


def chosen_trial(record: Record) -> Mapping[str, Any]:
    """The trial that the refit was made from. Where nothing was searched: no score, and the cell's own length.

    Raises:
        RecordError: there is none, or it says too little.
    """
    if not record.trials and not record.cell["tuning"]["trials"]:
        return {"score": 0.0, "length": record.cell["length"]}
    for trial in record.trials:
        if trial.get("chosen") and isinstance(trial.get("score"), (int, float)) and trial.get("length"):
            return trial
    raise _error(
        record.cell_id, "trials", f"{len(record.trials)} of them", "one that is chosen, with score and length"
    )


def _error(cell_id: str, field: str, received: Any, expected: str) -> RecordError:
    return RecordError(f"{cell_id}.json: {field} must be {expected} (got {received!r}).")
