"""``bench pretrain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import (
    RUN,
    SEARCH,
    Dataset,
    PretrainingOptions,
    Set,
    VoiceOptions,
    given,
    option,
    overridden,
)
from bench.cli.terminal import quoted


def pretrain(
    *,
    dataset: Dataset,
    backbone: Annotated[str, option("Backbone, such as MobileNet:alpha=0.25.", SEARCH, metavar="B")],
    out: Annotated[Path, option("Folder to write, which must not exist yet.", RUN, metavar="SOURCE")],
    weights: Annotated[
        str, option("Initial weights: none (random), imagenet, source:DIR or a file.", SEARCH, metavar="W")
    ] = "none",
    options: PretrainingOptions,
    set_: Set = None,
    voice: VoiceOptions,
) -> None:
    """Train a source of your own to transfer from.  Use it with --weights source:SOURCE."""
    from bench.cli.progress import PretrainingReporter
    from bench.commands.pretraining.pretrain import pretrain as train

    settings = overridden({}, given(options, set_))
    reporter = PretrainingReporter(voice.level)
    try:
        source = train(dataset, backbone, out, weights, settings, reporter.say, reporter.event)
    except KeyboardInterrupt:
        print(f"\nInterrupted. Nothing was written to {quoted(out)}.", file=sys.stderr)
        raise typer.Exit(130) from None
    reporter.summary(source)
    raise typer.Exit(0 if source.learned else 1)
