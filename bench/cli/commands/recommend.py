"""``bench recommend``."""

from __future__ import annotations

from typing import Annotated

from bench.cli.options import ChoiceOptions, Json, RunDirectory, number
from bench.cli.terminal import json_text
from bench.system.names import shown


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
        content, text = needed.to_json(), t.needed_text(needed)
    else:
        answer = r.recommend(
            run.results, run.directory, constraints, among.dataset, run.settings.region, run.noun
        )
        content, text = answer.to_json(), r.text(answer)
    if as_json:
        print(json_text({**content, "cautions": run.cautions}))
    else:
        print(text, *(f"Caution: {shown(caution)}" for caution in run.cautions), sep="\n")
