"""``bench log``."""

from __future__ import annotations

from typing import Annotated

from bench.cli.options import RUN, RunDirectory, option


def log(
    directory: RunDirectory,
    to: Annotated[str, option("Trackers to log to: mlflow,tensorboard,wandb.", RUN, metavar="TRACKER,..")],
) -> None:
    """Log the cells of a run to trackers.  No cell is logged twice."""
    from bench.cli.show.results import print_logged
    from bench.runs.results import load
    from bench.trackers.base import names_of
    from bench.trackers.log import log as log_to

    names, run = names_of(to), load(directory)
    for name in names:
        print_logged(log_to(run, name))
