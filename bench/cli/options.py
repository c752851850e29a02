"""Every option that commands share, once: its flag, its help, and the key of the plan that it sets.

A new option of ``run`` and ``plan`` is one field of ``PlanOptions``; a new option of a protocol is one field of
the protocol's group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.expand import Sets, plan_keys
from bench.errors import RequestError

if TYPE_CHECKING:
    from bench.plans.plan import Plan
    from reports.recommend import Constraints


DATA, SEARCH, RUN, FEW_SHOT, ADVANCED = GROUPS = ("Data", "Search", "Run", "Few-shot", "Advanced")
"""Headings of ``--help``, in its order."""


def option(help: str, group: str, *names: str, metavar: str | None = None) -> Any:
    """An option under a heading of ``--help``; a flag where it has no metavar."""
    return typer.Option(*names, help=help, rich_help_panel=group, metavar=metavar)


def whole(help: str, group: str = ADVANCED) -> Any:
    """An option that is a whole number; anything else is refused as it was typed, with exit code 2."""
    parser = partial(_parsed, parse=int, expected="a whole number")
    return typer.Option(parser=parser, metavar="N", help=help, rich_help_panel=group)


def number(help: str, group: str = ADVANCED) -> Any:
    """The same of a number with or without decimals."""
    parser = partial(_parsed, parse=float, expected="a number")
    return typer.Option(parser=parser, metavar="X", help=help, rich_help_panel=group)


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

Dataset = Annotated[
    str, typer.Argument(help="Folder, manifest or .npz file, or a name of `ls datasets`.", show_default=False)
]
RunDirectory = Annotated[Path, typer.Argument(metavar="DIR", help="Run directory.", show_default=False)]
Json = Annotated[bool, option("Print the answer as JSON.", ADVANCED, "--json")]
Out = Annotated[
    Path | None, option("Run directory to write or resume.  Default: runs/DATASET-HASH.", RUN, metavar="DIR")
]
Trust = Annotated[
    bool,
    option("Run the code of strategies module:Class that the plan or run names.", ADVANCED, "--trust"),
]
Set = Annotated[
    list[str] | None,
    option("Set any key of the plan, such as tuning.algorithm=grid.", ADVANCED, "--set", metavar="KEY=VALUE"),
]
Fractions = Annotated[
    str | None,
    option("Fractions of the labelled pool to train on.  Default: 0.1,0.25,0.5,1.", DATA, metavar="F,F,.."),
    Sets("fractions", shares),
]
Length = Annotated[
    float | None,
    option("Training length as a share of the usual one, such as 0.1.  Default: 1.", SEARCH, metavar="SHARE"),
    Sets("length"),
]
ImageSize = Annotated[
    int | None, whole("Side of the square input, in pixels.  Default: 96.", DATA), Sets("image_size")
]
ClipSeconds = Annotated[
    float | None, number("Seconds of a clip that is heard.  Default: 1.", DATA), Sets("clip_seconds")
]


Task = Annotated[
    str | None,
    option(
        "One class an example, or any number of labels, such as cat;dog.  Default: single_label.",
        DATA,
        metavar="single_label|multi_label",
    ),
    Sets("task"),
]


@dataclass(frozen=True)
class VoiceOptions:
    """How much a command says."""

    quiet: Annotated[bool, option("Print the answer and errors alone.", ADVANCED, "--quiet", "-q")] = False
    verbose: Annotated[bool, option("Print every step of the preparation.", ADVANCED, "--verbose", "-v")] = (
        False
    )

    @property
    def level(self) -> int:
        """0: the answer alone; 1: progress as well; 2: every step."""
        return 0 if self.quiet else 2 if self.verbose else 1


# -------------------------------------------------------------------------------------------------- protocols


@dataclass(frozen=True)
class FewShotOptions:
    """Options of the few-shot protocol."""

    ways: Annotated[
        str | None,
        option("Classes in each episode.  Default: 5,20.", FEW_SHOT, metavar="N,N,.."),
        Sets("few_shot.ways", counts),
    ] = None
    shots: Annotated[
        str | None,
        option("Labelled images of each class in an episode.  Default: 1,5.", FEW_SHOT, metavar="K,K,.."),
        Sets("few_shot.shots", counts),
    ] = None
    episodes: Annotated[
        int | None,
        whole("Number of episodes to average over.  Default: 1000.", FEW_SHOT),
        Sets("few_shot.episodes"),
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
        str | None,
        typer.Argument(
            metavar="[PLAN.toml]", help="Plan file. Options override its keys.", show_default=False
        ),
    ] = None
    demo: Annotated[
        str | None,
        option("Quickstart with embedded data and weights.  Default: image.", DATA, metavar="image|text"),
    ] = None
    dataset: Annotated[
        list[str] | None,
        option("Folder, manifest or .npz file, or a name of `ls datasets`.", DATA, metavar="D"),
        Sets("datasets"),
    ] = None
    backbone: Annotated[
        list[str] | None,
        option(
            "Backbone, such as MobileNet:alpha=0.25, or auto:3 for the best 3 by rank.",
            SEARCH,
            "--backbone",
            "--backbones",
            metavar="B",
        ),
        Sets("backbones"),
    ] = None
    weights: Annotated[
        list[str] | None,
        option("Weights of every backbone: imagenet, none, source:DIR or a file.", SEARCH, metavar="W"),
        Sets("weights"),
    ] = None
    strategy: Annotated[
        list[str] | None,
        option(
            "Strategy to compare, see `ls strategies`.  Default: the five classic ones.", SEARCH, metavar="S"
        ),
        Sets("strategies"),
    ] = None
    task: Task = None
    fractions: Fractions = None
    source_dataset: Annotated[
        str | None,
        option("Labelled source dataset for adaptation, or for few-shot learning.", DATA, metavar="D"),
        Sets("source_dataset"),
    ] = None
    protocol: Annotated[
        str | None,
        option("Protocol of the measurement.  Default: fractions.", ADVANCED, metavar="fractions|few-shot"),
        Sets("protocol"),
    ] = None
    few_shot: FewShotOptions = FewShotOptions()
    auxiliary: Annotated[
        list[str] | None,
        option("Column of the manifest that multi_task learns as well.", DATA, metavar="COLUMN"),
        Sets("auxiliary"),
    ] = None
    auxiliary_dataset: Annotated[
        str | None,
        option("Second dataset, with its own classes, that multi_task learns as well.", DATA, metavar="D"),
        Sets("auxiliary_dataset"),
    ] = None
    seeds: Annotated[
        int | None, whole("Number of repetitions with other seeds.  Default: 3.", RUN), Sets("seeds")
    ] = None
    trials: Annotated[
        int | None,
        whole("Number of hyperparameter trials, 0 for none.  Default: 4.", SEARCH),
        Sets("tuning.trials"),
    ] = None
    budget: Annotated[
        str | None,
        option("Time limit, such as 30m or 2h. The best cells run first.", RUN, metavar="TIME"),
        Sets("budget"),
    ] = None
    until: Annotated[
        str | None,
        option(
            "Stop once the answer is clear, or run all.  Default: complete.", RUN, metavar="decided|complete"
        ),
        Sets("until"),
    ] = None
    epochs: Annotated[
        int | None,
        whole(
            "Passes over many labels. With few, --length alone counts.  Default: 20.",
            SEARCH,
        ),
        Sets("epochs"),
    ] = None
    length: Length = None
    image_size: ImageSize = None
    clip_seconds: ClipSeconds = None
    trust: Trust = False

    def plan(self, assignments: list[str] | None, out: Path | None = None) -> Plan:
        """Returns the plan of the file, overridden by flags and by ``--set``.

        Without a file and a dataset, ``--out`` names the run that is to go on, if there is one.
        """
        from bench.plans.loading import merged
        from bench.plans.plan_file import read_toml

        keys = given(self, assignments)
        file = Path(self.file) if self.file else None
        if self.demo and file:
            raise RequestError("--demo", self.demo, "left out beside a plan file")
        if file is None and not self.demo and out is not None and "datasets" not in dict(keys):
            file = there if (there := out / "plan.toml").exists() else None
        content = overridden(read_toml(file) if file else quickstart(dict(keys), self.demo), keys)
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


def quickstart(keys: dict[str, Any], demo: str | None) -> dict[str, Any]:
    """Returns what the keys override without a plan file: nothing, or a quickstart if none names a dataset."""
    from bench.plans.loading import QUICKSTARTS

    if demo is None and "datasets" in keys:
        return {}
    if "datasets" in keys:
        raise RequestError("--demo", demo, "left out beside --dataset")
    if refusal := WITHOUT_QUICKSTART.get(str(keys.get("protocol"))):
        raise RequestError("dataset", None, *refusal)
    if (demo or "image") not in QUICKSTARTS:
        raise RequestError("--demo", demo, " or ".join(QUICKSTARTS))
    return dict(QUICKSTARTS[demo or "image"])


@dataclass(frozen=True)
class ExecutionOptions:
    """Which cells run, where, and how many at a time."""

    workers: Annotated[int | None, whole("Number of cells at a time.  Default: one per core.", RUN)] = None
    retry: Annotated[
        str | None,
        option("Run cells of these statuses again: failed,oom,timeout.", RUN, metavar="STATUS,.."),
    ] = None
    fresh: Annotated[bool, option("Run every cell here, without copies from other runs.", RUN, "--fresh")] = (
        False
    )
    log: Annotated[
        str | None,
        option("Log every cell as it ends: mlflow,tensorboard,wandb.", RUN, metavar="TRACKER,.."),
    ] = None
    shard: Annotated[
        str | None,
        option("Run only the I-th of K shares of the cells, one per machine.", ADVANCED, metavar="I/K"),
    ] = None
    executor: Annotated[
        str, option("Run cells here or on Ray, from transfer-bench[ray].", ADVANCED, metavar="local|ray")
    ] = "local"
    ray_address: Annotated[
        str | None,
        option("Address of a Ray cluster.  Default: one on this machine.", ADVANCED, metavar="ADDRESS"),
    ] = None

    @property
    def statuses(self) -> list[str]:
        """What is run again."""
        return [status.strip() for status in self.retry.split(",")] if self.retry else []


@dataclass(frozen=True)
class RepeatOptions:
    """One cell of an earlier run."""

    cell: Annotated[
        str | None, option("Cell to repeat and compare, with --from.", ADVANCED, metavar="ID")
    ] = None
    from_: Annotated[
        Path | None, option("Run directory that holds the cell of --cell.", ADVANCED, "--from", metavar="DIR")
    ] = None


# ---------------------------------------------------------------------------- plans of which only a few keys count


@dataclass(frozen=True)
class RankingOptions:
    """How backbones are ranked."""

    image_size: ImageSize = None
    clip_seconds: ClipSeconds = None
    images: Annotated[
        int | None,
        whole("Maximum number of labelled images to use.  Default: 5000.", DATA),
        Sets("ranking.images"),
    ] = None
    download: Annotated[
        float | None,
        number("Download missing weights up to X million parameters, 0 for none.  Default: 30.", SEARCH),
        Sets("ranking.download"),
    ] = None


@dataclass(frozen=True)
class AuditOptions:
    """How a dataset would be used."""

    image_size: ImageSize = None
    clip_seconds: ClipSeconds = None
    resizing: Annotated[
        str | None,
        option("Fit images by crop, stretch or pad.  Default: crop.", DATA, metavar="R"),
        Sets("resizing"),
    ] = None
    fractions: Fractions = None
    task: Task = None


@dataclass(frozen=True)
class PretrainingOptions:
    """How a source is trained."""

    trials: Annotated[
        int | None,
        whole("Number of hyperparameter trials, 0 for none.  Default: 1.", SEARCH),
        Sets("tuning.trials"),
    ] = None
    epochs: Annotated[
        int | None,
        whole(
            "Passes over many images. With few, --length alone counts.  Default: 60.",
            SEARCH,
        ),
        Sets("epochs"),
    ] = None
    length: Length = None
    image_size: ImageSize = None


# ---------------------------------------------------------------------------------------------------- results


@dataclass(frozen=True)
class ChoiceOptions:
    """What a recommendation has to keep to."""

    max_seconds: Annotated[float | None, number("Maximum time to tune and train one seed, in s.", RUN)] = None
    max_latency_ms: Annotated[float | None, number("Maximum inference time per image, in ms.", RUN)] = None
    max_params: Annotated[float | None, number("Maximum number of parameters of the network.", RUN)] = None
    strategy: Annotated[list[str] | None, option("Strategy to choose among.", RUN, metavar="S")] = None
    dataset: Annotated[str | None, option("Name of one of several datasets.", DATA, metavar="NAME")] = None

    def constraints(self, labels: float | None) -> Constraints:
        """Returns them as the report knows them."""
        from reports.recommend import Constraints

        return Constraints(
            labels, self.max_seconds, self.max_latency_ms, self.max_params, tuple(self.strategy or ())
        )
