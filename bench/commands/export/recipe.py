"""What is exported, as data: the cell whose recipe it is, with all that it was made from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from bench.commands.export.processes import load_keras
from bench.commands.export.spelled import fields_of, method_of
from bench.datasets import Dataset, open_dataset
from bench.errors import RequestError
from bench.modalities.nouns import Noun
from bench.modalities.registry import size_of
from bench.plans.strategies import get_strategy
from bench.plans.values import check_cell, check_hyperparameters, check_stages, chosen_trial
from bench.protocols.cells import check_unchanged
from bench.records import PROTOCOL_VERSION, Cell, Record
from bench.runs.results import Run
from bench.system import backend
from reports.recommend import Recommendation
from strategies.base import Info, Stage, Strategy
from strategies.lengths import batch_size_of, decay_of, epochs_of, steps_an_epoch

if TYPE_CHECKING:
    from bench.training.engine import Network


@dataclass(frozen=True)
class PlannedStage:
    """A stage with what the harness adds to it, and the fields that ``train_fields.py.j2`` writes."""

    stage: Stage
    epochs: int
    batch_size: int
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """A cell's recipe for the whole pool.

    Attributes:
        method: where it is no schedule of stages, the macro of ``train_methods.py.j2`` that writes how it learns.
        stages: where it is one.
    """

    record: Record
    cell: Cell
    dataset: Dataset
    strategy: Strategy
    network: Network
    method: str
    stages: tuple[PlannedStage, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the cell itself was trained on the whole pool."""
        return self.record.n == self.labels

    @property
    def labels(self) -> int:
        """Labelled examples of the whole pool."""
        return len(self.dataset.pool.ids)

    @property
    def noun(self) -> Noun:
        """What its examples are called."""
        return self.dataset.kind.noun

    @property
    def head(self) -> dict[str, Any]:
        """The settings of the head; those that were searched as they were found."""
        found = self.record.hyperparameters
        return {
            key: found.get(key, value) if isinstance(value, list) else value
            for key, value in self.cell.head.items()
        }


def recipe_of(run: Run, found: Recommendation) -> Recipe:
    """The recommended recipe, with the hyperparameters of the seed that did best on its validation part.

    Raises:
        RequestError: train.py cannot spell it out, or what it was made from has changed since.
    """
    _check_protocol(run)
    record = _best_record(run, found)
    cell = Cell.of(record.cell)
    check_cell(cell)
    strategy = get_strategy(cell.strategy)
    method = method_of(strategy, cell.strategy)
    _check_code(cell, strategy)
    check_hyperparameters(record, strategy)
    _check_backend(cell)
    recipe = Recipe(record, cell, _dataset(cell), strategy, _network(cell), method)
    return recipe if method else replace(recipe, stages=tuple(_planned_stages(recipe)))


def _check_protocol(run: Run) -> None:
    for version in {record.cell["protocol_version"] for record in run.records} - {PROTOCOL_VERSION}:
        expected = f"a run of protocol version {PROTOCOL_VERSION}, not {version}"
        raise RequestError("DIR", str(run.directory), expected, "Run it again in a new directory.")


def _best_record(run: Run, found: Recommendation) -> Record:
    results, chosen = run.results, found.decision.recommended
    if not (results["fraction"] > 0).any():
        expected = "a run with labels of the target"
        remedy = "Without any, everything learns from the source dataset. Such a run cannot be exported."
        raise RequestError("DIR", str(run.directory), expected, remedy)
    mine = results[
        (results["status"] == "ok")
        & (results["dataset"] == found.dataset)
        & (results["strategy"] == chosen.strategy)
        & (results["backbone"] == chosen.backbone)
        & (results["weights"] == chosen.weights)
    ]
    ids = set(mine.loc[mine["fraction"] == mine["fraction"].max(), "cell_id"])
    return max((r for r in run.records if r.cell_id in ids), key=lambda r: float(chosen_trial(r)["score"]))


def _check_code(cell: Cell, strategy: Strategy) -> None:
    if strategy.version != cell.strategy_version:
        expected = f"of version {cell.strategy_version}, as when the run was made"
        raise RequestError("strategy", cell.strategy, expected)
    check_unchanged(cell)
    if cell.precision != "float32":
        remedy = "train.py cannot use mixed precision. Run that strategy with float32, then export it."
        raise RequestError("precision", cell.precision, "float32", remedy)


def _check_backend(cell: Cell) -> None:
    backend.check(cell.backend)
    for here in filter(None, (os.environ.get("KERAS_BACKEND"), backend.loaded())):
        if here != cell.backend:
            raise RequestError("KERAS_BACKEND", here, f"{cell.backend}, as when the run was made")


def _dataset(cell: Cell) -> Dataset:
    dataset = open_dataset(cell.dataset, cell.examples, groups=cell.groups, task=cell.task)
    dataset.check_unchanged(cell.fingerprint, "dataset")
    return dataset


def _network(cell: Cell) -> Network:
    load_keras(cell)
    from bench.training.engine import Engine

    network = Engine().network(cell.backbone, cell.weights, size_of(cell.examples, cell.modality))
    if cell.weights and network.weights.sha256 != cell.weights_sha256:
        expected = f"the file with sha256 {cell.weights_sha256}"
        raise RequestError("weights", cell.weights, expected, "It has changed.")
    return network


def _planned_stages(recipe: Recipe) -> Iterator[PlannedStage]:
    batch_size = recipe.record.batch_size or recipe.cell.batch_size
    stages = _stages(recipe, batch_size)
    check_stages(recipe.record, stages)
    length = chosen_trial(recipe.record)["length"]
    for stage in stages:
        size = batch_size_of(stage, recipe.labels, batch_size)
        epochs = epochs_of(stage, recipe.labels, size, recipe.cell.epochs, length)
        decay = decay_of(stage, epochs * steps_an_epoch(recipe.labels, size))
        yield PlannedStage(
            replace(stage, weight_decay=decay),
            epochs=epochs,
            batch_size=size,
            fields=tuple(fields_of(stage, recipe.cell.strategy)),
        )


def _stages(recipe: Recipe, batch_size: int) -> list[Stage]:
    """The strategy's schedule for the whole pool, with the hyperparameters that were found."""
    cell, dataset, values = recipe.cell, recipe.dataset, recipe.record.hyperparameters
    info = Info(
        modality=dataset.modality,
        class_names=dataset.class_names,
        n=recipe.labels,
        has_weights=bool(cell.weights) and cell.weights != "none",
        image_size=size_of(cell.examples, cell.modality),
        batch_size=batch_size,
        metric=cell.metric,
        class_weight=cell.class_weight,
        task=cell.task,
        **recipe.network.traits,
    )
    return recipe.strategy.stages(SimpleNamespace(get=values.__getitem__, values=values), info)
