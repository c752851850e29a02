"""Arrays and lists as users hold them: labels of every usual kind, and what is meant by ``x``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from bench.datasets.objects.refusal import refusal
from bench.records import SINGLE_LABEL


def labels_of(y: Any, count: int, task: str = SINGLE_LABEL) -> np.ndarray:
    """One label for each example, whole numbers or texts, from whole numbers, texts or one-hot rows.

    Args:
        y: an array, list, series or tensor.
        count: how many examples there are.
        task: with many labels, rows of 0 and 1 stay such rows, and texts are lists such as ``cat;dog``.

    Raises:
        RequestError: there are others, or not as many.
    """
    values = as_array(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if task != SINGLE_LABEL and values.ndim == 2 and values.dtype.kind in "buif":
        return _rows(values, count)
    if values.ndim == 2 and values.dtype.kind in "buif":
        values = _hot(values)
    what = f"y of shape {values.shape} and type {values.dtype}"
    if values.ndim != 1:
        raise refusal(what, _LABELS)
    if len(values) != count:
        raise refusal(f"{count:,} examples and {len(values):,} labels", "have as many labels as examples")
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and (values == np.rint(values)).all()):
            raise refusal(what, _LABELS, "Some are no whole numbers. Numbers to predict are no classes.")
        values = values.astype(np.int64)
    if values.dtype.kind == "O":
        texts = values.tolist()
        if not all(isinstance(text, (str, bytes)) for text in texts):
            odd = next(text for text in texts if not isinstance(text, (str, bytes)))
            raise refusal(f"the label {odd!r} among texts", _LABELS, "Leave out examples without a label.")
        values = np.array(list(map(as_text, texts)))
    if values.dtype.kind not in "buiUS":
        raise refusal(what, _LABELS)
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8", "backslashreplace")
    return values if values.dtype.kind == "U" else values.astype(np.int64)


_LABELS = "data with one label for each example: a whole number, a text or a one-hot row"


def _rows(rows: np.ndarray, count: int) -> np.ndarray:
    """Any number of labels each: 0 and 1, uint8 (N, classes)."""
    if not ((rows == 0) | (rows == 1)).all():
        raise refusal(f"y of shape {rows.shape}", "rows of 0 and 1 for many labels", "It holds other values.")
    if len(rows) != count:
        raise refusal(f"{count:,} examples and {len(rows):,} labels", "have as many labels as examples")
    return rows.astype(np.uint8)


def _hot(rows: np.ndarray) -> np.ndarray:
    """The class of each one-hot row."""
    if not ((rows == 0) | (rows == 1)).all():
        remedy = "These rows look like scores. If they are probabilities, give y.argmax(axis=1)."
        raise refusal(f"y of shape {rows.shape}", _LABELS, remedy)
    if not (np.count_nonzero(rows, axis=1) == 1).all():
        remedy = (
            "Some rows name several classes, or none. To learn all of them, add task='multi_label'. Or give one "
            "column, such as y[:, 0]."
        )
        raise refusal(f"y of shape {rows.shape}", _LABELS, remedy)
    return rows.argmax(axis=1)


def texts_of(x: Any) -> list[str] | list[PurePath] | None:
    """The texts or paths of a list, array or series; None if it holds something else."""
    if not isinstance(x, (list, tuple)):
        x = np.asarray(x)
        if x.ndim == 2 and x.shape[1] == 1:
            x = x[:, 0]
        if x.ndim != 1 or x.dtype.kind not in "OUST":
            return None
        x = x.tolist()
    if x and all(isinstance(value, (str, bytes)) for value in x):
        return list(map(as_text, x))
    return list(x) if x and all(isinstance(value, PurePath) for value in x) else None


def images_of(x: Any) -> np.ndarray:
    """Images of one size, (N, H, W) or (N, H, W, C).

    Raises:
        RequestError: it is something else.
    """
    values = as_array(x)
    if values.ndim not in (3, 4) or values.dtype.kind not in "buif":
        remedy = ""
        if values.ndim == 2 and values.dtype.kind in "buif":
            remedy = "Rows of numbers are no images. If they are flattened, give x.reshape(-1, H, W)."
        raise refusal(f"x of shape {values.shape} and type {values.dtype}", _IMAGES, remedy)
    return values


_IMAGES = "images as an array of shape (N, H, W) or (N, H, W, C), or a list of texts or paths"


def as_array(values: Any) -> np.ndarray:
    """An array of what NumPy understands: lists, series, tensors.

    Raises:
        RequestError: it does not understand it, as of images of several sizes.
    """
    try:
        array = np.asarray(values)
    except Exception as error:  # every library has its own
        remedy = f"NumPy says: {error}. Images of several sizes can be a list of PIL images."
        raise refusal(values, "what NumPy makes an array of", remedy) from None
    if array.dtype.kind == "T" or type(array.dtype).__name__ == "StringDType":  # NumPy 2's strings
        return array.astype(object)
    return array


def as_text(value: str | bytes) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def named(labels: np.ndarray, names: Sequence[str]) -> list[str]:
    """Labels as texts: the names of whole numbers, if there is one for each. Rows of 0 and 1 as ``cat;dog``."""
    if labels.ndim == 2:
        called = list(map(str, names)) or list(map(str, range(labels.shape[1])))
        if len(called) != labels.shape[1]:
            raise refusal(f"{len(called)} class names", f"{labels.shape[1]}, one for each column of labels")
        return [";".join(called[c] for c in np.flatnonzero(row)) for row in labels]
    values = labels.tolist()
    if names and labels.dtype.kind == "i" and values and min(values) >= 0 and max(values) < len(names):
        return [str(names[value]) for value in values]
    return [str(value) for value in values]
