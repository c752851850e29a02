"""``bench recommend``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
    content, text = answered(directory, labels, among, target)[1:]
    print(json_text(content) if as_json else text)


def answered(
    directory: Path, labels: float | None, among: ChoiceOptions, target: float | None
) -> tuple[Any, dict[str, Any], str]:
    """Returns the recommendation of a run, or the labels that it needs; also as JSON, and in sentences."""
    from bench.runs.results import load
    from reports import recommend as r
    from reports import target as t

    run = load(directory)
    run.check_fractions("recommend")
    constraints = among.constraints(labels)
    found: Any
    if target is not None:
        found = t.labels_needed(run.results, run.directory, target, constraints, among.dataset, run.noun)
        text = t.needed_text(found)
    else:
        found = r.recommend(
            run.results, run.directory, constraints, among.dataset, run.settings.region, run.noun
        )
        text = r.text(found)
    cautions = run.cautions
    said = "\n".join([text, *(f"Caution: {shown(caution)}" for caution in cautions)])
    return found, {**found.to_json(), "cautions": cautions}, said
