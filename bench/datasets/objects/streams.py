"""Datasets that are gone through: ``tf.data``, and what ``keras.utils`` makes of a folder.

Such a dataset may be shuffled anew each time. So its examples are stored in the order of their hashes: the same
examples give the same file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.objects.arrays import as_text, labels_of
from bench.datasets.objects.pictures import Pictures
from bench.datasets.objects.refusal import refusal
from bench.datasets.objects.store import Rows

MOST = 5_000_000
"""Examples of a dataset that does not say how many it has."""

PAIR = "a tf.data.Dataset of pairs: an image or a text, and its label"


@dataclass(frozen=True)
class Read:
    """What a dataset held: ``rows`` of images of one size, or ``contents`` (texts, or files of images)."""

    labels: np.ndarray
    rows: Rows | None = None
    contents: list[str] | None = None


def is_stream(value: Any) -> bool:
    """Whether it is a ``tf.data.Dataset``, told without importing TensorFlow."""
    return hasattr(value, "element_spec") and hasattr(value, "as_numpy_iterator")


def is_of_texts(dataset: Any) -> bool:
    return bool(_specs(dataset)[0].dtype == "string")


def has_one_size(dataset: Any) -> bool:
    """Whether all its images have the same, known size."""
    shape = _specs(dataset)[0].shape
    return shape.rank is not None and None not in tuple(shape)[1 if _is_batched(dataset) else 0 :]


def read_texts(dataset: Any) -> Read:
    """All texts of a dataset."""
    texts, labels = [], []
    for value, label in _examples(dataset):
        texts.append(as_text(value.reshape(-1)[0] if isinstance(value, np.ndarray) else value))
        labels.append(label)
    found = labels_of(labels, len(texts))
    order = sorted(range(len(texts)), key=lambda i: (_hash(texts[i].encode()), str(found[i])))
    return Read(found[order], contents=[texts[i] for i in order])


def read_rows(dataset: Any, folder: Path, name: str) -> Read:
    """All images of one size, written to a file of ``folder`` as they come."""
    keys: list[str] = []
    labels: list[Any] = []
    low, high, first = np.inf, -np.inf, np.empty(0)
    with (folder / f"{name}.raw").open("wb") as file:
        for image, label in _examples(dataset):
            first = image if not keys else first
            data = image.tobytes()
            file.write(data)
            keys.append(_hash(data, _said(label)))
            labels.append(label)
            low, high = min(low, float(image.min())), max(high, float(image.max()))
    found = labels_of(labels, len(keys))
    array = np.memmap(folder / f"{name}.raw", first.dtype, "r", shape=(len(keys), *first.shape))
    resized = (
        first.dtype.kind == "f" and low >= 0 and 1.5 < high <= 255
    )  # as image_dataset_from_directory gives
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__))
    return Read(found[order], Rows(array, order, resized))


def read_pictures(dataset: Any, pictures: Pictures) -> Read:
    """All images of several sizes, each written as a file."""
    paths, labels = [], []
    for image, label in _examples(dataset):
        paths.append(pictures.add(image, _said(label)))
        labels.append(label)
    found = labels_of(labels, len(paths))
    order = sorted(range(len(paths)), key=paths.__getitem__)
    return Read(found[order], contents=[paths[i] for i in order])


def _examples(dataset: Any) -> Iterator[tuple[Any, Any]]:
    """Each example with its label. Raises ``RequestError`` if there are none, or no end is in sight."""
    if int(dataset.cardinality()) == -1:
        remedy = "This one repeats without end. Leave out .repeat(), or give dataset.take(N)."
        raise refusal(dataset, "a dataset that ends", remedy)
    batched, number = _is_batched(dataset), 0
    for element in dataset.as_numpy_iterator():
        values, labels = _pair(element)
        for value, label in zip(values, labels, strict=True) if batched else [(values, labels)]:
            if (number := number + 1) > MOST:
                raise refusal(dataset, f"a dataset of at most {MOST:,} examples", "Give dataset.take(N).")
            yield value, label
    if not number:
        raise refusal(dataset, "a dataset with at least one example")


def _pair(element: Any) -> tuple[Any, Any]:
    """Examples and labels of an element, or of its specification."""
    if isinstance(element, dict):
        content = [element[key] for key in ("image", "text") if key in element]
        label = [element[key] for key in ("label",) if key in element]
        element = (*content, *label)
    if not isinstance(element, tuple) or len(element) != 2:
        has = f"{len(element)} parts" if isinstance(element, tuple) else "no label"
        remedy = f"Each element has {has}. With .map(lambda ...: (image, label)) it gets both."
        raise refusal("tf.data.Dataset", PAIR, remedy)
    return element


def _specs(dataset: Any) -> tuple[Any, Any]:
    found = _pair(dataset.element_spec)
    if not all(hasattr(spec, "shape") and hasattr(spec, "dtype") for spec in found):
        raise refusal("tf.data.Dataset", PAIR, "This one has several inputs, or several outputs.")
    return found


def _is_batched(dataset: Any) -> bool:
    """Whether an element holds many examples, by the ranks of its parts."""
    example, label = (spec.shape for spec in _specs(dataset))
    if label.rank == 0 or example.rank == 0:
        return False
    if example.rank == 3:  # gray images, or one image with a one-hot label
        return example[0] is None or (label.rank == 2 and label[1] is not None)
    return True


def _said(label: Any) -> str:
    """The class of one label, the same of a whole number, of one in an array, and of a one-hot row."""
    values = np.asarray(label).reshape(-1)
    if values.dtype.kind not in "buif":
        return as_text(values.tolist()[0])
    return str(values.argmax()) if values.size > 1 else f"{float(values[0]):g}"


def _hash(data: bytes, label: str = "") -> str:
    return hashlib.sha256(label.encode() + b"\0" + data).hexdigest()
