"""The arrays beside a record: what they may hold, and the one way in which they are read."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bench.errors import RecordError
from bench.system.files import LARGEST, read_file

SUM = 1e-2
"""How far the probabilities of an example may be from adding up to 1: half precision rounds."""
Arrays = dict[str, np.ndarray]


def read_arrays(path: Path, sha256: str | None = None) -> Arrays:
    """The arrays of a cell's predictions, see ``Store.predictions``.

    Args:
        path: of the file.
        sha256: that it has if it is the one that was stored with the record; None: not known.

    Raises:
        RecordError: they are not what a cell leaves, or not those of this cell.
        OSError: there is no such file, or none that can be read.
    """
    data = read_file(path)
    if sha256 not in (None, hashlib.sha256(data).hexdigest()):
        where = f"{path.parent.name}/{path.name}"
        raise RecordError(f"{where}: not the predictions of this cell; they were changed or exchanged")
    arrays = _unpacked(path, data)
    for name, problem in _problems(arrays):
        raise RecordError(f"{path.parent.name}/{path.name}: {name}: expected {problem}")
    return arrays


def damaged(paths: Iterable[Path]) -> list[str]:
    """What is wrong with the files that are there, a sentence each."""
    found = []
    for path in paths:
        try:
            read_arrays(path)
        except FileNotFoundError:
            if path.is_symlink():
                found.append(f"{path.parent.name}/{path.name}: it is a link that leads nowhere")
        except OSError as error:
            found.append(f"{path.parent.name}/{path.name}: it cannot be read ({error.strerror or error})")
        except RecordError as error:
            found.append(str(error))
    return [f"Predictions are damaged and were left out: {text}." for text in found]


def _unpacked(path: Path, data: bytes) -> Arrays:
    where = f"{path.parent.name}/{path.name}"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            total = sum(member.file_size for member in archive.infolist())
        if total > LARGEST:
            raise RecordError(
                f"{where}: it unpacks to {total:,} bytes; {LARGEST:,} are the most that are read"
            )
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return dict(file)
    except RecordError:
        raise
    except MemoryError:
        raise RecordError(f"{where}: an array says that it is larger than memory") from None
    except Exception as error:  # numpy and zipfile have one of their own for each kind of damage
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise RecordError(f"{where}: expected arrays ({reason})") from None


def _problems(arrays: Arrays) -> Iterable[tuple[str, str]]:
    """Array and what it should be, of all that are not so."""
    if "class_accuracies" in arrays:
        yield from _of_episodes(arrays)
    else:
        yield from _of_examples(arrays)


def _of_examples(arrays: Arrays) -> Iterable[tuple[str, str]]:
    if missing := [name for name in ("probabilities", "labels", "ids") if name not in arrays]:
        yield missing[0], "an array of this name"
        return
    probabilities, labels, ids = (arrays[name] for name in ("probabilities", "labels", "ids"))
    if probabilities.dtype.kind != "f" or probabilities.ndim != 2 or not probabilities.size:
        yield "probabilities", f"numbers (examples, classes), not {probabilities.dtype} {probabilities.shape}"
        return
    count, classes = probabilities.shape
    many = labels.ndim == 2
    if not ((probabilities >= 0) & (probabilities <= 1 + SUM)).all():
        yield "probabilities", "values from 0 to 1"
    elif not many and not (np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1) <= SUM).all():
        yield "probabilities", "values that add up to 1 for each example"
    if many:
        if (
            labels.dtype.kind not in "iu"
            or labels.shape != (count, classes)
            or not ((labels == 0) | (labels == 1)).all()
        ):
            yield "labels", f"0 and 1, ({count}, {classes})"
    elif (
        labels.dtype.kind not in "iu"
        or labels.shape != (count,)
        or not ((labels >= 0) & (labels < classes)).all()
    ):
        yield "labels", f"{count} whole numbers from 0 to {classes - 1}"
    if ids.dtype.kind != "U" or ids.shape != (count,) or len(np.unique(ids)) < count:
        yield "ids", f"{count} different texts"
    groups = arrays.get("groups")
    if groups is not None and (groups.dtype.kind not in "iu" or groups.shape != (count,)):
        yield "groups", f"{count} whole numbers"


def _of_episodes(arrays: Arrays) -> Iterable[tuple[str, str]]:
    shapes = set()
    for name, most in (("accuracies", 1.0), ("class_accuracies", math.inf), ("class_weights", math.inf)):
        array = arrays.get(name)
        if array is None:
            continue
        if array.dtype.kind != "f" or array.ndim != 2:
            yield name, f"numbers with a row a setting, not {array.dtype} {array.shape}"
        elif not ((array >= 0) & (array <= most) & np.isfinite(array)).all():
            yield name, "values from 0 to 1" if most == 1 else "values of at least 0"
        shapes |= {array.shape} if name != "accuracies" else set()
    yield from _of_pairs(arrays)
    if len(shapes) != 1 or "class_weights" not in arrays:
        yield "class_weights", "a weight for each of class_accuracies"


def _of_pairs(arrays: Arrays) -> Iterable[tuple[str, str]]:
    accepts, errors = arrays.get("accepts"), arrays.get("class_errors")
    if accepts is not None and not (
        accepts.dtype.kind == "f"
        and accepts.ndim == 2
        and len(accepts) == 2
        and ((accepts >= 0) & (accepts <= 1)).all()
    ):
        yield "accepts", "two rows of values from 0 to 1"
    if errors is not None and not (
        errors.dtype.kind == "f" and errors.ndim == 1 and not np.isinf(errors).any()
    ):
        yield "class_errors", "a row of numbers"
