"""On every Keras backend that is installed: the same cell gives the same bits, and the answers of TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.system import backend

SCRIPT = Path(__file__).with_name("every_strategy.py")
SAMPLE = (
    "scratch", "feature_extraction", "partial_finetune", "norm_only", "l2_sp", "lora", "knn",
    "adabn", "deep_coral", "dann", "mmd", "cycle_gan", "prototypical", "siamese", "multi_task",
)  # fmt: skip
"""One of each way of training; all strategies with ``tests/benchmarks/backends.py``."""
NEARLY = dict.fromkeys(("deep_coral", "mmd", "dann", "cycle_gan"), 2e-3)
"""How far apart probabilities may be where rounding grows: by covariances, kernels, an adversary, a GAN."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backends")


def run(python: Callable[..., Any], folder: Path, name: str) -> dict[str, Any]:
    result = python(SCRIPT, folder, *SAMPLE, env={"KERAS_BACKEND": name}, timeout=1200)
    assert result.rc == 0, result.stderr[-2000:]
    content: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return content


@pytest.fixture(scope="module")
def reference(python: Callable[..., Any], folder: Path) -> dict[str, np.ndarray]:
    """What TensorFlow says; it also writes the weights that all begin with."""
    run(python, folder, "tensorflow")
    with np.load(folder / "tensorflow.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", [name for name in backend.BACKENDS if name != backend.DEFAULT])
def test_other_backends_agree(
    python: Callable[..., Any], folder: Path, name: str, request: pytest.FixtureRequest
) -> None:
    if not backend.is_installed(name):
        pytest.skip(f"{name} is not installed")
    expected = request.getfixturevalue("reference")
    found = run(python, folder, name)
    assert found["failed"] == {}
    assert found["different"] == []  # of the two times that each ran
    assert found["loaded"] == [name]  # TensorFlow beside it costs seconds, memory, and its share of a GPU
    with np.load(folder / f"{name}.npz") as file:
        assert set(file) == set(expected) == set(SAMPLE)
        for strategy, probabilities in file.items():
            difference = np.abs(probabilities - expected[strategy]).mean()
            if strategy == "scratch":  # each backend draws its own initial weights
                assert difference > 1e-4
            else:
                assert difference < NEARLY.get(strategy, 1e-4), strategy
