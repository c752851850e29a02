"""``bench rank``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from bench.cli.options import (
    RUN,
    SEARCH,
    Dataset,
    Json,
    RankingOptions,
    Set,
    VoiceOptions,
    given,
    option,
    overridden,
    whole,
)
from bench.cli.terminal import Steps, json_text
from bench.errors import RequestError

if TYPE_CHECKING:
    from bench.ranking.ranking import Ranking
    from bench.runs.agreement import Agreement


def rank(
    *,
    dataset: Dataset,
    backbone: Annotated[
        list[str] | None,
        option("Backbone to rank beside those at hand.", SEARCH, "--backbone", "--backbones", metavar="B"),
    ] = None,
    only: Annotated[bool, option("Rank only the backbones of --backbone.", SEARCH, "--only")] = False,
    options: RankingOptions,
    against: Annotated[
        Path | None,
        option(
            "Run directory to compare with.  Default: one in runs/ on the same images.", RUN, metavar="DIR"
        ),
    ] = None,
    workers: Annotated[
        int | None, whole("Number of backbones at a time.  Default: one per core.", RUN)
    ] = None,
    as_json: Json = False,
    set_: Set = None,
    voice: VoiceOptions,
) -> None:
    """Rank backbones by predicted accuracy.  Scores their features on your images and trains nothing."""
    from bench.cli.show.ranking import print_ranking

    settings, tell = overridden({}, given(options, set_)), Steps(voice.level)
    ranking, agrees, content = ranked(dataset, backbone or (), only, against, workers, settings, tell)
    if as_json:
        print(json_text(content))
    else:
        print_ranking(ranking, agrees)


def ranked(
    dataset: Any,
    backbones: Sequence[str],
    only: bool,
    against: Path | None,
    workers: int | None,
    settings: dict[str, Any],
    tell: Steps,
) -> tuple[Ranking, Agreement | None, dict[str, Any]]:
    """Returns a ranking, how it agrees with a run on the same data, and both as JSON."""
    from bench.ranking.rank import rank as rank_backbones
    from bench.runs.agreement import agreement, find_run

    if against is not None and not against.is_dir():
        raise RequestError("against", str(against), "a run directory")
    ranking = rank_backbones(dataset, backbones, only=only, workers=workers, say=tell, **settings)
    run = find_run(ranking, against)
    agrees = None if run is None else agreement(ranking, run)
    return ranking, agrees, {**ranking.to_json(), "agreement": None if agrees is None else agrees.to_json()}
