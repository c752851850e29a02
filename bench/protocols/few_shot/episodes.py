"""Episodes: small classification problems of classes that were never learned (Vinyals et al. 2016,
arXiv:1606.04080).

An episode draws ``ways`` classes, ``shots`` labelled examples of each (the support) and examples to be classified
(the queries). No group gives examples to both: with the drawers of an alphabet as groups, whoever drew a support
example has drawn no query. Groups come in random order, and the support of a class are its first examples in that
order: so it is of as few groups as possible, of one drawer with one shot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bench.datasets import Dataset
from bench.errors import RequestError
from bench.modalities.nouns import Noun
from bench.system.seeds import generator
from strategies.base import Classify

if TYPE_CHECKING:
    pass

ATTEMPTS = 50
"""To draw an episode in which every class has queries."""


@dataclass(frozen=True)
class Setting:
    """What an episode is like.

    Attributes:
        ways: classes.
        shots: labelled examples of each.
        scope: ``all``: classes are drawn from all; ``within``: from one superclass, which is drawn first.
    """

    ways: int
    shots: int
    scope: str = "all"

    @property
    def text(self) -> str:
        within = " within a superclass" if self.scope == "within" else ""
        return f"{self.ways}-way {self.shots}-shot{within}"


@dataclass(frozen=True)
class Episode:
    """Rows of support and queries, int64 (N,) and (M,), and their labels, 0 to ways - 1."""

    support: np.ndarray
    support_labels: np.ndarray
    queries: np.ndarray
    query_labels: np.ndarray


class Classes:
    """Labelled examples that episodes are drawn from.

    Args:
        labels: int64 (N,).
        groups: (N,); examples of one group are never support and query of one episode. None: each alone.
        names: of the classes. What stands before the last ``/`` is the superclass: ``Greek`` of ``Greek/alpha``.
        noun: what examples are called.
    """

    def __init__(
        self, labels: np.ndarray, groups: np.ndarray | None, names: Sequence[str], noun: Noun
    ) -> None:
        self.names, self.noun = names, noun
        self.labels = labels
        present = np.unique(labels)
        self.rows = {int(c): np.flatnonzero(labels == c) for c in present}
        self.groups = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
        self._count = int(self.groups.max(initial=-1)) + 1

    def superclasses(self) -> dict[str, list[int]]:
        """The classes of each superclass, if there are at least two superclasses; else none."""
        found: dict[str, list[int]] = {}
        for c in self.rows:
            found.setdefault(superclass(self.names[c]), []).append(c)
        return found if len(found) > 1 else {}

    def able(self, shots: int) -> list[int]:
        """The classes with examples of at least two groups, and more of them than ``shots``."""
        return [
            c for c, rows in self.rows.items() if len(rows) > shots and len(np.unique(self.groups[rows])) > 1
        ]

    def more_than(self, shots: int) -> str:
        """What the classes in ``able`` have, in words."""
        return f"more than {shots} {self.noun.one if shots == 1 else self.noun.many}, in two groups or more"

    def pools(self, setting: Setting) -> list[list[int]]:
        """The sets of classes of which one gives all classes of an episode; empty if none has enough."""
        able = self.able(setting.shots)
        sets = [able] if setting.scope == "all" else [
            [c for c in of if c in able] for of in self.superclasses().values()
        ]  # fmt: skip
        return [classes for classes in sets if len(classes) >= setting.ways]

    def settings(self, ways: Sequence[int], shots: Sequence[int]) -> list[Setting]:
        """All settings; ``within`` only where a superclass has enough classes."""
        every = [Setting(w, s, scope) for scope in ("all", "within") for w in ways for s in shots]
        return [s for s in every if s.scope == "all" or self.pools(s)]

    def episodes(self, setting: Setting, queries: int, count: int, *seed: object) -> list[Episode]:
        """Draws episodes, the same for the same ``seed``.

        Args:
            setting: of them.
            queries: of each class, at most.
            count: how many.
            seed: whatever they depend on.

        Raises:
            RequestError: there are too few classes with enough examples, or groups leave no queries.
        """
        pools = self.pools(setting)
        if not pools:
            able = len(self.able(setting.shots))
            raise RequestError(
                "few_shot.ways",
                setting.ways,
                f"at most {able}, the number of classes that have {self.more_than(setting.shots)}",
            )
        rng = generator("episodes", setting, queries, *seed)
        return [self._episode(setting, pools, queries, rng) for _ in range(count)]

    def _episode(
        self, setting: Setting, pools: list[list[int]], queries: int, rng: np.random.Generator
    ) -> Episode:
        for _ in range(ATTEMPTS):
            classes = rng.choice(pools[rng.integers(len(pools))], setting.ways, replace=False)
            order = rng.permutation(self._count)[self.groups]
            mixed = [rng.permutation(self.rows[c]) for c in classes.tolist()]
            mixed = [rows[np.argsort(order[rows], kind="stable")] for rows in mixed]
            support = np.stack([rows[: setting.shots] for rows in mixed])
            used = self.groups[support.ravel()]
            left = [rng.permutation(rows[~np.isin(self.groups[rows], used)])[:queries] for rows in mixed]
            if all(len(rows) for rows in left):
                of = np.arange(setting.ways)
                return Episode(
                    support.ravel(),
                    of.repeat(setting.shots),
                    np.concatenate(left),
                    of.repeat([*map(len, left)]),
                )
        raise RequestError(
            "few_shot.shots",
            setting.shots,
            f"small enough to leave {self.noun.many} of every class outside the groups of the support",
            f"In {setting.text} episodes, some class always has no {self.noun.one} in a group without support.",
        )


def new_classes(dataset: Dataset) -> Classes:
    """All examples of a dataset, those of the pool and then those of the test part."""
    parts = dataset.pool, dataset.test
    groups = [part.groups for part in parts if part.groups is not None]
    return Classes(
        np.concatenate([part.labels for part in parts]),
        np.concatenate(groups) if len(groups) == len(parts) else None,
        dataset.class_names,
        dataset.kind.noun,
    )


def findings_of_new(dataset: Dataset) -> Dataset:
    """The dataset with findings that fit: where all classes are new, no example is learned from or has to test,
    and episodes draw them evenly."""
    one = dataset.kind.noun.one
    meet = f"a training {one}", f"another {one} that they may meet in one episode"
    findings = [
        replace(finding, text=finding.text.replace(*meet)) if "_across_splits" in finding.kind else finding
        for finding in dataset.findings
        if finding.kind not in ("classes_without_test", "imbalance")
    ]
    return replace(dataset, findings=tuple(findings))


def check_episodes(
    dataset: Dataset, ways: Sequence[int], shots: Sequence[int], episodes: int, queries: int
) -> None:
    """Finds out before a run whether its episodes can be drawn: all of them, since a group may stand in the way of
    the last one only.

    Raises:
        RequestError: see ``Classes.episodes``.
    """
    classes = new_classes(dataset)
    _check_counts(dataset, classes, ways, shots)
    for setting in classes.settings(ways, shots):
        classes.episodes(setting, queries, episodes, dataset.fingerprint)


def superclass(name: str) -> str:
    """What stands before the last ``/`` of a class's name; empty if there is none."""
    return name.rpartition("/")[0]


