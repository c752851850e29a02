"""Presets of KerasHub: the same numbers, cut at blocks, and read without KerasHub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from bench.backbones.build import build_backbone
from bench.backbones.cuts import find_cuts, split
from bench.backbones.families import hub_keras, hub_preset
from bench.backbones.spec import parse_backbone
from bench.backbones.weights import resolve_weights
from bench.errors import RequestError
from bench.system.names import titled

SCALE, OFFSET = [0.02, 0.01, 0.03], [-2.0, -1.0, -3.0]


def described(folder: Path, network: str = "ResNetBackbone", **converter: Any) -> Path:
    """A folder with what describes a preset, and no weights."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"registered_name": f"keras_hub>{network}", "config": {}}))
    if converter:
        (folder / "image_converter.json").write_text(json.dumps({"config": converter}))
    return folder


def outputs(model: Any, given: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model(given, training=False)))


def networks(models: Any) -> dict[str, Any]:
    return {
        "ResNet": lambda: models.ResNetBackbone(
            input_conv_filters=[64], input_conv_kernel_sizes=[7], stackwise_num_filters=[64, 64],
            stackwise_num_blocks=[1, 1], stackwise_num_strides=[1, 2], block_type="basic_block",
        ),
        "CSPNet": lambda: models.CSPNetBackbone(
            stem_filters=8, stem_kernel_size=3, stem_strides=1, stackwise_depth=[1, 1], stackwise_strides=[1, 2],
            stackwise_num_filters=[8, 16], block_type="dark_block", stage_type="dark",
        ),
        "DenseNet": lambda: models.DenseNetBackbone(stackwise_num_repeats=[2, 2], growth_rate=8),
        "VGG": lambda: models.VGGBackbone(stackwise_num_repeats=[1, 1], stackwise_num_filters=[8, 16]),
        "Xception": lambda: models.XceptionBackbone(
            stackwise_conv_filters=[[8, 16], [16, 32], [32, 32]], stackwise_pooling=[True, True, False]
        ),
    }  # fmt: skip


