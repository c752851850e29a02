"""``bench rank``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Dataset, Json, RankingOptions, Set, given, overridden, whole
from bench.cli.terminal import json_text, tell
from bench.errors import RequestError


def rank(
    *,
    dataset: Dataset,
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone", "--backbones", metavar="B", help="To rank beside all whose weights are here."
        ),
    ] = None,
    only: Annotated[bool, typer.Option("--only", help="Ranks no others than those of --backbone.")] = False,
    options: RankingOptions,
    against: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A run to compare with.  Default: one in runs/ on the same images."),
    ] = None,
    workers: Annotated[int | None, whole("Backbones at a time.  Default: one a core.")] = None,
    as_json: Json = False,
    set_: Set = None,
) -> None:
    """Orders backbones for a dataset, and predicts the accuracy of a linear probe.  Trains nothing."""
    from bench.cli.show.ranking import print_ranking
    from bench.ranking.rank import rank as rank_backbones
    from bench.runs.agreement import agreement, find_run

    settings = overridden({}, given(options, set_))
    if against is not None and not against.is_dir():
        raise RequestError("against", str(against), "a run directory")
    ranking = rank_backbones(dataset, backbone or (), only=only, workers=workers, say=tell, **settings)
    run = find_run(ranking, against)
    agrees = None if run is None else agreement(ranking, run)
    if as_json:
        content = {**ranking.to_json(), "agreement": None if agrees is None else agrees.to_json()}
        print(json_text(content))
    else:
        print_ranking(ranking, agrees)
