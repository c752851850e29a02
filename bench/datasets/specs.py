"""The list of adapters, and how a text names a dataset."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from bench.datasets.adapters.arrays import ArrayFile, Digits
from bench.datasets.adapters.fetched import Fetched
from bench.datasets.adapters.folder import Folder
from bench.datasets.adapters.manifest import Manifest
from bench.datasets.plugin import Checked
from bench.datasets.source import PLUGIN, Adapter, Source
from bench.errors import RequestError, did_you_mean
from bench.system.names import path_text
from bench.system.plugins import find, plugins

ADAPTERS: tuple[type[Adapter], ...] = (Digits, Fetched, Folder, Manifest, ArrayFile, Checked)
"""All there are, in the order of listings."""


def known_datasets() -> list[tuple[str, str]]:
    """(name, one-line summary) of all that can be given as a dataset, for listings."""
    return [line for adapter in ADAPTERS for line in (adapter.names | adapter.forms).items()]


def canonical_spec(spec: str | PurePath) -> str:
    """Resolves a dataset as the user wrote it to the form that plans store. Reads no data.

    Args:
        spec: a known name, ``keras:NAME``, ``tfds:NAME``, ``plugin:NAME[:ARGUMENT]``, or the path of a folder or
            file. A word without a slash is a path only if something of that name lies in the current folder.

    Returns:
        The name, or the absolute path (which need not exist).

    Raises:
        RequestError: the name is not known.
    """
    spec = path_text(spec)
    for adapter in ADAPTERS:
        if (name := adapter.canonical(spec)) is not None:
            return name
    if spec.strip() and not any(spec.startswith(adapter.prefixes) for adapter in ADAPTERS):
        path = Path(spec).expanduser()
        if "/" in spec or spec in (".", "..") or path.suffix.lower() in _suffixes() or path.exists():
            return os.path.abspath(path)
    names = [name for adapter in ADAPTERS for name in adapter.names]
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
    for adapter in ADAPTERS:
        if adapter.canonical(spec) == spec:
            return adapter(spec)
    path = Path(spec)
    try:
        for adapter in ADAPTERS:
            if adapter.reads(path):
                return adapter(spec)
        exists = path.exists()
    except OSError as error:
        raise RequestError(
            "dataset", spec, "a dataset that can be read", f"The system says: {error.strerror}."
        ) from None
    if exists:
        *most, last = _suffixes()
        raise RequestError("dataset", spec, f"a folder, or a file that ends in {', '.join(most)} or {last}")
    raise RequestError("dataset", spec, "an existing folder or file", _nearest_sibling(path))


def _suffixes() -> list[str]:
    """Of the files that some adapter reads."""
    return [suffix for adapter in ADAPTERS for suffix in adapter.suffixes]


def _nearest_sibling(path: Path) -> str:
    """Suggests the nearest name in the same folder; names the folder if that is missing too."""
    try:
        hint = did_you_mean(path.name, (entry.name for entry in path.parent.iterdir()))
    except OSError:
        return f"There is no folder {str(path.parent)!r} either."
    return hint or "There is nothing of that name."
