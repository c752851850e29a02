"""``bench cache``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.errors import RequestError, did_you_mean


def cache(
    action: Annotated[str, typer.Argument(metavar="[show|clear]", help="Action.")] = "show",
    kind: Annotated[
        str,
        typer.Argument(
            metavar="[KIND]",
            help="Part: datasets, objects, prefixes, latency, timings, weights, ranking or all.",
        ),
    ] = "all",
) -> None:
    """Show the cache, or clear it.  Clearing costs only the time to compute it again."""
    from bench.cli.listing import print_cache
    from bench.system.cache import KINDS, clear

    if action not in ("show", "clear"):
        raise RequestError("cache", action, "show or clear", did_you_mean(action, ["show", "clear"]))
    if kind not in (*KINDS, "all"):
        raise RequestError("cache", kind, f"one of {', '.join(KINDS)}, all", did_you_mean(kind, KINDS))
    kinds = list(KINDS) if kind == "all" else [kind]
    if action == "clear":
        print(f"{clear(kinds) / 2**20:,.0f} MiB freed")
    else:
        print_cache(kinds)
