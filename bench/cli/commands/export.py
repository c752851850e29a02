"""``bench export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import ChoiceOptions, RunDirectory, Trust


def export(
    *,
    directory: RunDirectory,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Must not exist yet.  Default: DIR/export.")
    ] = None,
    among: ChoiceOptions,
    trust: Trust = False,
) -> None:
    """Trains the recommended recipe on all labels: writes model.keras, train.py and card.md."""
    from bench.cli.show.results import print_export
    from bench.commands.export.export import export as export_recipe

    done = export_recipe(
        directory,
        out,
        among.constraints(labels=None),
        among.dataset,
        lambda text: print(text, file=sys.stderr, flush=True),
        trust=trust,
    )
    print_export(done)
