"""Manifests: a table with the columns path, label and, if wanted, split and group."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from bench.datasets.adapters.folder import SPLITS
from bench.datasets.source import Adapter, Contents, numbered, stamp_of
from bench.errors import RequestError
from bench.modalities.image.pictures import FilePicture
from bench.system.names import printable

COLUMNS = ("path", "label", "split", "group")

Row = tuple[str, str, str, str, str]
"""Where it stands in the file ("line 7"), path, label, split, group; empty where nothing is given."""


class Manifest(Adapter):
    """A CSV, TSV or Parquet file that lists images. Its paths are relative to its own folder.

    Labels and groups are text, exactly as written: ``007`` and ``NA`` stay what they are.
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
        self._rows: list[Row] = list(self._read(COLUMNS))  # type: ignore[arg-type]

    def stamp(self) -> list[Any]:
        files: list[Any] = [stamp_of(Path(), self.path.stat())]
        for _, name, *_ in self._rows:
            try:
                files.append(stamp_of(Path(name), os.stat(self.path.parent / name)))
            except (OSError, ValueError):
                files.append([name, None, None])
        return files

    def contents(self) -> Contents:
        if not self._rows:
            raise self._error("at least one row", "It lists no image.")
        seen: set[str] = set()
        for where, path, label, split, _ in self._rows:
            if not path or not label:
                raise self._error(
                    "a path and a label in every row", f"{where} lacks its {'label' if path else 'path'}."
                )
            if split.strip().lower() not in ("", *SPLITS):
                raise self._error("train, validation, test or nothing as split", f"{where} has {split!r}.")
            if path in seen:
                raise self._error("every path once", f"{where} repeats {path!r}.")
            seen.add(path)
        splits = [SPLITS.get(split.strip().lower(), "train") for _, _, _, split, _ in self._rows]
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
            group_texts=None if groups is None else [printable(group) for *_, group in self._rows],
        )

    def further_columns(self) -> list[str]:
        """The names of its columns beyond ``COLUMNS``."""
        return [name for name in self._names if name not in COLUMNS]

    def column(self, name: str) -> dict[str, str]:
        """What stands in one of ``further_columns``, as written, by example id; empty where nothing does."""
        return {printable(path): value for _, path, value in self._read((COLUMNS[0], name))}

    def _groups(self) -> tuple[list[int] | None, list[str]]:
        """Numbers the groups; a row without one stands alone."""
        if not any(group for *_, group in self._rows):
            return None, []
        groups, names = numbered(
            [f"{printable(g)}" if g else f"\0{i:09d}" for i, (*_, g) in enumerate(self._rows)]
        )
        return groups, [name.replace("\0", "row ") for name in names]

    def _read(self, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Where each row stands in the file, and its values in these columns."""
        read = self._read_parquet if self.path.suffix.lower() == ".parquet" else self._read_text
        try:
            yield from read(columns)
        except (OSError, csv.Error) as error:  # pyarrow's errors on damaged files are OSError or ValueError
            raise self._error("a manifest that can be read", f"The reader says: {error}.") from None

    def _read_text(self, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
        with self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            header = file.readline()
            delimiter = max("\t;,", key=header.count)  # spreadsheets write what their country uses
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            at = self._places(next(reader, []), columns)
            for cells in reader:
                if cells:
                    values = [cells[i] if i is not None and i < len(cells) else "" for i in at]
                    yield (f"Line {reader.line_num}", *values)

    def _read_parquet(self, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
        import pyarrow
        from pyarrow import parquet

        try:
            file = parquet.ParquetFile(self.path)
            names = file.schema_arrow.names
            at = self._places(names, columns)
            table = file.read(columns=[names[i] for i in at if i is not None])
        except pyarrow.ArrowException as error:
            raise self._error("a Parquet file that can be read", f"The reader says: {error}.") from None
        found = [[] if i is None else table.column(names[i]).to_pylist() for i in at]
        for row in range(table.num_rows):
            values = ["" if not column or column[row] is None else str(column[row]) for column in found]
            yield (f"Row {row + 1}", *values)

    def _places(self, header: list[str], columns: Sequence[str]) -> list[int | None]:
        """Positions of these columns; others are ignored."""
        names = self._names = [name.strip().lower() for name in header]
        missing = [name for name in COLUMNS[:2] if name not in names]
        if missing:
            raise self._error(
                "a manifest with the columns path,label[,split][,group]",
                f"It lacks {' and '.join(missing)}; it has {', '.join(map(repr, header[:9])) or 'none'}.",
            )
        return [names.index(name) if name in names else None for name in columns]

    def _error(self, expected: str, remedy: str) -> RequestError:
        return RequestError("dataset", self.spec, expected, printable(remedy))
