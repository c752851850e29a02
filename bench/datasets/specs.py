"""How a text names a dataset, and which adapter reads it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bench.datasets.source import PLUGIN, Source
from bench.errors import RequestError, did_you_mean
from bench.system.plugins import find, plugins

KERAS_SUMMARIES = {
    "mnist": "70,000 handwritten digits, 28 px, gray",
    "fashion_mnist": "70,000 photographs of clothes, 28 px, gray, 10 classes",
    "cifar10": "60,000 photographs, 32 px, 10 classes",
    "cifar100": "60,000 photographs, 32 px, 100 classes",
}


MANIFESTS = (".csv", ".tsv", ".parquet")


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
    from bench.datasets.adapters.arrays import ArrayFile, Digits
    from bench.datasets.adapters.fetched import Fetched
    from bench.datasets.adapters.folder import Folder
    from bench.datasets.adapters.manifest import Manifest

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


def _nearest_sibling(path: Path) -> str:
    """Suggests the nearest name in the same folder; names the folder if that is missing too."""
    try:
        hint = did_you_mean(path.name, (entry.name for entry in path.parent.iterdir()))
    except OSError:
        return f"There is no folder {str(path.parent)!r} either."
    return hint or "There is nothing of that name."
