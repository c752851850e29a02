"""What is learned beside the datasets of a plan: a source domain, auxiliary labels.

A cell holds a stamp of each companion that its strategy uses, under the name of its kind; a worker opens it again
from that. A new kind is one file here, one line in ``OPENERS``, one in ``bench.runs.prepare``, and the plan's keys
that name it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import Any, ClassVar, Literal

from bench.datasets.dataset import Dataset
from strategies.base import Strategy

Relation = Literal["same", "any", "other"]
"""What the classes of a source have to be to those of the target, by name."""

Open = Callable[[str], Dataset]
"""Opens another dataset, by its spec, as the cell's own is opened."""

OPENERS = {
    "source": "bench.datasets.companions.source:reopened",
    "auxiliary": "bench.datasets.companions.auxiliary:reopened",
}
"""By kind, what opens it again from a stamp, as ``module:function``."""


class Companion(ABC):
    """One kind of what is learned beside the datasets of a plan, opened for all of them."""

    kind: ClassVar[str]
    key: ClassVar[str]
    """Of its summary in run.json."""

    @abstractmethod
    def stamp(self, dataset: Dataset, strategy: Strategy) -> dict[str, Any]:
        """What a cell says of it: ``dataset`` and ``name``, and all that identifies it; empty if it is not used."""

    @abstractmethod
    def datasets(self) -> list[Dataset]:
        """Other datasets that are read for it."""

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Examples to learn from, by the fingerprint of their dataset, where they prolong a cell."""

    @abstractmethod
    def notes(self, dataset: Dataset) -> list[str]:
        """What was decided about it and a dataset, as sentences for a reader."""

    @abstractmethod
    def introduction(self, dataset: Dataset) -> list[str]:
        """What there is of it beside a dataset, as lines for the terminal."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """What run.json says of it."""


def reopened(
    companions: Mapping[str, dict[str, Any]], dataset: Dataset, relation: Relation, open_other: Open
) -> dict[str, Any]:
    """Opens the companions of a cell.

    Args:
        companions: stamps by kind, of a cell.
        dataset: the cell's own.
        relation: of a source's classes to those of the dataset.
        open_other: opens another dataset.

    Returns:
        By kind: a ``SourceDomain``, a tuple of ``Auxiliary``.

    Raises:
        RequestError: something is no longer what it was when the run was planned.
    """
    found = {}
    for kind, stamp in companions.items():
        found[kind] = resolve_name(OPENERS[kind])(stamp, dataset, relation, open_other)
    return found


def findings_of(dataset: Dataset) -> list[dict[str, Any]]:
    """What speaks against a dataset, for run.json."""
    return [{"kind": f.kind, "text": f.text, "examples": f.examples} for f in dataset.warnings]
