"""``bench log``."""

from __future__ import annotations

from typing import Annotated

from bench.cli.options import RUN, RunDirectory, option


def log(
    directory: RunDirectory,
    to: Annotated[str, option("Tracker to log to.", RUN, metavar="mlflow|tensorboard|wandb")],
) -> None:
    """Log the cells of a run to a tracker.  No cell is logged twice."""
    from bench.modalities.findings import count
    from bench.runs.results import load
    from bench.trackers.log import log as log_to

    found = log_to(load(directory), to)
    print(f"{count(found.new, 'cell')} logged, {found.known} there already. See: {found.where}")
