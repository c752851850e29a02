"""Groups of options: a frozen dataclass in a command's signature stands for one option a field."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, is_dataclass
from functools import wraps
from typing import Any

from typer.models import ArgumentInfo, OptionInfo

from bench.errors import RequestError


@dataclass(frozen=True)
class Sets:
    """Stands beside an option in its ``Annotated``: the key of the plan that it sets.

    Attributes:
        key: dotted for a section, ``tuning.trials``.
        read: makes the value of the key, given the option's name and what was typed.
    """

    key: str
    read: Callable[[str, Any], Any] = lambda name, value: value


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Returns the command with each group in its signature replaced by the options of the group, in their place."""

    options = list(options_of(command))
    spelled = {field: name for option in options for field, name in _spelled(option)}

    @wraps(command)
    def called(**values: Any) -> None:
        try:
            _call(command, values)
        except RequestError as error:
            error.name = spelled.get(error.field, error.field)
            raise

    called.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    called.__annotations__ = {option.name: option.annotation for option in options}
    return called


def plan_keys(group: Any) -> Iterator[tuple[str, Any]]:
    """Yields the keys of the plan that a group's options set, with their values; no key for an option not given."""
    for option in _parameters(type(group)):
        value = getattr(group, option.name)
        if is_dataclass(value):
            yield from plan_keys(value)
        for sets in getattr(option.annotation, "__metadata__", ()):
            if isinstance(sets, Sets) and value not in (None, []):
                yield sets.key, sets.read(option.name, value)


def _spelled(option: inspect.Parameter) -> Iterator[tuple[str, str]]:
    """Yields the fields that an error may name, each with the flag: ``tuning.trials`` and ``--trials``."""
    typed = ""
    for about in getattr(option.annotation, "__metadata__", ()):
        if isinstance(about, OptionInfo):
            # Beside an annotation, typer keeps the first name as the default.
            names = (
                about.default,
                *(about.param_decls or ()),
                f"--{option.name.strip('_').replace('_', '-')}",
            )
            typed = next(name for name in names if isinstance(name, str))
        elif isinstance(about, ArgumentInfo):
            typed = (about.metavar or option.name.upper()).strip("[]")
        elif isinstance(about, Sets):
            yield about.key, typed
    yield option.name, typed or option.name


def _parameters(of: Callable[..., Any]) -> Iterable[inspect.Parameter]:
    return inspect.signature(of, eval_str=True).parameters.values()


def _is_group(parameter: inspect.Parameter) -> bool:
    return is_dataclass(parameter.annotation)


def options_of(of: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    """Yields the options of a command or a group, those of inner groups among them."""
    for parameter in _parameters(of):
        if _is_group(parameter):
            yield from options_of(parameter.annotation)
        else:
            yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)


def _call(of: Callable[..., Any], values: dict[str, Any]) -> Any:
    """Calls a command, or makes a group, with its share of the values."""
    arguments = {
        parameter.name: _call(parameter.annotation, values)
        if _is_group(parameter)
        else values[parameter.name]
        for parameter in _parameters(of)
    }
    return of(**arguments)
