"""The hash in a record is that of the weights which Keras has loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.backbones.spec import parse_backbone
from bench.backbones.weights import Weights, resolve_weights
from bench.errors import BenchError, RequestError
from bench.plans.strategies import get_strategy
from bench.records import Cell
from bench.system.files import sha256_file

keras = pytest.importorskip("keras")

from bench.backbones.build import build_backbone
from bench.backbones.fetch import fetch
from bench.protocols.trials import info_of, network_of
from bench.training.engine import Engine

FILE = "mobilenet_2_5_224_tf_no_top.h5"
SPEC = parse_backbone("MobileNet:alpha=0.25")
SIZE = 32


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two homes of Keras, each with other weights under the same name."""
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    found = []
    for seed in range(2):
        keras.utils.set_random_seed(seed)
        model = keras.applications.MobileNet(
            alpha=0.25, include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)
        )
        home = tmp_path_factory.mktemp(f"home{seed}")
        (home / "models").mkdir()
        with h5py.File(home / "models" / FILE, "w") as file:
            save_weights_to_hdf5_group(file, model)
        found.append(home)
    return found


@pytest.fixture(autouse=True)
def at_home(homes: list[Path], fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras's folder for weights is the first of the homes."""
    _move(homes[0], monkeypatch)


def _move(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``KERAS_HOME`` does when a process starts."""
    from keras.src.utils import file_utils

    monkeypatch.setenv("KERAS_HOME", str(home))
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(home))


def _resolved() -> Weights:
    return resolve_weights(SPEC, SIZE, lambda spec, size: fetch(spec.text, size, download=False))


def _first(model: Any) -> np.ndarray:
    return np.array(next(weight for weight in model.weights if weight.shape[-1] == 8))


def test_each_home_has_its_own_answer(homes: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for home in (*homes, homes[0]):
        _move(home, monkeypatch)
        assert _resolved() == Weights(
            "imagenet", sha256_file(home / "models" / FILE), str(home / "models" / FILE)
        )


def test_what_is_loaded_is_what_was_hashed(homes: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    weights = _resolved()
    expected = _first(build_backbone(SPEC, SIZE, weights))
    _move(homes[1], monkeypatch)
    np.testing.assert_array_equal(_first(build_backbone(SPEC, SIZE, weights)), expected)
    other = _first(build_backbone(SPEC, SIZE, _resolved()))
    assert not np.array_equal(other, expected)


def test_a_file_that_has_changed_is_refused(
    homes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    file = home / "models" / FILE
    file.write_bytes((homes[0] / "models" / FILE).read_bytes())
    _move(home, monkeypatch)
    weights = _resolved()
    file.write_bytes((homes[1] / "models" / FILE).read_bytes())
    with pytest.raises(RequestError, match="It has changed"):
        build_backbone(SPEC, SIZE, weights)
    assert _resolved().sha256 != weights.sha256


def test_a_cell_of_other_weights_is_refused(
    homes: list[Path], digits: Any, make_cell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell: Cell = make_cell(weights="imagenet", weights_sha256=_resolved().sha256)
    strategy = get_strategy("feature_extraction")
    _move(homes[1], monkeypatch)
    _resolved()
    with pytest.raises(BenchError, match="have changed"):
        network_of(cell, strategy, Engine(), info_of(cell, digits, 10))
