"""Strategies, backbones and datasets of other packages, found by entry points.

A package declares what it brings in its ``pyproject.toml``; ``docs/howto`` shows a whole one::

    [project.entry-points."transfer_bench.strategies"]
    last_block = "my_package.last_block:LastBlock"

Reading what is declared takes milliseconds and imports nothing. It is only done for a name that is not built in,
and for ``bench ls``; a plug-in is imported when it is used or listed. So one that is broken hurts nobody else.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections import defaultdict
from collections.abc import Container
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

GROUPS = {
    "strategies": "transfer_bench.strategies",
    "backbones": "transfer_bench.backbones",
    "datasets": "transfer_bench.datasets",
}
"""Entry-point group of each kind of plug-in."""


class Unusable(Exception):
    """Why a plug-in cannot be used, in one line."""


@dataclass(frozen=True)
class Plugin:
    """Something that another package declares.

    Attributes:
        name: that it is asked for by.
        target: ``module:Class``.
        package: distribution and version, ``my-package 1.2``.
        problem: why it cannot be used, as far as that is known without importing it.
    """

    name: str
    target: str
    package: str
    problem: str = ""

    def load(self, base: type) -> type[Any]:
        """Its class.

        Raises:
            Unusable: it cannot be imported, or is no subclass of ``base``.
        """
        if self.problem:
            raise Unusable(f"{self.package}: {self.problem}")
        try:
            return load(self.target, base)
        except Unusable as error:
            raise Unusable(f"{self.package}: {error}") from error


def plugins(kind: str, taken: Container[str] = ()) -> list[Plugin]:
    """All that is declared of a kind, by name; nothing is imported.

    Args:
        kind: a key of ``GROUPS``.
        taken: names of what is built in, which no plug-in can have.
    """
    return [
        replace(plugin, problem="this name is built in, and what is built in goes first")
        if plugin.name in taken
        else plugin
        for plugin in _declared(tuple(sys.path))[kind]
    ]


def find(kind: str, name: str) -> Plugin | None:
    """The plug-in of this name, if there is one."""
    return next((plugin for plugin in plugins(kind) if plugin.name == name), None)


@cache
def _declared(path: tuple[str, ...]) -> dict[str, list[Plugin]]:
    """By kind; ``path`` is ``sys.path``, where packages are looked for."""
    from importlib import metadata  # slow to import; most commands ask for no plug-in

    kinds = {group: kind for kind, group in GROUPS.items()}
    # By kind and name, then by distribution.
    found: dict[tuple[str, str], dict[str, Plugin]] = defaultdict(dict)
    # Not metadata.entry_points(): that one fails for all if one package's file is damaged.
    for distribution in metadata.distributions():
        try:
            for entry in distribution.entry_points:
                if entry.group in kinds:
                    package = f"{distribution.name} {distribution.version}"
                    plugin = Plugin(entry.name, entry.value.partition("[")[0].strip(), package)
                    # Of a distribution that is installed twice, the first on the path is what gets imported.
                    found[kinds[entry.group], entry.name].setdefault(distribution.name, plugin)
        except Exception as error:
            text = distribution.read_text("entry_points.txt") or ""
            for kind, group in GROUPS.items():
                if group in text:
                    problem = f"its entry_points.txt cannot be read ({type(error).__name__}: {error})"
                    found[kind, f"({distribution.name})"]["?"] = Plugin(
                        f"({distribution.name})", "", distribution.name, problem
                    )
    result: dict[str, list[Plugin]] = {kind: [] for kind in GROUPS}
    for (kind, _), of_name in sorted(found.items()):
        first, *others = of_name.values()
        if others:
            packages = " and ".join(plugin.package for plugin in of_name.values())
            first = replace(first, package=packages, problem="they declare the same name")
        result[kind].append(first)
    return result


def here() -> None:
    """Lets modules of the current folder be imported, for what was asked for by name; last, so that they hide
    nothing. Workers get the same path."""
    folder = os.getcwd()
    if not {"", folder} & set(sys.path):
        sys.path.append(folder)


def load(target: str, base: type) -> type[Any]:
    """The class that ``module:Class`` names.

    Args:
        target: as ``module:Class``.
        base: what it has to be a subclass of.

    Raises:
        Unusable: it cannot be imported, or is something else.
    """
    module, _, attribute = target.partition(":")
    if module == "__main__":
        raise Unusable("workers cannot find what is defined in the script that runs: put it into a module")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # the code of others
        raise Unusable(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
    if not isinstance(found, type) or not issubclass(found, base):
        what = (
            f"the class {attribute}" if isinstance(found, type) else f"{attribute}, a {type(found).__name__},"
        )
        raise Unusable(f"{what} is not derived from {base.__module__}.{base.__qualname__}")
    return found


def origin(found: type, package: str = "") -> str:
    """What names the code of a class: package and version, and a hash of its source and that of its bases.

    What is imported beside them does not count, nor does what is built in: these have versions of their own.
    Asked once in a process, about what was loaded then.

    Args:
        found: the class.
        package: the distribution that declares it, with its version, if one does.
    """
    return f"{package} source {_source(found)}".strip()


@cache
def _source(found: Any) -> str:
    from bench.system.files import sha256_file

    sources = hashlib.sha256()
    for kind in found.__mro__:
        module = sys.modules.get(kind.__module__)
        if kind.__module__.partition(".")[0] in ("builtins", "abc", "typing", "bench", "strategies"):
            sources.update(f"{kind.__qualname__} {getattr(kind, 'version', '')}\n".encode())
        elif (path := getattr(module, "__file__", None)) and Path(path).is_file():
            sources.update(f"{kind.__qualname__} {sha256_file(Path(path))}\n".encode())
    return sources.hexdigest()[:12]
