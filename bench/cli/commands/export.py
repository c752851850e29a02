"""``bench export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import RUN, ChoiceOptions, RunDirectory, Trust, VoiceOptions, option
from bench.cli.terminal import Steps


def export(
    *,
    directory: RunDirectory,
    out: Annotated[
        Path | None,
        option("Folder to write, which must not exist yet.  Default: DIR/export.", RUN, metavar="FOLDER"),
    ] = None,
    formats: Annotated[
        str,
        option(
            "Formats beside keras, separated by commas: onnx, litert, int8 (LiteRT with weights of 8 bits), "
            "saved_model.  Each is checked on the test set.",
            RUN,
            metavar="F",
        ),
    ] = "keras",
    among: ChoiceOptions,
    trust: Trust = False,
    voice: VoiceOptions,
) -> None:
    """Train the recommended model on all labels.  Writes model.keras, train.py and card.md.

    Exit code 1 if a format that you asked for could not be made.
    """
    from bench.cli.show.results import print_export
    from bench.commands.export.export import export as export_recipe

    done = export_recipe(
        directory,
        out,
        among.constraints(labels=None),
        among.dataset,
        Steps(voice.level),
        trust=trust,
        formats=formats,
    )
    print_export(done)
    if any(converted.reason for converted in done.formats):
        raise typer.Exit(1)
