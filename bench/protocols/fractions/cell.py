"""The protocol of a cell: labels, search, refit, and one look at the test set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import HyperParameters

from bench.datasets import Dataset
from bench.datasets.companions.auxiliary import Auxiliary
from bench.datasets.companions.source import SourceDomain
from bench.datasets.splits import split_validation, subset
from bench.errors import BenchError
from bench.modalities.image.augment import Augmentation
from bench.plans.strategies import get_strategy
from bench.protocols.cells import check_unchanged
from bench.records import Cell
from bench.training.engine import Engine, Network
from bench.training.examples import PartExamples, content_key
from bench.training.loop import NotFinite, selection_score
from bench.training.losses.multitask import AuxiliaryLabels, labels_of
from bench.training.metrics import accuracy, log_loss, score
from bench.training.programs.config import HeadConfig, State
from bench.training.search import WORST, Proposal, search, values_of
from bench.training.task import CellTask
from strategies.base import Fitted, Info, Strategy
from strategies.refuse import prediction_problem


@dataclass
class Outcome:
    """What running a cell gives: the fields of its record, the test-set probabilities, and where it trained a
    network, that with its final weights."""

    fields: dict[str, Any]
    probabilities: np.ndarray | None = None
    network: Network | None = None
    state: State | None = None
    samples: np.ndarray | None = None
    """Pictures for the report, see ``strategies.base.Fitted``."""
    episodes: dict[str, np.ndarray] | None = None
    """In the few-shot protocol: the arrays of ``Store.predictions``."""


def run_cell(
    cell: Cell,
    dataset: Dataset,
    engine: Engine,
    inference_ms: float | None,
    tick: Callable[[str], None],
    strategy: Strategy | None = None,
    domain: SourceDomain | None = None,
    auxiliary: Sequence[Auxiliary] = (),
) -> Outcome:
    """Runs one cell by the protocol.

    Args:
        cell: what to run.
        dataset: opened at the cell's image size.
        engine: the worker's networks; unused by strategies without a backbone.
        inference_ms: latency of the network, measured apart; None if it has none.
        tick: called with a short text of what is being done.
        strategy: stands in for the one that the cell names.
        domain: the cell's source dataset, if it has one.
        auxiliary: the tasks that it is to learn beside its own.

    Returns:
        status ``ok`` or ``skipped``, or ``failed`` if no trial or not the refit had a finite loss.
    """
    if strategy is None:
        strategy = get_strategy(cell.strategy)
        check_unchanged(cell)
    pool, test = dataset.pool, dataset.test
    rows = train = val = np.empty(0, np.int64)
    if cell.fraction:
        rows = subset(pool.labels, pool.groups, cell.fraction, cell.seed, dataset.fingerprint)
        train, val = split_validation(pool.labels, pool.groups, rows, cell.seed, dataset.fingerprint)
    sizes = {"n": len(rows), "n_train": len(train), "n_val": len(val), "n_test": len(test.ids)}
    info = Info(
        modality=dataset.modality,
        class_names=dataset.class_names,
        n=len(rows),
        has_weights=bool(cell.weights) and cell.weights != "none",
        image_size=cell.image_size,
        batch_size=cell.batch_size,
        has_source=domain is not None,
        has_auxiliary=bool(auxiliary),
    )
    network, info, reason = network_of(cell, strategy, engine, info)
    if reason is not None:
        return Outcome({"status": "skipped", **sizes, "error": {"type": "skipped", "message": reason}})

    if domain is not None:
        sizes["n_source"] = len(domain.rows)
    tuned = Search(cell, dataset, network, strategy, info, train, val, tick, domain, auxiliary)
    try:
        tuned.run()
        tick("refit on all labels")
        final = tuned.refit(rows)
        probabilities = final.predictor.predict(
            tuned.examples("test", np.arange(len(test.ids)), labelled=False)
        )
        _check(probabilities, len(test.ids), info)
        if not np.isfinite(probabilities).all():
            raise NotFinite("the predictions of the refit are not finite")
    except NotFinite as error:
        problem = {"type": "NotFinite", "message": str(error)}
        return Outcome({"status": "failed", **sizes, **tuned.fields(), "error": problem})

    fields = {"status": "ok", **sizes, **tuned.fields()}
    fields["metrics"] = score(probabilities, test.labels)
    fields["curves"] = fields["curves"] + [{"run": "refit", **point} for point in final.curve]
    fields["warnings"] = list(final.notes)
    fields["similarity"] = final.similarity
    if auxiliary:
        fields["n_auxiliary"] = final.auxiliary_labels
    search_seconds = fields["costs"]["tune_seconds"] - fields["costs"]["prefix_seconds"]
    tuned.use(final.prefixes)  # what search and refit share is computed once
    prefix_seconds = sum(tuned.prefixes.values())
    fields["costs"] |= {
        "fit_seconds": final.seconds + sum(final.prefixes.values()),
        "prefix_seconds": prefix_seconds,
        "total_seconds": search_seconds + final.seconds + prefix_seconds,
        "params": final.params,
        "trainable_params": final.trainable_params,
        "inference_ms_per_image": inference_ms if final.params else 0.0,
    }
    state = getattr(final.predictor, "state", None)
    return Outcome(fields, probabilities.astype(np.float32), network, state, final.samples)


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
    network = engine.network(cell.backbone, cell.weights, cell.image_size, cell.precision)
    if cell.weights and network.weights.sha256 != cell.weights_sha256:
        raise BenchError(f"the weights of {cell.backbone} have changed since this run was planned")
    info = replace(info, **network.traits)
    return network, info, strategy.skip(info)


def _check(probabilities: object, count: int, info: Info) -> None:
    """Refuses what would be scored as something else than it is."""
    if problem := prediction_problem(probabilities, count, info.classes):
        raise ValueError(problem)


class Search:
    """The search of a cell and what came of it."""

    def __init__(
        self,
        cell: Cell,
        dataset: Dataset,
        network: Network | None,
        strategy: Strategy,
        info: Info,
        train: np.ndarray,
        val: np.ndarray,
        tick: Callable[[str], None],
        domain: SourceDomain | None,
        auxiliary: Sequence[Auxiliary],
    ) -> None:
        self.cell, self.dataset, self.strategy, self.info, self.tick = cell, dataset, strategy, info, tick
        self.train, self.val, self.domain, self.auxiliary = train, val, domain, auxiliary
        self.trials: list[dict[str, Any]] = []
        self.best: tuple[float, dict[str, Any], Fitted] | None = None
        self.best_hp = HyperParameters()
        self.prefixes: dict[str, float] = {}
        self.memory: dict[str, Any] = {}
        self.network = network
        self._task: CellTask | None = None

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
            self._task = self.task(self.train, self.val)
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

    def scored(self, task: CellTask, hp: HyperParameters) -> tuple[Fitted, float, dict[str, float]]:
        """One trial: what was trained, its score on validation, and what a record says of it.

        Raises:
            NotFinite: it diverged.
        """
        fitted = self.strategy.fit(task, hp)
        val = task.val
        assert val is not None
        probabilities = fitted.predictor.predict(val)
        _check(probabilities, len(val), self.info)
        if not np.isfinite(probabilities).all():
            error = NotFinite("the predictions are not finite")
            error.seconds, error.prefixes = fitted.seconds, fitted.prefixes
            raise error
        measured = {
            "val_accuracy": accuracy(probabilities, val.labels),
            "val_log_loss": log_loss(probabilities, val.labels),
        }
        return fitted, selection_score(probabilities, val.labels), measured

    def use(self, prefixes: dict[str, float]) -> None:
        """Counts prefixes by cut, each once."""
        for cut, seconds in prefixes.items():
            self.prefixes[cut] = max(seconds, self.prefixes.get(cut, 0.0))

    def refit(self, rows: np.ndarray) -> Fitted:
        """The chosen hyperparameters on all labelled examples, each stage for as many epochs as it kept."""
        assert self.best is not None
        winner = self.best[2]
        task = self.task(rows, None)
        task.refit_epochs, task.epochs = winner.epochs, self.epochs_of_winner()
        task.head = self.head(self.best_hp)
        return self.strategy.fit(task, self.best_hp)

    def epochs_of_winner(self) -> int:
        """The cap that its last stage had."""
        return int(self.best_hp.values.get("tuner/epochs", self.cell.epochs))

    def task(self, train: np.ndarray, val: np.ndarray | None) -> CellTask:
        pool = self.dataset.pool
        rest = np.setdiff1d(np.arange(len(pool.ids)), np.concatenate([self.train, self.val]))
        source, validation = self._source(val)
        if val is not None and validation is None:
            validation = self.examples("pool", val)
        return CellTask(
            network=self.network,
            train=self.examples("pool", train),
            val=validation,
            unlabelled=self.examples("pool", rest, labelled=False),
            info=self.info,
            head=self.head(None),
            augmentation=Augmentation(self.cell.augmentation, self.cell.flip),
            seed=self.cell.seed,
            epochs=self.cell.epochs,
            batch_size=self.cell.batch_size,
            tick=self.tick,
            source=source,
            n_source=0 if self.domain is None else len(self.domain.rows),
            auxiliary=tuple(self._labels_of(task, np.sort(train), val) for task in self.auxiliary),
            memory=self.memory,
        )

    def _labels_of(self, task: Auxiliary, train: np.ndarray, val: np.ndarray | None) -> AuxiliaryLabels:
        def of_pool(rows: np.ndarray) -> PartExamples:
            assert task.labels is not None
            return replace(self.examples("pool", rows, labelled=False), known=task.labels[rows])

        def of_others(rows: np.ndarray) -> PartExamples:
            assert task.domain is not None
            cell, other = self.cell, task.domain.dataset
            return PartExamples.in_dataset(other, "pool", cell.image_size, cell.resizing, rows)

        return labels_of(task, train, val, self.dataset.pool.groups, of_pool, of_others)

    def _source(self, val: np.ndarray | None) -> tuple[PartExamples | None, PartExamples | None]:
        """Examples of the source to learn from, and those that validate where no label of the target is known.

        Args:
            val: of the target, in the search: what shares a group with it is left out. None in the refit.
        """
        domain = self.domain
        if domain is None:
            return None, None

        def examples(rows: np.ndarray) -> PartExamples:
            key = content_key(domain.dataset, "pool", self.cell.image_size, self.cell.resizing)
            return PartExamples.of(domain.part, key, rows, labelled=True)

        if val is None:
            return examples(domain.rows), None
        if self.info.n:
            return examples(domain.without(val)), None
        train, held_out = domain.divided(self.cell.seed)
        return examples(train), examples(held_out)

    def examples(self, part: str, rows: np.ndarray, labelled: bool = True) -> PartExamples:
        cell = self.cell
        return PartExamples.in_dataset(self.dataset, part, cell.image_size, cell.resizing, rows, labelled)

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
