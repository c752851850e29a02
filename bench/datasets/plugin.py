"""Datasets of other packages: ``plugin:NAME`` or ``plugin:NAME:ARGUMENT``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sized
from typing import Any, ClassVar, TypeVar

from bench.datasets.source import PLUGIN, Adapter, Contents, Source
from bench.errors import BenchError, RequestError, did_you_mean
from bench.system.plugins import Unusable, find, plugins

T = TypeVar("T")


class DatasetPlugin(Source):
    """A dataset, or a way to read some. Derive from it, and declare it as ``transfer_bench.datasets``.

    Args:
        argument: what stands behind ``plugin:NAME:``, a path for instance; empty if nothing does.
    """

    summary: ClassVar[str] = ""
    """One line for ``ls datasets``."""
    name: str = ""
    """A short name to show; empty: that of the plug-in."""

    def __init__(self, argument: str = "") -> None:
        self.argument = argument

    @abstractmethod
    def stamp(self) -> list[Any]:
        """JSON-able; cheap to get; differs whenever the content may have changed."""

    @abstractmethod
    def contents(self) -> Contents:
        """Lists the examples; ``bench.datasets.source`` has pictures of files and of rows of arrays."""


class Checked(Adapter):
    """The source that a spec names; what goes wrong in its code is told as what it is.

    Args:
        spec: ``plugin:NAME[:ARGUMENT]``.

    Raises:
        RequestError: there is none of this name, or it cannot be used.
    """

    prefixes = (PLUGIN,)

    @classmethod
    def canonical(cls, spec: str) -> str | None:
        return spec if spec.startswith(PLUGIN) else None

    def __init__(self, spec: str) -> None:
        super().__init__(spec)
        name, _, argument = spec.removeprefix(PLUGIN).partition(":")
        plugin = find("datasets", name)
        if plugin is None:
            names = [f"{PLUGIN}{plugin.name}" for plugin in plugins("datasets")]
            none = "" if names else "No installed package declares one. "
            remedy = none + did_you_mean(f"{PLUGIN}{name}", names, "datasets")
            raise RequestError("dataset", spec, "a plug-in that is installed", remedy)
        self.package = plugin.package
        try:
            found = plugin.load(DatasetPlugin)
        except Unusable as error:
            raise RequestError("dataset", spec, "a plug-in that works", f"{error}.") from error
        self._source: DatasetPlugin = self._guarded("it", lambda: found(argument))
        self.name = str(self._source.name) or name
        self.modality = self._source.modality

    def stamp(self) -> list[Any]:
        return [self.package, *self._guarded("stamp()", lambda: list(self._source.stamp()))]

    def contents(self) -> Contents:
        contents = self._guarded("contents()", self._source.contents)
        problem = self._guarded("contents()", lambda: _problem(contents))
        if problem:
            raise RequestError("dataset", self.spec, "a plug-in that works", f"{self.package}: {problem}.")
        return contents

    def _guarded(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except BenchError:
            raise
        except Exception as error:  # the code of others
            reason = f"{self.package}: {what} failed with {type(error).__name__}: {error}."
            raise RequestError("dataset", self.spec, "a plug-in that works", reason) from error


def _problem(contents: Any) -> str:
    """What is wrong with the contents, as the end of a sentence; empty if nothing is."""
    if not isinstance(contents, Contents):
        return f"contents() gave {type(contents).__name__}, no bench.datasets.source.Contents"
    count = len(contents.ids)
    if not count:
        return "contents() lists no examples"
    for part in ("labels", "in_test", "groups", "pictures"):
        sequence = getattr(contents, part)
        if isinstance(sequence, Sized) and len(sequence) != count:
            return f"contents() has {count} ids and {len(sequence)} {part}"
    if len(set(contents.ids)) < count or not all(isinstance(name, str) for name in contents.ids):
        return "the ids that contents() gives are not strings of which no two are the same"
    of_class, of_group = len(contents.class_names), len(contents.group_names)
    if not all(0 <= int(label) < of_class for label in contents.labels):
        return f"contents() has labels that are no indices into its {of_class} class names"
    if contents.groups is not None and not all(0 <= int(group) < of_group for group in contents.groups):
        return f"contents() has groups that are no indices into its {of_group} group names"
    return ""
