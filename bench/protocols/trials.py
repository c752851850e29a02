"""The trials of a cell and the refit of the best, as every protocol has them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import HyperParameters

from bench.datasets import Dataset
from bench.datasets.companions.source import SourceDomain
from bench.errors import BenchError
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


@dataclass(eq=False)
class Search(ABC):
    """The search of a cell and what came of it.

    Attributes:
        cell, dataset, network, strategy, info: of the cell.
        tick: called with a short text of what is being done.
        trials: an entry each, as a record keeps it.
        best: score, entry and what was trained of the best trial; None before one was finite.
        best_hp: its hyperparameters.
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
    best: tuple[float, dict[str, Any], Fitted] | None = field(init=False, default=None)
    best_hp: HyperParameters = field(init=False, default_factory=HyperParameters)
    prefixes: dict[str, float] = field(init=False, default_factory=dict)
    memory: dict[str, Any] = field(init=False, default_factory=dict)
    _task: CellTask | None = field(init=False, default=None)

    @abstractmethod
    def searched(self) -> CellTask:
        """The task of the trials."""

    @abstractmethod
    def scored(self, task: CellTask, hp: HyperParameters) -> tuple[Fitted, float, dict[str, float]]:
        """One trial: what was trained, its score on validation, and what a record says of it.

        Raises:
            NotFinite: it diverged.
        """

    def run(self) -> None:
        """Searches.

        Raises:
            NotFinite: no trial had a finite loss.
        """
        tuning = self.cell.tuning
        search(
            self.space(),
            tuning["algorithm"],
            tuning["trials"],
            self.cell.epochs,
            self.cell.seed,
            self._evaluate,
        )
        if self.best is None:
            raise NotFinite(f"no trial had a finite loss; the first: {self.trials[0]['error']}")

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
            "epoch_limit": proposal.epochs,
        }
        self.trials.append(trial)
        tick = self.tick

        def counted(text: str) -> None:
            tick(f"trial {proposal.number + 1}: {text}")

        counted("started")
        if self._task is None:
            self._task = self.searched()
        task = self._task
        task.epochs, task.head, task.tick = proposal.epochs, self.head(hp), counted
        try:
            fitted, value, measured = self.scored(task, hp)
        except NotFinite as error:
            trial |= {"status": "diverged", "error": str(error), "score": None, "seconds": error.seconds}
            self.use(error.prefixes)
            return WORST
        trial |= {
            "status": "ok",
            "score": value,
            **measured,
            "epochs": fitted.epochs[-1] if fitted.epochs else None,
            "seconds": fitted.seconds,
        }
        self.use(fitted.prefixes)
        if self.best is None or value > self.best[0]:
            self.best, self.best_hp = (value, trial, fitted), hp
        return value

    def use(self, prefixes: dict[str, float]) -> None:
        """Counts prefixes by cut, each once."""
        for cut, seconds in prefixes.items():
            self.prefixes[cut] = max(seconds, self.prefixes.get(cut, 0.0))

    def epochs_of_winner(self) -> int:
        """The cap that its last stage had."""
        return int(self.best_hp.values.get("tuner/epochs", self.cell.epochs))

    def head(self, hp: HyperParameters | None) -> HeadConfig:
        def value(key: str) -> Any:
            choice = self.cell.head[key]
            return (choice[0] if hp is None else hp.get(key)) if isinstance(choice, list) else choice

        return HeadConfig(
            self.cell.head["pooling"], value("hidden_units"), value("dropout"), self.info.classes
        )

    def fields(self) -> dict[str, Any]:
        """The record's fields that the search knows."""
        seconds = math.fsum(trial["seconds"] for trial in self.trials) + sum(self.prefixes.values())
        result: dict[str, Any] = {
            "trials": self.trials,
            "costs": {"tune_seconds": seconds, "prefix_seconds": sum(self.prefixes.values())},
        }
        if self.best is not None:
            _, trial, fitted = self.best
            result |= {
                "hyperparameters": trial["hyperparameters"],
                "epochs": trial["epochs"],
                "curves": [{"run": "search", **point} for point in fitted.curve],
            }
        return result

    def refitted(self, task: CellTask) -> CellTask:
        """A task of all labelled examples, with the chosen head, each stage for as many epochs as it kept."""
        if self.best is not None:
            task.refit_epochs, task.epochs = self.best[2].epochs, self.epochs_of_winner()
        task.head = self.head(self.best_hp)
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
            batch_size=cell.batch_size,
            tick=self.tick,
            memory=self.memory,
            **given,
        )

    def examples(
        self, part: str, rows: np.ndarray, labelled: bool = True, of: Dataset | None = None
    ) -> PartExamples:
        """Some rows of the ``pool`` or ``test`` part of the cell's dataset, or of another one."""
        return PartExamples.in_dataset(of or self.dataset, part, rows, labelled)

    def source_examples(self, domain: SourceDomain, rows: np.ndarray) -> PartExamples:
        """Some rows of a source, with labels as the dataset has them."""
        key = content_key(domain.dataset, "pool")
        return PartExamples.of(domain.part, key, rows, True, domain.dataset.modality)

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
        fields["warnings"] = list(final.notes)
        return fields
