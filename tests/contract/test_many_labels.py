"""Strategies that are schedules learn any number of labels of each example; they use what they are given alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from bench.commands.strategy_check.tiny import TinyEngine, tiny_cell
from bench.datasets import Dataset, open_dataset
from bench.modalities.image.input import ImageInput
from bench.plans.strategies import get_strategy
from bench.protocols.fractions.cell import run_cell
from bench.records import MULTI_LABEL, Cell
from bench.tasks.multi_label import MultiLabel
from strategies import STRATEGIES

SIZE = 32
ABLE = [name for name in STRATEGIES if get_strategy(name).many_labels]
SAMPLE = ("scratch", "feature_extraction", "lp_ft", "lora", "majority")
"""Those of the fast set: with every cut, a warm start, and no network."""


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Dataset:
    """Pictures with any of a red, a green and a blue square."""
    rng = np.random.default_rng(0)
    labels = (rng.random((150, 3)) < 0.4).astype(np.uint8)
    images = rng.integers(0, 60, (150, SIZE, SIZE, 3), np.uint8)
    for image, row in zip(images, labels, strict=True):
        for channel in np.flatnonzero(row):
            y, x = rng.integers(0, SIZE - 16, 2)
            image[y : y + 16, x : x + 16, channel] = 255
    path = tmp_path_factory.mktemp("colours") / "colours.npz"
    np.savez(path, x=images, y=labels, class_names=["red", "green", "blue"])
    return open_dataset(str(path), ImageInput(SIZE), task=MULTI_LABEL)


@pytest.fixture(scope="module")
def tiny(colours: Dataset) -> TinyEngine:
    return TinyEngine(SIZE, colours.pool.data)


def cell_of(name: str, dataset: Dataset, **changes: Any) -> Cell:
    cell = tiny_cell(get_strategy(name), dataset, SIZE)
    fields = {**vars(cell), "task": MULTI_LABEL, "metric": "mean_average_precision", **changes}
    fields.pop("id", None)
    return Cell(**fields)


def run(cell: Cell, dataset: Dataset, engine: TinyEngine) -> Any:
    return run_cell(cell, dataset, engine, None, lambda text: None)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.slow) for name in ABLE]
)
def test_a_schedule_learns_many_labels(name: str, colours: Dataset, tiny: TinyEngine) -> None:
    outcome = run(cell_of(name, colours, fraction=0.5), colours, tiny)
    assert outcome.fields["status"] in ("ok", "skipped"), outcome.fields
    if outcome.fields["status"] == "skipped":
        assert "the backbone has no" in outcome.fields["error"]["message"]
        return
    probabilities = outcome.probabilities
    assert probabilities.shape == (30, 3)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert {"mean_average_precision", "macro_f1", "micro_f1", "label_accuracy"} <= outcome.fields[
        "metrics"
    ].keys()
    if name == "majority":
        rows = outcome.fields["n"]
        assert (probabilities == probabilities[0]).all()
        assert rows == 60
    else:
        assert {"val_loss", "val_accuracy"} <= outcome.fields["curves"][-1].keys() | {
            "val_loss",
            "val_accuracy",
        }


def test_it_learns(colours: Dataset, tiny: TinyEngine) -> None:
    """A few dozen steps tell colours apart far better than their frequencies do."""
    cell = cell_of("scratch", colours, fraction=1.0, length=0.2, epochs=20)
    found = run(cell, colours, tiny).fields["metrics"]
    floor = MultiLabel().score(np.full((30, 3), 0.4), colours.test.labels)
    assert found["mean_average_precision"] > floor["mean_average_precision"] + 0.2
    assert found["log_loss"] < floor["log_loss"]


def test_again_is_the_same_to_the_bit(colours: Dataset, tiny: TinyEngine) -> None:
    cell = cell_of("full_finetune", colours, fraction=0.5)
    first = run(cell, colours, tiny).probabilities
    run(cell_of("feature_extraction", colours, fraction=0.5, seed=1), colours, tiny)
    assert np.array_equal(first, run(cell, colours, tiny).probabilities)
