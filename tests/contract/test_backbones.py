"""Every backbone keeps the same promises: one suite over the registry, without pretrained weights.

A sample in which every family's structure is found runs always, the others with ``-m slow``. A backbone that is
added to ``BACKBONES`` is tested by itself. All inputs are as small as the architecture allows.
"""

from __future__ import annotations

import gc
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from bench.backbones import weights
from bench.backbones.build import FRONTS, IMAGENET_MEAN, IMAGENET_STD, build_backbone
from bench.backbones.cuts import Cut, block_of, find_cuts, split, topological
from bench.backbones.registry import BACKBONES, BackboneInfo
from bench.backbones.spec import BackboneSpec, check_size, parse_backbone
from bench.backbones.weights import Weights, resolve_weights
from bench.datasets import open_dataset
from bench.errors import RequestError
from bench.modalities.image.augment import Augmentation
from bench.modalities.image.input import ImageInput
from bench.protocols.fractions.cell import run_cell
from bench.system.files import sha256_file
from bench.tasks.single_label import SingleLabel
from bench.training.engine import Network, spec_of
from bench.training.examples import PartExamples
from bench.training.programs.config import HeadConfig, Trained
from bench.training.programs.graph import parts, with_adapters
from bench.training.task import CellTask
from strategies.base import Fitted, Info, Stage

SHARED = Path(__file__).resolve().parents[3] / "shared"
NONE = Weights("none", "", None)

SAMPLE = (
    "MobileNet:alpha=0.25",  # a chain of depthwise convolutions
    "ConvNeXtTiny",  # layer normalisation, dense layers, models among its layers
    "VGG16",  # no normalisation
    "MobileNetV3Small",  # squeeze-and-excitation; pixels are scaled inside
    "EfficientNetLite0",  # our own code
    "Conv4",  # likewise; no dense layer, no 1 x 1 convolution
    "EfficientNetB0",  # another graph without ImageNet weights; blocks that drop out
    "ResNet50V2",  # residuals
    "DenseNet121",  # all that came before, side by side
    "NASNetMobile",  # two tensors from cell to cell
)
FEW = SAMPLE[:1]


def _families() -> list[str]:
    """The sample, and the first member of every family that is not in it."""
    first = {BACKBONES[text.partition(":")[0]].module: text for text in SAMPLE}
    for name, info in BACKBONES.items():
        first.setdefault(info.module, name)
    return [*SAMPLE, *(text for text in first.values() if text not in SAMPLE)]


FAMILIES = _families()
ALL = [*FAMILIES, *(name for name in BACKBONES if name not in FAMILIES)]


def each(names: Sequence[str], always: Sequence[str] = ()) -> pytest.MarkDecorator:
    """The test is for ``names``, of which only ``always`` are not slow; one network is built for all its tests."""
    assert names == ALL[: len(names)], "pytest groups tests by the place in the list"
    marked = [pytest.param(name, marks=[] if name in always else pytest.mark.slow) for name in names]
    return pytest.mark.parametrize("subject", marked, indirect=True, scope="module")


HEAD = Stage("head", cut="top", learning_rate=3e-2, weight_decay=1e-2, epochs=1)
UPPER = Stage("finetune", cut=0.25, learning_rate=1e-2, weight_decay=1e-2, epochs=1)
WHOLE = Stage("finetune", cut="input", learning_rate=1e-2, epochs=1)

IMAGES = 16
LARGEST_COMPILED = 150e6  # parameters

pytestmark = [
    # Keras's own code meets numpy's deprecations and Python's; none of ours is hidden by these.
    pytest.mark.filterwarnings("ignore:.*__array__ implementation doesn't accept a copy keyword"),
    pytest.mark.filterwarnings("ignore:.*Weights for input shape"),
]


def without_weights(text: str) -> BackboneSpec:
    return spec_of(text, "none")


def build(text: str, image_size: int | None = None) -> keras.Model:
    spec = without_weights(text)
    keras.utils.set_random_seed(0)
    return build_backbone(spec, image_size or spec.info.minimum_size, NONE)


def pixels(image_size: int, count: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (count, image_size, image_size, 3)).astype("float32")


def output(model: keras.Model, images: Any) -> np.ndarray:
    """What a model, or a chain of the two halves of one, makes of images."""
    return np.asarray(keras.ops.convert_to_numpy(model(images, training=False)), np.float32)


def values(variables: Any) -> dict[int, bytes]:
    """Variables by identity, for comparisons to the bit."""
    return {id(v): keras.ops.convert_to_numpy(v).tobytes() for v in variables}


def forget() -> None:
    keras.utils.clear_session()
    gc.collect()


