"""Hyperparameters that are given and not searched: ``partial_finetune:unfreeze=0.25``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from bench.errors import RequestError, did_you_mean
from strategies.base import Info, Limit, Strategy
from strategies.refuse import stage_problems

LIMITS = {"learning_rate": Limit(1e-6, 1), "weight_decay": Limit(0, 50)}
"""Of hyperparameters that mean the same in every strategy, unless it says otherwise."""


class Declared:
    """Stands in for keras-tuner's ``HyperParameters`` where only the names are asked for: that one loads Keras.

    Attributes:
        values: by name, its default.
        choices: by name, the only values there are, where these are no numbers.
        searched: by name, what is searched, in words; those that the strategy fixes are not there.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.choices: dict[str, list[Any]] = {}
        self.searched: dict[str, str] = {}

    def Float(self, name: str, min_value: float, max_value: float, **options: Any) -> Any:
        return self._add(name, float(options.get("default", min_value)), f"{min_value:g}..{max_value:g}")

    def Int(self, name: str, min_value: int, max_value: int, **options: Any) -> Any:
        return self._add(name, int(options.get("default", min_value)), f"{min_value}..{max_value}")

    def Choice(self, name: str, values: Sequence[Any], **options: Any) -> Any:
        if isinstance(values[0], (str, bool)):
            self.choices[name] = list(values)
        words = "|".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
        return self._add(name, options.get("default", values[0]), words)

    def Boolean(self, name: str, default: bool = False, **options: Any) -> Any:
        self.choices[name] = [True, False]
        return self._add(name, default, "True|False")

    def Fixed(self, name: str, value: Any, **options: Any) -> Any:
        return self.values.setdefault(name, value)

    def get(self, name: str) -> Any:
        return self.values[name]

    def _add(self, name: str, default: Any, words: str) -> Any:
        if name not in self.values:
            self.searched[name] = words
        return self.values.setdefault(name, default)


def declared(space: Callable[[Declared], None]) -> Declared:
    """What a strategy's ``space``, or a protocol in its place, declares."""
    found = Declared()
    space(found)
    return found


def hyperparameters(strategy: Strategy) -> str:
    """What may be given, in one line: each name with what is searched, or with the value that it has otherwise."""
    found = declared(strategy.space)
    told = {**{name: f"={value}" for name, value in found.values.items()},
            **{name: f" {words}" for name, words in found.searched.items()}}  # fmt: skip
    return ", ".join(f"{name}{words}" for name, words in told.items())


def parse_fixed(text: str, strategy: Strategy, options: str) -> dict[str, Any]:
    """Reads ``name=value,...``.

    A number may lie outside of what is searched: looking there is what one would give it for. It has to lie within
    the strategy's ``limits``, and stages that follow from it have to be such as can be trained.

    Raises:
        RequestError: there is no such hyperparameter, or it cannot have this value.
    """
    fixed: dict[str, Any] = {}
    if not options:
        return fixed
    declared = Declared()
    for space in strategy.spaces():
        space(declared)
    if strategy.needs_auxiliary:
        declared.Fixed("auxiliary", "all")  # which of the plan's; what learns them is not told
    for option in options.split(","):
        name, equals, value = (part.strip() for part in option.partition("="))
        if not equals or name not in declared.values or name in fixed:
            if not declared.values:
                expected = "named without options, because it has no hyperparameters"
            else:
                expected = (
                    f"have options name=value,... with names among {', '.join(declared.values)}, each once"
                )
            raise RequestError("strategy", text, expected, did_you_mean(name, declared.values))
        fixed[name] = declared.values[name] = _value(text, name, value, declared)
        _check(text, name, fixed[name], {**LIMITS, **strategy.limits}.get(name), declared)
    if type(strategy).fit is Strategy.fit and (wrong := stage_problems(strategy.stages(declared, EXAMPLE))):
        raise RequestError("strategy", text, "have values that it can use", wrong[0])
    return fixed


EXAMPLE = Info("image", ("a", "b"), n=100, has_weights=True, image_size=96, batch_size=32)
"""What stages are asked of where no cell is at hand."""


def _value(text: str, name: str, value: str, declared: Declared) -> Any:
    if name in declared.choices:
        found = {str(choice).lower(): choice for choice in declared.choices[name]}
        if value.lower() not in found and _is_number(value) and any(map(_is_number, found)):
            return value
        if value.lower() not in found:
            raise RequestError("strategy", text, f"have {name} as one of {', '.join(found)}")
        return found[value.lower()]
    kind = type(declared.values[name])
    if kind is str:
        return value
    try:
        number = kind(value)
    except ValueError:
        number = None
    if number is None or not abs(number) < float("inf"):
        raise RequestError(
            "strategy", text, f"have {name} as {'a whole number' if kind is int else 'a number'}"
        )
    return number


def _check(text: str, name: str, value: Any, limit: Limit | None, declared: Declared) -> None:
    if limit is None or isinstance(value, str) or limit.least <= value <= limit.most:
        return
    bounded = limit.most < math.inf
    wanted = f"from {limit.least:g} to {limit.most:g}" if bounded else f"of {limit.least:g} or more"
    found = declared.searched.get(name)
    remedy = limit.otherwise or (f"Left out, it is searched: {found}." if found else "")
    raise RequestError("strategy", text, f"have {name} {wanted}", remedy)


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False
