"""What every kind of source offers, and how a spec names one."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bench.datasets.findings import Finding
from bench.errors import RequestError, did_you_mean
from bench.files import sha256_file
from bench.plugins import find, plugins

if TYPE_CHECKING:
    from bench.datasets.decode import Facts

KERAS_SUMMARIES = {
    "mnist": "70,000 handwritten digits, 28 px, gray",
    "fashion_mnist": "70,000 photographs of clothes, 28 px, gray, 10 classes",
    "cifar10": "60,000 photographs, 32 px, 10 classes",
    "cifar100": "60,000 photographs, 32 px, 100 classes",
}

PLUGIN = "plugin:"
"""What the spec of another package's dataset begins with; NAME or NAME:ARGUMENT follows."""

MANIFESTS = (".csv", ".tsv", ".parquet")


class Picture(Protocol):
    """One image, not decoded yet."""

    def decode(self, size: int, resizing: str) -> tuple[np.ndarray, Facts]:
        """uint8, (size, size, 3), and what else is known of it then. Raises ``decode.Unreadable``."""

    def sha256(self) -> str:
        """Hash of the undecoded content."""


@dataclass(frozen=True)
class FilePicture:
    """An image file."""

    path: Path

    def decode(self, size: int, resizing: str) -> tuple[np.ndarray, Facts]:
        from bench.datasets.decode import decode

        return decode(self.path, size, resizing)

    def sha256(self) -> str:
        return sha256_file(self.path)


@dataclass(frozen=True)
class RowPicture:
    """A row of an array of images."""

    row: np.ndarray
    scale: float

    def decode(self, size: int, resizing: str) -> tuple[np.ndarray, Facts]:
        from bench.datasets.decode import decode_array

        return decode_array(self.row, self.scale, size, resizing)

    def sha256(self) -> str:
        head = f"{self.row.dtype.str}{self.row.shape}"  # the same bytes may be another image in another shape
        return hashlib.sha256(head.encode() + self.row.tobytes()).hexdigest()


@dataclass(frozen=True)
class Contents:
    """What a source holds, before any image is decoded. All sequences run over the same examples.

    Attributes:
        ids: unique.
        labels: indices into ``class_names``.
        class_names: in a fixed order.
        in_test: whether the example belongs to a given test part; None if none is given.
        groups: numbers of the groups; None if each example stands alone.
        group_names: what the user calls group i, for error messages.
        pictures: the images; they are gone through one by one and need not fit into memory.
        findings: what the source itself has found out.
        left_out: (id, reason) of images that are known to be unusable without decoding them.
        group_texts: what the user calls each example's group, empty where it has none; None without groups.
    """

    ids: Sequence[str]
    labels: Sequence[int]
    class_names: Sequence[str]
    in_test: Sequence[bool] | None
    groups: Sequence[int] | None
    group_names: Sequence[str]
    pictures: Iterable[Picture]
    findings: list[Finding] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    group_texts: Sequence[str] | None = None


class Source(Protocol):
    """A place where labelled images come from."""

    name: str

    def stamp(self) -> list[Any]:
        """JSON-able; cheap to get; differs whenever the content may have changed."""

    def contents(self) -> Contents:
        """Lists the examples. Raises ``RequestError`` for what no dataset can be made of."""


def printable(path: str) -> str:
    """A file name as valid Unicode: bytes that are not UTF-8 become ``\\xff``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def shown(text: str) -> str:
    """Text that came from a user, without control characters that a terminal would act on."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def stamp_of(path: Path, status: os.stat_result) -> list[Any]:
    """The entry of one file in a stamp."""
    return [str(path), status.st_size, status.st_mtime_ns]


def numbered(values: Sequence[str]) -> tuple[list[int], list[str]]:
    """Replaces values by their indices in the sorted list of distinct values, which comes second."""
    distinct = sorted(set(values))
    index = {value: i for i, value in enumerate(distinct)}
    return [index[value] for value in values], distinct


