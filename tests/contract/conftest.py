"""Settings that must stand before Keras is imported."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.modalities.image.input import ImageInput

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the tuner's small matrices: threads only cost time

HEAD = {"pooling": "avg", "hidden_units": 0, "dropout": 0.5}
"""The head of all cells that are trained here; one, so that they share compiled networks."""


@pytest.fixture(scope="session")
def engine() -> Any:
    """The networks of all tests, as in a worker that runs one cell after the other."""
    import keras

    from bench.execution import keras_backend
    from bench.training.engine import Engine

    keras_backend.make_deterministic()
    keras.utils.set_random_seed(0)
    return Engine()


@pytest.fixture(scope="session")
def digits(session_cache: Path) -> Any:
    """scikit-learn's digits at 32 px."""
    from bench.datasets import open_dataset

    return open_dataset("digits", ImageInput(32))


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory, digits: Any) -> Any:
    """Some of the digits, dark on light: another domain with the same classes, as a source for them."""
    import numpy as np
    from sklearn.datasets import load_digits

    from bench.datasets import open_dataset
    from bench.datasets.companions.source import pair

    path = tmp_path_factory.mktemp("source") / "inverted.npz"
    data = load_digits()
    np.savez(path, x=(255 - 15 * data.images[:200]).astype(np.uint8), y=data.target[:200])
    return pair(open_dataset(str(path), ImageInput(32)), digits)


@pytest.fixture(scope="session")
def auxiliary(digits: Any) -> Any:
    """Whether a digit is odd, for all but every seventh image of the pool, as an auxiliary task."""
    from bench.commands.strategy_check.tiny import parity

    return parity(digits)


@pytest.fixture(scope="session")
def small(small_file: Path) -> dict[str, str]:
    """What a cell says of the network Conv4:filters=8: four layers are compiled in no time."""
    from bench.system.files import sha256_file

    return {
        "backbone": "Conv4:filters=8",
        "weights": str(small_file),
        "weights_sha256": sha256_file(small_file),
    }


@pytest.fixture(scope="session")
def make_cell(digits: Any, weights_file: Path) -> Callable[..., Any]:
    """Makes a cell of 72 labels, two epochs, short stages and two trials; arguments change its fields."""
    import keras

    from bench.records import Cell
    from bench.system.files import sha256_file

    def make(**changes: Any) -> Cell:
        fields: dict[str, Any] = {
            "strategy": "feature_extraction",
            "strategy_version": 1,
            "dataset": digits.spec,
            "dataset_name": digits.name,
            "fingerprint": digits.fingerprint,
            "modality": digits.modality,
            "backbone": "MobileNet:alpha=0.25",
            "weights": str(weights_file),
            "weights_sha256": sha256_file(weights_file),
            "fraction": 0.05,
            "seed": 0,
            "image_size": 32,
            "resizing": "stretch",
            "augmentation": "light",
            "flip": False,
            "epochs": 2,
            "length": 0.05,
            "batch_size": 32,
            "threads": 1,
            "head": HEAD,
            "tuning": {"algorithm": "random", "trials": 2},
            "backend": keras.backend.backend(),
        }
        return Cell.of({**fields, **changes})

    return make
