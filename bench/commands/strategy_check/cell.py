"""A whole cell, twice, on a few images of digits and a small network of random weights."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from bench.commands.strategy_check.findings import Findings, Stop, sentence
from bench.commands.strategy_check.watched import Watched
from bench.execution import keras_backend
from bench.plans.strategies import load_strategy
from strategies.base import Strategy

if TYPE_CHECKING:
    from bench.commands.strategy_check.tiny import TinyEngine
    from bench.datasets import Dataset
    from bench.protocols.fractions.cell import Outcome


def check_cell(name: str, uses_backbone: bool, size: int, found: Findings) -> None:
    """Runs a cell of the strategy ``name`` twice as the harness would, on images of ``size`` pixels."""
    keras_backend.load(1)
    from bench.commands.strategy_check.tiny import TinyEngine
    from bench.datasets import open_dataset
    from bench.modalities.image.input import ImageInput

    dataset = open_dataset("digits", ImageInput(size))
    began = time.perf_counter()
    engine = TinyEngine(size, dataset.pool.data[:256])
    first, second = (_run(load_strategy(name)[0](), dataset, engine, found) for _ in range(2))
    _check_trials(first, found)
    _check_predictions(first, second, uses_backbone, found)
    accuracy, seconds = first.fields["metrics"]["accuracy"], time.perf_counter() - began
    found.ran = (
        f"It ran twice on {first.fields['n']} images of digits with a small network of random weights "
        f"({seconds:.0f} s). Its test accuracy there, {accuracy:.2f}, says nothing about what it is worth."
    )


def _run(strategy: Strategy, dataset: Dataset, engine: TinyEngine, found: Findings) -> Outcome:
    """One cell that comes to a result; else that is a finding."""
    from bench.commands.strategy_check.tiny import negatives, parity, tiny_cell
    from bench.protocols.fractions.cell import run_cell

    cell, watched = tiny_cell(strategy, dataset, engine.tiny.size), Watched(strategy, found)
    try:
        domain = negatives(dataset) if strategy.needs_source else None
        tasks = (parity(dataset),) if strategy.needs_auxiliary else ()
        outcome = run_cell(cell, dataset, engine, None, lambda text: None, watched, domain, tasks)
    except Exception as error:
        if not found.problems:
            found.wrong(sentence(error, found))
        raise Stop from error
    if outcome.fields["status"] == "skipped":
        found.better(f"It was not run here: skipped, {outcome.fields['error']['message']}.")
        raise Stop
    if outcome.fields["status"] == "failed":
        found.wrong(f"On digits it fails with {outcome.fields['error']['message']}.")
        raise Stop
    return outcome


def _check_trials(outcome: Outcome, found: Findings) -> None:
    diverged = sum(trial["status"] == "diverged" for trial in outcome.fields["trials"])
    if diverged:
        found.better(f"{diverged} of its trials diverged on digits: its ranges may be too wide.")


def _check_predictions(outcome: Outcome, again: Outcome, uses_backbone: bool, found: Findings) -> None:
    """Whether both runs give the same, and not the same for every image."""
    first, second = outcome.probabilities, again.probabilities
    assert first is not None
    assert second is not None
    if not np.array_equal(first, second):
        found.wrong(
            "The same cell run again gives other predictions: draw every random number from a generator that is "
            "seeded with task.seed, and keep nothing in classes or modules between runs."
        )
    if uses_backbone and (np.ptp(first, axis=0) < 1e-6).all():
        found.wrong("It predicts the same for every image.")
