"""Every backbone of texts keeps the same promises, and those of the hub's vision transformers are held here too.

Built-in ones are found by themselves. Of each kind that a ``config.json`` may describe there is a small one with
random weights, whose numbers are those of numpy, and with ``-m slow`` those of transformers on torch.
"""

from __future__ import annotations

import gc
import itertools
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("tokenizers")
pytest.importorskip("safetensors")

from bench.backbones.build import build_backbone
from bench.backbones.cuts import find_cuts, split
from bench.backbones.plugin import backbone_origin, built_in, load_backbone
from bench.backbones.spec import parse_backbone
from bench.backbones.tokenizers import tokenizer_of
from bench.backbones.weights import resolve_weights
from bench.errors import RequestError
from bench.modalities.text.rows import rows_of_texts
from bench.training.engine import Network
from bench.training.examples import PartExamples
from bench.training.programs.config import HeadConfig
from bench.training.programs.graph import pool, with_adapters
from bench.training.task import CellTask
from contract.hub_folders import (
    IMAGE_KINDS,
    PATCH,
    SIDE,
    TEXT_KINDS,
    TEXTS,
    Reference,
    gelu_new,
    tensors,
    write_folder,
)
from contract.test_backbones import eager
from strategies.base import Info, Stage

BUILT_IN_TEXTS = built_in({"text"})
SIZE = 24
COUNT = 16
ROWS = rows_of_texts([*TEXTS, *(f"{text} {i}" for i in range(3) for text in TEXTS)], 400)

HEAD = Stage("head", cut="top", learning_rate=3e-2, weight_decay=1e-2, epochs=1)
UPPER = Stage("finetune", cut=0.4, learning_rate=1e-2, weight_decay=1e-2, epochs=1)


