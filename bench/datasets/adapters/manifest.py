"""Manifests of files: a table with the columns path, label and, if wanted, split and group."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from bench.datasets.adapters.columns import is_windows
from bench.datasets.adapters.folder import EXTENSIONS
from bench.datasets.adapters.listing import Listing
from bench.datasets.adapters.table import DELIMITERS, Table
from bench.datasets.source import stamp_of
from bench.modalities.base import Item
from bench.modalities.image.pictures import FilePicture
from bench.modalities.text.items import SUFFIX, FileText
from bench.system.names import printable


class Manifest(Listing):
    """A CSV, TSV, Parquet or JSON lines file that lists images, or texts in files of their own.

    Its paths are relative to its own folder, and may be written as on Windows.
    """

    forms: ClassVar[dict[str, str]] = {
        "FILE.csv|.tsv|.parquet|.jsonl": "a manifest with the columns path,label[,split][,group]"
    }
    content = "path"

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        if _are_texts([row.content for row in self._rows]):
            self.modality = "text"

    @classmethod
    def modality_at(cls, path: Path) -> str:
        return "text" if _are_texts(Table(path, str(path)).first_values("path")) else cls.modality

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
        return [printable(row.content) for row in self._rows]

    def _items(self) -> list[Item]:
        paths = [self.path.parent / row.content for row in self._rows]
        return [FileText(path) if self.modality == "text" else FilePicture(path) for path in paths]

    # ---------------------------------------------------------------------------------------------- checks

    def _check_rows(self) -> None:
        """Refuses rows that say nothing, or the same twice."""
        super()._check_rows()
        seen: dict[str, str] = {}
        for row in self._rows:
            path, label = row.content, row.label
            if not path:
                raise self._lacks(row, "path")
            if path in seen:
                another = "" if seen[path] == label else f" with another label ({seen[path]!r} and {label!r})"
                keep = "Keep one row for each file, such as table.drop_duplicates('path') with pandas."
                raise self._error("name every path once", f"{row.where} repeats {path!r}{another}. {keep}")
            seen[path] = label
        if not any(self._exists(path) for path in seen):
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
        for suffix in sorted(EXTENSIONS | {suffix.upper() for suffix in EXTENSIONS}):
            if self._exists(plain + suffix):
                return f"{said} Add the extension {suffix!r} to the paths."
            if self._exists(str(Path(plain).with_suffix(suffix)) if names else plain):
                return f"{said} The files end in {suffix!r}."
        for folder in self._folders():
            for tail in (
                plain,
                names[-1] if names else plain,
                *(names[-1] + suffix for suffix in EXTENSIONS),
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


def _are_texts(paths: Sequence[str]) -> bool:
    """Whether most of these files hold a text each, by their names."""
    return 2 * sum(path.strip().lower().endswith(SUFFIX) for path in paths) > len(paths)