@contextmanager
def eager() -> Iterator[None]:
    """Nothing is traced: of two steps of a training, tracing is nearly all the time."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@contextmanager
def precision(policy: str) -> Iterator[None]:
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes: gray and coloured, upright and lying, with and without transparency."""
    root = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for i in range(28):
        mode = ("L", "RGB", "RGBA", "LA")[i % 4]
        coarse = rng.integers(0, 256, (6, 9, len(mode)), dtype=np.uint8)
        coarse = coarse.transpose(1, 0, 2) if i % 3 else coarse
        image = Image.fromarray(coarse.squeeze(), mode)
        path = root / "ab"[i // 2 % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        image.resize((15 * image.width, 15 * image.height), Image.Resampling.BICUBIC).save(path)
    return root


@dataclass
class Subject:
    """A backbone at its minimum size, with random kernels and the statistics of some images.

    With the statistics that Keras begins with, next to nothing comes through a deep network with random weights.
    """

    text: str
    images: np.ndarray
    network: Network
    folder: Path

    @property
    def info(self) -> BackboneInfo:
        return self.network.spec.info

    @property
    def size(self) -> int:
        return self.network.size

    @property
    def model(self) -> keras.Model:
        return self.network.model

    @property
    def cuts(self) -> list[Cut]:
        return self.network.cuts

    @cached_property
    def file(self) -> Path:
        """Its weights."""
        path = self.folder / "x.weights.h5"
        self.model.save_weights(path)
        return path

    @cached_property
    def features(self) -> np.ndarray:
        return output(self.model, self.images[:2])

    def task(self, seed: int = 0) -> CellTask:
        """All images with labels, and no validation: the last weights are those that count."""
        rows, nothing = np.arange(IMAGES), np.arange(0)
        pixels = self.images.astype(np.uint8)
        examples = [
            PartExamples(pixels, [str(i) for i in rows], f"photographs {self.size}", r, r % 2)
            for r in (rows, nothing)
        ]
        info = Info("image", ("a", "b"), IMAGES, True, self.size, 32, **self.network.traits)
        head = HeadConfig("avg", 0, 0.0, 2)
        return CellTask(self.network, examples[0], None, examples[1], info, head, Augmentation(), seed, 1, 32)

    def fit(self, *stages: Stage, seed: int = 0) -> Fitted:
        return self.task(seed).fit_stages(list(stages))


@pytest.fixture(scope="module")
def subject(request: pytest.FixtureRequest, photographs: Path, tmp_path_factory: Any) -> Iterator[Subject]:
    if request.param == "NASNetMobile" and keras.backend.backend() == "torch":
        pytest.skip("Keras has no NASNetMobile on torch")
    spec = without_weights(request.param)
    size = spec.info.minimum_size
    images = open_dataset(str(photographs), ImageInput(size)).pool.data[:IMAGES].astype(np.float32)
    keras.utils.set_random_seed(0)
    network = Network(spec, size, NONE, threads=1)
    norms = {
        x: x.momentum for x in parts(network.model.layers) if isinstance(x, keras.layers.BatchNormalization)
    }
    for norm in norms:
        norm.momentum = 0.0
    network.model(images, training=True)
    for norm, momentum in norms.items():
        norm.momentum = momentum
    folder = tmp_path_factory.mktemp("weights")
    made = Subject(request.param, images, network, folder)
    del network, norms
    yield made
    made.__dict__.clear()
    shutil.rmtree(folder)
    forget()


@pytest.fixture(autouse=True)
def _forget_programs(request: pytest.FixtureRequest) -> Iterator[None]:
    network = request.getfixturevalue("subject").network if "subject" in request.fixturenames else None
    yield
    if network is not None:
        network._programs.clear()
        gc.collect()


# --- the network ----------------------------------------------------------------------------------------------


@each(ALL, SAMPLE)
def test_pixels_in_and_a_feature_map_out(subject: Subject) -> None:
    model = subject.model
    assert model.inputs[0].name == "image"
    assert model.inputs[0].dtype == "float32"
    assert model.input_shape == (None, subject.size, subject.size, 3)
    assert subject.features.ndim == 4
    assert np.isfinite(subject.features).all()
    assert subject.features.std() > 0
    # Gray pictures, and pictures of another shape, are pictures like any other.
    assert not np.array_equal(subject.features[0], subject.features[1])


@each(ALL, SAMPLE)
def test_the_registry_knows_where_the_feature_map_is_two_by_two(subject: Subject) -> None:
    """There, and not one pixel below; nothing else is known of it without Keras."""
    enough = subject.info.two_by_two
    assert enough is not None
    sides = {enough: min(build(subject.text, enough).output.shape[1:3])}
    if enough > subject.size:
        sides[enough - 1] = min(build(subject.text, enough - 1).output.shape[1:3])
        assert subject.network.feature_map == [1, 1]
    assert sides.pop(enough) >= 2
    assert set(sides.values()) <= {1}


@each(ALL, FEW)
def test_same_as_keras(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application of Keras with its own preprocessing, and with the weights where ImageNet's would be."""
    application = getattr(keras.applications, subject.text.partition(":")[0], None)
    if application is None:
        pytest.skip("not an application of Keras")
    from keras.src.utils import file_utils

    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(subject.file))
    spec = parse_backbone(subject.text)
    shape = (subject.size, subject.size, 3)
    keras.utils.set_random_seed(1)
    theirs = application(include_top=False, weights="imagenet", input_shape=shape, **dict(spec.options))
    preprocess = getattr(keras.applications, spec.info.module).preprocess_input
    expected = output(theirs, preprocess(subject.images[:2].copy()))
    del theirs
    imagenet = Weights("imagenet", sha256_file(subject.file), str(subject.file))
    found = output(build_backbone(spec, subject.size, imagenet), subject.images[:2])
    np.testing.assert_array_equal(found, subject.features)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


@each(ALL, SAMPLE)
def test_cuts_lie_between_blocks(subject: Subject) -> None:
    cuts = subject.cuts
    assert (cuts[0].name, cuts[0].depth, cuts[-1].name, cuts[-1].depth) == ("input", 0, "output", 1)
    assert len({cut.name for cut in cuts}) == len(cuts) >= 5
    for lower, upper in itertools.pairwise(cuts):
        assert 0 < upper.depth - lower.depth < 0.3
    assert all(len(cut.tensors) == (2 if cut.name.startswith("cell_") else 1) for cut in cuts)
    blocks = block_of(cuts)
    assert set(blocks.values()) == set(range(len(cuts)))
    assert {layer.name for layer in subject.model.layers} <= blocks.keys()


@each(ALL, SAMPLE)
def test_splitting_changes_nothing(subject: Subject) -> None:
    """To the bit: the same operations on the same numbers.

    At each cut what crosses is made by the layers below and is all that the layers up to the next cut need; so by
    induction all of ``above`` gives what the whole network gives. ``split`` itself at the ends and in the middle.
    """
    images = subject.images[:2]
    tensors = [tensor for cut in subject.cuts for tensor in cut.tensors]
    # As numpy: torch would hand on tensors that ask for gradients, which nothing can be read from.
    made = keras.tree.map_structure(
        keras.ops.convert_to_numpy, keras.Model(subject.model.input, tensors)(images, training=False)
    )
    crossing = {id(tensor): value for tensor, value in zip(tensors, made, strict=True)}
    for lower, upper in itertools.pairwise(subject.cuts):
        needed = {id(tensor): tensor for tensor in lower.tensors}
        given = [crossing[key] for key in needed]
        new = [tensor for tensor in upper.tensors if id(tensor) not in needed]  # NASNet hands some on
        found = keras.Model([*needed.values()], new)(given, training=False)
        for tensor, value in zip(new, keras.tree.flatten(found), strict=True):
            np.testing.assert_array_equal(
                keras.ops.convert_to_numpy(value), crossing[id(tensor)], err_msg=upper.name
            )
    np.testing.assert_array_equal(made[-1], subject.features)
    names = [cut.name for cut in subject.cuts]
    for cut in {0, 1, len(names) // 2, len(names) - 2, len(names) - 1}:
        below, above = split(subject.model, subject.cuts[cut])
        given = below(images, training=False) if below else images
        np.testing.assert_array_equal(output(above, given), subject.features)
        shared = {id(variable) for half in (below, above) if half for variable in half.variables}
        assert shared == {id(variable) for variable in subject.model.variables}
    assert [cut.name for cut in find_cuts(subject.model)] == names  # splitting leaves no trace


@each(ALL, SAMPLE)
def test_traits_are_those_of_the_weights(subject: Subject) -> None:
    """What strategies are told of a network, told again by the names and shapes of its weights."""
    traits = subject.network.traits
    layers = parts(subject.model.layers)
    names = {v.name for x in layers if not isinstance(x, keras.layers.Normalization) for v in x.weights}
    pointwise = [
        v for v in subject.model.weights if len(v.shape) == 2 or (len(v.shape) == 4 and v.shape[:2] == (1, 1))
    ]
    assert traits["has_norm"] == bool({"gamma", "beta"} & names)
    assert traits["has_bias"] == bool({"bias", "beta"} & names)
    assert traits["has_pointwise"] == bool(pointwise)
    assert traits["backbone_params"] == sum(int(np.prod(v.shape)) for v in subject.model.weights)
    module = subject.info.module
    has_norm, has_pointwise = module not in ("vgg16", "vgg19"), module not in ("vgg16", "vgg19", "conv4")
    assert (traits["has_norm"], traits["has_bias"], traits["has_pointwise"]) == (
        has_norm,
        True,
        has_pointwise,
    )


@each(ALL, SAMPLE)
def test_low_rank_updates_begin_as_nothing(subject: Subject) -> None:
    cut = subject.network.cut(UPPER.cut)
    assert cut is not None
    below, above = split(subject.model, cut)
    assert below is not None
    adapted, adapters = with_adapters(above, 2, subject.model.layers)
    given = below(subject.images[:2], training=False)
    np.testing.assert_array_equal(output(adapted, given), subject.features)
    assert bool(adapters) == subject.network.traits["has_pointwise"]


@each(ALL, FEW)
def test_saved_and_loaded(subject: Subject, tmp_path: Path) -> None:
    """A .keras file needs nothing of ours."""
    file = tmp_path / "model.keras"
    subject.model.save(file)
    loaded = keras.models.load_model(file)
    file.unlink()
    np.testing.assert_array_equal(output(loaded, subject.images[:2]), subject.features)
    assert [cut.name for cut in find_cuts(loaded)] == [cut.name for cut in subject.cuts]


@each(ALL)
def test_blocks_do_not_depend_on_the_size(subject: Subject) -> None:
    names = [cut.name for cut in subject.cuts]
    for size in (subject.size + 1, 128):
        other = build(subject.text, size)
        assert [cut.name for cut in find_cuts(other)] == names
        assert other.count_params() == subject.model.count_params()
        del other


# --- training -------------------------------------------------------------------------------------------------


def places(subject: Subject) -> dict[str, tuple[keras.layers.Layer, keras.Variable]]:
    """The innermost layer and the variable behind each place of a state."""
    found = {}
    for i, layer in enumerate(subject.model.layers):
        owners = {id(v): part for part in parts([layer]) for v in part._trainable_variables}
        owners |= {id(v): part for part in parts([layer]) for v in part._non_trainable_variables}
        found |= {f"{i}:{k}": (owners[id(v)], v) for k, v in enumerate(layer.weights)}
    return found


def moved(subject: Subject, fitted: Fitted) -> dict[str, bool]:
    """Of each weight of the backbone that was in training whether it is another now."""
    state: dict[str, np.ndarray] = fitted.predictor.state  # type: ignore[attr-defined]
    assert all(np.isfinite(value).all() for value in state.values())
    start = subject.network.pretrained
    return {p: not np.array_equal(value, start[p]) for p, value in state.items() if p in start}


def is_trainable(layer: keras.layers.Layer, variable: keras.Variable) -> bool:
    """Told by names: neither a moving statistic nor a constant of the preprocessing."""
    return not (variable.name.startswith("moving_") or isinstance(layer, keras.layers.Normalization))


def trains_frozen(layer: keras.layers.Layer, variable: keras.Variable) -> bool:
    """Whether it trains where batch normalisation is frozen."""
    return is_trainable(layer, variable) and not isinstance(layer, keras.layers.BatchNormalization)


def assert_all_moved(subject: Subject, fitted: Fitted) -> None:
    """With trained batch normalisation all but the preprocessing moves."""
    found, where = moved(subject, fitted), places(subject)
    still = {where[place][1].path for place, is_moved in found.items() if not is_moved}
    constant = {v.path for layer, v in where.values() if isinstance(layer, keras.layers.Normalization)}
    assert still == {where[place][1].path for place in found if where[place][1].path in constant}


@each(ALL, SAMPLE)
def test_frozen_weights_and_statistics_stay_to_the_bit(subject: Subject) -> None:
    before = values(subject.model.variables)
    with eager():
        fitted = subject.fit(HEAD, UPPER)
    found = moved(subject, fitted)
    assert 0 < len(found) < len(subject.network.pretrained)
    for place, (layer, variable) in places(subject).items():
        if place in found:
            assert found[place] == trains_frozen(layer, variable), variable.path
    assert values(subject.model.variables) == before  # the shared network, of which prefixes are computed


def check_statistics(subject: Subject, stage: Stage) -> None:
    """In use each normalisation meets the mean and variance that it has kept."""
    task = subject.task()
    cut = subject.network.cut(stage.cut)
    program = subject.network.program(cut, task.head, Trained.of(stage), SingleLabel.label_smoothing)
    norms = {
        id(node.operation): (node.operation, node.input_tensors[0])
        for node in topological(program.model.outputs)
        if isinstance(node.operation, keras.layers.BatchNormalization)
        and node.operation.name != "head_standardise"
    }
    kinds = {type(layer).__name__ for layer in parts(subject.model.layers)}
    assert bool(norms) == ("BatchNormalization" in kinds)
    if not norms:
        return
    batch, _ = task.inputs(stage, task.train, augmented=False)
    model = keras.Model(program.model.inputs, [tensor for _, tensor in norms.values()])
    given = keras.tree.map_structure(keras.ops.convert_to_numpy, batch(np.arange(64) % IMAGES, None))
    tolerances: list[float] = []
    for (norm, _), (mean, deviation), rounded in zip(
        norms.values(), moments(model, given), moments(model, rounded_once(given)), strict=True
    ):
        kept_mean, kept_variance = (
            keras.ops.convert_to_numpy(v) for v in (norm.moving_mean, norm.moving_variance)
        )
        unit = np.sqrt(kept_variance + norm.epsilon)
        # Deep random networks amplify rounding a thousandfold: how much is measured, layer by layer.
        for met, kept, after_rounding in zip(
            (mean, deviation), (kept_mean, np.sqrt(kept_variance)), rounded, strict=True
        ):
            tolerances.append(1e-4 + 10 * np.max(np.abs(met - after_rounding) / unit))
            np.testing.assert_array_less(np.abs(met - kept) / unit, tolerances[-1], norm.name)
    assert np.median(tolerances) < 1e-2


def rounded_once(given: Any) -> Any:
    """Each number one unit in the last place larger or smaller, at random."""
    rng = np.random.default_rng(0)

    def nudge(numbers: np.ndarray) -> np.ndarray:
        assert numbers.dtype == np.float32
        return np.nextafter(numbers, rng.choice(np.float32([-np.inf, np.inf]), numbers.shape))

    return keras.tree.map_structure(nudge, given)


def moments(model: keras.Model, given: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and deviation of each channel of each output."""
    outputs = [
        np.asarray(keras.ops.convert_to_numpy(tensor), np.float64)
        for tensor in keras.tree.flatten(model(given, training=False))
    ]
    return [(numbers.mean((0, 1, 2)), numbers.std((0, 1, 2))) for numbers in outputs]


@each(ALL, FEW)
def test_the_same_fit_again_after_another_is_the_same_to_the_bit(subject: Subject) -> None:
    """Compiled, as in use: weights, optimizer, dropout and statistics are all put back.

    But not the largest: TensorFlow does not give back what a compiled ConvNeXt has held, three times its weights.
    """
    stage = replace(UPPER, batch_norm="trained")
    with eager() if subject.network.params > LARGEST_COMPILED else nullcontext():
        first = subject.fit(HEAD, stage)
        other = subject.fit(HEAD, replace(stage, learning_rate=3e-2), seed=1)
        again = subject.fit(HEAD, stage)
    states = [fitted.predictor.state for fitted in (first, other, again)]  # type: ignore[attr-defined]
    for place, value in states[0].items():
        np.testing.assert_array_equal(value, states[2][place], err_msg=place)
    losses = [[(p["stage"], p["epoch"], p.get("train_loss")) for p in f.curve] for f in (first, other, again)]
    assert losses[0] == losses[2] != losses[1]
    assert_all_moved(subject, first)
    check_statistics(subject, stage)


@each(ALL)
def test_the_whole_network_trains(subject: Subject) -> None:
    stage = replace(WHOLE, batch_norm="trained")
    with eager():
        fitted = subject.fit(HEAD, stage)
    assert_all_moved(subject, fitted)
    check_statistics(subject, stage)


@each(FAMILIES)
@pytest.mark.parametrize(
    "changes",
    [{"only": "norm"}, {"only": "bias"}, {"rank": 2}, {"blocks": 1}],
    ids=["norm", "bias", "low_rank", "one_block"],
)
def test_only_the_chosen_part_trains(subject: Subject, changes: dict[str, Any]) -> None:
    trait = {"norm": "has_norm", "bias": "has_bias"}.get(changes.get("only", ""), "has_pointwise")
    if "blocks" not in changes and not subject.network.traits[trait]:
        pytest.skip(f"not {trait}")
    stage = replace(UPPER, **changes)
    with eager():
        fitted = subject.fit(HEAD, stage)
    found = moved(subject, fitted)
    blocks = block_of(subject.cuts)
    cut = subject.network.cut(stage.cut)
    assert cut is not None
    lowest = [each.name for each in subject.cuts].index(cut.name) + 1

    def trains(place: str, layer: keras.layers.Layer, variable: keras.Variable) -> bool:
        if "rank" in changes:
            return False
        if "only" in changes:
            return variable.name in {"norm": ("gamma", "beta"), "bias": ("bias", "beta")}[changes["only"]]
        block = blocks[subject.model.layers[int(place.partition(":")[0])].name]
        return block == lowest and trains_frozen(layer, variable)

    expected = {place for place, pair in places(subject).items() if place in found and trains(place, *pair)}
    assert {place for place, is_moved in found.items() if is_moved} == expected
    assert bool(expected) == ("rank" not in changes)
    if "rank" in changes:
        state: dict[str, np.ndarray] = fitted.predictor.state  # type: ignore[attr-defined]
        ups = [value for place, value in state.items() if place.startswith("lora_") and "_up" in place]
        assert ups
        assert all(value.any() for value in ups)


@each(ALL, FEW)
def test_mixed_precision(subject: Subject) -> None:
    """Activations of 16 bits; pixels, weights and all of the head of 32."""
    before = values(subject.model.weights)
    with precision("mixed_bfloat16"):
        spec = spec_of(subject.text, str(subject.file))
        weights = resolve_weights(spec, subject.size)
        mixed = replace(subject, network=Network(spec, subject.size, weights, threads=1))
        assert [*values(mixed.model.weights).values()] == [*before.values()]
        # A normalisation layer counts its images in whole numbers.
        assert {v.dtype for v in mixed.model.weights} - {"int64"} == {"float32"}
        assert mixed.model.output.dtype == "bfloat16"
        images = subject.images[:2]
        below, above = split(mixed.model, mixed.cuts[len(mixed.cuts) // 2])
        assert below is not None
        np.testing.assert_array_equal(output(above, below(images, training=False)), mixed.features)
        assert np.isfinite(mixed.features).all()
        stems = [split(each.model, each.cuts[1])[0] for each in (subject, mixed)]
        exact, rounded = (output(stem, images) for stem in stems if stem)
        assert 0 < np.abs(rounded - exact).max() < 0.02 * np.abs(exact).max()
        with eager():
            fitted = mixed.fit(HEAD, UPPER)
            found = fitted.predictor.predict(mixed.task().train)
    where, after = places(mixed), moved(mixed, fitted)
    assert {place: trains_frozen(*where[place]) for place in after} == after
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_fit_in_mixed_precision_again_is_the_same_to_the_bit(policy: str, photographs: Path) -> None:
    """With float16 the factor of the loss is put back as well; compiled, as in use."""
    spec = without_weights("MobileNet:alpha=0.25")
    images = open_dataset(str(photographs), ImageInput(32)).pool.data[:IMAGES].astype(np.float32)
    with precision(policy):
        keras.utils.set_random_seed(0)
        subject = Subject("MobileNet:alpha=0.25", images, Network(spec, 32, NONE, threads=1), Path())
        stage = replace(UPPER, batch_norm="trained")
        fits = [subject.fit(HEAD, stage, seed=seed) for seed in (0, 1, 0)]
    states = [fitted.predictor.state for fitted in fits]  # type: ignore[attr-defined]
    assert all(np.isfinite(value).all() for value in states[0].values())
    assert all(np.array_equal(value, states[2][place]) for place, value in states[0].items())
    assert not all(np.array_equal(value, states[1][place]) for place, value in states[0].items())
    losses = [p["train_loss"] for p in fits[0].curve if "train_loss" in p]
    assert losses[0] == pytest.approx(np.log(2), rel=0.3)  # and not a multiple of it


# --- without a network of its own -----------------------------------------------------------------------------


@pytest.mark.parametrize("resizing", ["crop", "stretch", "pad"])
def test_gray_and_oblong_pictures(
    photographs: Path, resizing: str, engine: Any, make_cell: Callable[..., Any]
) -> None:
    dataset = open_dataset(str(photographs), ImageInput(32, resizing))
    assert dataset.pool.data.shape[1:] == (32, 32, 3)
    assert dataset.pool.data.dtype == np.uint8
    gray = [np.ptp(image.astype(int), axis=2).max() == 0 for image in dataset.pool.data]
    assert 0 < sum(gray) < len(gray)
    cell = make_cell(
        dataset=dataset.spec,
        fingerprint=dataset.fingerprint,
        fraction=1.0,
        resizing=resizing,
        strategy="partial_finetune",
        tuning={"algorithm": "random", "trials": 1},
    )
    outcome = run_cell(cell, dataset, engine, None, lambda text: None)
    assert outcome.fields["status"] == "ok"
    assert outcome.probabilities is not None
    assert np.isfinite(outcome.probabilities).all()


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_minimum_size_is_where_keras_draws_the_line(name: str) -> None:
    spec = without_weights(name)
    smaller = spec.info.minimum_size - 1
    for check in (check_size, lambda spec, size: build_backbone(spec, size, NONE)):
        with pytest.raises(RequestError, match=f"at least {spec.info.minimum_size} for {name}") as error:
            check(spec, smaller)
        assert error.value.field == "image_size"
    if application := getattr(keras.applications, name, None):
        # Keras has no NASNetMobile on torch, and says so first.
        with pytest.raises(ValueError, match=r"must be at least|not available with the torch backend"):
            application(weights=None, include_top=False, input_shape=(smaller, smaller, 3))


def test_names_are_those_of_keras_applications():
    theirs = {name for name in dir(keras.applications) if callable(getattr(keras.applications, name))}
    assert theirs == set(BACKBONES) - {"EfficientNetLite0", "Conv4"}
    assert {info.module for info in BACKBONES.values()} == set(FRONTS)


@pytest.mark.parametrize("module", sorted(set(FRONTS) - {"conv4", "efficientnet_lite"}))
def test_preprocessing_agrees_with_keras(module, tmp_path):
    images = pixels(8)
    image = keras.Input((8, 8, 3))
    front = keras.Model(image, FRONTS[module](image))
    expected = getattr(keras.applications, module).preprocess_input(images.copy())
    np.testing.assert_allclose(output(front, images), expected, rtol=0, atol=3e-6)
    front.save(tmp_path / "front.keras")
    loaded = keras.models.load_model(tmp_path / "front.keras")
    np.testing.assert_array_equal(output(loaded, images), output(front, images))


def standardised(images):
    return (images / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MobileNetV3Small", lambda images: images / 127.5 - 1),
        ("EfficientNetB0", standardised),
        pytest.param("EfficientNetV2B0", standardised, marks=pytest.mark.slow),
        pytest.param("EfficientNetV2S", lambda images: images / 128 - 1, marks=pytest.mark.slow),
        pytest.param("ConvNeXtTiny", standardised, marks=pytest.mark.slow),
    ],
)
def test_preprocessing_inside_the_application(text, expected):
    """Where Keras's preprocess_input does nothing, the network's first convolution gets scaled pixels."""
    model = build(text)
    first = next(layer for layer in model.layers if any(len(weight.shape) == 4 for weight in layer.weights))
    fed = first.input
    if isinstance(fed._keras_history.operation, keras.layers.ZeroPadding2D):
        fed = fed._keras_history.operation.input
    images = pixels(32)
    np.testing.assert_allclose(output(keras.Model(model.input, fed), images), expected(images), atol=3e-6)


def test_same_seed_same_weights():
    first, second = build("MobileNetV3Small"), build("MobileNetV3Small")
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_weights_of_another_network_are_refused(tmp_path):
    model = build("MobileNet:alpha=0.25")
    files = {name: tmp_path / f"{name}.weights.h5" for name in ("narrow", "with_head", "junk")}
    model.save_weights(files["narrow"])
    keras.Sequential([model, keras.layers.Dense(3)]).save_weights(files["with_head"])
    files["junk"].write_bytes(b"junk")
    for name, text in (("narrow", "MobileNet"), ("with_head", "MobileNet:alpha=0.25"), ("junk", "VGG16")):
        spec = parse_backbone(f"{text}{',' if ':' in text else ':'}weights={files[name]}")
        with pytest.raises(RequestError, match=r"save_weights of .* does not fit") as error:
            build_backbone(spec, 32, resolve_weights(spec, 32))
        assert error.value.field == "weights"


def test_cuts_of_any_model():
    """No family's names: a residual network of our own, cut behind activations and additions."""
    image = keras.Input((16, 16, 3))
    x = image
    for index in range(3):
        x = keras.layers.Conv2D(4, 3, padding="same", name=f"conv{index}")(x)
        x = keras.layers.BatchNormalization(name=f"bn{index}")(x)
        x = keras.layers.ReLU(name=f"relu{index}")(x)
    branch = keras.layers.Conv2D(4, 3, padding="same", name="branch_conv")(x)
    x = keras.layers.Add(name="add")([x, branch])
    x = keras.layers.Conv2D(5, 3, name="last")(x)
    model = keras.Model(image, x)
    cuts = find_cuts(model)
    assert [cut.name for cut in cuts] == ["input", "relu0", "relu1", "relu2", "add", "output"]
    assert [round(cut.depth * 8) for cut in cuts] == [0, 2, 4, 6, 7, 8]
    images = pixels(16)
    for cut in cuts[1:]:
        below, above = split(model, cut)
        np.testing.assert_array_equal(output(above, below(images)), output(model, images))


# Pretrained weights.


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """A copy of the folder with one real weights file of Keras, as KERAS_HOME; no network."""
    if not (SHARED / "keras_home").is_dir():
        pytest.skip("needs ../shared/keras_home with the weights of MobileNet 0.25")
    home = tmp_path / "keras_home"
    shutil.copytree(SHARED / "keras_home", home, copy_function=shutil.copyfile)
    for folder in (home, home / "models"):
        folder.chmod(0o755)
    environment(tmp_path, monkeypatch, home)
    return home


def environment(tmp_path, monkeypatch, home):
    monkeypatch.setenv("KERAS_HOME", str(home))
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy"):  # nothing listens there: no network, wherever the test runs
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def test_imagenet_weights_of_keras(keras_home, monkeypatch):
    spec = parse_backbone("MobileNet:alpha=0.25")
    found = resolve_weights(spec, 96)
    assert Path(found.path) == keras_home / "models" / "mobilenet_2_5_224_tf_no_top.h5"
    assert found == Weights("imagenet", weights.sha256_file(Path(found.path)), found.path)

    def no_child(*_, **__):
        raise AssertionError("a second child was started")

    monkeypatch.setattr(subprocess, "run", no_child)
    assert resolve_weights(spec, 96) == found
    # This process took its KERAS_HOME when it imported Keras; a worker starts with the right one.
    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(keras_home))
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(keras_home))
    model = build_backbone(spec, 96, found)
    images = pixels(96)
    keras_own = keras.applications.MobileNet((96, 96, 3), 0.25, include_top=False, weights=found.path)
    expected = output(keras_own, keras.applications.mobilenet.preprocess_input(images.copy()))
    np.testing.assert_allclose(output(model, images), expected, rtol=1e-4, atol=1e-4)
    Path(found.path).write_bytes(b"x")
    with pytest.raises(RequestError, match="It has changed"):
        build_backbone(spec, 96, found)


def test_weights_that_cannot_be_had(tmp_path, monkeypatch):
    """One message, soon: what was looked for, where, from which address, and the ways on."""
    environment(tmp_path, monkeypatch, tmp_path)
    with pytest.raises(RequestError) as error:
        resolve_weights(parse_backbone("MobileNet:alpha=0.5"), 128)
    for words in (
        "mobilenet_5_0_128_tf_no_top.h5",
        str(tmp_path / "models"),
        "https://storage.googleapis.com/",
        "refused",
        "weights=none",
    ):
        assert words in str(error.value)
    assert [path.name for path in (tmp_path / "models").iterdir()] == []


@pytest.mark.slow
def test_damaged_weights(tmp_path, monkeypatch):
    environment(tmp_path, monkeypatch, tmp_path)
    file = tmp_path / "models" / "mobilenet_5_0_224_tf_no_top.h5"
    file.parent.mkdir()
    file.write_bytes(b"half a file")
    with pytest.raises(RequestError, match="Delete it") as error:
        resolve_weights(parse_backbone("MobileNet:alpha=0.5"), 96)
    assert str(file) in str(error.value)


def test_lite0_has_all_parameters_and_sees():
    spec = parse_backbone("EfficientNetLite0")
    model = build_backbone(
        spec, 160, resolve_weights(spec, 160)
    )  # raises if a tensor is missing or left over
    assert model.count_params() + 1280 * 1000 + 1000 == 4_694_024
    if not (SHARED / "datasets" / "clothing").is_dir():
        pytest.skip("needs photographs: ../shared/datasets/clothing")
    # On photographs every normalisation should meet about the statistics that it was trained with, at 224 px.
    # At 160 they are not quite the same; wrong kernels, paddings or pixels miss them by far.
    from PIL import Image

    files = sorted((SHARED / "datasets" / "clothing" / "test").rglob("*.jpg"))[::16]
    photos = np.stack([np.asarray(Image.open(file).convert("RGB").resize((160, 160))) for file in files])
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 49
    inputs = keras.Model(model.input, [layer.input for layer in norms])(photos.astype("float32"))
    for layer, values in zip(norms, inputs, strict=True):
        mean, variance = (keras.ops.convert_to_numpy(w) for w in (layer.moving_mean, layer.moving_variance))
        z = (keras.ops.convert_to_numpy(values) - mean) / np.sqrt(variance + layer.epsilon)
        assert np.abs(z.mean((0, 1, 2))).mean() < 0.6, layer.name
        assert 0.5 < np.median(z.std((0, 1, 2))) < 1.5, layer.name


def test_pretrained_features_beat_random_ones():
    """A nearest-mean classifier on 200 photographs: the weights are in their places."""
    folder = SHARED / "datasets" / "clothing"
    if not folder.is_dir():
        pytest.skip("needs photographs: ../shared/datasets/clothing")
    from PIL import Image

    classes = sorted(path for path in (folder / "train").iterdir() if path.is_dir())
    files = [sorted(path.glob("*.jpg"))[:20] for path in classes]
    photos = np.stack(
        [
            np.asarray(Image.open(file).convert("RGB").resize((96, 96)), "float32")
            for group in files
            for file in group
        ]
    )
    labels = np.repeat(np.arange(len(classes)), 20)
    train = np.arange(len(labels)) % 2 == 0

    def accuracy(text):
        spec = parse_backbone(text)
        model = build_backbone(spec, 96, resolve_weights(spec, 96))
        features = np.concatenate([output(model, part) for part in np.split(photos, 4)]).mean((1, 2))
        means = np.stack([features[train & (labels == label)].mean(0) for label in range(len(classes))])
        distances = ((features[~train][:, None] - means) ** 2).sum(-1)
        return (distances.argmin(1) == labels[~train]).mean()

    pretrained, random = accuracy("EfficientNetLite0"), accuracy("EfficientNetLite0:weights=none")
    assert pretrained > random + 0.2
