"""Networks of timm that KerasHub builds: the same numbers, cut at blocks, and read without KerasHub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("safetensors")

from bench.backbones.build import build_backbone
from bench.backbones.cuts import find_cuts, split
from bench.backbones.families import hub_keras
from bench.backbones.spec import parse_backbone
from bench.backbones.weights import resolve_weights
from bench.errors import RequestError

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]


def resnet18(seed: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Random weights by timm's names, statistics of batch normalisation among them."""
    rng = np.random.default_rng(seed)

    def conv(name: str, outputs: int, inputs: int, side: int) -> tuple[str, np.ndarray]:
        scale = np.sqrt(2 / (inputs * side * side))
        return f"{name}.weight", rng.normal(0, scale, (outputs, inputs, side, side)).astype(np.float32)

    def norm(name: str, width: int) -> Iterator[tuple[str, np.ndarray]]:
        for part, center in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            yield f"{name}.{part}", (center + rng.uniform(-0.1, 0.1, width)).astype(np.float32)

    yield conv("conv1", 64, 3, 7)
    yield from norm("bn1", 64)
    before = 64
    for stage, width in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            start = f"layer{stage}.{block}"
            yield conv(f"{start}.conv1", width, before, 3)
            yield from norm(f"{start}.bn1", width)
            yield conv(f"{start}.conv2", width, width, 3)
            yield from norm(f"{start}.bn2", width)
            if before != width:
                yield conv(f"{start}.downsample.0", width, before, 1)
                yield from norm(f"{start}.downsample.1", width)
            before = width


def write_timm(folder: Path, architecture: str = "resnet18") -> Path:
    from safetensors.numpy import save_file

    folder.mkdir()
    config = {"architecture": architecture, "num_classes": 10, "pretrained_cfg": {"mean": MEAN, "std": STD}}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(dict(resnet18()), folder / "model.safetensors")
    return folder


def outputs(model: Any, given: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model(given, training=False)))


@pytest.mark.filterwarnings("ignore")
def test_a_resnet_of_timm(tmp_path: Path, python: Any) -> None:
    keras_hub = pytest.importorskip("keras_hub", reason="needs the extra [hub]")
    folder = write_timm(tmp_path / "net")
    spec = parse_backbone(f"hf:{folder}")
    assert spec.modality == "image"
    model = build_backbone(spec, 64, resolve_weights(spec, 64))
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    found = outputs(model, images)
    theirs = keras_hub.models.Backbone.from_preset(str(folder))
    expected = outputs(theirs, ((images / 255 - MEAN) / STD).astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    kernel = dict(resnet18())["layer4.1.conv2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(np.asarray(model.get_layer("stack3_block1_2_conv").kernel), kernel)

    cuts = find_cuts(model)
    names = [cut.name for cut in cuts]
    assert names[:3] == ["input", "stem", "stack0_block0"]
    assert names[-2:] == ["stack3_block0", "output"]
    for cut in cuts[1:]:
        below, above = split(model, cut)
        assert below is not None
        np.testing.assert_array_equal(outputs(above, outputs(below, images)), found, err_msg=cut.name)

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


def test_what_is_not_built_is_named(tmp_path: Path) -> None:
    folder = write_timm(tmp_path / "net", "mobilenetv3_small_050")
    spec = parse_backbone(f"hf:{folder}")
    with pytest.raises(RequestError, match="mobilenetv3_small_050, which is not built here"):
        resolve_weights(spec, 64)


def test_the_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_keras, "find_spec", lambda name: None)
    spec = parse_backbone(f"hf:{write_timm(tmp_path / 'net')}")
    with pytest.raises(RequestError, match=r"package keras-hub.*transfer-bench\[hub\]"):
        resolve_weights(spec, 64)
