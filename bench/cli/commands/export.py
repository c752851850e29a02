"""``bench export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from bench.cli.options import RUN, ChoiceOptions, RunDirectory, Trust, VoiceOptions, option
from bench.cli.terminal import Steps


def export(
    *,
    directory: RunDirectory,
    out: Annotated[
        Path | None,
        option("Folder to write, which must not exist yet.  Default: DIR/export.", RUN, metavar="FOLDER"),
    ] = None,
    among: ChoiceOptions,
    trust: Trust = False,
    voice: VoiceOptions,
) -> None:
    """Train the recommended model on all labels.  Writes model.keras, train.py and card.md."""
    from bench.cli.show.results import print_export
    from bench.commands.export.export import export as export_recipe

    done = export_recipe(
        directory,
        out,
        among.constraints(labels=None),
        among.dataset,
        Steps(voice.level),
        trust=trust,
    )
    print_export(done)
