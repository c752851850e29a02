"""What every kind of source offers."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from bench.modalities.base import Item
from bench.modalities.findings import Finding
from bench.modalities.image.pictures import FilePicture as FilePicture  # where plug-ins find them
from bench.modalities.image.pictures import RowPicture as RowPicture
from bench.modalities.registry import DEFAULT

PLUGIN = "plugin:"
"""What the spec of another package's dataset begins with; NAME or NAME:ARGUMENT follows."""


@dataclass(frozen=True)
class Contents:
    """What a source holds, before any example is read. All sequences run over the same examples.

    Attributes:
        ids: unique.
        labels: indices into ``class_names``; of examples with any number of labels an array of 0 and 1,
            (N, classes).
        class_names: in a fixed order.
        in_test: whether the example belongs to a given test part; None if none is given.
        groups: numbers of the groups; None if each example stands alone.
        group_names: what the user calls group i, for error messages.
        pictures: the items that the source's modality reads, images or not (plug-ins know the field by this name);
            they are gone through one by one and need not fit into memory.
        findings: what the source itself has found out.
        left_out: (id, reason) of examples that are known to be unusable without reading them.
        group_texts: what the user calls each example's group, empty where it has none; None without groups.
    """

    ids: Sequence[str]
    labels: Sequence[int] | np.ndarray
    class_names: Sequence[str]
    in_test: Sequence[bool] | None
    groups: Sequence[int] | None
    group_names: Sequence[str]
    pictures: Iterable[Item]
    findings: list[Finding] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    group_texts: Sequence[str] | None = None
    grouping: str = ""
    """What in the names of files has made the groups; empty where the source gives them, or there are none."""


class Source(Protocol):
    """A place where labelled examples come from."""

    name: str
    modality: str = DEFAULT
    """What its examples are, a key of ``bench.modalities.registry.MODALITIES``."""
    downloads: bool = False
    """Whether listing its examples may take a download."""

    def stamp(self) -> list[Any]:
        """JSON-able; cheap to get; differs whenever the content may have changed."""

    def contents(self) -> Contents:
        """Lists the examples. Raises ``RequestError`` for what no dataset can be made of."""


class Adapter(Source):
    """A kind of source; ``bench.datasets.specs`` lists them all. Importing one is light.

    Args:
        spec: canonical; one of its names, or the path of something that it ``reads``.

    Raises:
        RequestError: it cannot be used.
    """

    names: ClassVar[dict[str, str]] = {}
    """The names that it knows, each with a line for ``ls datasets``."""
    forms: ClassVar[dict[str, str]] = {}
    """The same of what it reads under any other name."""
    prefixes: ClassVar[tuple[str, ...]] = ()
    """What begins with these is its, and no path."""
    suffixes: ClassVar[tuple[str, ...]] = ()
    """Of the files that it reads."""
    many_labels: ClassVar[bool] = False
    """Whether its examples may have any number of labels; it then takes the keyword ``task``."""

    def __init__(self, spec: str) -> None:
        self.spec = spec

    @classmethod
    def canonical(cls, spec: str) -> str | None:
        """The name that plans store for a spec; None if it is none of its names."""
        return spec if spec in cls.names else None

    @classmethod
    def reads(cls, path: Path) -> bool:
        """Whether it can read what lies there."""
        return path.is_file() and path.suffix.lower() in cls.suffixes

    @classmethod
    def modality_at(cls, path: Path) -> str:
        """What the examples are of what it ``reads`` there; cheap, so that a plan can choose its defaults by it."""
        return cls.modality


def stamp_of(path: Path, status: os.stat_result) -> list[Any]:
    """The entry of one file in a stamp."""
    return [str(path), status.st_size, status.st_mtime_ns]


def numbered(values: Sequence[str]) -> tuple[list[int], list[str]]:
    """Replaces values by their indices in the sorted list of distinct values, which comes second."""
    distinct = sorted(set(values))
    index = {value: i for i, value in enumerate(distinct)}
    return [index[value] for value in values], distinct


def indicated(values: Sequence[Collection[str]]) -> tuple[np.ndarray, list[str]]:
    """Sets of values as 0 and 1, uint8 (N, distinct), and the sorted list of distinct values."""
    distinct = sorted({value for some in values for value in some})
    index = {value: i for i, value in enumerate(distinct)}
    found = np.zeros((len(values), len(distinct)), np.uint8)
    for row, some in zip(found, values, strict=True):
        row[[index[value] for value in some]] = 1
    return found, distinct
