"""Two domains: a source dataset that is labelled, and the target, which has the same classes but looks different.

For strategies that only learn what alike examples are, and in the few-shot protocol, the classes are others.

No group may lie on two sides. Examples of both datasets are one group where their pixels are identical, where the
user calls their groups the same (a manifest's column ``group``), or where their files have the same name: the same
object as two cameras, artists or vendors show it. What shares a group with a test example of the target is never
learned from, and in a search neither is what shares one with an example that validates it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from bench.datasets import Dataset, Part
from bench.datasets.companions.base import Companion, Open, Relation, findings_of
from bench.datasets.division import united
from bench.datasets.leakage import example_hashes
from bench.datasets.parts import part_of
from bench.datasets.splits import split_validation
from bench.errors import RequestError, told_of
from bench.system.names import shown
from strategies.base import Strategy

SAME_NAMES = 0.5
"""Where names of so many of the source's files are those of files of the target too, names count as groups."""

LEAST_CLASSES = 4
"""Of a source in the few-shot protocol: two to learn from, and two held out to tune on."""


@dataclass(frozen=True, eq=False)
class SourceDomain:
    """A labelled dataset as the source of another one, the target.

    Attributes:
        dataset: the source; of it the pool is used, its own test part is not.
        part: its pool, with labels that are indices into ``class_names``.
        grouping: what makes examples of both one group, beside identical pixels: ``groups`` (of the user's),
            ``names`` (of files, and groups where both have them) or ``none``.
        groups: of the source's examples, int64 (N,), in one numbering with ``target_groups``.
        target_groups: of the target's pool, int64 (M,).
        rows: the source's examples that share no group with a test example of the target, int64, sorted.
        class_names: of its labels.
    """

    dataset: Dataset
    part: Part
    grouping: str
    groups: np.ndarray
    target_groups: np.ndarray
    rows: np.ndarray
    class_names: tuple[str, ...]

    @property
    def left_out(self) -> int:
        """How many examples share a group with test examples of the target."""
        return len(self.groups) - len(self.rows)

    def stamp(self) -> dict[str, Any]:
        """What a cell says of it."""
        return {
            "dataset": self.dataset.spec,
            "name": self.dataset.name,
            "fingerprint": self.dataset.fingerprint,
            "groups": self.grouping,
        }

    def without(self, target_rows: np.ndarray) -> np.ndarray:
        """Those of ``rows`` that share no group with these rows of the target's pool either."""
        return self.rows[~np.isin(self.groups[self.rows], self.target_groups[target_rows])]

    def divided(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """``rows`` to train on, and 20% of them, by groups and stratified, to validate on: for no target labels.

        Raises:
            RequestError: the groups allow no such division.
        """
        try:
            return split_validation(
                self.part.labels,
                self.groups,
                self.rows,
                seed,
                f"source/{self.dataset.fingerprint}",
                self.dataset.kind.noun,
            )
        except RequestError as error:
            raise RequestError(
                "source_dataset",
                self.dataset.spec,
                f"hold {self.dataset.kind.noun.many} of every class to train on, and others to validate on",
                f"{error}",
            ) from None


@dataclass(frozen=True, eq=False)
class SourceCompanion(Companion):
    """A source dataset as it stands to each dataset of a plan.

    Attributes:
        dataset: the source.
        domains: by the fingerprint of the target.
        whole: whether all examples of the target are kept apart, and not only those of its test part.
        learns: whether a strategy learns from it.
    """

    kind = "source"
    key = "source_dataset"

    dataset: Dataset
    domains: Mapping[str, SourceDomain]
    whole: bool
    learns: Callable[[Strategy], bool]

    def stamp(self, dataset: Dataset, strategy: Strategy) -> dict[str, Any]:
        return self.domains[dataset.fingerprint].stamp() if self.learns(strategy) else {}

    def datasets(self) -> list[Dataset]:
        return [self.dataset]

    def sizes(self) -> dict[str, int]:
        return {self.dataset.fingerprint: len(self.dataset.pool.ids)}

    def notes(self, dataset: Dataset) -> list[str]:
        domain, source, said = self.domains[dataset.fingerprint], self.dataset.name, []
        noun = dataset.kind.noun
        if domain.grouping == "names":
            share = _shared_names((domain.part, dataset.pool, dataset.test))
            said.append(
                f"{noun.many.capitalize()} of {source} and {dataset.name} whose files have the same name "
                f"count as one group ({share:.0%} of the source's names are names of the target too; the key "
                "source_groups decides)."
            )
        if domain.left_out:
            said.append(
                f"{domain.left_out:,} of {len(domain.groups):,} {noun.many} of the source {source} are in a group "
                f"with {'' if self.whole else 'test '}{noun.many} of {dataset.name}, or the same {noun.one}, "
                "and are not learned from."
            )
        return said

    def introduction(self, dataset: Dataset) -> list[str]:
        domain, many = self.domains[dataset.fingerprint], dataset.kind.noun.many
        return [
            f"source {self.dataset.name}: {len(domain.rows):,} labelled {many}, {domain.left_out:,} more left out "
            f"for {many} of the dataset that they share a group with"
        ]

    def summary(self) -> dict[str, Any]:
        return {
            "name": self.dataset.name,
            "spec": self.dataset.spec,
            "fingerprint": self.dataset.fingerprint,
            "n": len(self.dataset.pool.ids),
            "findings": findings_of(self.dataset),
            "targets": {
                fingerprint: {"grouping": domain.grouping, "left_out": domain.left_out}
                for fingerprint, domain in self.domains.items()
            },
        }


def opened(
    spec: str,
    datasets: Sequence[Dataset],
    grouping: str,
    relation: Relation,
    learns: Callable[[Strategy], bool],
    open_other: Open,
) -> SourceCompanion:
    """Opens a source dataset beside the datasets of a plan.

    Args:
        spec: of the source.
        datasets: of the plan.
        grouping: see ``pair``.
        relation: see ``pair``.
        learns: whether a strategy learns from it.
        open_other: opens a dataset by its spec.

    Raises:
        RequestError: see ``pair``.
    """
    with told_of("source_dataset"):
        source = open_other(spec)
    domains = {dataset.fingerprint: pair(source, dataset, grouping, relation) for dataset in datasets}
    return SourceCompanion(source, domains, relation == "other", learns)


def reopened(
    stamp: Mapping[str, Any], dataset: Dataset, relation: Relation, open_other: Open
) -> SourceDomain:
    """The source that a cell's stamp tells of, as it stands to the cell's dataset.

    Raises:
        RequestError: its examples or labels have changed.
    """
    source = open_other(stamp["dataset"])
    source.check_unchanged(stamp["fingerprint"], "source_dataset")
    return pair(source, dataset, stamp["groups"], relation)


def pair(
    source: Dataset, target: Dataset, grouping: str = "auto", classes: Relation = "same"
) -> SourceDomain:
    """Matches the classes of two datasets by name, and finds what must not lie on two sides.

    Args:
        source, target: opened alike.
        grouping: ``groups``, ``names`` or ``none`` (see ``SourceDomain``), or ``auto``: names where neither has
            groups of the user's and at least half of the source's file names are names of the target too.
        classes: ``same``: the source has the very classes of the target, and labels are the target's. ``any``: it
            has classes of its own. ``other``: none of the target's, all of whose examples, not only those of its
            test part, are kept from being learned from.

    Raises:
        RequestError: the datasets are the same, their classes are not as they should be, or too little is left to
            learn from.
    """
    if source.fingerprint == target.fingerprint:
        raise RequestError("source_dataset", source.spec, f"another dataset than the target {target.name}")
    part, class_names = source.pool, source.class_names
    if classes == "same":
        part, class_names = replace(source.pool, labels=_matched(source, target)), target.class_names
    elif classes == "other":
        _check_other(source, target)
    found = beside(source, target, grouping, part, class_names, whole=classes == "other")
    counts, many = np.bincount(part.labels[found.rows], minlength=len(class_names)), target.kind.noun.many
    if classes != "same":
        least = LEAST_CLASSES if classes == "other" else 2
        if np.count_nonzero(counts > 1) < least:
            raise RequestError(
                "source_dataset",
                source.spec,
                f"hold at least {least} classes of two {many}, apart from all groups of {target.name}",
            )
    elif counts.min() < 2:
        scarce = [target.class_names[c] for c in np.flatnonzero(counts < 2).tolist()]
        raise RequestError(
            "source_dataset",
            source.spec,
            f"hold at least two {many} of every class, apart from all test groups of {target.name}",
            f"There are fewer in {_listed(scarce)}.",
        )
    return found


def beside(
    other: Dataset,
    target: Dataset,
    grouping: str = "auto",
    part: Part | None = None,
    class_names: tuple[str, ...] = (),
    whole: bool = False,
) -> SourceDomain:
    """Finds what must not lie on two sides of another dataset and the target.

    Args:
        other, target: opened alike.
        grouping: see ``pair``.
        part: the pool of ``other`` with other labels; default: its own.
        class_names: of these labels; default: its own.
        whole: whether all examples of the target are kept apart, and not only those of its test part.
    """
    parts = (other.pool, target.pool, target.test)
    grouping = _grouping(parts) if grouping == "auto" else grouping
    groups = _groups(other, target, grouping)
    of_other, of_pool, of_test = np.split(groups, np.cumsum([len(p.ids) for p in parts])[:-1])
    rows = np.flatnonzero(~np.isin(of_other, np.concatenate([of_pool, of_test]) if whole else of_test))
    return SourceDomain(
        other, part or other.pool, grouping, of_other, of_pool, rows, class_names or other.class_names
    )


def _check_other(source: Dataset, target: Dataset) -> None:
    """Refuses a source that has classes of the target: they would not be new."""
    there = {name.casefold() for name in source.class_names}
    both = [name for name in target.class_names if name.casefold() in there]
    if both:
        raise RequestError(
            "source_dataset",
            source.spec,
            f"a dataset without the classes of {target.name}",
            f"The few-shot protocol needs new classes. Both have {_listed(both)}.",
        )


def _matched(source: Dataset, target: Dataset) -> np.ndarray:
    """The labels of the source's pool as indices into the target's class names."""
    lacking = [name for name in target.class_names if name not in source.class_names]
    besides = [name for name in source.class_names if name not in target.class_names]
    if lacking or besides:
        differ = [f"It lacks {_listed(lacking)}."] if lacking else []
        differ += [f"It has {_listed(besides)} besides."] if besides else []
        raise RequestError(
            "source_dataset",
            source.spec,
            f"a dataset with the same class names as {target.name}",
            " ".join(differ),
        )
    places = {name: i for i, name in enumerate(target.class_names)}
    labels = np.array([places[name] for name in source.class_names], np.int64)[source.pool.labels]
    labels.setflags(write=False)
    return labels


def _grouping(parts: Sequence[Part]) -> str:
    if any(part.group_names is not None for part in parts):
        return "groups"
    return "names" if _shared_names(parts) >= SAME_NAMES else "groups"


def _shared_names(parts: Sequence[Part]) -> float:
    """The share of the source's examples whose file name is one of the target's too."""
    source, *target = parts
    names = {_file_name(id) for part in target for id in part.ids} - {None}
    return float(np.mean([_file_name(id) in names for id in source.ids]))


def _file_name(id: str) -> str | None:
    """An id without a split folder and without the ending; None for rows of arrays, which have no names."""
    path = PurePosixPath(id)
    if not path.suffix:
        return None
    first, *rest = path.with_suffix("").parts
    return "/".join(rest if len(rest) > 1 and part_of(first) else [first, *rest])


def _groups(source: Dataset, target: Dataset, grouping: str) -> np.ndarray:
    """Groups of the source's pool, the target's pool and its test part, in one numbering."""
    parts = (source.pool, target.pool, target.test)
    own: list[object] = []
    for part, kind in zip(parts, ("source", "target", "target"), strict=True):
        own += [None] * len(part.ids) if part.groups is None else [(kind, g) for g in part.groups.tolist()]
    hashes = example_hashes(source)["pool"], *map(example_hashes(target).__getitem__, ("pool", "test"))
    groups = united(_codes(own), _codes([bytes(row) for part in hashes for row in part]))
    named = [part.group_names for part in parts]
    if grouping != "none" and all(names is not None for names in named):
        groups = united(groups, _codes([name or None for names in named for name in names or ()]))
    if grouping == "names":
        groups = united(groups, _codes([_file_name(id) for part in parts for id in part.ids]))
    return groups


def _codes(keys: Sequence[object]) -> np.ndarray:
    """Numbers that are equal where keys are; None equals nothing."""
    numbers: dict[object, int] = {}
    alone = [(i,) if key is None else key for i, key in enumerate(keys)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in alone], np.int64)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(shown(name)) for name in names[:8]) + (
        f" and {len(names) - 8} more" if names[8:] else ""
    )
