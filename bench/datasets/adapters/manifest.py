"""Manifests: a table with the columns path, label and, if wanted, split and group."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from bench.datasets.adapters.columns import COLUMNS, Column, how_to_name, is_windows, one_of_many, unused
from bench.datasets.adapters.folder import EXTENSIONS
from bench.datasets.labels import clean
from bench.datasets.parts import KNOWN, PartName, is_fold, is_unlabelled, parts_of
from bench.datasets.source import Adapter, Contents, numbered, stamp_of
from bench.errors import RequestError
from bench.modalities.findings import Finding, count, short
from bench.modalities.image.pictures import FilePicture
from bench.system.names import printable
from bench.system.texts import UNICODE, USUAL, decoded

DELIMITERS = "\t;,|"
"""Spreadsheets write what their country uses."""

_INDEX = re.compile("unnamed: ?\\d+$|__index_level_")
"""What pandas calls the numbers of the rows."""

Row = tuple[str, str, str, str, str]
"""Where it stands in the file ("line 7"), path, label, split, group; empty where nothing is given."""


MAX_ROWS = 5_000_000
MAX_BYTES = 2**30
"""What is listed in memory at most: rows of Parquet files, and bytes of text files."""


class Manifest(Adapter):
    """A CSV, TSV or Parquet file that lists images. Its paths are relative to its own folder.

    Labels and groups are text as written, but for spaces around them: ``007`` and ``NA`` stay what they are. Paths
    may be written as on Windows.
    """

    suffixes = (".csv", ".tsv", ".parquet")
    forms: ClassVar[dict[str, str]] = {
        "FILE.csv|.tsv|.parquet": "a manifest with the columns path,label[,split][,group]"
    }

    def __init__(self, path: str | Path) -> None:
        super().__init__(str(path))
        self.path = Path(path)
        self.name = self.path.stem
        self._names: list[str] = []
        self._encoding = USUAL[0]
        self._rows: list[Row] = [
            (where, self._found(path), clean(label), split.strip(), clean(group))
            for where, path, label, split, group in self._read(COLUMNS)
        ]

    def stamp(self) -> list[Any]:
        files: list[Any] = [stamp_of(Path(), self.path.stat())]
        for _, name, *_ in self._rows:
            try:
                files.append(stamp_of(Path(name), os.stat(self.path.parent / name)))
            except (OSError, ValueError):
                files.append([name, None, None])
        return files

    def contents(self) -> Contents:
        self._check_rows()
        splits = self._splits()
        labels, class_names = numbered([printable(label) for _, _, label, _, _ in self._rows])
        groups, group_names = self._groups()
        return Contents(
            ids=[printable(path) for _, path, *_ in self._rows],
            labels=labels,
            class_names=class_names,
            in_test=[split == "test" for split in splits] if "test" in splits else None,
            groups=groups,
            group_names=group_names,
            pictures=[FilePicture(self.path.parent / path) for _, path, *_ in self._rows],
            findings=self._findings(),
            group_texts=None if groups is None else [printable(group) for *_, group in self._rows],
        )

    def further_columns(self) -> list[str]:
        """The names of its columns beyond ``COLUMNS``."""
        return [name for name in self._names if name and name not in COLUMNS]

    def column(self, name: str) -> dict[str, str]:
        """What stands in one of ``further_columns``, as written, by example id; empty where nothing does."""
        return {printable(self._found(path)): value for _, path, value in self._read((COLUMNS[0], name))}

    # ---------------------------------------------------------------------------------------------- checks

    def _check_rows(self) -> None:
        """Refuses rows that say nothing, or the same twice."""
        if not self._rows:
            raise self._error("hold at least one row", "It lists no image.")
        seen: dict[str, str] = {}
        for where, path, label, _, _ in self._rows:
            if not path or not label:
                raise self._error(
                    "have a path and a label in every row",
                    f"{where} lacks its {'label' if path else 'path'}. Leave out rows without one.",
                )
            if path in seen:
                another = "" if seen[path] == label else f" with another label ({seen[path]!r} and {label!r})"
                keep = "Keep one row for each image, such as table.drop_duplicates('path') with pandas."
                raise self._error("name every path once", f"{where} repeats {path!r}{another}. {keep}")
            seen[path] = label
        if not any(self._exists(path) for path in seen):
            raise self._error("name the paths of images, relative to its folder", self._why_missing())

    def _splits(self) -> list[PartName]:
        """The part of each row; one without is of the training part."""
        found: list[PartName] = []
        parts = parts_of({split for *_, split, _ in self._rows})
        for where, _, _, split, _ in self._rows:
            part = parts.get(split) if split else "train"
            if part is None:
                raise self._error(
                    f"have {KNOWN} or nothing as split", f"{where} has {split!r}. {_as_split(split)}"
                )
            found.append(part)
        return found

    def _findings(self) -> list[Finding]:
        names = [name for name in self.further_columns() if not _INDEX.match(name)]
        values = [row[1:] for row in self._read(names)]
        columns = [Column(name, [row[i] for row in values]) for i, name in enumerate(names)]
        found = unused(columns, self._names, [label for _, _, label, _, _ in self._rows])
        without = [(path, where) for where, path, _, split, _ in self._rows if not split]
        if 0 < len(without) < len(self._rows):
            items = [{"id": printable(path), "reason": where} for path, where in without]
            text = f"{count(len(without), 'row')} without a split, taken for training."
            found.append(Finding("rows_without_split", "note", text, items))
        if self._encoding not in USUAL:
            text = f"The file is not UTF-8; it was read as {self._encoding}. If names are wrong, save it as UTF-8."
            found.append(Finding("encoding", "note", text))
        return found

    def _groups(self) -> tuple[list[int] | None, list[str]]:
        """Numbers the groups; a row without one stands alone."""
        if not any(group for *_, group in self._rows):
            return None, []
        groups, names = numbered(
            [f"{printable(g)}" if g else f"\0{i:09d}" for i, (*_, g) in enumerate(self._rows)]
        )
        return groups, [name.replace("\0", "row ") for name in names]

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
        where, path, *_ = self._rows[0]
        said = f"None of the {len(self._rows):,} files is there; {where} has {path!r}."
        plain = path.strip().replace("\\", "/")
        names = [name for name in plain.split("/") if name]
        if re.match(r"\w+://", plain):
            return f"{said} These are addresses: download the images and list the files."
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

    # --------------------------------------------------------------------------------------------- reading

    def _read(self, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Where each row stands in the file, and its values in these columns."""
        read = self._read_parquet if self.path.suffix.lower() == ".parquet" else self._read_text
        try:
            yield from read(columns)
        except (OSError, csv.Error) as error:  # pyarrow's errors on damaged files are OSError or ValueError
            raise self._error("a manifest that can be read", f"The reader says: {error}.") from None

    @cached_property
    def _text(self) -> str:
        def existing(text: str) -> int:
            """How many of the first cells with letters beyond ASCII are files."""
            odd = [cell for cell in re.split(rf"[{DELIMITERS}\r\n]+", text) if not cell.isascii()]
            return sum(self._exists(self._found(cell.strip('"'))) for cell in odd[:200])

        size = self.path.stat().st_size
        if size > MAX_BYTES:
            raise self._error(f"a manifest of at most {MAX_BYTES / 2**30:g} GiB", f"It has {size:,} bytes.")
        data = self.path.read_bytes()
        text, self._encoding = decoded(data, existing)
        if self._encoding in UNICODE:
            return text
        raw = data.decode("utf-8", "surrogateescape")  # names on the disk need not be text
        if existing(raw) > existing(text):
            text, self._encoding = raw, UNICODE[0]
        return text

    def _read_text(self, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
        text = self._text.lstrip("\r\n")
        delimiter = None
        if said := re.match(r"sep=(.)\r?\n", text, re.IGNORECASE):  # as Excel writes it
            delimiter, text = said[1], text[said.end() :]
        delimiter = delimiter or max(DELIMITERS, key=text.partition("\n")[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        names = next(reader, [])
        at = self._places(names, columns, lambda: list(reader))
        for cells in reader:
            if not any(cells):
                continue
            if any(cell.strip() for cell in cells[len(names) :]):
                raise self._error(
                    f"have as many cells in every row as columns, {len(names)}",
                    f"Line {reader.line_num} has {len(cells)}. Put quotes around cells with {delimiter!r} in them.",
                )
            values = [cells[i] if i is not None and i < len(cells) else "" for i in at]
            yield (f"Line {reader.line_num}", *values)

    def _check_count(self, rows: int) -> None:
        """Refuses more than can be listed; a file of a few KB may say that it has millions."""
        if rows > MAX_ROWS:
            raise self._error(f"a manifest of at most {MAX_ROWS:,} rows", f"It has {rows:,}.")

    def _read_parquet(self, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
        import pyarrow
        from pyarrow import parquet

        try:
            file = parquet.ParquetFile(self.path)
            names = file.schema_arrow.names
            self._check_count(file.metadata.num_rows)
            at = self._places(
                names, columns, lambda: list(zip(*file.read().to_pydict().values(), strict=True))
            )
            table = file.read(columns=[names[i] for i in at if i is not None])
            found = [[] if i is None else table.column(names[i]).to_pylist() for i in at]
        except (pyarrow.ArrowException, ValueError, ArithmeticError) as error:  # these of damaged values
            raise self._error("a Parquet file that can be read", f"The reader says: {error}.") from None
        for row in range(table.num_rows):
            values = ["" if not column or column[row] is None else str(column[row]) for column in found]
            yield (f"Row {row + 1}", *values)

    def _places(
        self, header: list[str], columns: Sequence[str], rows: Callable[[], list[Any]]
    ) -> list[int | None]:
        """Positions of these columns.

        Args:
            header: the names as written.
            columns: those that are wanted.
            rows: reads the rows, for messages.
        """
        names = self._names = [name.strip().lower() for name in header]
        missing = [name for name in COLUMNS[:2] if name not in names]
        if missing:
            near = how_to_name(header, missing)
            if not near and missing == ["label"]:
                cells = [[str(c) for c in row] for row in rows() if len(row) == len(header)]
                of_name = zip(header, zip(*cells, strict=True), strict=False)
                near = one_of_many([Column(name, values) for name, values in of_name])
            raise self._error(
                "a manifest with the columns path,label[,split][,group]",
                f"It lacks {' and '.join(missing)}. It has {', '.join(map(repr, header[:9])) or 'none'}. "
                f"{near}".rstrip(),
            )
        twice = next((name for name in COLUMNS if names.count(name) > 1), None)
        if twice:
            raise self._error("have every column once", f"There are {names.count(twice)} columns {twice!r}.")
        return [names.index(name) if name in names else None for name in columns]

    def _error(self, expected: str, remedy: str) -> RequestError:
        return RequestError("dataset", self.spec, expected, short(printable(remedy), 1500))


def _as_split(split: str) -> str:
    """What to do about a split that is no word for a part."""
    if split.isdecimal() or is_fold(split):
        return "These look like folds: write test for the one to test on, and train for the others."
    if is_unlabelled(split):
        return "Leave out the rows without a label."
    return "Write test for what to test on and train for the rest."
