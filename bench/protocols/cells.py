"""Cells of a plan, and whether what they were planned with is still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.system.names import divided

if TYPE_CHECKING:
    from bench.records import Cell


def used(strategy: str, backbone: str) -> dict[str, str]:
    """What of a cell is not built in: ``strategy`` or ``backbone``, each with its ``origin``.

    Args:
        strategy: its name.
        backbone: with its options; empty if none is used.

    Raises:
        RequestError: one of them cannot be loaded.
    """
    from bench.backbones import plugin
    from bench.plans.strategies import strategy_origin

    found = {
        "strategy": strategy_origin(strategy),
        "backbone": plugin.backbone_origin(divided(backbone)[0]),
    }
    return {part: where for part, where in found.items() if where}


def check_unchanged(cell: Cell) -> None:
    """Whether what other packages give to a cell is still what it was planned or run with.

    Raises:
        RequestError: it is not, or cannot be loaded.
    """
    from bench.errors import RequestError

    now = used(cell.strategy, cell.backbone)
    for part in sorted({*now, *cell.plugins}):
        if now.get(part) != cell.plugins.get(part):
            then, here = (given.get(part, "the first built-in version") for given in (cell.plugins, now))
            raise RequestError(
                part,
                getattr(cell, part),
                f"{then}, as planned",
                f"Here it is {here}. Run the plan again with another --out.",
            )
