"""Manifests of files: a table with the columns path, label and, if wanted, split, group, start and end."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from bench.datasets.adapters.columns import is_windows
from bench.datasets.adapters.folder import EXTENSIONS, ITEMS
from bench.datasets.adapters.listing import Listing
from bench.datasets.adapters.table import DELIMITERS, Table
from bench.datasets.source import stamp_of
from bench.modalities.audio.items import SOUNDS, FileClip
from bench.modalities.base import Item
from bench.modalities.registry import DEFAULT
from bench.modalities.text.items import SUFFIX
from bench.records import SINGLE_LABEL
from bench.system.names import printable

SPAN = ("start", "end")
"""Columns of parts of audio files."""

Span = tuple[float | None, float | None]


class Manifest(Listing):
    """A CSV, TSV, Parquet or JSON lines file that lists images, audio, or texts in files of their own.

    Its paths are relative to its own folder, and may be written as on Windows. Clips may be parts of files, from
    ``start`` to ``end`` in seconds.
    """

    forms: ClassVar[dict[str, str]] = {
        "FILE.csv|.tsv|.parquet|.jsonl": "a manifest with the columns path,label[,split][,group][,start,end]"
    }
    content = "path"

    def __init__(self, path: str | Path, task: str = SINGLE_LABEL) -> None:
        super().__init__(path, task)
        self.modality = _modality([row.content for row in self._rows])

    @classmethod
    def modality_at(cls, path: Path) -> str:
        return _modality(Table(path, str(path)).first_values("path"))

    @property
    def columns(self) -> tuple[str, ...]:
        return (*super().columns, *(SPAN if self.modality == "audio" else ()))

    def stamp(self) -> list[Any]:
        files: list[Any] = [stamp_of(Path(), self.path.stat())]
        for row in self._rows:
            try:
                files.append(stamp_of(Path(row.content), os.stat(self.path.parent / row.content)))
            except (OSError, ValueError):
                files.append([row.content, None, None])
        return files

    @cached_property
    def _ids(self) -> list[str]:
        return [
            f"{printable(row.content)}{_spelled(span)}"
            for row, span in zip(self._rows, self._spans, strict=True)
        ]

    def _items(self) -> Sequence[Item]:
        paths = [self.path.parent / row.content for row in self._rows]
        if self.modality == "audio":
            return [FileClip(path, *span) for path, span in zip(paths, self._spans, strict=True)]
        return [ITEMS[self.modality](path) for path in paths]

    @cached_property
    def _spans(self) -> list[Span]:
        """The part of its file that each row names, in seconds; None: the file's own beginning or end."""
        if self.modality != "audio" or not set(SPAN) & set(self._names):
            return [(None, None)] * len(self._rows)
        return [self._span(where, start, end) for where, start, end in self._read(SPAN)]

    def _span(self, where: str, *cells: str) -> Span:
        found: list[float | None] = []
        for name, cell in zip(SPAN, cells, strict=True):
            value = _seconds(cell) if cell.strip() else None
            if cell.strip() and value is None:
                raise self._error(
                    "have seconds as start and end, such as 1.5", f"{where} has the {name} {cell!r}."
                )
            found.append(value)
        start, end = found
        if end is not None and end <= (start or 0.0):
            raise self._error(
                "have an end behind each start", f"{where} goes from {start or 0:g} to {end:g} s."
            )
        return start, end

    # ---------------------------------------------------------------------------------------------- checks

    def _check_rows(self) -> None:
        """Refuses rows that say nothing, or the same twice."""
        super()._check_rows()
        seen: dict[tuple[str, Span], str] = {}
        for row, span in zip(self._rows, self._spans, strict=True):
            path, label = row.content, row.label
            if not path:
                raise self._lacks(row, "path")
            if (path, span) in seen:
                first = seen[path, span]
                another = "" if first == label else f" with another label ({first!r} and {label!r})"
                keep = "Keep one row for each file, such as table.drop_duplicates('path') with pandas."
                if self._has_many:
                    keep = "Write all labels of a file into one row, such as cat;dog."
                raise self._error("name every path once", f"{row.where} repeats {path!r}{another}. {keep}")
            seen[path, span] = label
        if not any(self._exists(path) for path, _ in seen):
            raise self._error("name the paths of files, relative to its folder", self._why_missing())

    # ----------------------------------------------------------------------------------------------- paths

    def _exists(self, path: str) -> bool:
        try:
            return os.path.lexists(self.path.parent / path)
        except ValueError:  # a null character
            return False

    def _found(self, path: str) -> str:
        """A path as the file is called here: with slashes, without spaces around it, in its Unicode form."""
        if self._exists(path):
            return path
        slashed = path.strip().replace("\\", "/")
        forms = (path.strip(), slashed, *(unicodedata.normalize(form, slashed) for form in ("NFC", "NFD")))
        return next((form for form in forms if form and self._exists(form)), path)

    def _why_missing(self) -> str:
        """What to do where none of the files is there, by the first row."""
        where, path = self._rows[0][:2]
        said = f"None of the {len(self._rows):,} files is there; {where} has {path!r}."
        plain = path.strip().replace("\\", "/")
        names = [name for name in plain.split("/") if name]
        if re.match(r"\w+://", plain):
            return f"{said} These are addresses: download the files and list them."
        for i in range(1, len(names)):
            if self._exists(rest := "/".join(names[i:])):
                return f"{said} Leave {plain.removesuffix(rest)!r} out of the paths."
        known = SOUNDS if self.modality == "audio" else EXTENSIONS | SOUNDS
        for suffix in sorted(known | {suffix.upper() for suffix in known}):
            if self._exists(plain + suffix):
                return f"{said} Add the extension {suffix!r} to the paths."
            if self._exists(str(Path(plain).with_suffix(suffix)) if names else plain):
                return f"{said} The files end in {suffix!r}."
        for folder in self._folders():
            for tail in (
                plain,
                names[-1] if names else plain,
                *(names[-1] + suffix for suffix in sorted(known) if names),
            ):
                if self._exists(f"{folder}/{tail}"):
                    return (
                        f"{said} There is {f'{folder}/{tail}'!r}: write the paths so, or move the manifest."
                    )
        if is_windows(path):
            return f"{said} This is a Windows path: make the paths relative to the manifest's folder."
        return f"{said} Its folder is {str(self.path.parent)!r}."

    def _folders(self) -> list[str]:
        """The first folders beside the manifest."""
        with os.scandir(self.path.parent) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())[:100]

    def _rate(self, text: str) -> int:
        """How many of the first cells with letters beyond ASCII are files."""
        odd = [cell for cell in re.split(rf"[{DELIMITERS}\r\n]+", text) if not cell.isascii()]
        return sum(self._exists(self._found(cell.strip('"'))) for cell in odd[:200])


def _modality(paths: Sequence[str]) -> str:
    """What most of these files hold, by their names."""
    for name, suffixes in (("text", {SUFFIX}), ("audio", SOUNDS)):
        if 2 * sum(os.path.splitext(path.strip())[1].lower() in suffixes for path in paths) > len(paths):
            return name
    return DEFAULT


def _seconds(cell: str) -> float | None:
    """A time in seconds; None if it is none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if 0 <= value < 1e7 else None  # NaN is neither


def _spelled(span: Span) -> str:
    """What tells parts of one file apart: ``" 1.5-3 s"``."""
    start, end = span
    return "" if span == (None, None) else f" {start or 0:g}-{'' if end is None else f'{end:g}'} s"
