"""``bench report``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import RunDirectory, number


def report(
    directory: RunDirectory,
    region: Annotated[
        float | None, number("A difference in the metric that counts as none.  Default: 0.01.")
    ] = None,
    price_per_hour: Annotated[float | None, number("Of the machine, to show costs in money too.")] = None,
    thumbnails: Annotated[
        bool | None, typer.Option("--thumbnails/--no-thumbnails", help="Whether to show test images.")
    ] = None,
) -> None:
    """Renders report.html, figures and results.csv again from the records."""
    from bench.plans.loading import change_report
    from bench.runs.results import load

    run = load(directory)
    settings = {"region": region, "price_per_hour": price_per_hour, "thumbnails": thumbnails}
    print(run.report(change_report(run.settings, settings)))
