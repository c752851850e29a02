"""``bench check-strategy``."""

from __future__ import annotations

from typing import Annotated

import typer


def check_strategy(
    name: Annotated[
        str,
        typer.Argument(
            metavar="S",
            help="Strategy, as package.module:Class or a name of `ls strategies`.",
            show_default=False,
        ),
    ],
) -> None:
    """Check a strategy of your own on a few images."""
    from bench.commands.strategy_check.check import check_strategy as check_it

    found = check_it(name)
    print(found)
    raise typer.Exit(0 if found.ok else 1)