def numbers(tensor: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def outputs(model: Any, given: Any) -> list[np.ndarray]:
    return [numbers(tensor) for tensor in keras.tree.flatten(model(given, training=False))]


@dataclass
class Subject:
    """A backbone of texts with its weights."""

    network: Network

    @property
    def model(self) -> Any:
        return self.network.model

    def tokens(self, *rows: int) -> np.ndarray:
        (found,) = self.network.reader.tensors(ROWS[list(rows)])
        return found

    @cached_property
    def examples(self) -> PartExamples:
        names = [str(i) for i in range(COUNT)]
        found = PartExamples(ROWS, names, "texts", np.arange(COUNT), np.arange(COUNT) % 2, "text")
        return found.read_by(self.network.reader)

    def task(self) -> CellTask:
        """All texts with labels, and no validation."""
        info = Info("text", ("a", "b"), COUNT, True, SIZE, 32, **self.network.traits)
        head = HeadConfig("avg", 0, 0.0, 2)
        nothing = PartExamples(ROWS, [], "texts", np.arange(0), np.arange(0), "text")
        empty = nothing.read_by(self.network.reader)
        return CellTask(self.network, self.examples, None, empty, info, head, None, 0, 1, 32)


@pytest.fixture(scope="module", params=[*BUILT_IN_TEXTS, *(f"hf:{kind}" for kind in TEXT_KINDS)])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    name = request.param
    folder = tmp_path_factory.mktemp("hub")
    if name.startswith("hf:"):
        name = f"hf:{write_folder(folder, name.removeprefix('hf:'))}"
    try:
        spec = parse_backbone(name)
    except RequestError as error:
        pytest.skip(str(error))
    keras.utils.set_random_seed(0)
    made = Subject(Network(spec, SIZE, resolve_weights(spec, SIZE), threads=1))
    yield made
    made.__dict__.clear()
    shutil.rmtree(folder)
    keras.utils.clear_session()
    gc.collect()


# --- the network ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_padding_never_changes_a_prediction(subject: Subject, pooling: str) -> None:
    """A text alone, and beside one that is much longer, gives the same but for rounding."""
    pooled = keras.Model(subject.model.input, pool(subject.model.outputs, pooling))
    alone, beside = subject.tokens(0), subject.tokens(0, 2)
    assert alone.shape[1] < beside.shape[1]
    (short,), (both,) = outputs(pooled, alone), outputs(pooled, beside)
    np.testing.assert_allclose(short[0], both[0], atol=1e-5)
    assert np.abs(both[0] - both[1]).max() > 1e-2


def test_what_a_mask_hides_is_not_seen(subject: Subject) -> None:
    """Whatever number of tokens stands where a batch is filled up, of the hidden states the first stay."""
    tokens = subject.tokens(1)
    hidden, mask = outputs(subject.model, tokens)
    assert mask.tolist() == [(tokens[0] != subject.network.reader.tokenizer.pad).astype(float).tolist()]
    longer = np.pad(tokens, ((0, 0), (0, 8)), constant_values=subject.network.reader.tokenizer.pad)
    again, _ = outputs(subject.model, longer)
    count = int(mask.sum())
    np.testing.assert_allclose(hidden[0, :count], again[0, :count], atol=1e-5)


def test_splitting_at_each_cut_gives_the_whole_to_the_bit(subject: Subject) -> None:
    names = [cut.name for cut in subject.network.cuts]
    layers = [name for name in names if name.startswith("layer_")]
    assert names[0] == "input"
    assert names[-1] == "output"
    assert len(layers) >= 1
    tokens = subject.tokens(0, 1, 2)
    whole = outputs(subject.model, tokens)
    for cut in subject.network.cuts[1:]:
        below, above = split(subject.model, cut)
        assert below is not None
        found = outputs(above, outputs(below, tokens))
        for tensor, expected in zip(found, whole, strict=True):
            np.testing.assert_array_equal(tensor, expected, err_msg=cut.name)
    assert [cut.name for cut in find_cuts(subject.model)] == names


def test_low_rank_updates_begin_as_nothing_and_reach_into_attention(subject: Subject) -> None:
    cut = subject.network.cuts[-2]
    below, above = split(subject.model, cut)
    assert below is not None
    adapted, adapters = with_adapters(above, 2, subject.model.layers)
    given = outputs(below, subject.tokens(0, 1))
    for tensor, expected in zip(outputs(adapted, given), outputs(above, given), strict=True):
        np.testing.assert_array_equal(tensor, expected)
    changed = {adapter.kernel.path.split("/")[0] for adapter in adapters}
    for part in ("query", "key", "value", "output"):
        assert any(name.endswith(f"attention_{part}") for name in changed), changed


def test_random_weights_follow_the_seed(subject: Subject) -> None:
    first, other = (subject.network.random(seed) for seed in (1, 2))
    subject.network._random.clear()
    again = subject.network.random(1)
    for place, value in first.items():
        np.testing.assert_array_equal(value, again[place])
    assert any(not np.array_equal(value, other[place]) for place, value in first.items())


def test_a_saved_model_gives_the_same(subject: Subject, tmp_path: Path) -> None:
    """And is made of what Keras knows: no class and no function of ours is written into it."""
    pooled = keras.Model(subject.model.input, pool(subject.model.outputs, "avg"))
    pooled.save(tmp_path / "model.keras")
    tokens = subject.tokens(0, 2)
    (found,) = outputs(keras.models.load_model(tmp_path / "model.keras"), tokens)
    np.testing.assert_array_equal(found, outputs(pooled, tokens)[0])
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        config = json.loads(file.read("config.json"))
    assert owners(config) <= {"keras", "builtins"}


def owners(config: Any) -> set[str]:
    """The packages of all classes and functions that a configuration of Keras names."""
    if isinstance(config, list):
        return {owner for value in config for owner in owners(value)}
    if not isinstance(config, dict):
        return set()
    module = config.get("module")
    here = {str(module).partition(".")[0]} if module else set()
    here |= {"registered"} if config.get("registered_name") and not module else set()
    return here | owners(list(config.values()))


# --- prefixes and training ------------------------------------------------------------------------------------


def test_stored_prefixes_are_what_the_network_gives(subject: Subject, fresh_cache: Path) -> None:
    """And the same to the bit whoever asked first, for whichever rows."""
    cut = subject.network.cuts[len(subject.network.cuts) // 2]
    below, _ = split(subject.model, cut)
    assert below is not None

    def stored(index: list[int]) -> list[np.ndarray]:
        subject.network._stores.clear()
        store = subject.network.prefixes(cut, "avg")
        some = PartExamples(ROWS, [], "texts", np.array(index), None, "text")
        return store.get(some.read_by(subject.network.reader), None, 1).batch(np.arange(len(index)), None)

    everything = list(range(COUNT))
    together = stored(everything)
    expected = outputs(below, subject.tokens(*everything))
    (mask,) = (value for value in expected if value.ndim == 2)
    for tensor, value in zip(together, expected, strict=True):
        seen = mask[..., None] > 0.5 if value.ndim == 3 else True
        np.testing.assert_allclose(tensor * seen, value * seen, rtol=2e-3, atol=2e-3)
    shutil.rmtree(fresh_cache)
    some = [1, 6, 9]
    alone = stored(some)
    again = stored(everything)
    for tensor, whole, refilled in zip(alone, together, again, strict=True):
        np.testing.assert_array_equal(whole, refilled)
        length = tensor.shape[1]
        np.testing.assert_array_equal(tensor, whole[some][:, :length])
        assert not whole[some][:, length:].any()


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
    still = [place for place, value in inside.items() if np.array_equal(value, start[place])]
    assert not [place for place in still if "key" not in owner(subject, place)]
    assert [numbers(variable).tobytes() for variable in subject.model.variables] == before
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    subject.network._programs.clear()


def owner(subject: Subject, place: str) -> str:
    """The layer of a place of a state. A bias of keys has no gradient: softmax does not see it."""
    return str(subject.model.layers[int(place.partition(":")[0])].name)


# --- numbers --------------------------------------------------------------------------------------------------


def built(folder: Path, size: int) -> tuple[Any, Any]:
    spec = parse_backbone(f"hf:{folder}")
    return build_backbone(spec, size, resolve_weights(spec, size)), spec


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_numbers_of_texts_are_those_of_numpy(kind: str, tmp_path: Path) -> None:
    model, spec = built(write_folder(tmp_path / kind, kind), SIZE)
    reader = Network(spec, SIZE, resolve_weights(spec, SIZE), 1).reader
    reference = Reference(kind, tensors(kind))
    (tokens,) = reader.tensors(ROWS[:4])
    hidden, mask = outputs(model, tokens)
    for row, states, seen in zip(tokens, hidden, mask, strict=True):
        count = int(seen.sum())
        np.testing.assert_allclose(states[:count], reference.text(row[:count].tolist()), atol=2e-5)


def test_the_approximate_gelu_is_the_approximate_one(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "new", "bert", hidden_act="gelu_new")
    model, _ = built(folder, SIZE)
    numbers_of = [5, 9, 11, 3]
    hidden, _ = outputs(model, np.array([numbers_of], np.int32))
    weights = tensors("bert")
    expected = Reference("bert", weights, gelu_new).text(numbers_of)
    np.testing.assert_allclose(hidden[0], expected, atol=2e-5)
    assert np.abs(expected - Reference("bert", weights).text(numbers_of)).max() > 1e-4


def test_saved_models_are_read_without_this_package(tmp_path: Path, python: Any) -> None:
    """One of each that is built in another way, in a process that cannot import this package."""
    expected = {}
    tokens = np.array([[5, 9, 11, 3]], np.int32)
    for name, changes in {
        "bert": {"hidden_act": "gelu_new"},
        "electra": {},
        "dinov2_with_registers": {},
    }.items():
        folder = write_folder(tmp_path / name, name, **changes)
        model, _ = built(folder, SIDE)
        given = pixels() if name in IMAGE_KINDS else tokens
        pooled = keras.Model(model.input, pool(model.outputs, "avg"))
        pooled.save(folder / "model.keras")
        np.save(folder / "given.npy", given)
        (expected[name],) = outputs(pooled, given)
    code = (
        "import sys, numpy as np\n"
        "for name in ('bench', 'strategies', 'reports'):\n"
        "    sys.modules[name] = None\n"
        "import keras\n"
        "for name in sys.argv[1:]:\n"
        "    found = keras.models.load_model(f'{name}/model.keras')(np.load(f'{name}/given.npy'))\n"
        "    np.save(f'{name}/found.npy', keras.ops.convert_to_numpy(found))\n"
    )
    result = python("-c", code, *expected, cwd=tmp_path)
    assert result.rc == 0, result.stderr
    for name, value in expected.items():
        np.testing.assert_array_equal(np.load(tmp_path / name / "found.npy"), value)


def pixels(count: int = 2, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (count, side, side, 3)).astype(np.float32)


@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_numbers_of_images_are_those_of_numpy(kind: str, tmp_path: Path) -> None:
    """With the preprocessing of ``preprocessor_config.json`` inside of the network."""
    model, _ = built(write_folder(tmp_path / kind, kind), SIDE)
    reference = Reference(kind, tensors(kind))
    images = pixels()
    (found,) = outputs(model, images)
    side, width = found.shape[1], found.shape[3] // 2
    for image, grid in zip(images, found, strict=True):
        expected = reference.image(image)
        np.testing.assert_allclose(
            grid[..., :width].reshape(side * side, width), expected[-side * side :], atol=5e-5
        )
        np.testing.assert_allclose(
            grid[..., width:], np.broadcast_to(expected[0], (side, side, width)), atol=5e-5
        )


@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_vision_transformers_keep_the_promises_of_a_backbone(kind: str, tmp_path: Path) -> None:
    """At another size than that of their pretraining, which is no multiple of a patch."""
    model, spec = built(write_folder(tmp_path / kind, kind), 45)
    images = pixels(2, 45)
    (whole,) = outputs(model, images)
    cuts = find_cuts(model)
    assert [cut.name for cut in cuts] == ["input", "stem", "layer_0", "layer_1", "output"]
    for cut in cuts[1:]:
        below, above = split(model, cut)
        assert below is not None
        given = outputs(below, images)
        (found,) = outputs(above, given[0])
        np.testing.assert_array_equal(found, whole, err_msg=cut.name)
    below, above = split(model, cuts[2])
    assert below is not None
    adapted, adapters = with_adapters(above, 2, model.layers)
    np.testing.assert_array_equal(outputs(adapted, outputs(below, images)[0])[0], whole)
    network = Network(spec, 45, resolve_weights(spec, 45), 1)
    many = pixels(8, 45)
    alike = network.similarity(network.pretrained, lambda index: [many[index]], len(many))
    assert [end["block"] for end in alike] == [cut.name for cut in cuts[1:]]
    assert {"layer_2_attention_query", "layer_2_inner"} <= {a.kernel.path.split("/")[0] for a in adapters}


# --- transformers on torch: slow ------------------------------------------------------------------------------


THEIRS = """
import sys
import numpy as np, torch, transformers
for folder in sys.argv[1:]:
    model = transformers.AutoModel.from_pretrained(folder).eval()
    given = {name: torch.tensor(value) for name, value in np.load(folder + "/given.npz").items()}
    if folder.endswith("-position"):
        given["interpolate_pos_encoding"] = True
    with torch.no_grad():
        np.save(folder + "/found.npy", model(**given).last_hidden_state.numpy())
"""


def of_transformers(python: Any, given: dict[Path, dict[str, np.ndarray]]) -> list[np.ndarray]:
    """What the models of folders make of inputs, in a process: torch and TensorFlow do not bear each other."""
    for package in ("transformers", "torch"):
        if find_spec(package) is None:
            pytest.skip(f"needs {package}")
    for folder, inputs in given.items():
        np.savez(folder / "given.npz", **inputs)  # type: ignore[arg-type]
    result = python("-c", THEIRS, *given, timeout=300)
    assert result.rc == 0, result.stderr
    return [np.load(folder / "found.npy") for folder in given]


@pytest.mark.slow
def test_numbers_of_texts_are_those_of_transformers(tmp_path: Path, python: Any) -> None:
    given, found = {}, []
    for kind in [*TEXT_KINDS, "MiniLM"]:
        folder, rows = tmp_path / kind, ROWS[:4]
        if kind == "MiniLM":
            plugin: Any = load_backbone("MiniLM")
            shutil.copytree(plugin.folder, folder)
            rows = rows_of_texts(["Where is my card?", "Crème brûlée, naïve façade. " * 4], 400)
        else:
            write_folder(folder, kind)
        model, spec = built(folder, SIZE)
        (tokens,) = Network(spec, SIZE, resolve_weights(spec, SIZE), 1).reader.tensors(rows)
        hidden, mask = outputs(model, tokens)
        given[folder] = {"input_ids": tokens.astype(np.int64), "attention_mask": mask.astype(np.int64)}
        found.append((kind, hidden, mask[..., None]))
    for (kind, hidden, seen), expected in zip(found, of_transformers(python, given), strict=True):
        np.testing.assert_allclose(hidden * seen, expected * seen, atol=5e-5, err_msg=kind)


@pytest.mark.slow
def test_numbers_of_images_are_those_of_transformers(tmp_path: Path, python: Any) -> None:
    """Also where places have to be interpolated, to more or fewer of them."""
    given, found = {}, []
    for kind, side in itertools.product(IMAGE_KINDS, (SIDE, SIDE + 3 * PATCH, SIDE - PATCH)):
        asks = side != SIDE and not kind.startswith("dinov2")
        folder = write_folder(tmp_path / f"{kind}-{side}{'-position' if asks else ''}", kind)
        model, _ = built(folder, side)
        images = pixels(2, side)
        centred = (images / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]
        given[folder] = {"pixel_values": centred.transpose(0, 3, 1, 2).astype(np.float32)}
        found.append(outputs(model, images)[0])
    for folder, ours, expected in zip(given, found, of_transformers(python, given), strict=True):
        count, width = ours.shape[1] * ours.shape[2], ours.shape[3] // 2
        of_patches = ours[..., :width].reshape(2, count, width)
        np.testing.assert_allclose(of_patches, expected[:, -count:], atol=5e-4, err_msg=folder.name)
        np.testing.assert_allclose(ours[:, 0, 0, width:], expected[:, 0], atol=5e-4, err_msg=folder.name)


# --- what is wrong with a folder ------------------------------------------------------------------------------


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def half_a_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert", "hidden_size": 16}')


def another_model(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "mamba"}')


def another_activation(folder: Path) -> None:
    found = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**found, "hidden_act": "quick_gelu"}))