@pytest.fixture(params=["ResNet", "CSPNet", "DenseNet", "VGG", "Xception"])
def preset(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder as KerasHub saves it, of a small network with random weights."""
    keras_hub = pytest.importorskip("keras_hub", reason="needs the extra [hub]")
    keras.utils.set_random_seed(0)
    network = networks(keras_hub.models)[request.param]()
    network.save_to_preset(str(tmp_path / "net"))
    keras_hub.layers.ImageConverter(scale=SCALE, offset=OFFSET).save_to_preset(str(tmp_path / "net"))
    return tmp_path / "net"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prefix", ["preset:", "hf:"])
def test_a_preset_gives_the_numbers_of_keras_hub(
    preset: Path, tmp_path: Path, prefix: str, python: Any
) -> None:
    from keras_hub.layers import ImageConverter
    from keras_hub.models import Backbone

    spec = parse_backbone(f"{prefix}{preset}")
    assert spec.modality == "image"
    assert parse_backbone(spec.text) == spec
    assert titled(spec.architecture, spec.weights) == "net"
    model = build_backbone(spec, 64, resolve_weights(spec, 64))
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    found = outputs(model, images)
    prepared = ImageConverter(scale=SCALE, offset=OFFSET)(images)
    expected = outputs(Backbone.from_preset(str(preset)), prepared)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    for cut in find_cuts(model)[1:]:
        below, above = split(model, cut)
        assert below is not None
        np.testing.assert_array_equal(outputs(above, outputs(below, images)), found, err_msg=cut.name)
    if prefix == "hf:":
        return
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "given.npy", images)
    code = (
        "import sys, numpy as np\n"
        "for name in ('bench', 'keras_hub'):\n"
        "    sys.modules[name] = None\n"
        "import keras\n"
        "found = keras.models.load_model('model.keras')(np.load('given.npy'))\n"
        "np.save('found.npy', keras.ops.convert_to_numpy(found))\n"
    )
    result = python("-c", code, cwd=tmp_path)
    assert result.rc == 0, result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), found)


def test_pixels_are_prepared_as_old_and_new_presets_say(tmp_path: Path) -> None:
    new = parse_backbone(f"preset:{described(tmp_path / 'new', scale=SCALE, offset=OFFSET)}")
    assert hub_preset.hub_preset(new.name).preprocessing() == (SCALE, OFFSET)
    old = described(tmp_path / "old", scale=1 / 255, mean=[0.5, 0.4, 0.3], variance=[0.04, 0.25, 1.0])
    scale, offset = hub_preset.hub_preset(f"preset:{old}").preprocessing()
    np.testing.assert_allclose(scale, [1 / 51, 2 / 255, 1 / 255])
    np.testing.assert_allclose(offset, [-2.5, -0.8, -0.3])
    bare = described(tmp_path / "bare", scale=None, offset=None)
    assert hub_preset.hub_preset(f"preset:{bare}").preprocessing() == (1.0, 0.0)


@pytest.mark.parametrize("network", ["HGNetV2Backbone", "BertBackbone"])
def test_what_is_not_built_is_named(tmp_path: Path, network: str) -> None:
    spec = parse_backbone(f"preset:{described(tmp_path / 'net', network, scale=1)}")
    with pytest.raises(RequestError, match=f"KerasHub's {network}, which is not built here"):
        resolve_weights(spec, 64)


def test_pixels_without_their_preprocessing_are_refused_with_how_to_give_it(tmp_path: Path) -> None:
    spec = parse_backbone(f"preset:{described(tmp_path / 'net')}")
    with pytest.raises(RequestError, match=r"ImageConverter\(scale=\.\.\.\)\.save_to_preset"):
        resolve_weights(spec, 64)


FLAT = {"scale": 1, "mean": [1, 1, 1], "variance": [0, 0, 0]}


@pytest.mark.parametrize(
    "converter", [{"scale": "1/255"}, {"scale": [1, 2]}, {"offset": {"a": 1}}, {"scale": float("nan")}, FLAT]
)
def test_a_converter_that_makes_no_sense_is_one_message(tmp_path: Path, converter: dict[str, Any]) -> None:
    spec = parse_backbone(f"preset:{described(tmp_path / 'net', **converter)}")
    with pytest.raises(RequestError, match=r"a sound image_converter\.json"):
        resolve_weights(spec, 64)


@pytest.mark.parametrize("content", ["[]", "{", '{"config": 3}', "{}"])
def test_a_converter_that_is_none_is_one_message(tmp_path: Path, content: str) -> None:
    folder = described(tmp_path / "net")
    (folder / "image_converter.json").write_text(content)
    with pytest.raises(RequestError, match=r"a sound image_converter\.json"):
        resolve_weights(parse_backbone(f"preset:{folder}"), 64)


@pytest.mark.filterwarnings("ignore")
def test_a_description_that_keras_hub_cannot_build_is_one_message(tmp_path: Path) -> None:
    pytest.importorskip("keras_hub", reason="needs the extra [hub]")
    folder = described(tmp_path / "net", scale=1)
    (folder / "model.weights.h5").write_bytes(b"")
    for config in ({}, {"no": "such setting"}, {"block_type": {"class_name": "__lambda__", "config": {}}}):
        content = {
            "registered_name": "keras_hub>ResNetBackbone",
            "class_name": "ResNetBackbone",
            "config": config,
        }
        (folder / "config.json").write_text(json.dumps(content))
        spec = parse_backbone(f"preset:{folder}")
        with pytest.raises(RequestError, match="a network that KerasHub can build"):
            build_backbone(spec, 64, resolve_weights(spec, 64))


def test_the_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (hub_keras, hub_preset):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    spec = parse_backbone(f"preset:{described(tmp_path / 'net', scale=1)}")
    with pytest.raises(RequestError, match=r"package keras-hub.*transfer-bench\[hub\]"):
        resolve_weights(spec, 64)
    with pytest.raises(RequestError, match=r"package keras-hub.*transfer-bench\[hub\]"):
        parse_backbone("preset:resnet_18_imagenet")


@pytest.mark.usefixtures("fresh_cache")
def test_names_of_presets_are_those_of_keras_hub(tmp_path: Path, python: Any) -> None:
    pytest.importorskip("keras_hub", reason="needs the extra [hub]")
    pytest.importorskip("kagglehub", reason="needs the extra [hub]")
    code = (
        "import sys\n"
        "from bench.backbones.spec import parse_backbone\n"
        "from bench.errors import RequestError\n"
        "for name in ('resnet_18_imagnet', 'resnet_18_imagenet', 'resnet_50_imagenet'):\n"
        "    try:\n"
        "        print(parse_backbone('preset:' + name).text)\n"
        "    except RequestError as error:\n"
        "        print(' '.join(str(error).split()))\n"
        "assert 'keras' not in sys.modules\n"
    )
    import keras_hub

    handle = keras_hub.models.ResNetBackbone.presets["resnet_50_imagenet"]["kaggle_handle"]
    cached = tmp_path / "kaggle" / "models" / handle.removeprefix("kaggle://")
    cached.parent.mkdir(parents=True)
    described(cached, scale=1)
    cached.with_name(f"{cached.name}.complete").touch()
    away = {"KAGGLEHUB_CACHE": str(tmp_path / "kaggle"), "HTTPS_PROXY": "http://127.0.0.1:9"}
    result = python("-c", code, env=away, timeout=300)
    assert result.rc == 0, result.stderr
    wrong, absent, there = result.stdout.splitlines()
    assert "Did you mean 'resnet_18_imagenet'" in wrong
    assert "could not be downloaded" in absent
    assert "give preset:FOLDER" in absent
    assert there == "preset:resnet_50_imagenet"
