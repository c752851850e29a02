"""``bench recommend``."""

from __future__ import annotations

from typing import Annotated

from bench.cli.options import DATA, ChoiceOptions, Json, RunDirectory, number
from bench.cli.terminal import json_text
from bench.system.names import shown


def recommend(
    *,
    directory: RunDirectory,
    labels: Annotated[
        float | None, number("Number of labelled images you will have.  Default: the most measured.", DATA)
    ] = None,
    among: ChoiceOptions,
    target: Annotated[
        float | None, number("Accuracy, or metric of the run, to reach. Prints the labels it needs.", DATA)
    ] = None,
    as_json: Json = False,
) -> None:
    """Recommend a strategy within your limits.  Answers between measured label counts, too."""
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
