"""Images and sounds as arrays: ``.npz`` files, and the digits that come with scikit-learn.

Arrays are read from the zip file a few rows at a time, so that a file larger than memory can be used.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import IO, Any, ClassVar

import numpy as np

from bench.datasets.adapters.npz_layout import (
    CLASS_NAMES,
    RATES,
    Unclear,
    check_images,
    check_sounds,
    pairs,
    unused,
    unused_names,
)
from bench.datasets.source import Adapter, Contents, numbered, stamp_of
from bench.errors import BenchError, RequestError
from bench.modalities.audio import items as audio
from bench.modalities.base import Item
from bench.modalities.image.levels import DARKEST, FULL, Levels, Scale, Undecided, agreed, together
from bench.modalities.image.pictures import RowPicture
from bench.modalities.registry import modality
from bench.records import SINGLE_LABEL

BLOCK_BYTES = 16 * 2**20
"""About how much of an array is in memory at a time."""


class Digits(Adapter):
    """scikit-learn's digits: 1,797 images of 8 x 8 pixels with values from 0 to 16."""

    name = "digits"
    names: ClassVar[dict[str, str]] = {
        "digits": "1,797 handwritten digits, 8 px, gray; comes with scikit-learn, needs no network"
    }

    def stamp(self) -> list[Any]:
        return ["digits", 1]  # the data have not changed in fifteen years; raise the number if they do

    def contents(self) -> Contents:
        from sklearn.datasets import load_digits

        data = load_digits()
        return Contents(
            ids=_row_ids(len(data.target)),
            labels=data.target.tolist(),
            class_names=[str(i) for i in range(10)],
            in_test=None,
            groups=None,
            group_names=(),
            pictures=[RowPicture(row, 255 / 16) for row in data.images],
        )


