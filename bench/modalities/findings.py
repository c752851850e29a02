"""What is found out about a dataset, whatever its examples are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

EXAMPLES = 20
"""Items of a finding that are kept where a person reads them; all of them are in the cache entry."""


NEGLIGIBLE = 0.01
"""Share of examples below which near duplicates are a note: they can move accuracy by one point at most."""


UNEVEN = 5
"""How many times as large as the smallest the largest class may be before it is told what to do about it."""

BALANCING = "To let all classes count the same: --set metric=balanced_accuracy --set class_weight=balanced."


Level = Literal["validity", "note"]

Case = dict[str, Any]
"""One case of a finding: ``{"id", "reason"}``, ``{"ids", "labels"}`` of examples that belong together, or
``{"class", "images"}``, whatever the examples are."""


@dataclass(frozen=True)
class Finding:
    """Something that a user should know of a dataset.

    Attributes:
        kind: a stable name, for programs.
        level: ``"validity"`` if a run's numbers may mean something else than one thinks, else ``"note"``.
        text: a sentence with the numbers.
        items: the cases.
    """

    kind: str
    level: Level
    text: str
    items: Sequence[Case] = ()

    @property
    def examples(self) -> list[str]:
        """The first cases, a line each. They hold the user's names: whoever shows them escapes them."""
        return [_line(item) for item in self.items[:EXAMPLES]]

    def __str__(self) -> str:
        few = self.examples[:3]
        return f"{self.text} For instance: {'; '.join(few)}." if few else self.text


def by_importance(found: list[Finding]) -> list[Finding]:
    """What touches validity first, else in the given order."""
    return sorted(found, key=lambda finding: finding.level != "validity")


def level_of(share: float) -> Level:
    return "validity" if share >= NEGLIGIBLE else "note"


def count(n: int, noun: str) -> str:
    """``1 image``, ``1,204 images``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _line(item: Case) -> str:
    if "ids" in item:
        named = [
            f"{short(id)} ({short(label, 40)})" for id, label in zip(item["ids"], item["labels"], strict=True)
        ]
        return " and ".join(named[:4]) + (f" and {len(named) - 4:,} more" if named[4:] else "")
    if "class" in item:
        return f"{short(item['class'])}: {item['images']:,}"
    return f"{short(item['id'])}: {item['reason']}"


def short(name: str, limit: int = 100) -> str:
    """A name of at most ``limit`` characters, with its middle left out if need be."""
    half = (limit - 3) // 2
    return name if len(name) <= limit else f"{name[:half]}...{name[-half:]}"