def a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def truncated_early(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def a_pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )


def another_shape(folder: Path) -> None:
    found = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**found, "intermediate_size": 64}))


def fewer_layers(folder: Path) -> None:
    from safetensors.numpy import save_file

    kept = {name: value for name, value in tensors("bert").items() if ".layer.2." not in name}
    save_file(kept, folder / "model.safetensors")


def tokenizer_of_another(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"]["zebra"] = 999
    (folder / "tokenizer.json").write_text(json.dumps(content))


WRONG = {
    no_config: r"folder with config\.json",
    broken_config: r"sound config\.json",
    half_a_config: "lacks 'num_hidden_layers'",
    another_model: r"one of bert, .* describes a mamba",
    another_activation: "quick_gelu",
    a_pickle: "pickles, which run code when opened",
    no_tokenizer: r"folder with tokenizer\.json",
    broken_tokenizer: r"sound tokenizer\.json",
    truncated: "not copied whole",
    truncated_early: "not copied whole",
    a_pointer: "git lfs pull",
    another_shape: r"intermediate\.dense\.weight has shape \[32, 16\].*asks for \[64, 16\]",
    fewer_layers: r"no weight layer\.2\.",
    tokenizer_of_another: "They are of two models",
}


def everything_of(name: str) -> None:
    """All that is asked of a backbone before it is built, and its tokenizer."""
    spec = parse_backbone(name)
    resolve_weights(spec, SIZE)
    backbone_origin(spec.name)
    tokenizer_of(spec)


@pytest.mark.parametrize("damage", WRONG, ids=lambda damage: damage.__name__)
def test_each_fault_of_a_folder_has_one_message(damage: Callable[[Path], None], tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", "bert")
    everything_of(f"hf:{folder}")
    damage(folder)
    with pytest.raises(RequestError, match=WRONG[damage]) as error:
        everything_of(f"hf:{folder}")
    assert error.value.field == "backbone"
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("package", ["safetensors", "tokenizers"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.backbones.families import hub, hub_folder

    folder = write_folder(tmp_path / "model", "bert")
    for module in (hub, hub_folder):
        monkeypatch.setattr(module, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(RequestError, match=rf"package {package}.*transfer-bench\[text\]"):
        everything_of(f"hf:{folder}")


def test_weights_of_16_bits(tmp_path: Path) -> None:
    """bfloat16, which numpy does not know by itself, and float16."""
    import ml_dtypes

    for kind in (ml_dtypes.bfloat16, np.float16):
        weights = {name: value.astype(kind) for name, value in tensors("bert").items()}
        model, _ = built(write_folder(tmp_path / kind.__name__, "bert", weights), SIZE)
        hidden, _ = outputs(model, np.array([[5, 9, 11, 3]], np.int32))
        reference = Reference("bert", {name: value.astype(np.float32) for name, value in weights.items()})
        np.testing.assert_allclose(hidden[0], reference.text([5, 9, 11, 3]), atol=2e-5)


def test_weights_in_several_files(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    whole = write_folder(tmp_path / "whole", "bert")
    divided = write_folder(tmp_path / "divided", "bert")
    (divided / "model.safetensors").unlink()
    found = sorted(tensors("bert").items())
    halves = {"model-00001-of-00002.safetensors": found[:20], "model-00002-of-00002.safetensors": found[20:]}
    for name, half in halves.items():
        save_file(dict(half), divided / name)
    index = {"weight_map": {name: file for file, half in halves.items() for name, _ in half}}
    (divided / "model.safetensors.index.json").write_text(json.dumps(index))
    tokens = np.array([[5, 9, 11, 3]], np.int32)
    for one, other in zip(
        *(outputs(built(folder, SIZE)[0], tokens) for folder in (whole, divided)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    before = backbone_origin(f"hf:{divided}")
    save_file({**dict(found[20:]), "more": np.zeros(1)}, divided / "model-00002-of-00002.safetensors")
    assert backbone_origin(f"hf:{divided}") != before
    (divided / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(RequestError, match="folder with model-00002-of-00002"):
        everything_of(f"hf:{divided}")


# --- names of the hub -----------------------------------------------------------------------------------------


def cached(cache: Path, repository: str, revisions: dict[str, str], make: Callable[[Path], Any]) -> None:
    """Lays a model into the hub's cache."""
    root = cache / f"models--{repository.replace('/', '--')}"
    for reference, commit in revisions.items():
        (root / "refs").mkdir(parents=True, exist_ok=True)
        (root / "refs" / reference).write_text(commit)
        make(root / "snapshots" / commit)


def test_names_of_the_hub_are_found_in_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: Any
) -> None:
    pytest.importorskip("huggingface_hub")
    hub = tmp_path / "hub"
    cached(hub, "org/small", {"main": "a" * 40}, lambda folder: write_folder(folder, "bert"))
    cached(
        hub,
        "org/small",
        {"v1": "b" * 40},
        lambda folder: write_folder(folder, "bert", tensors("bert", seed=1)),
    )
    code = (
        "import json, sys\n"
        "from bench.backbones.spec import parse_backbone\n"
        "from bench.backbones.weights import resolve_weights\n"
        "from bench.errors import RequestError\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        spec = parse_backbone(name)\n"
        "        print(json.dumps([spec.text, resolve_weights(spec, 16).path]))\n"
        "    except RequestError as error:\n"
        "        print(json.dumps([name, str(error)]))\n"
        "assert 'keras' not in sys.modules\n"
    )
    names = ["hf:org/small", "hf:org/small@v1", "hf:org/small@v9", "hf:org/other", "hf:./no/such/folder"]
    result = python("-c", code, *names, env={"HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1"})
    assert result.rc == 0, result.stderr
    found = dict(json.loads(line) for line in result.stdout.splitlines())
    assert list(found) == names
    assert "a" * 40 in found["hf:org/small"]
    assert "b" * 40 in found["hf:org/small@v1"]
    for name in names[2:4]:
        assert "not in the hub's cache and could not be downloaded" in found[name]
        assert "give hf:FOLDER" in found[name]
    assert "There is no folder './no/such/folder'" in found[names[4]]