class ArrayFile(Adapter):
    """An ``.npz`` with images ``x`` and labels ``y``, and a test part ``x_test``, ``y_test`` if there is one.

    ``x_train`` and ``y_train`` are understood as well, ``x_val`` and ``y_val`` belong to what is learned from, and
    ``class_names`` gives integer labels names. With their sample ``rate``, ``x``
    are sounds. See ``npz_layout`` for the names of other packages.

    With the task of many labels, ``y`` holds 0 and 1, (N, classes), and ``class_names`` the names of its columns.
    """

    suffixes = (".npz",)
    many_labels = True
    forms: ClassVar[dict[str, str]] = {
        "FILE.npz": "arrays x, y, optionally x_val, y_val, x_test, y_test, and the rate of sounds"
    }

    def __init__(self, path: str | Path, spec: str = "", task: str = SINGLE_LABEL) -> None:
        super().__init__(spec or str(path))
        self.path, self.task = Path(path), task
        self.name = self.path.stem
        self.modality = self.modality_at(self.path)

    @classmethod
    def modality_at(cls, path: Path) -> str:
        try:
            return "audio" if set(RATES) & _names_in(path) else cls.modality
        except BenchError:
            return cls.modality  # whoever lists its examples says what is wrong

    def stamp(self) -> list[Any]:
        return stamp_of(Path(), self.path.stat())

    def contents(self) -> Contents:
        names = _names_in(self.path)
        try:
            return self._contents(names)
        except Unclear as error:
            raise self._error(error.expected, error.remedy) from None

    def _contents(self, names: set[str]) -> Contents:
        shapes = {name: self._shape(name) for name in names}
        used = pairs(shapes)
        arrays = [_Array(self.path, pair.images) for pair in used]
        labels: list[Any] = []
        ids: list[str] = []
        for array, pair in zip(arrays, used, strict=True):
            values = (self._labels if self.task == SINGLE_LABEL else self._rows_of_labels)(pair.labels)
            (self._check_sounds if self.modality == "audio" else self._check_images)(
                pair.images, array, len(values)
            )
            if len(values) != len(array):
                raise self._error(
                    f"have as many labels as {modality(self.modality).noun.many}",
                    f"{pair.images} has {len(array):,}, {pair.labels} has {len(values):,}.",
                )
            labels += values
            ids += _row_ids(len(array), "" if pair.part == "train" else f"{pair.part}/")
        if not labels:
            raise self._error(
                f"hold at least one {modality(self.modality).noun.one}", f"{used[0].images} is empty."
            )
        given = self._names(names)
        codes, class_names = (self._classes if self.task == SINGLE_LABEL else self._columns)(labels, given)
        tested = [
            pair.part == "test" for array, pair in zip(arrays, used, strict=True) for _ in range(len(array))
        ]
        return Contents(
            ids=ids,
            labels=codes,
            class_names=class_names,
            in_test=tested if any(tested) else None,
            groups=None,
            group_names=(),
            pictures=self._items({pair.images: a for pair, a in zip(used, arrays, strict=True)}),
            findings=[*unused(shapes, used), *unused_names(given, class_names)],
        )

    def _items(self, arrays: dict[str, _Array]) -> Iterable[Item]:
        found = list(arrays.values())
        if self.modality != "audio":
            scale = self._scale(arrays)
            return _Rows(found, lambda row: RowPicture(row, scale))
        rate, full = self._rate(), max(map(_full_scale, found))
        return _Rows(found, lambda row: audio.RowClip(row, rate, full))

    def _rate(self) -> int:
        """Samples of a second."""
        name = next(name for name in RATES if name in _names_in(self.path))
        array, (least, most) = _Array(self.path, name), audio.RATES
        values = np.concatenate([block.reshape(-1) for block in array.blocks()])
        if values.dtype.kind not in "iuf" or len(values) != 1 or not least <= values[0] <= most:
            got = f"It is {values[0]}." if len(values) == 1 else f"It is of shape {array.shape}."
            raise self._error(f"have {name} as one number from {least:,} to {most:,}, in Hz", got)
        return int(values[0])

    def _check_sounds(self, name: str, array: _Array, labels: int) -> None:
        check_sounds(name, array.shape, labels, audio.MAX_CHANNELS)
        if array.dtype.kind not in "iuf":
            raise self._error(f"have {name} of a numeric type", f"It is of type {array.dtype}.")

    def _shape(self, name: str) -> tuple[int, ...]:
        """Empty for what is no array of numbers or strings; it may lie unused beside those that are."""
        try:
            return _Array(self.path, name).shape
        except RequestError:
            return ()

    def _check_images(self, name: str, array: _Array, labels: int) -> None:
        from bench.modalities.image.decode import max_pixels

        shape = array.shape
        check_images(name, shape, labels)
        if array.dtype.kind not in "buif":
            raise self._error(f"have {name} of a numeric type", f"It is of type {array.dtype}.")
        if shape[1] * shape[2] > max_pixels():
            raise self._error(
                f"hold images of at most {max_pixels():,} pixels",
                f"{name} is of shape {shape}. TRANSFER_BENCH_MAX_PIXELS raises the limit.",
            )

    def _labels(self, name: str) -> list[Any]:
        """Labels as integers or strings."""
        array = _Array(self.path, name)
        shape = array.shape
        if array.dtype.kind not in "biufUS" or not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
            raise self._error(
                f"have {name} of shape (N,), integers or strings",
                f"It is {array.dtype} of shape {shape}. {_one_label_each(name, array)}".rstrip(),
            )
        values = np.concatenate([np.empty(0, array.dtype), *(block.reshape(-1) for block in array.blocks())])
        if values.dtype.kind == "f":
            whole = values.astype(np.int64, copy=False) if np.isfinite(values).all() else None
            if whole is None or (whole != values).any():
                raise self._error(f"have {name} of integers or strings", "Its values are not whole numbers.")
            values = whole
        return list(_texts(values).tolist())

    def _rows_of_labels(self, name: str) -> list[Any]:
        """Rows of 0 and 1."""
        array = _Array(self.path, name)
        expected = f"have {name} of shape (N, classes), 0 and 1, for task {self.task}"
        if array.dtype.kind not in "biuf" or len(array.shape) != 2 or array.shape[1] < 2:
            raise self._error(expected, f"It is {array.dtype} of shape {array.shape}.")
        values = np.concatenate([np.empty((0, *array.shape[1:]), array.dtype), *array.blocks()])
        if not ((values == 0) | (values == 1)).all():
            raise self._error(expected, "It holds other values.")
        return list(values.astype(np.uint8))

    def _columns(self, labels: list[Any], names: list[str]) -> tuple[np.ndarray, list[str]]:
        """All rows of labels, and what their columns are called."""
        widths = sorted({len(row) for row in labels})
        if len(widths) > 1:
            raise self._error(
                "have as many columns in all labels", f"There are {widths[0]} and {widths[-1]}."
            )
        if names and (len(names) != widths[0] or len(set(names)) != len(names)):
            got = f"It has {len(names)}, {len(set(names))} of them different."
            raise self._error(f"have {widths[0]} different {CLASS_NAMES}, one for each column of labels", got)
        return np.stack(labels), names or [str(i) for i in range(widths[0])]

    def _names(self, names: set[str]) -> list[str]:
        array = _Array(self.path, CLASS_NAMES) if CLASS_NAMES in names else None
        if array is None or array.dtype.kind not in "US":
            return []
        return [str(v) for block in array.blocks() for v in _texts(block.reshape(-1)).tolist()]

    def _classes(self, labels: list[Any], names: list[str]) -> tuple[list[int], list[str]]:
        """Numbers the labels: strings in alphabetical, integers in numerical order."""
        if any(isinstance(label, str) for label in labels):
            return numbered([str(label) for label in labels])
        distinct = sorted(set(labels))
        index = {value: i for i, value in enumerate(distinct)}
        named = len(set(names)) == len(names) and distinct[0] >= 0 and distinct[-1] < len(names)
        return [index[v] for v in labels], [names[v] if named else str(v) for v in distinct]

    def _scale(self, arrays: dict[str, _Array]) -> Scale:
        """What is black and white in all images of the file."""
        parts = {name: _levels(array) for name, array in arrays.items() if len(array)}
        try:
            return agreed(parts)
        except Undecided as error:
            raise self._error("hold images whose values say which are black and white", str(error)) from None

    def _error(self, expected: str, remedy: str) -> RequestError:
        return RequestError("dataset", self.spec, expected, remedy)


