"""``bench ls``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.listing import LISTINGS
from bench.errors import RequestError, did_you_mean


def ls(
    what: Annotated[str, typer.Argument(metavar="|".join(LISTINGS))],
) -> None:
    """List strategies, backbones, datasets or columns."""
    if what not in LISTINGS:
        raise RequestError(
            "ls", what, f"followed by one of {', '.join(LISTINGS)}", did_you_mean(what, LISTINGS)
        )
    LISTINGS[what]()
