"""Ranking a backbone inside a worker: which features, which classifier, and that cells find what was computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from bench.backbones.build import build_backbone
from bench.backbones.heads import NoClassifier, imagenet_classifier
from bench.backbones.spec import parse_backbone
from bench.backbones.weights import Weights, resolve_weights
from bench.protocols.fractions.cell import run_cell
from bench.ranking import scores as transferability
from bench.ranking.worker import rank
from bench.system import cache
from bench.system.files import sha256_file
from bench.training.engine import Engine


@pytest.fixture
def job(weights_file: Path) -> dict[str, Any]:
    return {
        "backbone": "MobileNet:alpha=0.25", "weights": str(weights_file),
        "weights_sha256": sha256_file(weights_file), "modality": "image",
        "input": {"image_size": 32, "resizing": "stretch"}, "pooling": "avg", "images": 10_000,
    }  # fmt: skip


def said(text: str) -> None:
    pass


def rows_stored() -> dict[str, int]:
    """By stored prefix."""
    folders = [entry.path for entry in cache.entries("prefixes")]
    return {folder.name: np.count_nonzero(np.load(folder / "sums.npy")) for folder in folders}


@pytest.mark.usefixtures("fresh_cache")
def test_cells_find_the_features_of_a_ranking(
    engine: Engine, digits: Any, make_cell: Callable[..., Any], job: dict[str, Any]
) -> None:
    found = rank(job, digits, engine, said)
    (pool,) = rows_stored().values()
    assert pool == len(digits.pool.ids)
    assert found["ms_per_image"] > 0
    assert found["feature_map"] == [1, 1]
    outcome = run_cell(make_cell(augmentation="none"), digits, engine, None, said)
    assert outcome.fields["status"] == "ok"
    assert outcome.fields["feature_map"] == [1, 1]
    assert sorted(rows_stored().values()) == [len(digits.test.ids), pool]  # of the pool nothing was added
    again = rank(job, digits, engine, said)
    assert again["scores"] == found["scores"]


@pytest.mark.usefixtures("fresh_cache")
def test_scores_are_of_a_part_drawn_by_class_and_of_the_pool_alone(
    engine: Engine, digits: Any, job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def score(features: np.ndarray, labels: np.ndarray, groups: Any) -> float:
        seen.append((features, labels, groups))
        return float("nan")

    monkeypatch.setattr(transferability, "SCORES", {"probe": score})
    found = rank({**job, "images": 200}, digits, engine, said)
    ((features, labels, groups),) = seen
    assert features.shape == (200, found["width"]) == (200, 256)
    assert np.bincount(labels).min() >= 18
    assert groups is None if digits.pool.groups is None else len(groups) == 200
    assert found["scores"]["probe"] is None
    assert found["missing"]["probe"] == "its features are not finite"
    assert sum(rows_stored().values()) == 200


def test_weights_that_have_changed_are_refused(engine: Engine, digits: Any, job: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="have changed"):
        rank({**job, "weights_sha256": "0" * 64}, digits, engine, said)


def test_random_weights_are_the_same_whatever_a_worker_did_before(
    engine: Engine, digits: Any, job: dict[str, Any]
) -> None:
    job |= {"weights": "none", "weights_sha256": "", "images": 150}
    first = rank(job, digits, engine, said)
    keras.utils.set_random_seed(5)
    engine.network("MobileNet:alpha=0.25", "none", 32)  # as measuring its latency does
    second = rank(job, digits, engine, said)
    assert second["scores"] == first["scores"]
    assert first["scores"]["leep"] is None
    # Half precision would leave zeros of it: no better than guessing.
    assert first["scores"]["probe"] > 0.3


def test_the_classifier_of_lite0_knows_what_it_sees(shared: Callable[[str], Path]) -> None:
    from PIL import Image

    spec = parse_backbone("EfficientNetLite0")
    weights = resolve_weights(spec, 160)
    model = build_backbone(spec, 160, weights)
    classify = imagenet_classifier(spec, 160, weights, model)
    files = sorted((shared("datasets/clothing") / "test" / "t-shirt").glob("*.jpg"))[:16]
    photos = [np.asarray(Image.open(file).convert("RGB").resize((160, 160)), np.float32) for file in files]
    probabilities = classify(model.predict_on_batch(np.stack(photos)).mean(axis=(1, 2)))
    assert probabilities.shape == (16, 1000)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (probabilities.argmax(axis=1) == 610).mean() > 0.5  # jersey, T-shirt
    with pytest.raises(NoClassifier, match="no ImageNet weights"):
        imagenet_classifier(spec, 160, Weights("none", "", None), model)


def test_the_classifier_of_an_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of made-up weights: at 32 px, from the average of the features, it says what the whole network says."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    folder = tmp_path / "models"
    folder.mkdir()

    def save(model: keras.Model, name: str) -> Path:
        with h5py.File(folder / name, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
        return folder / name

    spec = parse_backbone("MobileNet:alpha=0.25")
    keras.utils.set_random_seed(3)
    whole = keras.applications.MobileNet(alpha=0.25, weights=None)
    without = keras.applications.MobileNet((32, 32, 3), 0.25, include_top=False, weights=None)
    without.set_weights(whole.get_weights()[: len(without.weights)])
    file = save(without, "mobilenet_2_5_224_tf_no_top.h5")
    weights = Weights("imagenet", sha256_file(file), str(file))
    backbone = build_backbone(spec, 32, weights)
    with pytest.raises(NoClassifier, match="not on this machine"):
        imagenet_classifier(spec, 32, weights, backbone)

    save(whole, "mobilenet_2_5_224_tf.h5")
    at_32 = keras.applications.MobileNet((32, 32, 3), 0.25, weights=None)
    at_32.set_weights(whole.get_weights())
    images = np.random.default_rng(0).uniform(0, 255, (5, 32, 32, 3)).astype(np.float32)
    expected = at_32.predict_on_batch(images / 127.5 - 1)
    features = backbone.predict_on_batch(images).mean(axis=(1, 2))
    classify = imagenet_classifier(spec, 32, weights, backbone)
    np.testing.assert_allclose(classify(features), expected, rtol=1e-4)
    # Far from zero as well, where classes differ.
    assert np.ptp(classify(features + 1e3 * np.arange(256, dtype=np.float32))) > 1e-3

    other = keras.applications.MobileNet(alpha=0.25, weights=None)
    save(other, "mobilenet_2_5_224_tf.h5")
    with pytest.raises(NoClassifier, match="other weights"):
        imagenet_classifier(spec, 32, weights, backbone)