class _Array:
    """One array of an ``.npz``, read in blocks of rows. Never unpickles."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self._member = f"{name}.npy"
        with _told(path), zipfile.ZipFile(path) as archive, archive.open(self._member) as file:
            self.shape, self.fortran, self.dtype = self._header(file)

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self) -> Iterator[np.ndarray]:
        """The array in blocks of whole rows."""
        with _told(self.path), zipfile.ZipFile(self.path) as archive, archive.open(self._member) as file:
            self._header(file)
            row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
            if (
                self.fortran and len(self.shape) > 1
            ):  # the first axis varies fastest: there are no rows to read
                yield np.frombuffer(file.read(), self.dtype, math.prod(self.shape)).reshape(
                    self.shape, order="F"
                )
                return
            rows = max(1, BLOCK_BYTES // max(1, row_bytes))
            for start in range(0, len(self), rows):
                count = min(rows, len(self) - start)
                data = file.read(count * row_bytes)
                if len(data) < count * row_bytes:
                    raise EOFError(f"array {self._member!r} is shorter than its header says")
                yield np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])

    def _header(self, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
        try:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read(file)
            if any(type(n) is not int or n < 0 for n in shape) or not dtype.itemsize:
                raise ValueError(f"{dtype} of shape {shape}")
        except Exception as error:  # the header is Python, whose parser has errors of its own
            raise EOFError(f"array {self._member!r} has no valid header ({error})") from None
        if dtype.hasobject:
            raise RequestError(
                "dataset",
                str(self.path),
                "hold arrays of numbers or strings",
                f"{self._member.removesuffix('.npy')!r} is an array of objects. Such arrays are pickles, "
                "which may run "
                "code when read. Store y.astype(str), for instance.",
            )
        return (shape or (1,)), fortran, dtype


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Names the file whatever is wrong with it: on damaged ones zipfile and NumPy raise nearly everything there is.

    Raises:
        RequestError: in place of anything else.
    """
    try:
        yield
    except (BenchError, MemoryError):
        raise
    except Exception as error:
        reason = shorten(f"{error}", 200, placeholder=" ...") or type(error).__name__
        expected = "an .npz file as written by numpy.savez"
        raise RequestError("dataset", str(path), expected, f"It cannot be read: {reason}.") from None


@dataclass(frozen=True)
class _Rows:
    """The examples of several arrays, one after the other."""

    arrays: list[_Array]
    item: Callable[[np.ndarray], Item]

    def __iter__(self) -> Iterator[Item]:
        for array in self.arrays:
            for block in array.blocks():
                for row in block:
                    yield self.item(row)


def _names_in(path: Path) -> set[str]:
    with _told(path), zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy") for name in archive.namelist()}


def _full_scale(array: _Array) -> float:
    """The value that stands for 1 in an array of sounds: of its type, or of 16 bits where these were made wider."""
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2:
        return float(2 ** (8 * array.dtype.itemsize - 1))
    highest = max((float(np.abs(block).max(initial=0)) for block in array.blocks()), default=0.0)
    if array.dtype.kind == "f" and not highest > 4:  # a little above 1 after filters, or not a number
        return 1.0
    return next((2.0**bits for bits in (15, 23) if highest <= 2**bits), 2.0**31)


def _levels(array: _Array) -> Levels:
    """What is known of the values of all images; of bytes no more than whether they are tiny."""
    found = []
    for block in array.blocks():
        found.append(Levels.of(block))
        if array.dtype == np.uint8 and found[-1].high > DARKEST:
            return FULL
    return together(found)


def _one_label_each(name: str, array: _Array) -> str:
    """What to do about labels that are a row for each image, a sentence; empty for others."""
    if len(array.shape) != 2 or array.dtype.kind not in "biuf":
        return ""
    one_hot = all((np.count_nonzero(block, axis=1) == 1).all() for block in array.blocks())
    if one_hot or array.dtype.kind == "f":
        return f"For one label each, of one-hot rows or of probabilities, store {name}.argmax(axis=1)."
    return (
        f"To learn all labels of an example, add --task multi_label. For one label each, store one of its columns, "
        f"{name}[:, 0] say."
    )


def _texts(values: np.ndarray) -> np.ndarray:
    """Values with bytes as text."""
    return np.char.decode(values, "utf-8", "backslashreplace") if values.dtype.kind == "S" else values


def _row_ids(count: int, prefix: str = "") -> list[str]:
    width = max(5, len(str(count - 1)))
    return [f"{prefix}{i:0{width}d}" for i in range(count)]
