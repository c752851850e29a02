"""Formats of an export: what is refused before anything is trained, and what the card says of them."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.commands.export import formats
from bench.commands.export.card import of_formats
from bench.commands.export.front_matter import front_matter, scalar
from bench.errors import RequestError

yaml = pytest.importorskip("yaml")

HOSTILE = 'a: "b" # c\n---\n- [x]\x85\u2028\udcff \'é 😀'


def test_keras_is_always_written_and_each_format_once() -> None:
    assert formats.asked_for(()) == ("keras",)
    assert formats.asked_for("onnx,int8,onnx") == ("keras", "onnx", "int8")
    assert formats.asked_for(["litert", "keras"]) == ("keras", "litert")


def test_an_unknown_format_is_refused_with_the_nearest() -> None:
    with pytest.raises(RequestError, match="'onnx'") as refused:
        formats.asked_for("onx")
    assert refused.value.exit_code == 2


def test_a_missing_library_is_refused_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "tf2onnx" else object())
    formats.check(("keras", "litert", "int8", "saved_model"), "tensorflow")
    with pytest.raises(RequestError, match=r"tf2onnx is missing.*pip install 'transfer-bench\[onnx\]'"):
        formats.check(("keras", "onnx"), "tensorflow")


def test_other_backends_write_keras_alone() -> None:
    formats.check(("keras",), "jax")
    with pytest.raises(RequestError, match="keras alone where the backend is jax"):
        formats.check(("keras", "litert"), "jax")


def test_sizes_are_of_a_file_or_of_a_whole_folder(tmp_path: Path) -> None:
    (tmp_path / "within").mkdir()
    for name, size in (("a", 300_000), ("within/b", 700_000)):
        (tmp_path / name).write_bytes(b"0" * size)
    assert formats.megabytes(tmp_path / "a") == pytest.approx(0.3)
    assert formats.megabytes(tmp_path) == pytest.approx(1.0)


def test_what_int8_costs_and_what_is_missing_is_said() -> None:
    int8 = formats.Converted(
        "int8", how="the weights alone are int8", accuracy=0.9, change=(-0.013, -0.031, 0.005)
    )
    missing = formats.Converted("onnx", reason="it has an operation of its own")
    exported: Any = SimpleNamespace(formats=(formats.Converted("keras"), int8, missing))
    assert list(of_formats(exported)) == [
        "In model_int8.tflite the weights alone are int8. "
        "It changes accuracy by −1.3 points (95% CI −3.1 to +0.5).",
        "There is no model.onnx: it has an operation of its own.",
    ]
    assert math.isnan(missing.megabytes)


def test_any_text_is_one_scalar_of_yaml() -> None:
    read = yaml.safe_load(f"name: {scalar(HOSTILE)}\nnext: 1")
    assert set(read) == {"name", "next"}
    assert read["name"].startswith('a: "b" # c --- - [x]')
    assert read["name"].endswith("'é 😀")


def test_the_front_matter_has_the_measured_result() -> None:
    recipe: Any = SimpleNamespace(
        dataset=SimpleNamespace(modality="image", name=HOSTILE),
        cell=SimpleNamespace(
            strategy="logistic", backbone="hf:/home/me/net", weights="pretrained", dataset="hf:a/b:c"
        ),
        noun=SimpleNamespace(many="images"),
    )
    made = [formats.Converted("litert"), formats.Converted("int8"), formats.Converted("onnx", reason="no")]
    said = front_matter(recipe, "macro_f1", 0.87654, made)["yaml"]
    values = {key: yaml.safe_load(value) for key, value in said.items() if key != "tags"}
    assert [yaml.safe_load(tag) for tag in said["tags"]][-1] == "tflite"
    assert len(said["tags"]) == 5
    assert (values["task"], values["metric"], values["value"]) == ("image-classification", "f1", 0.8765)
    assert values["dataset_type"] == "a/b"
    assert values["name"].startswith("net, logistic")
    assert "/home/me" not in repr(said)