def known_names() -> list[tuple[str, str]]:
    """(name, one-line summary) of all that can be given as a dataset."""
    return [
        ("digits", "1,797 handwritten digits, 8 px, gray; comes with scikit-learn, needs no network"),
        *((f"keras:{name}", f"{text}; downloaded once") for name, text in KERAS_SUMMARIES.items()),
        ("tfds:NAME", "an image classification dataset of TensorFlow Datasets; needs transfer-bench[tfds]"),
        ("FOLDER/", "a folder of class folders, or of train/ validation/ test/ folders of class folders"),
        ("FILE.csv|.tsv|.parquet", "a manifest with the columns path,label[,split][,group]"),
        ("FILE.npz", "arrays x, y, optionally x_test, y_test"),
    ]


def canonical_spec(spec: str) -> str:
    """Resolves a dataset as the user wrote it to the form that plans store. Reads no data.

    Args:
        spec: a known name, ``keras:NAME``, ``tfds:NAME``, ``plugin:NAME[:ARGUMENT]``, or the path of a folder or
            file. A word without a slash is a path only if something of that name lies in the current folder.

    Returns:
        The name, or the absolute path (which need not exist).

    Raises:
        RequestError: the name is not known.
    """
    if spec.startswith(PLUGIN):
        return spec
    names = ["digits", *(f"keras:{name}" for name in KERAS_SUMMARIES)]
    kind, colon, rest = spec.partition(":")
    if spec == "digits" or (colon and kind == "tfds" and re.fullmatch(r"[\w./:+-]+", rest)):
        return spec
    if colon and kind == "keras":
        name = rest.lower().replace("-", "_")
        if name in KERAS_SUMMARIES:
            return f"keras:{name}"
    elif spec.strip() and not (colon and kind == "tfds"):
        path = Path(spec).expanduser()
        if "/" in spec or spec in (".", "..") or path.suffix.lower() in (*MANIFESTS, ".npz") or path.exists():
            return os.path.abspath(path)
    names += [f"{PLUGIN}{plugin.name}" for plugin in plugins("datasets")]
    raise RequestError(
        "dataset",
        spec,
        "digits, keras:NAME, tfds:NAME, plugin:NAME, a folder, a manifest (.csv, .tsv, .parquet) or an .npz file",
        did_you_mean(f"{PLUGIN}{spec}" if find("datasets", spec) else spec, names),
    )


def open_source(spec: str) -> Source:
    """Finds the adapter for a canonical spec.

    Raises:
        RequestError: there is nothing of that path, or nothing that can be read as a dataset.
    """
    from bench.datasets.arrays import ArrayFile, Digits
    from bench.datasets.fetched import Fetched
    from bench.datasets.folder import Folder
    from bench.datasets.manifest import Manifest

    if spec == "digits":
        return Digits()
    if spec.startswith(("keras:", "tfds:")):
        return Fetched(spec)
    if spec.startswith(PLUGIN):
        from bench.datasets.plugin import Checked

        return Checked(spec)
    path = Path(spec)
    try:
        if path.is_dir():
            return Folder(path)
        if path.is_file() and path.suffix.lower() in MANIFESTS:
            return Manifest(path)
        if path.is_file() and path.suffix.lower() == ".npz":
            return ArrayFile(path)
        exists = path.exists()
    except OSError as error:
        raise RequestError(
            "dataset", spec, "a dataset that can be read", f"The system says: {error.strerror}."
        ) from None
    if exists:
        raise RequestError("dataset", spec, "a folder, or a file that ends in .csv, .tsv, .parquet or .npz")
    raise RequestError("dataset", spec, "an existing folder or file", _nearest_sibling(path))


def keeps_label_mirrored(name: str) -> bool:
    """Whether a mirrored image keeps its label; known only by name: digits and characters do not."""
    lower = name.lower().replace("-", "_")
    words = (
        "digit",
        "mnist",
        "svhn",
        "omniglot",
        "character",
        "letter",
        "alphabet",
        "glyph",
        "kanji",
        "captcha",
    )
    return "fashion_mnist" in lower or not any(word in lower for word in words)


def _nearest_sibling(path: Path) -> str:
    """Suggests the nearest name in the same folder; names the folder if that is missing too."""
    try:
        hint = did_you_mean(path.name, (entry.name for entry in path.parent.iterdir()))
    except OSError:
        return f"There is no folder {str(path.parent)!r} either."
    return hint or "There is nothing of that name."
