"""``bench pretrain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Dataset, PretrainingOptions, Set, given, overridden
from bench.cli.terminal import quoted


def pretrain(
    *,
    dataset: Dataset,
    backbone: Annotated[str, typer.Option(metavar="B", help="Without weights: MobileNet:alpha=0.25.")],
    out: Annotated[Path, typer.Option(metavar="SOURCE", help="A folder that does not exist yet.")],
    weights: Annotated[
        str, typer.Option(metavar="W", help="To begin with: none (random), imagenet, source:DIR or a file.")
    ] = "none",
    options: PretrainingOptions,
    set_: Set = None,
) -> None:
    """Trains a source of your own: a backbone to transfer from, with --weights source:SOURCE."""
    from bench.cli.progress import PretrainingReporter
    from bench.commands.pretraining.pretrain import pretrain as train

    settings = overridden({}, given(options, set_))
    reporter = PretrainingReporter()
    try:
        source = train(dataset, backbone, out, weights, settings, reporter.say, reporter.event)
    except KeyboardInterrupt:
        print(f"\nInterrupted. Nothing was written to {quoted(out)}.", file=sys.stderr)
        raise typer.Exit(130) from None
    reporter.summary(source)
    raise typer.Exit(0 if source.learned else 1)
