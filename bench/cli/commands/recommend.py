"""``bench recommend``."""

from __future__ import annotations

from typing import Annotated

from bench.cli.options import ChoiceOptions, Json, RunDirectory, number
from bench.cli.terminal import json_text


def recommend(
    *,
    directory: RunDirectory,
    labels: Annotated[
        float | None, number("Labelled images that there will be.  Default: the most measured.")
    ] = None,
    among: ChoiceOptions,
    target: Annotated[
        float | None, number("An accuracy, or the metric of the run: says how many labels it needs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Says what to take under constraints, also between measured label counts."""
    from bench.runs.results import load
    from reports import recommend as r
    from reports import target as t

    run = load(directory)
    run.check_fractions("recommend")
    constraints = among.constraints(labels)
    if target is not None:
        needed = t.labels_needed(run.results, run.directory, target, constraints, among.dataset, run.noun)
        print(json_text(needed.to_json()) if as_json else t.needed_text(needed))
    else:
        answer = r.recommend(
            run.results, run.directory, constraints, among.dataset, run.settings.region, run.noun
        )
        print(json_text(answer.to_json()) if as_json else r.text(answer))
