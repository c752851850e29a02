"""The protocol of a cell: labels, search, refit, and one look at the test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from keras_tuner.engine.hyperparameters import HyperParameters

from bench.datasets import Dataset
from bench.datasets.companions.auxiliary import Auxiliary
from bench.datasets.companions.source import SourceDomain
from bench.datasets.splits import split_validation, subset
from bench.plans.strategies import get_strategy
from bench.protocols.cells import check_unchanged
from bench.protocols.outcome import Outcome, not_finite, skipped
from bench.protocols.trials import Scored, Search, info_of, network_of
from bench.records import SINGLE_LABEL, Cell
from bench.tasks.registry import TASKS
from bench.training.engine import Engine
from bench.training.examples import PartExamples
from bench.training.loop import NotFinite
from bench.training.losses.multitask import AuxiliaryLabels, labels_of
from bench.training.task import CellTask
from strategies.base import Fitted, Info, Strategy
from strategies.refuse import prediction_problem


def run_cell(
    cell: Cell,
    dataset: Dataset,
    engine: Engine,
    inference_ms: float | None,
    tick: Callable[[str], None],
    strategy: Strategy | None = None,
    source: SourceDomain | None = None,
    auxiliary: Sequence[Auxiliary] = (),
) -> Outcome:
    """Runs one cell by the protocol.

    Args:
        cell: what to run.
        dataset: opened as the cell says.
        engine: the worker's networks; unused by strategies without a backbone.
        inference_ms: latency of the network, measured apart; None if it has none.
        tick: called with a short text of what is being done.
        strategy: stands in for the one that the cell names.
        source: the cell's source dataset, if it has one.
        auxiliary: the tasks that it is to learn beside its own.

    Returns:
        status ``ok`` or ``skipped``, or ``failed`` if no trial or not the refit had a finite loss.
    """
    if strategy is None:
        strategy = get_strategy(cell.strategy)
        check_unchanged(cell)
    rows, train, val = _divided(cell, dataset)
    sizes = {"n": len(rows), "n_train": len(train), "n_val": len(val), "n_test": len(dataset.test.ids)}
    beside = {"has_source": source is not None, "has_auxiliary": bool(auxiliary)}
    info = info_of(cell, dataset, len(rows), **beside)
    network, info, reason = network_of(cell, strategy, engine, info)
    if reason is not None:
        return skipped(sizes, reason)
    if source is not None:
        sizes["n_source"] = len(source.rows)
    tuned = LabelSearch(
        cell, dataset, network, strategy, info, tick, train=train, val=val, source=source, auxiliary=auxiliary
    )
    try:
        tuned.run()
        tick("refit on all labels")
        final = tuned.refit(rows)
        probabilities = tuned.tested(final)
    except NotFinite as error:
        return not_finite(sizes, tuned.fields(), error)
    fields = {"status": "ok", **sizes, **tuned.fields_of(final)}
    fields["metrics"] = dataset.task.score(probabilities, dataset.test.labels)
    fields["similarity"] = final.similarity
    if auxiliary:
        fields["n_auxiliary"] = final.auxiliary_labels
    fields["costs"]["inference_ms_per_image"] = inference_ms if final.params else 0.0
    state = getattr(final.predictor, "state", None)
    return Outcome(fields, probabilities.astype(np.float32), network, state, final.samples)


def _divided(cell: Cell, dataset: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the pool: all that the cell may learn from, and of these those to train and to validate on."""
    if not cell.fraction:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, nothing
    pool, key, noun = dataset.pool, dataset.fingerprint, dataset.kind.noun
    rows = subset(pool.labels, pool.groups, cell.fraction, cell.seed, key, noun=noun)
    return rows, *split_validation(pool.labels, pool.groups, rows, cell.seed, key, noun)


def _check(probabilities: object, count: int, info: Info) -> None:
    """Refuses what would be scored as something else than it is."""
    if problem := prediction_problem(probabilities, count, info.classes, info.task == SINGLE_LABEL):
        raise ValueError(problem)


