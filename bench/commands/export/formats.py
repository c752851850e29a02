"""Formats beside ``model.keras``: which there are, what they need, and what was measured of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench.errors import RequestError, did_you_mean


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        title: what people call it.
        file: in the export's folder.
        keras: its name in ``keras.Model.export``.
        libraries: modules that it needs beside TensorFlow.
        extra: of this package, which brings them.
        tags: by which others find such models.
    """

    title: str
    file: str
    keras: str = ""
    libraries: tuple[str, ...] = ()
    extra: str = ""
    tags: tuple[str, ...] = ()


KERAS, INT8 = "keras", "int8"
FORMATS = {
    KERAS: Format("Keras", "model.keras"),
    "onnx": Format("ONNX", "model.onnx", "onnx", ("tf2onnx", "onnxruntime"), "onnx", ("onnx",)),
    "litert": Format("LiteRT", "model.tflite", "litert", tags=("tflite",)),
    INT8: Format("LiteRT int8", "model_int8.tflite", "litert", tags=("tflite",)),
    "saved_model": Format("TensorFlow SavedModel", "saved_model", "tf_saved_model"),
}
"""What ``--formats`` may name; the first is always written."""

TOLERANCE = 1e-3
"""The largest difference of a probability up to which a model in another format is kept; int8 is held to none."""


@dataclass(frozen=True)
class Converted:
    """A model in one format, measured on all test examples.

    Attributes:
        name: of ``FORMATS``.
        reason: why there is none; empty where there is one. Without one, what follows is NaN.
        how: what of it is int8; empty for other formats.
        megabytes: of its file, a million bytes each.
        milliseconds: of one prediction, batch 1, median.
        difference: the largest one between its probabilities and those of ``model.keras``.
        agreement: share of test examples that both put into the same class.
        accuracy: on the test examples.
        change: in accuracy against ``model.keras``, with its 95% interval: mean, low, high.
    """

    name: str
    reason: str = ""
    how: str = ""
    megabytes: float = math.nan
    milliseconds: float = math.nan
    difference: float = math.nan
    agreement: float = math.nan
    accuracy: float = math.nan
    change: tuple[float, float, float] = (math.nan, math.nan, math.nan)

    @property
    def format(self) -> Format:
        """What it is in."""
        return FORMATS[self.name]


def asked_for(formats: str | Sequence[str]) -> tuple[str, ...]:
    """The names of the formats, ``keras`` first, each once.

    Args:
        formats: names, or one text with commas between them.

    Raises:
        RequestError: there is no such format.
    """
    names = formats.split(",") if isinstance(formats, str) else list(formats)
    for name in names:
        if name not in FORMATS:
            raise RequestError("formats", name, f"among {', '.join(FORMATS)}", did_you_mean(name, FORMATS))
    return tuple(dict.fromkeys((KERAS, *names)))


def check(names: Sequence[str], backend: str) -> None:
    """Refuses formats that cannot be written here, before anything is trained.

    Raises:
        RequestError: a library is missing, or the run is not TensorFlow's.
    """
    for name in names[1:]:
        if backend != "tensorflow":
            expected = f"keras alone where the backend is {backend}"
            raise RequestError("formats", name, expected, "Other formats are made by TensorFlow.")
        extra = FORMATS[name].extra
        if missing := [library for library in FORMATS[name].libraries if find_spec(library) is None]:
            expected = f"a format whose libraries are installed: {', '.join(missing)} is missing"
            raise RequestError("formats", name, expected, f"Run: pip install 'transfer-bench[{extra}]'")


def megabytes(path: Path) -> float:
    """Of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6
