"""Every option of the command line, once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.plans.plan import Plan


def _parsed(text: str, parse: Callable[[str], Any], expected: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise typer.BadParameter(f"received {text!r}; expected {expected}.") from None


def whole(help: str) -> Any:
    """An option that is a whole number; anything else is refused as it was typed, with exit code 2."""
    return typer.Option(parser=lambda text: _parsed(text, int, "a whole number"), metavar="N", help=help)


def number(help: str) -> Any:
    """The same of a number with or without decimals."""
    return typer.Option(parser=lambda text: _parsed(text, float, "a number"), metavar="X", help=help)


PlanFile = Annotated[
    str | None, typer.Argument(metavar="[PLAN.toml]", help="A plan file; flags override it.")
]


Datasets = Annotated[
    list[str] | None,
    typer.Option("--dataset", metavar="D", help="A folder, manifest, .npz or name (see ls datasets)."),
]


Backbones = Annotated[
    list[str] | None,
    typer.Option(
        "--backbone",
        "--backbones",
        metavar="B",
        help="Such as MobileNet:alpha=0.25; auto:5: the best by rank.",
    ),
]


Weights = Annotated[
    list[str] | None,
    typer.Option("--weights", metavar="W", help="imagenet, none, source:DIR or a file, for every backbone."),
]


Strategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", metavar="S", help="See ls strategies.  Default: the five classic."),
]


Fractions = Annotated[
    str | None, typer.Option(metavar="F,F,..", help="Shares of the labelled pool.  Default: 0.1,0.3,1.")
]


SourceDataset = Annotated[
    str | None,
    typer.Option(metavar="D", help="Labelled: the same classes, another look; for few-shot, other classes."),
]


Protocol = Annotated[
    str | None, typer.Option(metavar="fractions|few-shot", help="What is measured.  Default: fractions.")
]


Ways = Annotated[
    str | None, typer.Option(metavar="N,N,..", help="Few-shot: classes of an episode.  Default: 5,20.")
]


Shots = Annotated[str | None, typer.Option(metavar="K,K,..", help="Few-shot: labels a class.  Default: 1,5.")]


Episodes = Annotated[int | None, whole("Few-shot: how many.  Default: 1000.")]


Auxiliaries = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="A further column of the manifest, for multi_task. May be repeated."),
]


AuxiliaryDataset = Annotated[
    str | None, typer.Option(metavar="D", help="Another dataset, with classes of its own, for multi_task.")
]


Seeds = Annotated[int | None, whole("Repetitions, seeds 0, 1, ...  Default: 3.")]


Trials = Annotated[int | None, whole("Trials of the hyperparameter search.  Default: 4.")]


Epochs = Annotated[int | None, whole("Cap of the last stage.  Default: 20.")]


ImageSize = Annotated[int | None, whole("Side of the square input, in pixels.  Default: 96.")]


Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the plan: tuning.algorithm=grid."),
]


Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Run directory.  Default: runs/<dataset>-<plan hash>.")
]


MaxSeconds = Annotated[float | None, number("To tune and train one seed.")]


MaxLatency = Annotated[float | None, number("Of one image.")]


MaxParams = Annotated[float | None, number("Parameters of the network.")]


DatasetName = Annotated[str | None, typer.Option(help="Its name, if the run has several.")]


RunDirectory = Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")]


Among = Annotated[list[str] | None, typer.Option("--strategy", metavar="S", help="Only among these.")]


def _plan(
    plan: str | None,
    dataset: list[str] | None,
    backbone: list[str] | None,
    weights: list[str] | None,
    strategy: list[str] | None,
    fractions: str | None,
    source_dataset: str | None,
    auxiliary: list[str] | None,
    auxiliary_dataset: str | None,
    seeds: int | None,
    trials: int | None,
    epochs: int | None,
    image_size: int | None,
    assignments: list[str] | None,
    few_shot: dict[str, Any],
) -> Plan:
    """The plan of a file, overridden by flags; the quickstart if neither names a dataset."""
    from bench.plans.loading import QUICKSTART, load_plan, parse_assignment, read_toml, set_key

    settings = [parse_assignment(text) for text in assignments or []]
    names_data = dataset or any(key == "datasets" for key, _ in settings)
    protocol = dict([("protocol", few_shot["protocol"]), *settings])["protocol"]
    if protocol == "few-shot" and not (plan or names_data):
        remedy = "--source-dataset gives labelled images of other classes, to learn from."
        raise RequestError(
            "dataset", "nothing", "--dataset D, all of whose classes are new, for few-shot", remedy
        )
    content: dict[str, Any] = read_toml(Path(plan)) if plan else {} if names_data else dict(QUICKSTART)
    flags: dict[str, Any] = {
        "datasets": dataset or None,
        "backbones": backbone or None,
        "weights": weights or None,
        "strategies": strategy or None,
        "fractions": None if fractions is None else _numbers("fractions", fractions),
        "source_dataset": source_dataset,
        "auxiliary": auxiliary or None,
        "auxiliary_dataset": auxiliary_dataset,
        "seeds": seeds,
        "tuning.trials": trials,
        "epochs": epochs,
        "image_size": image_size,
        **few_shot,
    }
    for key, value in [*flags.items(), *settings]:
        if value is not None:
            content = set_key(content, key, value)
    return load_plan(content)


def _few_shot(
    protocol: str | None, ways: str | None, shots: str | None, episodes: int | None
) -> dict[str, Any]:
    """The keys of these flags."""
    counts = {
        name: None if text is None else _counts(name, text)
        for name, text in (("ways", ways), ("shots", shots))
    }
    return {
        "protocol": protocol,
        "few_shot.ways": counts["ways"],
        "few_shot.shots": counts["shots"],
        "few_shot.episodes": episodes,
    }


def _counts(field: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise RequestError(field, text, "whole numbers separated by commas, for instance 1,5") from None


def _numbers(field: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise RequestError(field, text, "numbers separated by commas, for instance 0.1,0.3,1") from None
