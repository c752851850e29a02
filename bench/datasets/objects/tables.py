"""Tables as users hold them: pandas frames and Hugging Face datasets. Neither library is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.datasets.adapters.columns import CONTENT, meant
from bench.datasets.objects.pictures import Pictures
from bench.datasets.objects.refusal import refusal
from bench.datasets.objects.sounds import Sounds
from bench.datasets.objects.store import keep_table
from bench.system.objects import temporary_folder

FILES = ("Image", "Audio")
"""Kinds of columns that become files."""
HF_PARTS = ("train", "validation", "test")


def is_frame(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "iloc")


def keep_frame(frame: Any) -> str:
    """Keeps a pandas frame with the columns of a manifest: ``path`` or ``text``, ``label``, ``split``, ``group``.

    Further columns stay. Relative paths are relative to the current folder.

    Raises:
        RequestError: it lacks a column.
    """
    names = [str(name) for name in frame.columns]
    columns = {name.strip().lower(): _cells(frame.iloc[:, i]) for i, name in enumerate(names)}
    content = [name for name in CONTENT if name in columns]
    if len(content) != 1 or "label" not in columns:
        raise _lacking(names)
    if not len(frame):
        raise refusal("a frame without rows", "a frame with at least one row")
    if content == ["path"]:
        columns["path"] = [os.path.abspath(path) if path else "" for path in columns["path"]]
    return keep_table("frame", columns)


def _cells(column: Any) -> list[str]:
    """The cells of a column as a manifest would have them: texts, empty where nothing is given."""
    present = column.notna().tolist()
    values = column.tolist()
    whole = all(not isinstance(v, float) or v.is_integer() for v, p in zip(values, present, strict=True) if p)
    said = [
        int(v) if whole and isinstance(v, float) and p else v for v, p in zip(values, present, strict=True)
    ]
    return [str(value) if there else "" for value, there in zip(said, present, strict=True)]


def _lacking(names: Sequence[str]) -> Exception:
    """What is said of a frame without the columns of a manifest, with the line that renames some."""
    near = {name: column for name in names if (column := meant(name)) in (*CONTENT, "label")}
    if len(set(near.values())) < len(near):
        near = {}
    remedy = f"It has {', '.join(map(repr, names[:9])) or 'none'}."
    if near:
        remedy += f" For instance: frame.rename(columns={near})"
    expected = "a frame with the columns path or text, and label[,split][,group]"
    return refusal("a pandas frame", expected, remedy)


# --------------------------------------------------------------------------------------------- Hugging Face


def is_hugging_face(value: Any) -> bool:
    """Whether it is a ``datasets.Dataset``, or a ``DatasetDict`` of some."""
    if isinstance(value, Mapping):
        return bool(value) and all(map(is_hugging_face, value.values()))
    return hasattr(value, "features") and hasattr(value, "column_names")


def keep_hugging_face(dataset: Any) -> str:
    """Keeps a Hugging Face dataset of images, sounds or texts with one label each; one of parts has its test part.

    Raises:
        RequestError: it is streamed, or no column holds images, sounds or texts, or labels.
    """
    parts = dict(dataset) if isinstance(dataset, Mapping) else {"": dataset}
    if len(parts) > 1:
        parts = {name: parts[name] for name in HF_PARTS if name in parts} or parts
    first = next(iter(parts.values()))
    if not all(hasattr(part, "__len__") for part in parts.values()):
        raise refusal(first, "a dataset on this machine", "Load it without streaming=True.")
    # In formats such as "numpy" or "torch" rows are no longer what their features say.
    parts = {
        name: part.with_format(None) if hasattr(part, "with_format") else part for name, part in parts.items()
    }
    kind, column, label = _columns(first)
    if kind == "Audio" and hasattr(
        first, "cast_column"
    ):  # files as they are: decoding asks for another package
        undecoded = type(first.features[column])(decode=False)
        parts = {name: part.cast_column(column, undecoded) for name, part in parts.items()}
    content = "text" if kind == "text" else "path"
    columns: dict[str, list[str]] = {content: [], "label": []}
    if len(parts) > 1:
        columns["split"] = []
    with temporary_folder() as folder:
        files: Pictures | Sounds = Sounds(folder) if kind == "Audio" else Pictures(folder)
        for part, row in _rows(parts, label):
            said = _label(first.features[label], row[label])
            value = row[column]
            columns[content].append(str(value) if kind == "text" else files.add(value, said))
            columns["label"].append(said)
            if len(parts) > 1:
                columns["split"].append(part)
        if not columns["label"]:
            raise refusal(first, "a dataset with at least one labelled example")
        return keep_table("dataset", columns, None if kind == "text" else files.folder)


def _rows(parts: Mapping[str, Any], label: str) -> Iterator[tuple[str, Any]]:
    """The labelled rows: test parts whose labels were never published have none, or -1."""
    for name, part in parts.items():
        for row in part:
            if row[label] is not None and row[label] != -1:
                yield name, row


def _label(feature: Any, value: Any) -> str:
    names = getattr(feature, "names", None)
    return str(names[value]) if names and isinstance(value, int) and value < len(names) else str(value)


def _columns(dataset: Any) -> tuple[str, str, str]:
    """``Image``, ``Audio`` or ``text``, the column that holds it, and that of the labels."""
    features = dict(dataset.features or {})
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    texts = [n for n, f in features.items() if getattr(f, "dtype", "") in ("string", "large_string")]
    label = _only([n for n in features if kinds[n] == "ClassLabel"], "label", list(features))
    rest = [name for name in texts if name != label]
    found = {kind: _only([n for n in features if kinds[n] == kind], kind.lower(), []) for kind in FILES}
    found["text"] = _only(rest, "text", [name for name in rest if meant(name) == "text"])
    kind = next((kind for kind, column in found.items() if column), "")
    if not label or not kind:
        remedy = (
            f"Its columns are {', '.join(features) or 'unknown'}. "
            "For instance: dataset.select_columns(['image', 'fine_label'])"
        )
        raise refusal(
            dataset, "a dataset with one column of images, sounds or texts, and one of labels", remedy
        )
    return kind, found[kind], label


def _only(fitting: Sequence[str], usual: str, others: Sequence[str]) -> str:
    """The one that fits, the one of the usual name, or the one of the others that means it; else empty."""
    if usual in fitting or len(fitting) == 1:
        return usual if usual in fitting else fitting[0]
    named = [name for name in others if name == usual or (meant(name) == usual)]
    return usual if usual in named else named[0] if len(named) == 1 else ""