def _check_counts(dataset: Dataset, classes: Classes, ways: Sequence[int], shots: Sequence[int]) -> None:
    """Refuses more ways than there are classes, and more shots than so many of them have."""
    able = [len(classes.able(count)) for count in range(max(shots) + 1)]
    if max(ways) > able[1]:
        fewer = ",".join(map(str, sorted({min(count, able[1]) for count in ways})))
        raise RequestError(
            "few_shot.ways",
            max(ways),
            f"at most {able[1]}, the number of classes of {dataset.name} that have {classes.more_than(1)}",
            f"Give --ways {fewer}." if able[1] > 1 else "",
        )
    if max(ways) > (enough := able[max(shots)]):
        most = max(count for count, number in enumerate(able) if count and number >= max(ways))
        fewer = ",".join(map(str, sorted({min(count, most) for count in shots})))
        raise RequestError(
            "few_shot.shots",
            max(shots),
            f"{most} or less",
            f"{dataset.name} has {enough} classes with {classes.more_than(max(shots))}, and you asked for "
            f"{max(ways)} ways. Give --shots {fewer}, or fewer ways.",
        )


@dataclass(frozen=True)
class Accuracy:
    """The share of queries that are classified rightly.

    Attributes:
        by_episode: float64 (E,).
        by_class: of the queries of one class in all episodes, float64 (classes,); NaN where there are none.
        weights: of the classes in the mean over episodes, float64 (classes,), of sum one.
    """

    by_episode: np.ndarray
    by_class: np.ndarray
    weights: np.ndarray


def measure(
    episodes: Sequence[Episode], embedded: np.ndarray, labels: np.ndarray, classify: Classify, ways: int
) -> Accuracy:
    """How well queries are classified, by episode and by class.

    Args:
        episodes: with ``ways`` classes each.
        embedded: of all examples, (N, D).
        labels: of all examples, int64 (N,).
        classify: learns from the support of an episode alone.
    """
    found = []
    right, queries = np.zeros((2, int(labels.max()) + 1))
    for episode in episodes:
        scores = classify(embedded[episode.support], episode.support_labels, embedded[episode.queries], ways)
        hit = scores.argmax(axis=1) == episode.query_labels
        found.append(hit.mean())
        of = labels[episode.queries]
        np.add.at(right, of, hit / len(hit))  # an episode weighs the same however many queries it has
        np.add.at(queries, of, 1 / len(hit))
    drawn = np.where(queries > 0, queries, np.nan)
    return Accuracy(np.array(found), right / drawn, queries / len(episodes))
