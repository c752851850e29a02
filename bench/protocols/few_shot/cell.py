"""The protocol of a few-shot cell: learn from the classes of a source, tell new classes apart by a few labels each.

All images of the dataset are of new classes: nothing is learned or tuned on any of them. A fifth of the source's
superclasses, or of its classes, is held out; hyperparameters and the number of epochs are chosen by episodes of
these. The winner is trained again on all classes of the source and then looks at the new ones, in episodes that are
the same for every strategy and seed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import HyperParameters

from bench.datasets import Dataset
from bench.datasets.companions.source import SourceDomain
from bench.modalities.image.augment import Augmentation
from bench.plans.strategies import get_strategy
from bench.protocols.cells import check_unchanged
from bench.protocols.few_shot.episodes import (
    Accuracy,
    Episode,
    HeldOut,
    Setting,
    held_out,
    measure,
    new_classes,
    verification_auc,
)
from bench.protocols.fractions.cell import Outcome, Search, network_of
from bench.records import Cell
from bench.training.engine import Engine
from bench.training.examples import PartExamples, content_key
from bench.training.loop import NotFinite
from bench.training.task import CellTask
from strategies.base import Classify, Embedding, Examples, Fitted, Info


def run_few_shot(
    cell: Cell,
    dataset: Dataset,
    engine: Engine,
    tick: Callable[[str], None],
    domain: SourceDomain | None = None,
) -> Outcome:
    """Runs one cell of the few-shot protocol.

    Args:
        cell: what to run.
        dataset: opened at the cell's image size; all of its classes are new.
        engine: the worker's networks.
        tick: called with a short text of what is being done.
        domain: the source, with other classes; None if there is none.

    Returns:
        status ``ok`` or ``skipped``, or ``failed`` if no trial or not the refit had a finite loss.
    """
    strategy = get_strategy(cell.strategy)
    check_unchanged(cell)
    classes = new_classes(dataset)
    sizes: dict[str, Any] = {"n_test": len(classes.labels)}
    info = Info(
        modality=dataset.modality,
        class_names=dataset.class_names,
        n=0,
        has_weights=bool(cell.weights) and cell.weights != "none",
        image_size=cell.image_size,
        batch_size=cell.batch_size,
        has_source=domain is not None,
        few_shot=True,
    )
    network, info, reason = network_of(cell, strategy, engine, info)
    if reason is not None:
        return Outcome({"status": "skipped", **sizes, "error": {"type": "skipped", "message": reason}})

    rows = nothing = np.empty(0, np.int64)
    apart = HeldOut(nothing, nothing, {}, [])
    if domain is not None:
        rows = domain.rows
        apart = held_out(domain, cell.few_shot, cell.seed)
        sizes |= {"n_source": len(rows)}
    tuned = _FewShotSearch(cell, dataset, network, strategy, info, apart.train, apart.val, tick, domain, ())
    tuned.episodes = apart.episodes
    try:
        tuned.run()
        tick("refit on all classes of the source")
        final = tuned.embedding(rows)
        tick("embedding the new classes")
        parts = {"pool": len(dataset.pool.ids), "test": len(dataset.test.ids)}
        embedded = np.concatenate(
            [
                final.embed(tuned.examples(part, np.arange(count), labelled=False))
                for part, count in parts.items()
                if count
            ]
        )
        if not np.isfinite(embedded).all():
            raise NotFinite("the features of the new classes are not finite")
    except NotFinite as error:
        problem = {"type": "NotFinite", "message": str(error)}
        return Outcome({"status": "failed", **sizes, **tuned.fields(), "error": problem})

    found: list[tuple[Setting, Accuracy]] = []
    classify = partial(strategy.classify, hp=tuned.best_hp)
    few = cell.few_shot
    for setting in classes.settings(few["ways"], few["shots"]):
        tick(f"{few['episodes']} episodes: {setting.text}")
        episodes = classes.episodes(setting, few["queries"], few["episodes"], dataset.fingerprint)
        measured = measure(episodes, embedded, classes.labels, classify, setting.ways)
        found.append((setting, measured))

    fields = {"status": "ok", **sizes, **tuned.fields()}
    fields["episodes"] = [
        {
            "ways": setting.ways,
            "shots": setting.shots,
            "scope": setting.scope,
            "accuracy": float(measured.by_episode.mean()),
            "deviation": float(measured.by_episode.std(ddof=1)),
        }
        for setting, measured in found
    ]
    auc = verification_auc(embedded, classes.labels, classes.groups)
    fields["metrics"] = {"verification_auc": auc} if math.isfinite(auc) else {}
    fields["curves"] = fields.get("curves", []) + [{"run": "refit", **point} for point in final.curve]
    fields["warnings"] = [*final.notes, *apart.warnings]
    search_seconds = fields["costs"]["tune_seconds"] - fields["costs"]["prefix_seconds"]
    tuned.use(final.prefixes)
    prefix_seconds = sum(tuned.prefixes.values())
    fields["costs"] |= {
        "fit_seconds": final.seconds + sum(final.prefixes.values()),
        "prefix_seconds": prefix_seconds,
        "total_seconds": search_seconds + final.seconds + prefix_seconds,
        "params": final.params,
        "trainable_params": final.trainable_params,
    }
    arrays = {
        "accuracies": [measured.by_episode for _, measured in found],
        "class_accuracies": [measured.by_class for _, measured in found],
        "class_weights": [measured.weights for _, measured in found],
    }
    return Outcome(fields, episodes={name: np.stack(a).astype(np.float32) for name, a in arrays.items()})


class _FewShotSearch(Search):
    """The search of a few-shot cell: ``train`` and ``val`` are rows of the source, of different classes."""

    episodes: dict[Setting, list[Episode]]
    """Of the held-out classes."""

    def run(self) -> None:
        if self.domain is None:  # nothing to tune on
            self.best_hp = self.space()
            return
        super().run()

    def declare(self, space: HyperParameters) -> None:
        self.strategy.few_shot_space(space)

    def scored(self, task: CellTask, hp: HyperParameters) -> tuple[Fitted, float, dict[str, float]]:
        embedding = self.strategy.embed(task, hp)
        assert task.val is not None
        start = time.perf_counter()
        embedded = embedding.embed(task.val)
        if not np.isfinite(embedded).all():
            error = NotFinite("the features are not finite")
            error.seconds, error.prefixes = embedding.seconds, embedding.prefixes
            raise error
        right = self._judge(embedded, partial(self.strategy.classify, hp=hp))
        embedding.seconds += time.perf_counter() - start
        return embedding.fitted(_Embedder(embedding)), right, {"val_accuracy": right}

    def embedding(self, rows: np.ndarray) -> Embedding:
        """The chosen hyperparameters on all classes of the source."""
        task = self.task(rows, None)
        if self.best is not None:
            task.refit_epochs, task.epochs = self.best[2].epochs, self.epochs_of_winner()
        task.head = self.head(self.best_hp)
        return self.strategy.embed(task, self.best_hp)

    def task(self, train: np.ndarray, val: np.ndarray | None) -> CellTask:
        domain, nothing = self.domain, self.examples("pool", np.empty(0, np.int64))

        def examples(rows: np.ndarray) -> PartExamples:
            if domain is None:
                return nothing
            key = content_key(domain.dataset, "pool", self.cell.image_size, self.cell.resizing)
            return PartExamples.of(domain.part, key, rows, labelled=True)

        return CellTask(
            network=self.network,
            train=examples(train),
            val=None if val is None else examples(val),
            unlabelled=nothing,
            info=self.info,
            head=self.head(None),
            augmentation=Augmentation(self.cell.augmentation, self.cell.flip),
            seed=self.cell.seed,
            epochs=self.cell.epochs,
            batch_size=self.cell.batch_size,
            tick=self.tick,
            memory=self.memory,
            judge=self._judge,
        )

    def _judge(self, embedded: np.ndarray, classify: Classify) -> float:
        """Mean accuracy in episodes of the held-out classes; settings weigh the same."""
        assert self.domain is not None
        labels = self.domain.part.labels[self.val]
        found = [measure(e, embedded, labels, classify, s.ways) for s, e in self.episodes.items()]
        return float(np.mean([measured.by_episode.mean() for measured in found]))


class _Embedder:
    """Stands for a predictor: in this protocol a fit predicts nothing by itself."""

    def __init__(self, embedding: Embedding) -> None:
        self.embedding = embedding

    def predict(self, examples: Examples) -> np.ndarray:
        return self.embedding.embed(examples)
