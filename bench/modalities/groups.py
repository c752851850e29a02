"""How a dataset's groups are divided, whatever its examples are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.modalities.nouns import Noun


@dataclass(frozen=True)
class GroupCounts:
    """Groups of a dataset: examples of one person, say. What stands alone is a group of its own.

    Attributes:
        pool, test: groups in the pool and in the test part.
        both: groups that lie in both.
        n_test: test examples.
        largest: examples of the largest group.
        worth: independent examples that the test part is worth at least, for new groups: where all examples of a
            group are answered alike (Kish 1965, Survey Sampling: the squared number over the sum of squared sizes).
        made_of: what in the names of files has made the groups; empty where they are given.
    """

    pool: int
    test: int
    both: int
    n_test: int
    largest: int
    worth: float
    made_of: str = ""

    @classmethod
    def of(cls, pool: np.ndarray, test: np.ndarray, made_of: str) -> GroupCounts:
        """Counts the group numbers of the examples of pool and test part."""
        of_pool, of_test = np.unique(pool), np.unique(test)
        sizes = np.unique(np.concatenate([pool, test]), return_counts=True)[1]
        tested = np.unique(test, return_counts=True)[1].astype(float)
        worth = tested.sum() ** 2 / np.square(tested).sum() if len(tested) else 0.0
        both = len(np.intersect1d(of_pool, of_test))
        return cls(
            len(of_pool), len(of_test), both, len(test), int(sizes.max(initial=0)), float(worth), made_of
        )

    @classmethod
    def read(cls, content: dict[str, Any] | None) -> GroupCounts | None:
        """Those that run.json tells of, if it does."""
        return cls(**content) if content else None

    def sentences(self, noun: Noun) -> Sequence[str]:
        """For people: how many there are, and what that means for the test part."""
        names = f", made of what file names repeat ({self.made_of})" if self.made_of else ""
        sides = "none is in both" if not self.both else f"{self.both:,} are in both"
        many = noun.many
        return (
            f"Groups{names}: {self.pool:,} in the pool, {self.test:,} in the test set, of up to {self.largest:,} "
            f"{many}; {sides}.",
            f"The test set measures accuracy on new groups. Its {self.n_test:,} {many} are worth "
            f"{self.worth:,.0f} to {self.n_test:,} independent ones, depending on how alike those of a group are.",
        )
