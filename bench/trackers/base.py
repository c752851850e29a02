"""What a tracker is told, and what it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import ClassVar

from bench.errors import RequestError, did_you_mean
from bench.store import LINKED

TRACKERS = {
    "mlflow": "bench.trackers.mlflow:MLflow",
    "tensorboard": "bench.trackers.tensorboard:TensorBoard",
    "wandb": "bench.trackers.wandb:WandB",
}
"""Name to ``module:class``."""
PROJECT = "transfer-bench"
"""The experiment or project that runs are logged to, unless the tracker's own settings name one."""

Value = str | int | float | bool


@dataclass(frozen=True)
class Point:
    """A value of a curve.

    Attributes:
        step: images seen so far.
        value: of the curve.
        seconds: since the epoch, as ``time.time()``.
    """

    step: int
    value: float
    seconds: float


@dataclass(frozen=True)
class Entry:
    """A cell as trackers see it.

    Attributes:
        id: of the cell.
        name: for people.
        parameters: what was run, chosen hyperparameters among them.
        metrics: what came out, by names such as ``test/accuracy``.
        curves: by names such as ``refit/val_loss``.
        tags: what identifies it.
        error: why it has no result; empty if it has one.
        ended: seconds since the epoch.
        took: seconds.
    """

    id: str
    name: str
    parameters: Mapping[str, Value]
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    ended: float = 0.0
    took: float = 0.0


@dataclass(frozen=True)
class Place:
    """The run that cells belong to.

    Attributes:
        id: the same wherever its directory lies.
        name: for people.
        directory: of the run.
    """

    id: str
    name: str
    directory: Path


class Tracker(ABC):
    """Logs cells. What it has logged it does not log again.

    Args:
        place: the run.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    """What is imported."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def folder(self, name: str) -> Path:
        """A folder of the run directory to write into.

        Raises:
            OSError: it is a link. What lies where it leads to is not ours to write over.
        """
        folder = self.place.directory / name
        if folder.is_symlink():
            raise OSError(LINKED.format(name))
        return folder

    @abstractmethod
    def log(self, entry: Entry) -> bool:
        """Logs a cell, unless it is there already; whether it did."""

    @abstractmethod
    def finish(self, answer: str, files: Sequence[Path]) -> None:
        """Logs the answer of the run, and its files where the tracker keeps some."""

    @property
    @abstractmethod
    def where(self) -> str:
        """Where to look, for people."""


def tracker(name: str, place: Place) -> Tracker:
    """The tracker of this name.

    Raises:
        RequestError: there is none, or its package is missing.
    """
    check(name)
    found: Tracker = resolve_name(TRACKERS[name])(place)
    return found


def names_of(given: str | Iterable[str] | None) -> list[str]:
    """Names of trackers: ``mlflow,tensorboard`` or a list of them, each checked. None: no tracker.

    Raises:
        RequestError: there is no such tracker, or its package is missing.
    """
    parts = given.split(",") if isinstance(given, str) else list(given or ())
    names = list(dict.fromkeys(part.strip() for part in parts))
    for name in names:
        check(name)
    return names


def check(name: str) -> None:
    """Refuses names of no tracker, and trackers whose package is missing. Loads no package.

    Raises:
        RequestError: it is none, or its package is missing.
    """
    if name not in TRACKERS:
        raise RequestError("to", name, " or ".join(TRACKERS), did_you_mean(name, TRACKERS))
    package = resolve_name(TRACKERS[name]).package
    found = find_spec(package)
    if found is None or found.origin is None:  # a folder of this name, as wandb itself leaves them
        remedy = f"Run: pip install 'transfer-bench[{name}]'"
        raise RequestError("to", name, f"with the package {package}", remedy)
