"""What a ``.keras`` file says of its network, read without Keras and without running anything."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import RequestError

TRUSTED = ("keras", "keras_hub", "keras_cv", "builtins")
"""Packages whose layers are built. Code of others, and a Lambda's, would run as the file says."""
SAME = 'backbone.save("backbone.keras") writes one.'
PREPARES = ("Rescaling", "Normalization")
"""Layers that are a preprocessing."""
MOST = 64 * 2**20
"""Bytes of the longest description that is read."""


@dataclass(frozen=True)
class KerasConfig:
    """The description of a network.

    Attributes:
        size: side of its square input, in pixels; None: any.
        prepares: whether a preprocessing follows its input.
        sha256: of the description.
    """

    size: int | None
    prepares: bool
    sha256: str


def read_config(path: Path, name: str) -> KerasConfig:
    """Reads the description of the network in a ``.keras`` file.

    Args:
        path: of the file.
        name: the backbone as a plan names it, for messages.

    Raises:
        RequestError: the file is none, would run code of its own, or its network cannot be a backbone.
    """

    def refused(expected: str, remedy: str) -> RequestError:
        return RequestError("backbone", name, expected, remedy)

    if not path.is_file():
        raise refused("a .keras file that exists", f"There is no file {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            about = archive.getinfo("config.json")
            if about.file_size > MOST:
                raise ValueError(f"its description has {about.file_size:,} bytes")
            text = archive.read(about)
        config = json.loads(text)
        problem, remedy = problem_of(config)
    except (
        OSError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        RecursionError,
    ) as error:
        raise refused("a file that Keras 3 has saved", f"{path} cannot be read ({error}). {SAME}") from None
    if problem:
        raise refused("a model of one image input, of Keras's own layers", f"{problem} {remedy}".rstrip())
    sides = {side for shape in _inputs(config)[:1] for side in shape[1:3]}
    size = sides.pop() if len(sides) == 1 else None
    return KerasConfig(size, _prepares(config), hashlib.sha256(text).hexdigest())


def problem_of(config: dict[str, Any]) -> tuple[str, str]:
    """Why a network cannot be a backbone, and what to do, sentences; empty if it may be one."""
    for layer in _objects(config):
        kind, module = layer["class_name"], str(layer.get("module") or "")
        if kind == "Lambda":
            return (
                f"Its layer {_name(layer)!r} is a Lambda, whose code would come out of the file.",
                "Replace it by a layer of Keras, such as Rescaling.",
            )
        foreign = module and module.partition(".")[0] not in TRUSTED
        if foreign or (layer.get("registered_name") and not module):
            return (
                f"Its layer {_name(layer)!r} is a {kind} of other code.",
                "Replace it by layers of Keras, or bring the network as a package with a BackbonePlugin.",
            )
    if str(config.get("module", "")).startswith("keras_hub"):
        return "", ""  # its description lists arguments and no layers
    if config["class_name"] not in ("Functional", "Sequential"):
        return f"It is a {config['class_name']} model.", "A backbone is a functional or a Sequential model."
    shapes = _inputs(config)
    if len(shapes) != 1:
        return f"It has {len(shapes)} inputs.", "Give the part of it that takes the image."
    shape = shapes[0]
    if len(shape) != 4 or shape[3] != 3:
        return f"It takes {_axes(shape)}.", "A backbone takes images of shape (batch, height, width, 3)."
    return "", ""


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Everything in a description that a class stands for."""
    if isinstance(value, dict):
        if "class_name" in value and "config" in value:
            yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _name(layer: dict[str, Any]) -> str:
    config = layer["config"]
    return str(config.get("name", layer["class_name"]) if isinstance(config, dict) else layer["class_name"])


def _inputs(config: dict[str, Any]) -> list[list[int | None]]:
    """The shapes of a model's inputs; none where its description does not say them."""
    inner = config["config"]
    layers = inner.get("layers", []) if isinstance(inner, dict) else []
    return [
        list(layer["config"].get("batch_shape") or layer["config"].get("batch_input_shape") or ())
        for layer in layers
        if layer["class_name"] == "InputLayer"
    ]


def _prepares(config: dict[str, Any]) -> bool:
    """Whether one of the first layers is a preprocessing."""
    kinds = [layer["class_name"] for layer in _objects(config)]
    kept = [kind for kind in kinds if kind not in ("Functional", "Sequential", "DTypePolicy", "InputLayer")]
    return any(kind in PREPARES for kind in kept[:3])


def _axes(shape: list[int | None]) -> str:
    return f"({', '.join('batch' if i == 0 else str(side) for i, side in enumerate(shape))})"
