"""Which strategy a text names, and which hyperparameters it is given."""

from __future__ import annotations

import sys
from typing import Any

from bench.errors import RequestError, did_you_mean
from bench.plans.given import parse_fixed
from bench.system.plugins import Unusable, find, here, load, origin, plugins
from strategies import STRATEGIES
from strategies.base import Strategy


def get_strategy(text: str) -> Strategy:
    """The strategy that a text names: ``name``, or ``name:hyperparameter=value,...`` for values not to be searched.

    Args:
        text: the name is one of ``STRATEGIES``, of another package's plug-in, or ``package.module:Class``.

    Raises:
        RequestError: there is none of this name, it cannot be used, or it has no such hyperparameter or value.
    """
    name, options = divided(text)
    strategy, _ = _made(name)
    strategy.fixed = parse_fixed(text, strategy, options)
    strategy.text = ":".join([name, *([spelled(strategy.fixed)] if strategy.fixed else [])])
    return strategy


def spelled(fixed: dict[str, Any]) -> str:
    """Hyperparameters with their values in the one way that records hold: ``learning_rate=0.003,unfreeze=0.5``."""
    return ",".join(f"{name}={value}" for name, value in sorted(fixed.items()))


def divided(text: str) -> tuple[str, str]:
    """A strategy's name, and the hyperparameters that are given with it."""
    name, _, rest = text.partition(":")
    if name in STRATEGIES or "=" in rest.partition(":")[0]:
        return name, rest
    attribute, _, options = rest.partition(":")
    return (f"{name}:{attribute}" if attribute else name), options


def strategy_origin(text: str) -> str:
    """What names the code of a strategy (see ``bench.system.plugins.origin``); empty if it is built in.

    Raises:
        RequestError: see ``get_strategy``.
    """
    name, _ = divided(text)
    if name in STRATEGIES or name.startswith("strategies."):
        return ""
    strategy, package = _made(name)
    return origin(type(strategy), package)


def ask_for(*texts: str) -> None:
    """Says that the person who runs this has named these strategies: only then is ``module:Class`` imported. What a
    plan, a record or a folder names may be anybody's."""
    _ASKED.update(divided(text)[0] for text in texts)


def ask_for_any() -> None:
    """The same of whatever will be named: ``--trust``, and what a parent process has let through."""
    _ASKED.add(ANY)


ANY = "*"
_ASKED: set[str] = set()


def is_code(text: str) -> bool:
    """Whether a strategy is named as ``module:Class``, which is imported only if it is asked for."""
    return ":" in divided(text)[0]


def _check_asked(name: str) -> None:
    module = name.partition(":")[0]
    if _ASKED & {name, ANY} or module in sys.modules or module.startswith("strategies."):
        return
    remedy = f"A file names it, and it is code. If you trust it, add --trust or --strategy {name}."
    raise RequestError("strategy", name, "a strategy that you asked for", remedy)


def load_strategy(name: str) -> tuple[type[Strategy], str]:
    """The class of a strategy, and the package that declares it if one does.

    Raises:
        RequestError: there is none of this name, or it is code that nobody asked for.
        bench.system.plugins.Unusable: it cannot be used.
    """
    target = STRATEGIES.get(name, name)
    if ":" in target:
        if target == name:
            _check_asked(name)
            here()
        return load(target, Strategy), ""
    plugin = find("strategies", name)
    if plugin is None:
        names = [*STRATEGIES, *(plugin.name for plugin in plugins("strategies", STRATEGIES))]
        remedy = did_you_mean(name, names, "strategies")
        raise RequestError("strategy", name, "a known strategy or package.module:Class", remedy)
    return plugin.load(Strategy), plugin.package


def _made(name: str) -> tuple[Strategy, str]:
    try:
        kind, package = load_strategy(name)
    except Unusable as error:
        expected = "a class that can be imported" if ":" in name else "a plug-in that works"
        raise RequestError("strategy", name, expected, f"{error}.") from error
    try:
        return kind(), package
    except Exception as error:
        reason = f"{type(error).__name__}: {error}."
        raise RequestError("strategy", name, "a class that is made without arguments", reason) from error
