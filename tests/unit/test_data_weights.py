"""Weights files: what a file is not is told by its first bytes, what it is not of by Keras, before any cell."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from bench.backbones.spec import BackboneSpec, parse_backbone
from bench.backbones.weight_files import HDF5, check_fit
from bench.backbones.weights import Weights, resolve_weights
from bench.errors import RequestError


@pytest.fixture(autouse=True)
def cache(fresh_cache: Path) -> Path:
    return fresh_cache


def layers(path: Path, **attributes: Any) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/conv/vars/0", data=[1.0] * 50_000)
        file.attrs.update(attributes)


def zipped(path: Path, member: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, "x")


def cut(path: Path) -> None:
    layers(path)
    path.write_bytes(path.read_bytes()[:3000])


def legacy(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("model_weights")


def empty(path: Path) -> None:
    h5py.File(path, "w").close()


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "pointer": (
        lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\nsize 1\n"),
        "git lfs pull",
    ),
    "page": (lambda p: p.write_text("\n<!DOCTYPE html><html>404</html>"), "web page"),
    "nothing": (lambda p: p.write_bytes(b""), "It is empty"),
    "text": (lambda p: p.write_text("weights"), "no HDF5 file"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps({"a": 1})), "no HDF5 file"),
    "keras": (lambda p: zipped(p, "model.weights.h5"), "a whole model (.keras)"),
    "torch": (lambda p: zipped(p, "archive/data.pkl"), "PyTorch"),
    "broken archive": (lambda p: p.write_bytes(b"PK\3\4" + b"x" * 100), "damaged archive"),
    "signature": (lambda p: p.write_bytes(HDF5), "damaged or incomplete"),
    "truncated": (cut, "damaged or incomplete"),
    "whole model": (legacy, "a whole model (.h5)"),
    "keras 2": (lambda p: layers(p, layer_names=["conv"]), "format of Keras 2"),
    "hollow": (empty, "It holds nothing"),
}


def fit(path: Path, ask: Callable[[BackboneSpec, int], dict[str, Any]]) -> None:
    spec = parse_backbone(f"MobileNet:alpha=0.25,weights={path}")
    check_fit(spec, 32, resolve_weights(spec, 32), ask)


@pytest.mark.parametrize("name", WRONG)
def test_what_a_file_is_instead(tmp_path: Path, name: str) -> None:
    def ask(spec: BackboneSpec, size: int) -> dict[str, Any]:
        raise AssertionError("Keras need not be asked")

    make, says = WRONG[name]
    path = tmp_path / "x.weights.h5"
    make(path)
    with pytest.raises(RequestError) as caught:
        fit(path, ask)
    assert (caught.value.field, caught.value.received, caught.value.exit_code) == ("weights", str(path), 2)
    assert "save_weights of MobileNet:alpha=0.25 without its classifier" in str(caught.value)
    assert says in str(caught.value)


def test_keras_is_asked_once_for_a_file_that_fits_and_each_time_for_one_that_does_not(tmp_path: Path) -> None:
    path, asked = tmp_path / "x.weights.h5", []
    layers(path)
    answer: dict[str, Any] = {"error": "It does not fit: it holds 3 numbers, the network 218,544."}

    def ask(spec: BackboneSpec, size: int) -> dict[str, Any]:
        asked.append(spec.text)
        return answer

    for _ in range(2):
        with pytest.raises(RequestError, match="it holds 3 numbers, the network 218,544"):
            fit(path, ask)
    assert len(asked) == 2
    answer = {"path": str(path)}
    fit(path, ask)
    fit(path, ask)
    assert len(asked) == 3


def test_named_weights_are_not_looked_at() -> None:
    def ask(spec: BackboneSpec, size: int) -> dict[str, Any]:
        raise AssertionError("Keras need not be asked")

    check_fit(parse_backbone("MobileNet:weights=none"), 32, Weights("none", "", None), ask)
    check_fit(parse_backbone("MobileNet"), 32, Weights("imagenet", "ab", "/nowhere.h5"), ask)


def test_a_model_of_another_ending_is_told_how_to_save_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    zipped(path, "model.weights.h5")
    with pytest.raises(RequestError, match="save_weights"):
        parse_backbone(f"MobileNet:weights={path}")
