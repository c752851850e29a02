"""When claims are made: at numbers of seeds that were declared beforehand, each with its share of the error.

Whoever looks after every seed and stops when the answer pleases is wrong far more often than one time in twenty.
So the 5% are spent over the looks of a run, in the order in which these were declared: a run of three seeds has one
look, one that grows to five has a second, and ``--until decided`` declares three. Whatever is opened between the
looks, and whenever a run is stopped, the shares add up to no more than 5% (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.store import Store
from reports.statistics.intervals import LEVEL, MINIMUM_SEEDS

UNTIL_DECIDED = (3, 5, 10)
"""Seeds at which a run that goes on until it is decided looks."""

SHARES = (0.4, 0.3, 0.25)
"""Of the error, at the first looks. Each later one has half of what is left."""


@dataclass(frozen=True)
class Looks:
    """Numbers of seeds at which claims are made, in the order in which they were declared."""

    seeds: tuple[int, ...] = ()

    def reached(self, common: int) -> list[int]:
        """The looks that so many common seeds have reached, rising: how many of them count. Below the first one all
        do, for the others were lost or have not run yet."""
        return sorted(seeds for seeds in self.seeds if seeds <= common) or [common]

    def error(self, seeds: int) -> float:
        """The share of the error that may be made at a look, as a probability."""
        declared = [place for place, look in enumerate(self.seeds) if look >= seeds]
        return (1 - LEVEL) * _share(min(declared, key=lambda place: self.seeds[place], default=0))


def declared(before: Sequence[int], seeds: Sequence[int]) -> list[int]:
    """The looks of a run that had some and goes on to these numbers of seeds: none is taken back."""
    return [*before, *(look for look in seeds if look not in before)]


def looks_of(directory: Path | None) -> Looks:
    """Those of a run directory; one at whatever number of seeds there is where it says nothing of them."""
    found = Store(directory).read_run().get("looks", []) if directory is not None else []
    return Looks(tuple(seeds for seeds in found if seeds >= MINIMUM_SEEDS))


def _share(place: int) -> float:
    left = 1 - sum(SHARES)
    return SHARES[place] if place < len(SHARES) else left / 2 ** (place - len(SHARES) + 1)
