"""Auxiliary tasks: other labels that a network learns beside the target's, with the same backbone.

They are either a further column of the target's manifest, or another dataset with classes of its own. Of the
target's test examples no auxiliary label is ever kept, and examples of another dataset that share a group with one
of them are left out (see ``bench.datasets.companions.source``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.datasets import Dataset
from bench.datasets.adapters.columns import COLUMNS
from bench.datasets.adapters.listing import Listing
from bench.datasets.companions.base import Companion, Open, Relation, findings_of
from bench.datasets.companions.source import SourceDomain, beside
from bench.datasets.source import numbered
from bench.datasets.specs import open_source
from bench.errors import RequestError, did_you_mean, told_of
from bench.system.files import digest
from bench.system.names import printable, shown
from strategies.base import Strategy

ALL = "all"
"""What a strategy calls all auxiliary tasks together."""


@dataclass(frozen=True, eq=False)
class Auxiliary:
    """An auxiliary task.

    Attributes:
        name: of the column, or of the other dataset.
        class_names: in alphabetical order, or in that of the dataset.
        fingerprint: 16 hexadecimal digits over all that it teaches.
        labels: of a column: indices into ``class_names`` by example of the target's pool, int64 (M,), -1 where the
            column is empty; None of a dataset.
        domain: the other dataset as it stands to the target; None of a column.
    """

    name: str
    class_names: tuple[str, ...]
    fingerprint: str
    labels: np.ndarray | None = None
    domain: SourceDomain | None = None

    def summary(self) -> dict[str, Any]:
        """For run.json."""
        content = {
            "name": self.name,
            "class_names": list(self.class_names),
            "kind": "column" if self.domain is None else "dataset",
            "fingerprint": self.fingerprint,
        }
        if self.domain is None:
            assert self.labels is not None
            return content | {"known": int((self.labels >= 0).sum()), "n": len(self.labels)}
        data = self.domain.dataset
        return content | {
            "spec": data.spec,
            "known": len(self.domain.rows),
            "n": len(self.domain.groups),
            "grouping": self.domain.grouping,
            "left_out": self.domain.left_out,
            "findings": findings_of(data),
        }


def of_column(dataset: Dataset, name: str) -> Auxiliary | None:
    """The labels in a further column of a dataset's manifest; None if it has no such column.

    Raises:
        RequestError: they are no classes to learn: one value, or none that occurs twice.
    """
    source = open_source(dataset.spec)
    if not isinstance(source, Listing) or name not in source.further_columns():
        return None
    written = source.column(name)
    texts = [printable(written.get(id, "")) for id in dataset.pool.ids]
    counts = Counter(text for text in texts if text.strip())
    if len(counts) < 2 or max(counts.values()) < 2:
        found = "every one once" if len(counts) > 1 else ", ".join(map(repr, map(shown, counts))) or "none"
        raise RequestError(
            "auxiliary",
            name,
            "a column with at least two values, some more than once, among the training rows",
            f"In {shown(dataset.name)} it has {len(counts)}: {found}.",
        )
    _, class_names = numbered(list(counts))
    places = {text: i for i, text in enumerate(class_names)}
    labels = np.array([places.get(text, -1) for text in texts], np.int64)
    labels.setflags(write=False)
    content = [name, class_names, list(dataset.pool.ids), labels.tolist()]
    return Auxiliary(name, tuple(class_names), digest(content), labels=labels)


def of_dataset(other: Dataset, target: Dataset, grouping: str = "auto") -> Auxiliary:
    """The labels of another dataset.

    Args:
        other, target: opened alike.
        grouping: which examples of both count as one group, see ``bench.datasets.companions.source.pair``.

    Raises:
        RequestError: it is the target itself, or nothing of at least two classes is left to learn from.
    """
    if other.fingerprint == target.fingerprint:
        expected = f"another dataset than the target {shown(target.name)}"
        raise RequestError("auxiliary_dataset", other.spec, expected)
    domain = beside(other, target, grouping)
    if len(np.unique(domain.part.labels[domain.rows])) < 2:
        many = target.kind.noun.many
        raise RequestError(
            "auxiliary_dataset",
            other.spec,
            f"hold {many} of at least two classes, apart from all test groups of {shown(target.name)}",
            f"{domain.left_out:,} of its {len(domain.groups):,} {many} share a group with test {many}.",
        )
    return Auxiliary(other.name, other.class_names, other.fingerprint, domain=domain)


@dataclass(frozen=True, eq=False)
class Auxiliaries(Companion):
    """The auxiliary tasks of each dataset of a plan.

    Attributes:
        tasks: by the fingerprint of the dataset.
    """

    kind = "auxiliary"
    key = "auxiliary"

    tasks: Mapping[str, tuple[Auxiliary, ...]]

    def stamp(self, dataset: Dataset, strategy: Strategy) -> dict[str, Any]:
        return (
            stamp(chosen(self.tasks[dataset.fingerprint], wanted(strategy)))
            if strategy.needs_auxiliary
            else {}
        )

    def datasets(self) -> list[Dataset]:
        return list(
            {t.name: t.domain.dataset for tasks in self.tasks.values() for t in tasks if t.domain}.values()
        )

    def sizes(self) -> dict[str, int]:
        return {}

    def notes(self, dataset: Dataset) -> list[str]:
        said, noun = [], dataset.kind.noun
        for task in self.tasks[dataset.fingerprint]:
            if task.domain is not None and task.domain.left_out:
                said.append(
                    f"{task.domain.left_out:,} of {len(task.domain.groups):,} {noun.many} of the auxiliary dataset "
                    f"{task.name} are in a group with test {noun.many} of {dataset.name}, or the same {noun.one}, "
                    "and are not learned from."
                )
            if task.labels is not None and (unknown := int((task.labels < 0).sum())):
                said.append(
                    f"{unknown:,} of {len(task.labels):,} {noun.many} of the pool of {dataset.name} have no "
                    f"{task.name}: they count for their own label alone."
                )
        return said

    def introduction(self, dataset: Dataset) -> list[str]:
        said = []
        for task in self.tasks[dataset.fingerprint]:
            about = task.summary()
            said.append(
                f"auxiliary {task.name}: {about['known']:,} of {about['n']:,} {dataset.kind.noun.many} labelled, "
                f"{len(task.class_names)} classes"
            )
        return said

    def summary(self) -> dict[str, Any]:
        return {key: [task.summary() for task in tasks] for key, tasks in self.tasks.items() if tasks}

    def check(self, strategies: Mapping[str, Strategy]) -> None:
        """Refuses a strategy that names a task that there is not.

        Raises:
            RequestError: one does.
        """
        names = dict.fromkeys(task.name for mine in self.tasks.values() for task in mine)
        for text, strategy in strategies.items():
            name = wanted(strategy)
            if strategy.needs_auxiliary and name != ALL and name not in names:
                expected = f"have auxiliary as one of {', '.join([ALL, *map(shown, names)])}"
                remedy = did_you_mean(name, names) or "Name a column with --auxiliary COLUMN."
                raise RequestError("strategy", text, expected, remedy)


def opened(
    columns: Sequence[str], spec: str, datasets: Sequence[Dataset], grouping: str, open_other: Open
) -> Auxiliaries:
    """The auxiliary tasks of the datasets of a plan: the columns that each has, and another dataset.

    Args:
        columns: of manifests.
        spec: of the other dataset; empty if there is none.
        datasets: of the plan.
        grouping: see ``companions.source.pair``.
        open_other: opens a dataset by its spec.

    Raises:
        RequestError: no dataset has one of the columns, or something cannot be learned from.
    """
    other = None
    if spec:
        with told_of("auxiliary_dataset"):
            other = open_other(spec)
    found: dict[str, tuple[Auxiliary, ...]] = {}
    for dataset in datasets:
        tasks = [of_column(dataset, name) for name in columns]
        tasks += [of_dataset(other, dataset, grouping)] if other is not None else []
        found[dataset.fingerprint] = tuple(task for task in tasks if task is not None)
    there = {task.name for tasks in found.values() for task in tasks if task.domain is None}
    for name in columns:
        if name not in there:
            raise _no_column(name, datasets)
    if other is not None and other.name in there:
        remedy = f"The column {other.name!r} is an auxiliary task, too."
        raise RequestError("auxiliary_dataset", other.spec, "a dataset with a name of its own", remedy)
    return Auxiliaries(found)


def wanted(strategy: Strategy) -> str:
    """Which auxiliary tasks a strategy is to learn: the name of one, or ``ALL``."""
    return str(strategy.fixed.get("auxiliary", ALL))


def _no_column(name: str, datasets: Sequence[Dataset]) -> RequestError:
    sources = [open_source(dataset.spec) for dataset in datasets]
    manifests = [source for source in sources if isinstance(source, Listing)]
    expected = f"a further column of a manifest (.csv, .tsv, .parquet, .jsonl), beside {', '.join(COLUMNS)}"
    if not manifests:
        return RequestError("auxiliary", name, expected, "No dataset of this plan is a manifest.")
    columns = [shown(column) for source in manifests for column in source.further_columns()]
    listed = f"There is {', '.join(columns)}." if columns else "There is none."
    return RequestError("auxiliary", name, expected, did_you_mean(name, columns) or listed)


def chosen(tasks: Sequence[Auxiliary], name: str) -> tuple[Auxiliary, ...]:
    """Those that a strategy means: one by its name, or ``ALL``."""
    return tuple(task for task in tasks if name in (task.name, ALL))


def stamp(tasks: Sequence[Auxiliary]) -> dict[str, Any]:
    """What a cell that learns these tasks beside its own says of them."""
    # In one order, whatever that of the plan: so are the heads.
    columns = dict(sorted((task.name, task.fingerprint) for task in tasks if task.domain is None))
    found: dict[str, Any] = {"columns": columns} if columns else {}
    for domain in (task.domain for task in tasks if task.domain is not None):
        found |= domain.stamp()
    return found


def reopened(
    stamp: Mapping[str, Any], dataset: Dataset, relation: Relation, open_other: Open
) -> tuple[Auxiliary, ...]:
    """The tasks that a cell's stamp tells of.

    Raises:
        RequestError: labels or examples have changed.
    """
    found: list[Auxiliary] = []
    for name, fingerprint in stamp.get("columns", {}).items():
        task = of_column(dataset, name)
        if task is None or task.fingerprint != fingerprint:
            raise RequestError("auxiliary", name, "the column of the run", "Its labels have changed.")
        found.append(task)
    if "fingerprint" in stamp:
        other = open_other(stamp["dataset"])
        other.check_unchanged(stamp["fingerprint"], "auxiliary_dataset")
        found.append(of_dataset(other, dataset, stamp["groups"]))
    return tuple(found)
