"""Networks of the user's as backbones, as far as no Keras is needed: what a ``.keras`` file says, and names."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.backbones.families.keras_config import read_config
from bench.backbones.spec import parse_backbone
from bench.backbones.weights import resolve_weights
from bench.errors import RequestError
from bench.plans.loading import load_plan
from bench.system.files import sha256_file
from bench.system.names import divided, short_backbone, titled, with_weights


def layer(kind: str, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    return {
        "class_name": kind, "module": module, "registered_name": None, "config": {"name": kind.lower(), **config}
    }  # fmt: skip


def image(*shape: int | None) -> dict[str, Any]:
    return layer("InputLayer", batch_shape=[None, *(shape or (64, 64, 3))])


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    """Writes what stands in a ``.keras`` file, with these layers."""

    def write(*layers: dict[str, Any], kind: str = "Functional", module: str = "keras") -> Path:
        path = tmp_path / "net.keras"
        config = layer(kind, module, layers=list(layers))
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
        return path

    return write


@pytest.mark.parametrize(
    ("layers", "how", "said"),
    [
        ([image(), layer("Lambda", name="twice")], {}, "Its layer 'twice' is a Lambda, whose code would come out"),
        ([image(), layer("Scale", "my_code.layers", name="s")], {}, "'s' is a Scale of other code"),
        ([image(), layer("Functional", layers=[layer("Lambda", name="in")])], {}, "'in' is a Lambda"),
        ([image(), image()], {}, "It has 2 inputs"),
        ([], {}, "It has 0 inputs"),
        ([image(64, 64, 1)], {}, "It takes (batch, 64, 64, 1)"),
        ([image(20)], {}, "It takes (batch, 20)"),
        ([image()], {"kind": "MyModel", "module": "my_code"}, "is a MyModel of other code"),
        ([image()], {"kind": "Model"}, "It is a Model model"),
    ],
)  # fmt: skip
def test_a_network_that_cannot_serve_is_refused_in_words(
    saved: Any, layers: list[Any], how: dict[str, str], said: str
) -> None:
    path = saved(*layers, **how)
    with pytest.raises(RequestError) as caught:
        parse_backbone(f"{path},pixels=0..1")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert bench.check_backbone(f"{path},pixels=0..1").problems == (str(caught.value),)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.keras").write_bytes(b"no archive")
    with pytest.raises(RequestError, match="a file that Keras 3 has saved"):
        parse_backbone(str(tmp_path / "no.keras"))
    with pytest.raises(RequestError, match=r"a \.keras file that exists"):
        parse_backbone(str(tmp_path / "none.keras"))


def test_the_preprocessing_has_to_be_given(saved: Any) -> None:
    path = saved(image(), layer("Conv2D"))
    for options, said in (
        ("", "given with the range of pixels"),
        ("pixels=0..2", "have pixels as model, 0..255, 0..1, -1..1"),
        ("pixels=0..1,mean=a", "have mean as one or three numbers"),
        ("pixels=0..1,std=0.2,0.3", "have std as one or three numbers"),
        ("pixels=0..1,std=0", "have std as one or three numbers"),
        ("scale=2", "pixels, mean, std, weights"),
    ):
        with pytest.raises(RequestError) as caught:
            parse_backbone(f"{path},{options}" if options else str(path))
        assert said in str(caught.value)
    prepared = saved(image(), layer("Rescaling", scale=1 / 255))
    assert parse_backbone(str(prepared)).values["pixels"] == ""
    assert read_config(prepared, "x").size == 64


def test_names(saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(image(None, None, 3), layer("Conv2D"))
    monkeypatch.chdir(tmp_path)
    spec = parse_backbone("net.keras,pixels=0..1,mean=0.5,0.4,0.3,std=0.2")
    assert spec.text == f"keras:{path},mean=0.5,0.4,0.3,pixels=0..1,std=0.2"
    assert parse_backbone(spec.text) == spec
    assert (spec.weights, spec.modality) == ("pretrained", "image")
    weights = resolve_weights(spec, 64)
    assert (weights.kind, weights.path, weights.sha256) == ("own", str(path), sha256_file(path))
    random = parse_backbone("net.keras,pixels=0..1,weights=none")
    assert parse_backbone(with_weights(random.architecture, "none")) == random
    assert titled(spec.architecture, spec.weights) == short_backbone(spec.text) == "net"
    assert short_backbone(random.text) == "net (weights: none)"
    assert with_weights("net.keras", "none") == "net.keras,weights=none"
    assert divided("MobileNet:alpha=0.25") == ("MobileNet", "alpha=0.25")
    assert bench.own_backbone("net.keras", "0..1", mean=(0.5, 0.4, 0.3), std=0.2) == spec.text
    plan = load_plan({"datasets": ["digits"], "backbones": ["net.keras,pixels=0..1"], "weights": ["none"]})
    assert plan.backbones == ["net.keras,pixels=0..1,weights=none"]


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(RequestError, match="a Keras model"):
        bench.own_backbone(3)
