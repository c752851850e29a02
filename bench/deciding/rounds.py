"""The order of a whole grid: a first answer stands early, and in the end all cells have run."""

from __future__ import annotations

from collections.abc import Sequence

from bench.records import Cell


def in_rounds(cells: Sequence[Cell]) -> tuple[list[Cell], list[Cell], list[Cell]]:
    """All candidates once with the fewest labels; then all seeds with all labels, which is what is asked; then the
    label counts between, which say whether more labels would help."""
    fewest = {print_: min(shares) for print_, shares in _shares(cells).items()}
    most = {print_: max(shares) for print_, shares in _shares(cells).items()}
    rounds: tuple[list[Cell], list[Cell], list[Cell]] = [], [], []
    for cell in cells:
        is_first = cell.seed == 0 and cell.fraction == fewest[cell.fingerprint]
        place = 0 if is_first else 1 if cell.fraction == most[cell.fingerprint] else 2
        rounds[place].append(cell)
    return rounds


def _shares(cells: Sequence[Cell]) -> dict[str, set[float]]:
    found: dict[str, set[float]] = {}
    for cell in cells:
        found.setdefault(cell.fingerprint, set()).add(cell.fraction)
    return found
