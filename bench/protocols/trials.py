"""The trials of a cell and the refit of the best, as every protocol has them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from keras_tuner.engine.hyperparameters import HyperParameters

from bench.datasets import Dataset
from bench.datasets.companions.source import SourceDomain
from bench.errors import BenchError
from bench.modalities.base import Reader
from bench.modalities.registry import modality, size_of
from bench.records import Cell
from bench.training.engine import Engine, Network
from bench.training.examples import PartExamples, content_key
from bench.training.loop import NotFinite
from bench.training.programs.config import HeadConfig
from bench.training.search import WORST, Proposal, search, values_of
from bench.training.task import CellTask
from strategies.base import Embedding, Fitted, Info, Strategy


def info_of(cell: Cell, dataset: Dataset, n: int, **more: bool) -> Info:
    """What a strategy may know of a cell before its network is built.

    Args:
        n: labelled examples.
        more: further fields of ``Info``.
    """
    return Info(
        modality=dataset.modality,
        class_names=dataset.class_names,
        n=n,
        has_weights=bool(cell.weights) and cell.weights != "none",
        image_size=size_of(cell.examples, cell.modality),
        batch_size=cell.batch_size,
        metric=cell.metric,
        class_weight=cell.class_weight,
        task=cell.task,
        **more,
    )


def network_of(
    cell: Cell, strategy: Strategy, engine: Engine, info: Info
) -> tuple[Network | None, Info, str | None]:
    """The network of a cell, if it has one, ``info`` with its traits, and why the strategy cannot run, if so.

    Raises:
        BenchError: the weights are no longer those that the run was planned with.
    """
    reason = strategy.skip(info)
    if reason is not None or not strategy.uses_backbone:
        return None, info, reason
    network = engine.network(
        cell.backbone, cell.weights, size_of(cell.examples, cell.modality), cell.precision
    )
    if cell.weights and network.weights.sha256 != cell.weights_sha256:
        raise BenchError(f"the weights of {cell.backbone} have changed since this run was planned")
    info = replace(info, **network.traits)
    return network, info, strategy.skip(info)


ENOUGH = 200
"""Examples to validate on from which the best trial is taken as it is. With fewer it is mostly the luckiest."""
SURE = 1.64
"""Standard errors by which it has to beat the default where there are fewer."""


class Scored(NamedTuple):
    """What came of a trial.

    Attributes:
        fitted: what was trained.
        score: on validation, to be maximised.
        measured: what a record says of it.
        losses: of each example, or episode, that validates; paired from trial to trial.
    """

    fitted: Fitted
    score: float
    measured: dict[str, Any]
    losses: np.ndarray


class Finished(NamedTuple):
    """What is kept of a trial that ended well; its weights are not."""

    entry: dict[str, Any]
    """Of the record."""
    hp: HyperParameters
    losses: np.ndarray
    """See ``Scored``."""
    curve: list[dict[str, Any]]


def surely_better(losses: np.ndarray, default: np.ndarray) -> bool:
    """Whether losses are below those of the default beyond noise: paired, by more than ``SURE`` standard errors.

    Args:
        losses: of each example that validates, (N,).
        default: of the same examples.
    """
    gain = default - losses
    error = gain.std(ddof=1) / math.sqrt(len(gain)) if len(gain) > 1 else math.inf
    return bool(gain.mean() > SURE * error)


@dataclass(eq=False)
class Search(ABC):
    """The search of a cell and what came of it.

    Attributes:
        cell, dataset, network, strategy, info: of the cell.
        tick: called with a short text of what is being done.
        trials: an entry each, as a record keeps it.
        default, best: the first trial, which has the defaults, and the one with the best score; None where no
            trial was finite.
        prefixes: seconds that outputs of frozen layers took, by cut.
        memory: what a strategy keeps between trials, ``Task.memory``.
    """

    cell: Cell
    dataset: Dataset
    network: Network | None
    strategy: Strategy
    info: Info
    tick: Callable[[str], None]
    trials: list[dict[str, Any]] = field(init=False, default_factory=list)
    default: Finished | None = field(init=False, default=None)
    best: Finished | None = field(init=False, default=None)
    prefixes: dict[str, float] = field(init=False, default_factory=dict)
    memory: dict[str, Any] = field(init=False, default_factory=dict)
    _task: CellTask | None = field(init=False, default=None)

    @abstractmethod
    def searched(self) -> CellTask:
        """The task of the trials."""

    @abstractmethod
    def scored(self, task: CellTask, hp: HyperParameters) -> Scored:
        """Trains and scores one trial.

        Raises:
            NotFinite: it diverged.
        """

    def run(self) -> None:
        """Searches, unless the defaults are to be taken.

        Raises:
            NotFinite: no trial had a finite loss.
        """
        tuning = self.cell.tuning
        if not tuning["trials"]:
            return
        search(
            self.space(),
            tuning["algorithm"],
            tuning["trials"],
            self.cell.epochs,
            self.cell.seed,
            self._evaluate,
        )
        if self.chosen is None:
            raise NotFinite(f"no trial had a finite loss; the first: {self.trials[0]['error']}")
        self.chosen.entry["chosen"] = True

    @property
    def chosen(self) -> Finished | None:
        """The trial that is trained again: the best one, unless it may have been luck; then the default."""
        default, best = self.default, self.best
        if default is None or best is None or best is default or len(best.losses) >= ENOUGH:
            return best
        return best if surely_better(best.losses, default.losses) else default

    @property
    def chosen_hp(self) -> HyperParameters:
        """Its hyperparameters; the defaults where nothing was tried."""
        return self.space() if self.chosen is None else self.chosen.hp

    def space(self) -> HyperParameters:
        """What is searched; its values are the defaults."""
        space = HyperParameters()
        if self.strategy.uses_backbone:
            for key in ("hidden_units", "dropout"):
                if isinstance(self.cell.head[key], list):
                    space.Choice(key, self.cell.head[key])
        for name, value in self.strategy.fixed.items():
            space.Fixed(name, value)  # what is there first stays
        self.declare(space)
        return space

    def declare(self, space: HyperParameters) -> None:
        """Adds what the strategy searches."""
        self.strategy.space(space)

    def _evaluate(self, proposal: Proposal) -> float:
        hp = proposal.hp
        trial: dict[str, Any] = {
            "trial": proposal.number,
            "hyperparameters": values_of(hp),
            "length": self.cell.length * proposal.epochs / self.cell.epochs,
            "chosen": False,
        }
        self.trials.append(trial)
        tick = self.tick

        def counted(text: str) -> None:
            tick(f"trial {proposal.number + 1}: {text}")

        counted("started")
        if self._task is None:
            self._task = self.searched()
        task = self._task
        task.length, task.head, task.tick = trial["length"], self.head(hp), counted
        try:
            scored = self.scored(task, hp)
        except NotFinite as error:
            trial |= {"status": "diverged", "error": str(error), "score": None, "seconds": error.seconds}
            self.use(error.prefixes)
            return WORST
        fitted = scored.fitted
        trial |= {
            "status": "ok",
            "score": scored.score,
            **scored.measured,
            "epochs": _last(fitted.epochs),
            "steps": _last(fitted.steps),
            "seconds": fitted.seconds,
        }
        self.use(fitted.prefixes)
        finished = Finished(trial, hp, scored.losses, fitted.curve)
        if proposal.number == 0:
            self.default = finished
        if self.best is None or scored.score > self.best.entry["score"]:
            self.best = finished
        return scored.score

    def use(self, prefixes: dict[str, float]) -> None:
        """Counts prefixes by cut, each once."""
        for cut, seconds in prefixes.items():
            self.prefixes[cut] = max(seconds, self.prefixes.get(cut, 0.0))

    def head(self, hp: HyperParameters | None) -> HeadConfig:
        def value(key: str) -> Any:
            choice = self.cell.head[key]
            return (choice[0] if hp is None else hp.get(key)) if isinstance(choice, list) else choice

        return HeadConfig(
            self.cell.head["pooling"],
            value("hidden_units"),
            value("dropout"),
            self.info.classes,
            self.cell.task,
        )

    def fields(self) -> dict[str, Any]:
        """The record's fields that the search knows."""
        seconds = math.fsum(trial["seconds"] for trial in self.trials) + sum(self.prefixes.values())
        result: dict[str, Any] = {
            "trials": self.trials,
            "costs": {"tune_seconds": seconds, "prefix_seconds": sum(self.prefixes.values())},
        }
        if self.chosen is not None:
            trial, curve = self.chosen.entry, self.chosen.curve
            result |= {
                "hyperparameters": trial["hyperparameters"],
                "epochs": trial["epochs"],
                "curves": [{"run": "search", **point} for point in curve],
            }
        return result

    def refitted(self, task: CellTask) -> CellTask:
        """A task of all labelled examples, with the head and the length of the chosen trial."""
        if self.chosen is not None:
            task.length = self.chosen.entry["length"]
        task.head = self.head(self.chosen_hp)
        return task

    def task(self, **given: Any) -> CellTask:
        """A task of the cell with these examples."""
        cell = self.cell
        return CellTask(
            network=self.network,
            info=self.info,
            head=self.head(None),
            augmentation=modality(cell.modality).augmentation(cell.examples),
            seed=cell.seed,
            epochs=cell.epochs,
            length=cell.length,
            batch_size=cell.batch_size,
            tick=self.tick,
            memory=self.memory,
            **given,
        )

    def examples(
        self, part: str, rows: np.ndarray, labelled: bool = True, of: Dataset | None = None
    ) -> PartExamples:
        """Some rows of the ``pool`` or ``test`` part of the cell's dataset, or of another one."""
        return PartExamples.in_dataset(of or self.dataset, part, rows, labelled).read_by(self._reader)

    def source_examples(self, domain: SourceDomain, rows: np.ndarray) -> PartExamples:
        """Some rows of a source, with labels as the dataset has them."""
        key = content_key(domain.dataset, "pool")
        found = PartExamples.of(domain.part, key, rows, True, domain.dataset.modality)
        return found.read_by(self._reader)

    @property
    def _reader(self) -> Reader | None:
        return None if self.network is None else self.network.reader

    def fields_of(self, final: Fitted | Embedding) -> dict[str, Any]:
        """The record's fields that search and refit know."""
        fields = self.fields()
        search_seconds = fields["costs"]["tune_seconds"] - fields["costs"]["prefix_seconds"]
        self.use(final.prefixes)  # what search and refit share is computed once
        prefix_seconds = sum(self.prefixes.values())
        fields["costs"] |= {
            "fit_seconds": final.seconds + sum(final.prefixes.values()),
            "prefix_seconds": prefix_seconds,
            "total_seconds": search_seconds + final.seconds + prefix_seconds,
            "params": final.params,
            "trainable_params": final.trainable_params,
        }
        fields["curves"] = fields.get("curves", []) + [{"run": "refit", **point} for point in final.curve]
        if not self.trials:
            fields |= {"hyperparameters": values_of(self.chosen_hp), "epochs": _last(final.epochs)}
        fields["warnings"] = list(final.notes)
        fields["steps"] = _last(final.steps)
        fields["feature_map"] = self.network.feature_map if self.network else []
        return fields


def _last(lengths: Sequence[int]) -> int | None:
    """Of the last stage; None where there are no stages."""
    return lengths[-1] if lengths else None
