"""The hyperparameters that a strategy declares, and which of them it reads."""

from __future__ import annotations

import math
from typing import Any

from bench.commands.strategy_check.findings import Findings, told_as
from strategies.base import Strategy

OF_THE_HEAD = ("hidden_units", "dropout")


def check_space(strategy: Strategy, found: Findings) -> Any:
    """Looks at what a strategy declares, and returns its space."""
    from keras_tuner.engine.hyperparameters import HyperParameters

    declared: list[str] = []

    class Noting(HyperParameters):
        """Notes each declaration: keras-tuner passes over the second of a name."""

        def _retrieve(self, hp: Any) -> Any:
            declared.append(hp.name)
            return super()._retrieve(hp)

    noting, space, again = Noting(), HyperParameters(), HyperParameters()
    with told_as("space()", found):
        strategy.space(noting)
        strategy.space(space)
        strategy.space(again)
    if space.get_config() != again.get_config():
        found.wrong("space() does not declare the same each time it is asked.")
    _check_names(declared, found)
    for hp in space.space:
        if problem := _range_problem(hp):
            found.wrong(f"Hyperparameter {hp.name!r}: {problem}.")
    return space


def _check_names(declared: list[str], found: Findings) -> None:
    for name in dict.fromkeys(declared):
        if declared.count(name) > 1:
            found.wrong(f"space() must declare {name!r} once: only the first counts.")
        if name in OF_THE_HEAD:
            found.wrong(
                f"space() declares {name!r}, which is the head's and is set in the plan, for all alike."
            )
        if name.startswith("tuner/"):
            found.wrong(f"space() must not declare {name!r}: names that begin so belong to keras-tuner.")


def _range_problem(hp: Any) -> str:
    """What is wrong with one hyperparameter; empty if nothing is."""
    if type(hp).__name__ in ("Float", "Int"):
        low, high = hp.min_value, hp.max_value
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            return f"it ranges from {low} to {high}"
        if not low <= hp.default <= high:
            return f"its default {hp.default} lies outside of {low} to {high}"
        return ""
    if hp.default not in list(hp.values):
        return f"its default {hp.default!r} is none of {list(hp.values)}"
    return ""


class Reading:
    """Hyperparameters that note which of them are read."""

    def __init__(self, hp: Any, read: set[str]) -> None:
        self._hp, self._read = hp, read

    def get(self, name: str) -> Any:
        self._read.add(name)
        if name not in self._hp.values:
            raise KeyError(f"it asks for the hyperparameter {name!r}, which space() does not declare")
        return self._hp.get(name)

    def __getattr__(self, name: str) -> Any:  # anything else may read them all
        self._read.update(self._hp.values)
        return getattr(self._hp, name)


def check_read(space: Any, read: set[str], found: Findings) -> None:
    """Looks for hyperparameters that are declared in vain."""
    for hp in space.space:
        if hp.name not in read:
            found.better(
                f"Hyperparameter {hp.name!r} is declared and never read: trials are spent on nothing."
            )
