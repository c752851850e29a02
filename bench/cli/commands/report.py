"""``bench report``."""

from __future__ import annotations

from typing import Annotated

from bench.cli.options import RUN, RunDirectory, number, option


def report(
    directory: RunDirectory,
    region: Annotated[
        float | None, number("Difference in the metric that counts as a tie.  Default: 0.01.", RUN)
    ] = None,
    price_per_hour: Annotated[float | None, number("Price of the machine per hour.", RUN)] = None,
    thumbnails: Annotated[
        bool | None, option("Show test images in the page.", RUN, "--thumbnails/--no-thumbnails")
    ] = None,
) -> None:
    """Write the report again.  Renders report.html, figures and results.csv from the records."""
    from bench.plans.loading import change_report
    from bench.runs.results import load

    run = load(directory)
    settings = {"region": region, "price_per_hour": price_per_hour, "thumbnails": thumbnails}
    print(run.report(change_report(run.settings, settings)))
