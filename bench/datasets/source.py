"""What every kind of source offers, and how a spec names one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bench.modalities.findings import Finding
from bench.modalities.image.pictures import FilePicture as FilePicture  # where plug-ins find them
from bench.modalities.image.pictures import RowPicture as RowPicture

if TYPE_CHECKING:
    from bench.modalities.image.facts import Facts


PLUGIN = "plugin:"
"""What the spec of another package's dataset begins with; NAME or NAME:ARGUMENT follows."""


class Picture(Protocol):
    """One image, not decoded yet."""

    def decode(self, size: int, resizing: str) -> tuple[np.ndarray, Facts]:
        """uint8, (size, size, 3), and what else is known of it then. Raises ``decode.Unreadable``."""

    def sha256(self) -> str:
        """Hash of the undecoded content."""


@dataclass(frozen=True)
class Contents:
    """What a source holds, before any image is decoded. All sequences run over the same examples.

    Attributes:
        ids: unique.
        labels: indices into ``class_names``.
        class_names: in a fixed order.
        in_test: whether the example belongs to a given test part; None if none is given.
        groups: numbers of the groups; None if each example stands alone.
        group_names: what the user calls group i, for error messages.
        pictures: the images; they are gone through one by one and need not fit into memory.
        findings: what the source itself has found out.
        left_out: (id, reason) of images that are known to be unusable without decoding them.
        group_texts: what the user calls each example's group, empty where it has none; None without groups.
    """

    ids: Sequence[str]
    labels: Sequence[int]
    class_names: Sequence[str]
    in_test: Sequence[bool] | None
    groups: Sequence[int] | None
    group_names: Sequence[str]
    pictures: Iterable[Picture]
    findings: list[Finding] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    group_texts: Sequence[str] | None = None


class Source(Protocol):
    """A place where labelled images come from."""

    name: str

    def stamp(self) -> list[Any]:
        """JSON-able; cheap to get; differs whenever the content may have changed."""

    def contents(self) -> Contents:
        """Lists the examples. Raises ``RequestError`` for what no dataset can be made of."""


def stamp_of(path: Path, status: os.stat_result) -> list[Any]:
    """The entry of one file in a stamp."""
    return [str(path), status.st_size, status.st_mtime_ns]


def numbered(values: Sequence[str]) -> tuple[list[int], list[str]]:
    """Replaces values by their indices in the sorted list of distinct values, which comes second."""
    distinct = sorted(set(values))
    index = {value: i for i, value in enumerate(distinct)}
    return [index[value] for value in values], distinct
