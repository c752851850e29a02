"""What the rest of the harness sees of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.modalities.base import Input, Modality
from bench.modalities.findings import Finding
from bench.modalities.groups import GroupCounts
from bench.modalities.registry import modality
from bench.tasks.base import TaskKind
from bench.tasks.registry import task_of


@dataclass(frozen=True, eq=False)
class Part:
    """Pool or test part of a dataset: N examples in a fixed order.

    Attributes:
        ids: stable example ids, unique within a dataset: relative paths, or ``"00042"`` for rows of arrays.
            They may contain markup, quotes and newlines; bytes that are not UTF-8 are written as ``\\xff``.
        labels: index into the dataset's class names, int64, (N,), read-only; of examples with any number of labels
            0 and 1 by class, uint8, (N, classes).
        groups: examples that must stay together (of a group of the user's, or identical) share a number, int64,
            (N,), read-only; None: each alone.
        data: a row for each, a read-only memory map; of images uint8 (N, S, S, 3), RGB.
        group_names: what the user calls each example's group, empty for one that stands alone; None where there are
            no groups of the user's.
    """

    ids: tuple[str, ...]
    labels: np.ndarray
    groups: np.ndarray | None
    data: np.ndarray
    group_names: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset, read and divided into pool and test.

    Attributes:
        spec: the canonical spec as plans store it; absolute for files and folders.
        name: a short name to show. It is the user's text: whoever shows it escapes it.
        modality: kind of example; ``"image"``, say.
        fingerprint: 16 hexadecimal digits over the content (ids, class names, labels, given splits, groups
            and the sha256 of each example; which are kept together, if any are identical), but not over where
            it lies or how its examples became rows.
        class_names: in a fixed order (alphabetical, or by number); labels are indices into it.
        traits: what its modality says of its examples by its name (see ``Modality.traits``).
        pool: the labelled examples that a run may learn from.
        test: the examples that only scoring sees.
        findings: what was found out about it, what touches validity first, each with its first items; all
            items are in the cache entry (``entry.full_findings``).
        left_out: (id, reason) of every example that could not be used.
        entry: the cache entry.
        input: how its examples became rows.
        grouping: what in the names of files has made its groups; empty where these are given, or there are none.
    """

    spec: str
    name: str
    modality: str
    fingerprint: str
    class_names: tuple[str, ...]
    traits: Mapping[str, Any]
    pool: Part
    test: Part
    findings: tuple[Finding, ...]
    left_out: tuple[tuple[str, str], ...]
    entry: Path
    input: Input
    grouping: str = ""

    @property
    def task(self) -> TaskKind:
        """What its labels are."""
        return task_of(self.pool.labels)

    def class_counts(self, part: Part) -> np.ndarray:
        """How many examples of a part have each class, (classes,)."""
        return self.task.counts(part.labels, len(self.class_names))

    @property
    def kind(self) -> Modality:
        """What knows its examples."""
        return modality(self.modality)

    def check_unchanged(self, fingerprint: str, field: str) -> None:
        """Refuses data that are no longer those of a run.

        Raises:
            RequestError: they are not; of this field.
        """
        if self.fingerprint != fingerprint:
            remedy = f"{self.kind.noun.many.capitalize()} or labels have changed."
            raise RequestError(field, self.spec, "the data of the run", remedy)

    @property
    def group_counts(self) -> GroupCounts | None:
        """How its groups are divided; None without groups of the user's or of file names."""
        pool, test = self.pool, self.test
        if pool.group_names is None or pool.groups is None or test.groups is None:
            return None
        return GroupCounts.of(pool.groups, test.groups, self.grouping)

    @property
    def warnings(self) -> list[Finding]:
        """The findings that touch validity."""
        return [finding for finding in self.findings if finding.level == "validity"]
