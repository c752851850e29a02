"""A Keras model as a backbone: saved once, by content, as a ``.keras`` file."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.backbones.spec import parse_backbone
from bench.errors import RequestError
from bench.system.names import KERAS, KERAS_SUFFIX, path_text
from bench.system.objects import keep

Numbers = float | Sequence[float]


def own_backbone(
    model: Any,
    pixels: str = "",
    mean: Numbers | None = None,
    std: Numbers | None = None,
) -> str:
    """Makes a backbone of a network of yours, with its preprocessing. Its classifier is left out.

    Args:
        model: a functional or Sequential model of one image input, such as one of KerasHub, or the path of a
            ``.keras`` file. Files are loaded in safe mode.
        pixels: the range that it takes: ``0..255``, ``0..1``, ``-1..1``, or ``model`` if it prepares pixels
            itself. Default: ``model``, if it begins with ``Rescaling`` or ``Normalization``.
        mean: subtracted from pixels in that range, one number or three. Default: 0.
        std: divided by afterwards. Default: 1.

    Returns:
        Its name in a plan: ``bench.run(data, backbone=bench.own_backbone(model, pixels="0..1"))``.

    Raises:
        RequestError: the model cannot be a backbone, or its preprocessing is not given.
        BenchError: the cache cannot be written.
    """
    file = path_text(model) if isinstance(model, (str, Path)) else _saved(model)
    given = {"pixels": pixels, "mean": _text(mean), "std": _text(std)}
    options = "".join(f",{key}={value}" for key, value in given.items() if value)
    return parse_backbone(f"{KERAS}{file.removeprefix(KERAS)}{options}").text


def is_model(value: object) -> bool:
    """Whether it is a Keras model, told without importing Keras."""
    return hasattr(value, "to_json") and hasattr(value, "get_weights")


def _text(numbers: Numbers | None) -> str:
    if numbers is None:
        return ""
    return ",".join(f"{float(n):g}" for n in ([numbers] if isinstance(numbers, (int, float)) else numbers))


def _saved(model: Any) -> str:
    """The path of the file of a model: the same for the same layers and weights."""
    if not is_model(model):
        kind = type(model).__name__
        raise RequestError("backbone", kind, "a Keras model, a .keras file or the name of a backbone")
    if not getattr(model, "outputs", None):
        remedy = "It has no graph. Build it as keras.Model(inputs, outputs), or give a Sequential an Input."
        raise RequestError("backbone", model.name, "a functional or Sequential model", remedy)
    # As plain layers, without what trained it: models of KerasHub are described by their arguments alone.
    model = sys.modules["keras"].Model(model.inputs, model.outputs, name=model.name)
    config = json.loads(model.to_json())
    content = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for weights in model.get_weights():
        content.update(weights.tobytes())
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in model.name)[:40] or "model"
    return keep(f"{name}{KERAS_SUFFIX}", content.hexdigest()[:16], lambda path: _write(model, path))


def _write(model: Any, path: Path) -> None:
    """Saves a model without its date: the same model gives the same bytes."""
    first = path.with_name(f"dated{KERAS_SUFFIX}")
    model.save(first)
    with zipfile.ZipFile(first) as dated, zipfile.ZipFile(path, "w") as archive:
        for name in sorted(dated.namelist()):
            data = dated.read(name)
            if name == "metadata.json":
                data = json.dumps(json.loads(data) | {"date_saved": ""}).encode()
            archive.writestr(zipfile.ZipInfo(name), data)
    first.unlink()
