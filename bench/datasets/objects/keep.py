"""From a Python object to the path of the file that holds its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from bench.datasets.objects import streams, tables
from bench.datasets.objects.arrays import as_array, images_of, labels_of, named, texts_of
from bench.datasets.objects.pictures import Pictures, is_picture
from bench.datasets.objects.refusal import refusal
from bench.datasets.objects.sounds import Sounds
from bench.datasets.objects.store import Rows, keep_arrays, keep_table
from bench.modalities.audio.items import RATES
from bench.records import SINGLE_LABEL
from bench.system.objects import temporary_folder

PARTS: Mapping[int, tuple[str, ...]] = {
    1: ("train",),
    2: ("train", "test"),
    3: ("train", "val", "test"),
}
"""What the parts of data in so many parts are."""


def is_data(value: Any) -> bool:
    """Whether a mapping holds data, and no plan: arrays ``x`` and ``y``, or parts of a Hugging Face dataset."""
    return not isinstance(value, Mapping) or {"x", "y"} <= set(value) or tables.is_hugging_face(value)


def kept(value: Any, task: str = SINGLE_LABEL) -> Any:
    """Writes the data of an object into the cache, unless they are there already.

    Args:
        value: ``(x, y)`` (arrays, lists, tensors; ``x`` images, texts or ``pathlib`` paths), two or three such
            pairs (the last is the test set), a dictionary ``{"x": ..., "y": ..., "class_names": ...}``, with
            ``"rate"`` for sounds (an array, or a list of arrays of any lengths), one ``tf.data.Dataset`` or
            several, a pandas frame, or a Hugging Face dataset. A text or path is returned as it is.
        task: with many labels, ``y`` holds rows of 0 and 1, or texts such as ``cat;dog``.

    Returns:
        The path of an ``.npz`` or Parquet file, the same for the same data.

    Raises:
        RequestError: it is something else, or lacks something.
        BenchError: the cache cannot be written.
    """
    if value is None or isinstance(value, (str, PurePath)):
        return value
    gone_through = (value if isinstance(value, (tuple, list)) else [value])[:1]
    if task != SINGLE_LABEL and any(tables.is_hugging_face(v) or streams.is_stream(v) for v in gone_through):
        raise refusal(value, f"(x, y), a pandas frame or a file for task {task}")
    if tables.is_hugging_face(value):
        return tables.keep_hugging_face(value)
    if tables.is_frame(value):
        return tables.keep_frame(value)
    if streams.is_stream(value):
        return _keep_streams([value])
    if isinstance(value, Mapping) and {"x", "y"} <= set(value):
        tested = [(value["x_test"], value["y_test"])] if {"x_test", "y_test"} <= set(value) else []
        pairs, names = [(value["x"], value["y"]), *tested], [str(n) for n in value.get("class_names", ())]
        if "rate" in value:
            return _keep_sounds(pairs, names, value["rate"], task)
        return _keep_pairs(pairs, task, names)
    if isinstance(value, (tuple, list)) and len(value) in PARTS:
        if all(map(streams.is_stream, value)):
            return _keep_streams(value)
        if all(map(_is_pair, value)):
            return _keep_pairs(value, task)
        if len(value) == 2 and all(map(_has_rows, value)):
            return _keep_pairs([value], task)
    raise refusal(value, remedy=_instead(value))


def _instead(value: Any) -> str:
    """What to type for objects that are near to data."""
    if isinstance(value, np.ndarray):
        return "Labels belong to it: (x, y)."
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, (str, PurePath)) for v in value):
        return "Labels belong to a list of texts or paths: (texts, labels). Datasets go into {'datasets': [...]}."
    if hasattr(value, "to_pandas"):
        return "Give its to_pandas()."
    return ""


def _is_pair(value: Any) -> bool:
    """Whether it is ``(x, y)`` and no list of two examples or labels."""
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_has_rows, value))


def _has_rows(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes, Mapping))


def _keep_pairs(pairs: Sequence[Any], task: str, names: Sequence[str] = ()) -> str:
    """Keeps the parts ``(x, y)`` of a dataset."""
    texts = [texts_of(x) if _may_be_texts(x) else None for x, _ in pairs]
    if all(texts):
        return _keep_texts([list(found or ()) for found in texts], [y for _, y in pairs], names, task)
    if all(isinstance(x, (list, tuple)) and len(x) and is_picture(x[0]) for x, _ in pairs):
        return _keep_pictures(pairs, names, task)
    found: dict[str, Rows] = {}
    for part, (x, y) in zip(PARTS[len(pairs)], pairs, strict=True):
        images = images_of(x)
        _add(found, part, Rows(images), labels_of(y, len(images), task))
    return _keep_arrays(found, names)


def _may_be_texts(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return bool(x) and isinstance(x[0], (str, bytes, PurePath))
    return getattr(x, "ndim", 1) < 3


def _keep_texts(contents: Sequence[list[Any]], labels: Sequence[Any], names: Sequence[str], task: str) -> str:
    """Keeps lists of texts or of paths; a text that is the name of a file is a text."""
    are_paths = all(isinstance(value, PurePath) for part in contents for value in part)
    columns: dict[str, list[str]] = {"path" if are_paths else "text": [], "label": []}
    if len(contents) > 1:
        columns["split"] = []
    for part, values, y in zip(PARTS[len(contents)], contents, labels, strict=True):
        columns["path" if are_paths else "text"] += [
            str(value.absolute()) if are_paths else str(value) for value in values
        ]
        columns["label"] += named(labels_of(y, len(values), task), names)
        if len(contents) > 1:
            columns["split"] += [part] * len(values)
    return keep_table("paths" if are_paths else "texts", columns)


def _keep_pictures(pairs: Sequence[Any], names: Sequence[str], task: str) -> str:
    """Keeps lists of PIL images."""
    with temporary_folder() as folder:
        pictures, paths, labels, split = Pictures(folder), [], [], []
        for part, (x, y) in zip(PARTS[len(pairs)], pairs, strict=True):
            said = named(labels_of(y, len(x), task), names)
            paths += [pictures.add(image, label) for image, label in zip(x, said, strict=True)]
            labels += said
            split += [part] * len(x)
        parted = {"split": split} if len(pairs) > 1 else {}
        return keep_table("images", {"path": paths, "label": labels, **parted}, pictures.folder)


def _keep_sounds(pairs: Sequence[Any], names: Sequence[str], rate: Any, task: str) -> str:
    """Keeps arrays of sounds of one length as they are, and lists of several lengths as files.

    Args:
        rate: samples a second of all of them.
    """
    least, most = RATES
    if not isinstance(rate, (int, float, np.number)) or not least <= rate <= most or rate != int(rate):
        raise refusal(f"rate {rate!r}", f"a whole number from {least:,} to {most:,}, in Hz")
    rate, parts = int(rate), PARTS[len(pairs)]
    if all(isinstance(x, (list, tuple)) for x, _ in pairs):
        with temporary_folder() as folder:
            sounds = Sounds(folder)
            columns: dict[str, list[str]] = {"path": [], "label": [], "split": []}
            for part, (x, y) in zip(parts, pairs, strict=True):
                said = named(labels_of(y, len(x), task), names)
                columns["path"] += [
                    sounds.add(sound, label, rate) for sound, label in zip(x, said, strict=True)
                ]
                columns["label"] += said
                columns["split"] += [part] * len(x)
            if len(parts) == 1:
                del columns["split"]
            return keep_table("sounds", columns, sounds.folder)
    found: dict[str, Rows] = {"rate": Rows(np.array([rate]))}
    for part, (x, y) in zip(parts, pairs, strict=True):
        _add(found, part, Rows(as_array(x)), labels_of(y, len(x), task))
    return _keep_arrays(found, names)


def _keep_streams(datasets: Sequence[Any]) -> str:
    """Keeps the parts of a dataset that are each gone through."""
    names = [str(name) for name in getattr(datasets[0], "class_names", None) or ()]
    parts = PARTS[len(datasets)]
    with temporary_folder() as folder:
        if not any(map(streams.is_of_texts, datasets)) and all(map(streams.has_one_size, datasets)):
            found: dict[str, Rows] = {}
            for part, dataset in zip(parts, datasets, strict=True):
                read = streams.read_rows(dataset, folder, part)
                assert read.rows is not None
                _add(found, part, read.rows, read.labels)
            return _keep_arrays(found, names)
        pictures = Pictures(folder)
        columns: dict[str, list[str]] = {"text": [], "label": [], "split": []}
        texts = all(map(streams.is_of_texts, datasets))
        for part, dataset in zip(parts, datasets, strict=True):
            read = streams.read_texts(dataset) if texts else streams.read_pictures(dataset, pictures)
            columns["text"] += read.contents or []
            columns["label"] += named(read.labels, names)
            columns["split"] += [part] * len(read.labels)
        if len(parts) == 1:
            del columns["split"]
        if texts:
            return keep_table("texts", columns)
        return keep_table("images", {"path": columns.pop("text"), **columns}, pictures.folder)


def _add(arrays: dict[str, Rows], part: str, images: Rows, labels: np.ndarray) -> None:
    """Names the arrays of a part as ``.npz`` files do."""
    suffix = "" if part == "train" else f"_{part}"
    arrays[f"x{suffix}"], arrays[f"y{suffix}"] = images, Rows(labels)


def _keep_arrays(arrays: dict[str, Rows], names: Sequence[str]) -> str:
    if names:
        arrays["class_names"] = Rows(np.array(names))
    return keep_arrays(arrays)
