"""``bench compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Json
from bench.cli.terminal import json_text


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="Run directory.", show_default=False)],
    second: Annotated[
        Path, typer.Argument(metavar="B", help="Run directory to compare with.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Compare two runs.  Shows what changed from A to B, and whether it is more than noise."""
    from bench.plans.loading import read_stored_plan
    from bench.runs.results import load
    from bench.store import Store
    from reports import compare as c

    runs = load(first), load(second)
    for run in runs:
        run.check_fractions("compare")
    stores = [Store(run.directory) for run in runs]
    plans = [read_stored_plan(store.plan_path) if store.plan_path.exists() else {} for store in stores]
    changes = c.compare(
        (runs[0].results, runs[1].results),
        (runs[0].directory, runs[1].directory),
        (plans[0], plans[1]),
        runs[0].settings.region,
        (stores[0].read_run(), stores[1].read_run()),
    )
    print(json_text(changes.to_json()) if as_json else c.text(changes))
