"""A choice has two parts, a strategy and a backbone, and either may be clear where the pair is not.

A strategy that wins on every backbone wins, although the backbones tie. So strategies are compared by their means
over all backbones, and backbones with the strategy that is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from reports.statistics.answers import Answers
from reports.statistics.pairs import Measured

Place = tuple[str, str]
"""A backbone and its weights."""


class Averaged(Measured):
    """The mean of one strategy over several backbones, by seed and test example.

    Args:
        parts: its results on each; at least one seed is common to all.
    """

    def __init__(self, parts: Sequence[Measured]) -> None:
        self.parts = parts
        seeds = sorted(set.intersection(*(set(part.values) for part in parts)))
        cells = parts[0].cells.loc[seeds].copy()
        for name in (parts[0].metric, "total_seconds", "inference_ms_per_image", "params"):
            cells[name] = np.mean([part.cells.loc[seeds, name].to_numpy(float) for part in parts], axis=0)
        super().__init__(cells.assign(backbone="", weights=""), parts[0].directory)

    def answers(self, seeds: Iterable[int]) -> Answers | None:
        chosen = list(seeds)
        found = [part.answers(chosen) for part in self.parts]
        known = [answers for answers in found if answers is not None]
        if len(known) < len(found) or any(not np.array_equal(a.ids, known[0].ids) for a in known):
            return None
        return replace(known[0], credits=np.mean([answers.credits for answers in known], axis=0))


def over_backbones(runs: Sequence[Measured]) -> list[Measured]:
    """Each strategy's mean over all backbones; of those that have a result on each. None with a single backbone."""
    table = _table(runs)
    places = {place for row in table.values() for place in row}
    if len(places) < 2:
        return []
    whole = [[*row.values()] for row in table.values() if row.keys() == places]
    return [Averaged(parts) for parts in whole if set.intersection(*(set(part.values) for part in parts))]


def on_backbones(runs: Sequence[Measured], strategy: str) -> list[Measured]:
    """What one strategy reaches on each backbone."""
    mine = [run for run in runs if _name(run) == strategy]
    return mine if len(mine) > 1 else []


def _table(runs: Sequence[Measured]) -> dict[str, dict[Place, Measured]]:
    """By strategy and place. What uses no weights stands beside every set of weights of its backbone, and what uses
    no backbone beside every backbone."""
    own = {_place(run) for run in runs}
    trained_on = {backbone for backbone, weights in own if weights}
    places = {(b, w) for b, w in own if b and (w or b not in trained_on)}
    table: dict[str, dict[Place, Measured]] = {}
    for run in runs:
        backbone, weights = _place(run)
        mine = {(b, w) for b, w in places if backbone in ("", b) and weights in ("", w)}
        table.setdefault(_name(run), {}).update(dict.fromkeys(sorted(mine), run))
    return table


def _name(run: Measured) -> str:
    return str(run.cells["strategy"].iloc[0])


def _place(run: Measured) -> Place:
    return str(run.cells["backbone"].iloc[0]), str(run.cells["weights"].iloc[0])
