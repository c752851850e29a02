"""Options of the command line as keywords in Python: the same names, and the keys of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from bench.cli.expand import Sets, options_of
from bench.cli.options import PlanOptions, overridden, quickstart
from bench.datasets.objects import is_data
from bench.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    from bench.plans.plan import Plan


def plan_of(given: Any, options: Mapping[str, Any], demo: str | None = None, trust: bool = False) -> Plan:
    """The plan of what a user gives in Python.

    Args:
        given: a plan, a dictionary of its keys, the path of a ``.toml`` file, or data; None: the quickstart.
        options: keywords, which override it.
        demo: which quickstart.
        trust: whether strategies ``module:Class`` that a file names may be imported.

    Raises:
        RequestError: an option does not exist, or a value cannot be used.
    """
    from bench.plans.loading import load_plan, merged
    from bench.plans.plan import Plan
    from bench.plans.plan_file import read_toml

    keys = list(keys_of(PlanOptions, options))
    if isinstance(given, Plan) and not keys:
        return given
    if isinstance(given, Plan):
        return load_plan(overridden(given.model_dump(exclude_unset=True), keys))
    if given is None:
        return load_plan(overridden(quickstart(dict(keys), demo), keys))
    if isinstance(given, (str, PurePath)) and str(given).endswith(".toml"):
        from pathlib import Path

        asked = dict(keys).get("strategies", [])
        return merged(overridden(read_toml(Path(given)), keys), map(str, asked), trust)
    return load_plan(overridden({"datasets": [given]} if is_data(given) else dict(given), keys))


def keys_of(group: type, options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys of a plan that keywords set: options of a group, or keys themselves. None sets nothing.

    Raises:
        RequestError: there is no such option.
    """
    from bench.plans.plan import Plan
    from bench.plans.protocol import PROTOCOLS

    known = {option.name: option for option in options_of(group)}
    keys = {*Plan.model_fields, *(name.replace("-", "_") for name in PROTOCOLS), "weights"}
    for name, value in options.items():
        sets = (
            [s for s in getattr(known[name].annotation, "__metadata__", ()) if isinstance(s, Sets)]
            if (name in known)
            else []
        )
        if not sets and name not in keys:
            remedy = (
                did_you_mean(name, [*known, *keys]) or "See help(bench.run) and `python -m bench run --help`."
            )
            raise RequestError(name, value, "left out: there is no such option", remedy)
        if value is not None:
            yield (
                (sets[0].key, _value(known[name].annotation, sets[0], name, value)) if sets else (name, value)
            )


def _value(annotation: Any, sets: Sets, name: str, value: Any) -> Any:
    """The value of a key: a text as it would be typed, or what Python has for it."""
    if "list[str]" in str(annotation.__origin__):
        return value if isinstance(value, list) else [value]
    if isinstance(value, str):
        return sets.read(name, value)
    return list(value) if isinstance(value, tuple) else value
