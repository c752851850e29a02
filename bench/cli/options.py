"""Every option that commands share, once: its flag, its help, and the key of the plan that it sets.

A new option of ``run`` and ``plan`` is one field of ``PlanOptions``; a new option of a protocol is one field of
the protocol's group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.expand import Sets, plan_keys
from bench.errors import RequestError

if TYPE_CHECKING:
    from bench.plans.plan import Plan
    from reports.recommend import Constraints


def whole(help: str) -> Any:
    """An option that is a whole number; anything else is refused as it was typed, with exit code 2."""
    return typer.Option(parser=lambda text: _parsed(text, int, "a whole number"), metavar="N", help=help)


def number(help: str) -> Any:
    """The same of a number with or without decimals."""
    return typer.Option(parser=lambda text: _parsed(text, float, "a number"), metavar="X", help=help)


def _parsed(text: str, parse: Callable[[str], Any], expected: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise typer.BadParameter(f"it must be {expected} (got {text!r}).") from None


def _list_of(kind: Callable[[str], Any], expected: str) -> Callable[[str, str], list[Any]]:
    """Reads what is separated by commas; for ``Sets``."""

    def read(name: str, text: str) -> list[Any]:
        try:
            return [kind(part) for part in text.split(",")]
        except ValueError:
            raise RequestError(name, text, expected) from None

    return read


counts = _list_of(int, "whole numbers separated by commas, for instance 1,5")
shares = _list_of(float, "numbers separated by commas, for instance 0.1,0.5,1")


# ------------------------------------------------------------------------------- options of several commands

Dataset = Annotated[str, typer.Argument(help="A folder, manifest, .npz or name (see ls datasets).")]
RunDirectory = Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")]
Json = Annotated[bool, typer.Option("--json", help="The same as JSON.")]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Run directory.  Default: runs/<dataset>-<plan hash>.")
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Import the strategies module:Class that the plan or run names: run their code."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the plan: tuning.algorithm=grid."),
]
Fractions = Annotated[
    str | None,
    typer.Option(metavar="F,F,..", help="Shares of the labelled pool.  Default: 0.1,0.25,0.5,1."),
    Sets("fractions", shares),
]
Length = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", help="Train for this share of the usual length.  0.1: a quick look.  Default: 1."
    ),
    Sets("length"),
]
ImageSize = Annotated[
    int | None, whole("Side of the square input, in pixels.  Default: 96."), Sets("image_size")
]


# -------------------------------------------------------------------------------------------------- protocols


@dataclass(frozen=True)
class FewShotOptions:
    """Options of the few-shot protocol."""

    ways: Annotated[
        str | None,
        typer.Option(metavar="N,N,..", help="Few-shot: classes of an episode.  Default: 5,20."),
        Sets("few_shot.ways", counts),
    ] = None
    shots: Annotated[
        str | None,
        typer.Option(metavar="K,K,..", help="Few-shot: labels a class.  Default: 1,5."),
        Sets("few_shot.shots", counts),
    ] = None
    episodes: Annotated[
        int | None, whole("Few-shot: how many.  Default: 1000."), Sets("few_shot.episodes")
    ] = None


WITHOUT_QUICKSTART = {
    "few-shot": (
        "given, with classes that are all new, in the few-shot protocol",
        "Give labelled images of other classes to learn from with --source-dataset.",
    )
}
"""Protocols that cannot do without a dataset: what they expect instead of the quickstart, and how to go on."""


# ------------------------------------------------------------------------------------------------------ plans


@dataclass(frozen=True)
class PlanOptions:
    """A plan file and what overrides it."""

    file: Annotated[
        str | None, typer.Argument(metavar="[PLAN.toml]", help="A plan file; flags override it.")
    ] = None
    dataset: Annotated[
        list[str] | None,
        typer.Option(metavar="D", help="A folder, manifest, .npz or name (see ls datasets)."),
        Sets("datasets"),
    ] = None
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone",
            "--backbones",
            metavar="B",
            help="Such as MobileNet:alpha=0.25; auto:5: the best by rank.",
        ),
        Sets("backbones"),
    ] = None
    weights: Annotated[
        list[str] | None,
        typer.Option(metavar="W", help="imagenet, none, source:DIR or a file, for every backbone."),
        Sets("weights"),
    ] = None
    strategy: Annotated[
        list[str] | None,
        typer.Option(metavar="S", help="See ls strategies.  Default: the five classic."),
        Sets("strategies"),
    ] = None
    fractions: Fractions = None
    source_dataset: Annotated[
        str | None,
        typer.Option(
            metavar="D", help="Labelled: the same classes, another look; for few-shot, other classes."
        ),
        Sets("source_dataset"),
    ] = None
    protocol: Annotated[
        str | None,
        typer.Option(metavar="fractions|few-shot", help="What is measured.  Default: fractions."),
        Sets("protocol"),
    ] = None
    few_shot: FewShotOptions = FewShotOptions()
    auxiliary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="A further column of the manifest, for multi_task. May be repeated."
        ),
        Sets("auxiliary"),
    ] = None
    auxiliary_dataset: Annotated[
        str | None,
        typer.Option(metavar="D", help="Another dataset, with classes of its own, for multi_task."),
        Sets("auxiliary_dataset"),
    ] = None
    seeds: Annotated[int | None, whole("Repetitions, seeds 0, 1, ...  Default: 3."), Sets("seeds")] = None
    trials: Annotated[
        int | None, whole("Trials of the hyperparameter search.  Default: 4."), Sets("tuning.trials")
    ] = None
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="End within this time, 30m or 2h, with the best answer so far."),
        Sets("budget"),
    ] = None
    until: Annotated[
        str | None,
        typer.Option(metavar="decided|complete", help="End once the answer is clear.  Default: complete."),
        Sets("until"),
    ] = None
    epochs: Annotated[
        int | None,
        whole("Most passes over the labels.  With few labels, steps are counted instead.  Default: 20."),
        Sets("epochs"),
    ] = None
    length: Length = None
    image_size: ImageSize = None
    trust: Trust = False

    def plan(self, assignments: list[str] | None, out: Path | None = None) -> Plan:
        """Returns the plan of the file, overridden by flags and by ``--set``.

        Without a file and a dataset, ``--out`` names the run that is to go on, if there is one.
        """
        from bench.plans.loading import merged
        from bench.plans.plan_file import read_toml

        keys = given(self, assignments)
        file = Path(self.file) if self.file else None
        if file is None and out is not None and "datasets" not in dict(keys):
            file = there if (there := out / "plan.toml").exists() else None
        content = overridden(read_toml(file) if file else _start(dict(keys)), keys)
        asked = dict(keys).get("strategies", [])
        return merged(content, map(str, asked if isinstance(asked, list) else [asked]), self.trust)

    def directory(self, out: Path | None) -> Path | None:
        """Returns the run directory that was named, by ``--out`` or by the place of the plan file."""
        if out is not None or self.file is None:
            return out
        folder = Path(self.file).parent
        # A run that was ended as it began has only the lock.
        return folder if any((folder / name).exists() for name in ("run.json", ".lock")) else None


def given(options: Any, assignments: list[str] | None = None) -> list[tuple[str, Any]]:
    """Returns the keys of the plan that the options of a group set, then those of ``--set``."""
    from bench.plans.loading import parse_assignment

    return [*plan_keys(options), *map(parse_assignment, assignments or [])]


def overridden(content: dict[str, Any], keys: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the content of a plan with other values of these keys."""
    from bench.plans.loading import set_key

    for key, value in keys:
        content = set_key(content, key, value)
    return content