@dataclass(eq=False, kw_only=True)
class LabelSearch(Search):
    """The search of a cell that learns from a share of the labels.

    Attributes:
        train, val: rows of the pool.
        source: the cell's source dataset, if it has one.
        auxiliary: the tasks that it is to learn beside its own.
    """

    train: np.ndarray
    val: np.ndarray
    source: SourceDomain | None
    auxiliary: Sequence[Auxiliary]

    def searched(self) -> CellTask:
        return self._of_rows(self.train, self.val)

    def scored(self, task: CellTask, hp: HyperParameters) -> Scored:
        fitted = self.strategy.fit(task, hp)
        val = task.val
        assert val is not None
        probabilities = fitted.predictor.predict(val)
        _check(probabilities, len(val), self.info)
        if not np.isfinite(probabilities).all():
            error = NotFinite("the predictions are not finite")
            error.seconds, error.prefixes = fitted.seconds, fitted.prefixes
            raise error
        kind, labels, metric = TASKS[self.info.task], val.labels, self.info.metric
        measured = {
            "val_accuracy": kind.accuracy(probabilities, labels),
            "val_log_loss": kind.log_loss(probabilities, labels),
            "val_class_accuracy": kind.class_accuracy(probabilities, labels),
        }
        return Scored(
            fitted,
            kind.selection_score(probabilities, labels, metric),
            measured,
            kind.log_losses(probabilities, labels) * kind.example_weights(labels, metric),
        )

    def refit(self, rows: np.ndarray) -> Fitted:
        """The chosen hyperparameters on all labelled examples."""
        return self.strategy.fit(self.refitted(self._of_rows(rows, None)), self.chosen_hp)

    def tested(self, final: Fitted) -> np.ndarray:
        """The probabilities that a refit gives to the test examples.

        Raises:
            NotFinite: they are not finite.
        """
        count = len(self.dataset.test.ids)
        probabilities = final.predictor.predict(self.examples("test", np.arange(count), labelled=False))
        _check(probabilities, count, self.info)
        if not np.isfinite(probabilities).all():
            raise NotFinite("the predictions of the refit are not finite")
        return probabilities

    def _of_rows(self, train: np.ndarray, val: np.ndarray | None) -> CellTask:
        rest = np.setdiff1d(np.arange(len(self.dataset.pool.ids)), np.concatenate([self.train, self.val]))
        source, validation = self._source(val)
        if val is not None and validation is None:
            validation = self.examples("pool", val)
        return self.task(
            train=self.examples("pool", train),
            val=validation,
            unlabelled=self.examples("pool", rest, labelled=False),
            source=source,
            n_source=0 if self.source is None else len(self.source.rows),
            auxiliary=tuple(self._labels_of(task, np.sort(train), val) for task in self.auxiliary),
        )

    def _labels_of(self, task: Auxiliary, train: np.ndarray, val: np.ndarray | None) -> AuxiliaryLabels:
        def of_pool(rows: np.ndarray) -> PartExamples:
            assert task.labels is not None
            return replace(self.examples("pool", rows, labelled=False), known=task.labels[rows])

        def of_others(rows: np.ndarray) -> PartExamples:
            assert task.domain is not None
            return self.examples("pool", rows, of=task.domain.dataset)

        return labels_of(task, train, val, self.dataset.pool.groups, of_pool, of_others)

    def _source(self, val: np.ndarray | None) -> tuple[PartExamples | None, PartExamples | None]:
        """Examples of the source to learn from, and those that validate where no label of the target is known.

        Args:
            val: of the target, in the search: what shares a group with it is left out. None in the refit.
        """
        source = self.source
        if source is None:
            return None, None
        if val is None:
            return self.source_examples(source, source.rows), None
        if self.info.n:
            return self.source_examples(source, source.without(val)), None
        train, held_out = source.divided(self.cell.seed)
        return self.source_examples(source, train), self.source_examples(source, held_out)
