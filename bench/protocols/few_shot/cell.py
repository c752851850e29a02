"""The protocol of a few-shot cell: learn from the classes of a source, tell new classes apart by a few labels each.

All examples of the dataset are of new classes: nothing is learned or tuned on any of them. A fifth of the source's
superclasses, or of its classes, is held out, and hyperparameters are chosen by episodes of these. The chosen trial
is trained again on all classes of the source. The new ones are told apart in episodes that are the same for every
strategy and seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import HyperParameters

from bench.datasets import Dataset
from bench.datasets.companions.auxiliary import Auxiliary
from bench.datasets.companions.source import SourceDomain
from bench.plans.strategies import get_strategy
from bench.protocols.cells import check_unchanged
from bench.protocols.few_shot.episodes import (
    Accuracy,
    Classes,
    Episode,
    Setting,
    measure,
    new_classes,
)
from bench.protocols.few_shot.held_out import HeldOut, held_out
from bench.protocols.few_shot.verification import Pairs
from bench.protocols.outcome import Outcome, not_finite, skipped
from bench.protocols.trials import Scored, Search, info_of, network_of
from bench.records import Cell
from bench.training.engine import Engine
from bench.training.examples import PartExamples
from bench.training.loop import NotFinite
from bench.training.task import CellTask
from strategies.base import Classify, Embedding, Examples


def run_few_shot(
    cell: Cell,
    dataset: Dataset,
    engine: Engine,
    inference_ms: float | None,
    tick: Callable[[str], None],
    source: SourceDomain | None = None,
    auxiliary: Sequence[Auxiliary] = (),
) -> Outcome:
    """Runs one cell of the few-shot protocol.

    Args:
        cell: what to run.
        dataset: opened as the cell says; all of its classes are new.
        engine: the worker's networks.
        inference_ms: not used: an episode's classifier is no part of a network.
        tick: called with a short text of what is being done.
        source: with other classes; None if there is none.
        auxiliary: not used: no label of the new classes' examples is learned from. What needs them says so.

    Returns:
        status ``ok`` or ``skipped``, or ``failed`` if no trial or not the refit had a finite loss.
    """
    strategy = get_strategy(cell.strategy)
    check_unchanged(cell)
    classes = new_classes(dataset)
    sizes: dict[str, Any] = {"n_test": len(classes.labels)}
    info = info_of(cell, dataset, 0, has_source=source is not None, few_shot=True)
    network, info, reason = network_of(cell, strategy, engine, info)
    if reason is not None:
        return skipped(sizes, reason)
    rows = nothing = np.empty(0, np.int64)
    apart = HeldOut(nothing, nothing, {}, [])
    if source is not None:
        rows, apart = source.rows, held_out(source, cell.protocol_settings, cell.seed)
        sizes |= {"n_source": len(rows)}
    tuned = EpisodeSearch(cell, dataset, network, strategy, info, tick, source=source, apart=apart)
    try:
        tuned.run()
        tick("refit on all classes of the source")
        final = tuned.embedding(rows)
        tick("embedding the new classes")
        embedded = tuned.embedded(final)
    except NotFinite as error:
        return not_finite(sizes, tuned.fields(), error)
    classify = partial(strategy.classify, hp=tuned.chosen_hp)
    found = _measured(cell, dataset, classes, embedded, classify, tick)
    tick("comparing pairs")
    pairs = Pairs.of(embedded, classes.labels, classes.groups)
    fields = {"status": "ok", **sizes, **tuned.fields_of(final)}
    fields["episodes"] = [_entry(setting, measured) for setting, measured in found]
    fields["metrics"] = {} if pairs is None else _verified(pairs, tuned.threshold)
    fields["warnings"] += apart.warnings
    arrays = _arrays([measured for _, measured in found])
    if pairs is not None:
        arrays |= {"accepts": pairs.curve.accepts(), "class_errors": pairs.equal_error_by_class()}
    return Outcome(fields, arrays={name: values.astype(np.float32) for name, values in arrays.items()})


def _measured(
    cell: Cell,
    dataset: Dataset,
    classes: Classes,
    embedded: np.ndarray,
    classify: Classify,
    tick: Callable[[str], None],
) -> list[tuple[Setting, Accuracy]]:
    """How well new classes are told apart, in every setting."""
    few, found = cell.protocol_settings, []
    for setting in classes.settings(few["ways"], few["shots"]):
        tick(f"{few['episodes']} episodes: {setting.text}")
        episodes = classes.episodes(setting, few["queries"], few["episodes"], dataset.fingerprint)
        found.append((setting, measure(episodes, embedded, classes.labels, classify, setting.ways)))
    return found


def _entry(setting: Setting, measured: Accuracy) -> dict[str, Any]:
    """One of ``Record.episodes``."""
    return {
        "ways": setting.ways,
        "shots": setting.shots,
        "scope": setting.scope,
        "accuracy": float(measured.by_episode.mean()),
        "deviation": float(measured.by_episode.std(ddof=1)),
    }


def _arrays(found: list[Accuracy]) -> dict[str, np.ndarray]:
    """What lies beside the record, one row a setting."""
    arrays = {
        "accuracies": [measured.by_episode for measured in found],
        "class_accuracies": [measured.by_class for measured in found],
        "class_weights": [measured.weights for measured in found],
    }
    return {name: np.stack(rows) for name, rows in arrays.items()}


def _verified(pairs: Pairs, threshold: float | None) -> dict[str, float]:
    """How well pairs of new classes are told apart: at any threshold, and at one that held-out classes chose."""
    found = {"verification_auc": pairs.curve.area, "verification_eer": pairs.curve.equal_error}
    if threshold is not None:
        accepts, rejects = pairs.errors(threshold)
        found |= {"verification_false_accepts": accepts, "verification_false_rejects": rejects}
    return found


@dataclass(eq=False, kw_only=True)
class EpisodeSearch(Search):
    """The search of a few-shot cell: it learns from some classes of the source, and tunes on others.

    Attributes:
        source: None if there is none: then nothing is tuned.
        apart: how its classes are divided.
    """

    source: SourceDomain | None
    apart: HeldOut

    def run(self) -> None:
        if self.source is not None:  # else there is nothing to tune on
            super().run()

    def declare(self, space: HyperParameters) -> None:
        self.strategy.few_shot_space(space)

    def searched(self) -> CellTask:
        return self._of_rows(self.apart.train, self.apart.val)

    def scored(self, task: CellTask, hp: HyperParameters) -> Scored:
        embedding = self.strategy.embed(task, hp)
        assert task.val is not None
        start = time.perf_counter()
        embedded = embedding.embed(task.val)
        if not np.isfinite(embedded).all():
            error = NotFinite("the features are not finite")
            error.seconds, error.prefixes = embedding.seconds, embedding.prefixes
            raise error
        found = self._episodes(embedded, partial(self.strategy.classify, hp=hp))
        right = _mean_of_settings(found)
        embedding.seconds += time.perf_counter() - start
        losses = 1 - np.concatenate(found)
        said = {"val_accuracy": right, "val_threshold": self._threshold(embedded)}
        return Scored(embedding.fitted(_Embedder(embedding)), right, said, losses)

    @property
    def threshold(self) -> float | None:
        """The distance at the equal error rate of classes that the chosen trial did not learn; None without one."""
        return None if self.chosen is None else self.chosen.entry["val_threshold"]

    def _threshold(self, embedded: np.ndarray) -> float | None:
        assert self.source is not None
        labels, groups = self.source.part.labels[self.apart.val], self.source.groups[self.apart.val]
        pairs = Pairs.of(embedded, labels, groups)
        return None if pairs is None else pairs.curve.threshold

    def embedding(self, rows: np.ndarray) -> Embedding:
        """The chosen hyperparameters on all classes of the source."""
        return self.strategy.embed(self.refitted(self._of_rows(rows, None)), self.chosen_hp)

    def embedded(self, final: Embedding) -> np.ndarray:
        """The features of all new examples, those of the pool and then those of the test part.

        Raises:
            NotFinite: they are not finite.
        """
        counts = {"pool": len(self.dataset.pool.ids), "test": len(self.dataset.test.ids)}
        features = [
            final.embed(self.examples(part, np.arange(count), labelled=False))
            for part, count in counts.items()
            if count
        ]
        embedded = np.concatenate(features)
        if not np.isfinite(embedded).all():
            raise NotFinite("the features of the new classes are not finite")
        return embedded

    def _of_rows(self, train: np.ndarray, val: np.ndarray | None) -> CellTask:
        nothing = self.examples("pool", np.empty(0, np.int64))

        def examples(rows: np.ndarray) -> PartExamples:
            return nothing if self.source is None else self.source_examples(self.source, rows)

        return self.task(
            train=examples(train),
            val=None if val is None else examples(val),
            unlabelled=nothing,
            judge=self._judge,
        )

    def _judge(self, embedded: np.ndarray, classify: Classify) -> float:
        """Mean accuracy in episodes of the held-out classes."""
        return _mean_of_settings(self._episodes(embedded, classify))

    def _episodes(self, embedded: np.ndarray, classify: Classify) -> list[np.ndarray]:
        """The accuracy in each episode of the held-out classes, by setting."""
        assert self.source is not None
        labels = self.source.part.labels[self.apart.val]
        episodes: dict[Setting, list[Episode]] = self.apart.episodes
        return [measure(e, embedded, labels, classify, s.ways).by_episode for s, e in episodes.items()]


def _mean_of_settings(accuracies: list[np.ndarray]) -> float:
    """Mean accuracy in which settings weigh the same."""
    return float(np.mean([of_setting.mean() for of_setting in accuracies]))


class _Embedder:
    """Stands for a predictor: in this protocol a fit predicts nothing by itself."""

    def __init__(self, embedding: Embedding) -> None:
        self.embedding = embedding

    def predict(self, examples: Examples) -> np.ndarray:
        return self.embedding.embed(examples)