def _start(keys: dict[str, Any]) -> dict[str, Any]:
    """Returns what the keys override without a plan file: nothing, or the quickstart if none names a dataset."""
    from bench.plans.loading import QUICKSTART

    if "datasets" in keys:
        return {}
    if refusal := WITHOUT_QUICKSTART.get(str(keys.get("protocol"))):
        raise RequestError("dataset", None, *refusal)
    return dict(QUICKSTART)


@dataclass(frozen=True)
class ExecutionOptions:
    """Which cells run, where, and how many at a time."""

    workers: Annotated[int | None, whole("Cells at a time.  Default: one a core.")] = None
    retry: Annotated[
        str | None, typer.Option(metavar="STATUS,..", help="Run these again: failed,oom,timeout.")
    ] = None
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/K", help="Only the I-th of K shares of the cells: one host of several."),
    ] = None
    executor: Annotated[
        str, typer.Option(metavar="local|ray", help="Where cells run; ray needs transfer-bench[ray].")
    ] = "local"
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a Ray cluster.  Default: one on this machine.")
    ] = None
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run every cell here; copy none from the runs beside this one.")
    ] = False

    @property
    def statuses(self) -> list[str]:
        """What is run again."""
        return [status.strip() for status in self.retry.split(",")] if self.retry else []


@dataclass(frozen=True)
class RepeatOptions:
    """One cell of an earlier run."""

    cell: Annotated[
        str | None, typer.Option(metavar="ID", help="With --from: repeats one cell and compares.")
    ] = None
    from_: Annotated[Path | None, typer.Option("--from", metavar="DIR", help="The run of --cell.")] = None


# ---------------------------------------------------------------------------- plans of which only a few keys count


@dataclass(frozen=True)
class RankingOptions:
    """How backbones are ranked."""

    image_size: ImageSize = None
    images: Annotated[
        int | None, whole("Labelled images to look at, at most.  Default: 5000."), Sets("ranking.images")
    ] = None
    download: Annotated[
        float | None,
        number("Downloads missing weights of up to X million parameters.  Default: 30; 0: none."),
        Sets("ranking.download"),
    ] = None


@dataclass(frozen=True)
class AuditOptions:
    """How a dataset would be used."""

    image_size: ImageSize = None
    resizing: Annotated[
        str | None, typer.Option(metavar="R", help="crop, stretch or pad.  Default: crop."), Sets("resizing")
    ] = None
    fractions: Fractions = None


@dataclass(frozen=True)
class PretrainingOptions:
    """How a source is trained."""

    trials: Annotated[
        int | None, whole("Trials of the hyperparameter search.  Default: 1."), Sets("tuning.trials")
    ] = None
    epochs: Annotated[
        int | None,
        whole("Most passes over the images.  With few, steps are counted instead.  Default: 60."),
        Sets("epochs"),
    ] = None
    length: Length = None
    image_size: ImageSize = None


# ---------------------------------------------------------------------------------------------------- results


@dataclass(frozen=True)
class ChoiceOptions:
    """What a recommendation has to keep to."""

    max_seconds: Annotated[float | None, number("To tune and train one seed.")] = None
    max_latency_ms: Annotated[float | None, number("Of one image.")] = None
    max_params: Annotated[float | None, number("Parameters of the network.")] = None
    strategy: Annotated[list[str] | None, typer.Option(metavar="S", help="Only among these.")] = None
    dataset: Annotated[str | None, typer.Option(help="Its name, if the run has several.")] = None

    def constraints(self, labels: float | None) -> Constraints:
        """Returns them as the report knows them."""
        from reports.recommend import Constraints

        return Constraints(
            labels, self.max_seconds, self.max_latency_ms, self.max_params, tuple(self.strategy or ())
        )
