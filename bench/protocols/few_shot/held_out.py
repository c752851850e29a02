"""How a source is divided, so that classes tune that were not learned from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.datasets.splits import SHARE
from bench.errors import RequestError
from bench.protocols.few_shot.episodes import Classes, Episode, Setting
from bench.system.seeds import generator

if TYPE_CHECKING:
    from bench.datasets.companions.source import SourceDomain


JUDGED = 200
"""Episodes of held-out classes of the source that judge an embedding, of each setting."""


LEAST_SUPERCLASSES = 5
"""Of a source, for whole superclasses to be held out."""


@dataclass(frozen=True)
class HeldOut:
    """How a source is divided, so that classes tune that were not learned from.

    Attributes:
        train: rows of the source to learn from, int64, sorted.
        val: those of the held-out classes, int64, sorted.
        episodes: of ``val``, by what they are like; indices into ``val``.
        warnings: in which respects this is not what was asked for, sentences.
    """

    train: np.ndarray
    val: np.ndarray
    episodes: dict[Setting, list[Episode]]
    warnings: list[str]


def held_out(domain: SourceDomain, few_shot: dict[str, Any], seed: int) -> HeldOut:
    """Holds out a fifth of the superclasses of a source, or where it has few a fifth of its classes.

    Where the held-out classes are too few, or have too few examples, their episodes have fewer ways or shots.

    Args:
        domain: the source.
        few_shot: see ``bench.protocols.few_shot.protocol.Episodic``.
        seed: of the cell.

    Raises:
        RequestError: no episodes can be drawn of classes that are held out.
    """
    train, val, warnings = _divided(domain, seed)
    classes = Classes(
        domain.part.labels[val], domain.groups[val], domain.class_names, domain.dataset.kind.noun
    )
    asked = [Setting(ways, shots) for ways in few_shot["ways"] for shots in few_shot["shots"]]
    found: dict[Setting, list[Episode]] = {}
    for setting in asked:
        found |= _nearest_episodes(domain, classes, setting, few_shot["queries"], seed)
    if missing := set(asked) - set(found):
        warnings.append(
            f"The classes of {domain.dataset.name} that are held out for tuning are too few, or have too few "
            f"{classes.noun.many}, for episodes of {_listed(missing)}; tuning used {_listed(found)}."
        )
    return HeldOut(train, val, found, warnings)


def _listed(settings: Iterable[Setting]) -> str:
    return ", ".join(s.text for s in sorted(settings, key=lambda s: (s.ways, s.shots)))


def _nearest_episodes(
    domain: SourceDomain, classes: Classes, asked: Setting, queries: int, seed: int
) -> dict[Setting, list[Episode]]:
    for shots in range(asked.shots, 0, -1):
        setting = Setting(min(asked.ways, len(classes.able(shots))), shots)
        if setting.ways < 2:
            continue
        try:
            return {setting: classes.episodes(setting, queries, JUDGED, domain.dataset.fingerprint, seed)}
        except RequestError:  # its groups leave no queries
            continue
    raise _untunable(domain)


def _divided(domain: SourceDomain, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Rows to learn from, those that are held out, and warnings."""
    rows = domain.rows
    labels, groups = domain.part.labels[rows], domain.groups[rows]
    classes = Classes(labels, groups, domain.class_names, domain.dataset.kind.noun)
    superclasses = [*classes.superclasses().values()]
    kinds = [superclasses] if len(superclasses) >= LEAST_SUPERCLASSES else []
    for sets in [*kinds, [[c] for c in classes.able(1)]]:
        apart = np.isin(labels, _drawn(domain, classes, sets, seed))
        train, val = rows[~apart], rows[apart]
        if np.count_nonzero(np.bincount(labels[~apart]) > 1) > 1 and len(val):
            break
    else:
        raise _untunable(domain)
    shared = np.isin(domain.groups[train], domain.groups[val])
    if not shared.any():
        return train, val, []
    rest = train[~shared]
    least = np.bincount(domain.part.labels[rest], minlength=len(domain.class_names))
    if least[np.unique(domain.part.labels[train])].min() > 1:
        return rest, val, []
    many = classes.noun.many
    return train, val, [
        f"In tuning, {many} of {domain.dataset.name} that are learned from share groups with {many} of the classes "
        f"that are held out: else some class would have no two {many} left."
    ]  # fmt: skip


def _drawn(domain: SourceDomain, classes: Classes, sets: list[list[int]], seed: int) -> list[int]:
    """The classes of a fifth of the sets; of more, where these have no two classes to tune on."""
    able, chosen = set(classes.able(1)), list[int]()
    order = generator("held-out classes", domain.dataset.fingerprint, seed).permutation(len(sets))
    for count, place in enumerate(order.tolist(), 1):
        chosen += sets[place]
        if count >= round(SHARE * len(sets)) and len(able.intersection(chosen)) > 1:
            return chosen
    return []


def _untunable(domain: SourceDomain) -> RequestError:
    return RequestError(
        "source_dataset",
        domain.dataset.spec,
        "hold classes that can be held out to tune on",
        f"Each needs {domain.dataset.kind.noun.many} in at least two groups, beside two classes to learn from.",
    )
