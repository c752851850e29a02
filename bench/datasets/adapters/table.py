"""Reading tables as people's programs write them: CSV, TSV, Parquet and JSON lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from bench.errors import RequestError
from bench.modalities.findings import short
from bench.system.names import printable
from bench.system.texts import UNICODE, USUAL, decoded

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")

DELIMITERS = "\t;,|"
"""Spreadsheets write what their country uses."""

MAX_ROWS = 5_000_000
MAX_BYTES = 2**30
"""What is listed in memory at most: rows of Parquet files, and bytes of text files."""

HEAD = 2**16
"""Bytes in which the names of the columns end."""

_KEY = re.compile(r'"(\w+)"\s*:')

MAX_CELL = 2**26
"""Characters of a cell. The csv module's own limit is shorter than a long review."""


class Table:
    """A table; opened when it is read.

    Args:
        path: its name says what it is.
        spec: for messages.
        rate: how well a text fits what is known otherwise, see ``bench.system.texts.decoded``.

    Attributes:
        encoding: of a text file, once it is read.
    """

    def __init__(self, path: Path, spec: str, rate: Callable[[str], int] | None = None) -> None:
        self.path, self.spec, self._rate = path, spec, rate
        self.kind = path.suffix.lower()
        self.encoding = USUAL[0]

    @cached_property
    def header(self) -> list[str]:
        """The names of the columns as written."""
        read = {".parquet": self._parquet_header, ".jsonl": self._json_header}.get(
            self.kind, self._text_header
        )
        return self._guarded(read)

    def first_names(self) -> set[str]:
        """The names of columns that the beginning of the file gives, lower case: enough to tell kinds apart.

        Of a file that cannot be read there are none.
        """
        try:
            if self.kind == ".parquet":
                names = self.header
            else:
                with self.path.open("rb") as file:
                    head = file.read(HEAD)
                if b"\0" not in head[:100]:  # UTF-16 has zeros
                    head = head[: head.find(b"\n") + 1] or head
                text, _ = decoded(head)
                names = next(self._cells(text)[0], []) if self.kind != ".jsonl" else _KEY.findall(text)
        except (RequestError, OSError, csv.Error):
            return set()
        return {name.strip().lower() for name in names}

    def first_values(self, name: str) -> list[str]:
        """What stands in a column in the first rows; nothing if they cannot be read."""
        try:
            at = [found.strip().lower() for found in self.header].index(name)
            return [cells[at] for _, cells in islice(self.rows([at]), 100)]
        except (RequestError, OSError, ValueError):
            return []

    def rows(self, wanted: Collection[int] | None = None) -> Iterator[tuple[str, list[str]]]:
        """Where each row stands in the file ("line 7"), and its values in the order of ``header``; empty where
        nothing is given.

        Args:
            wanted: the places of the columns that are looked at; others of Parquet are not read. None: all.

        Raises:
            RequestError: the table cannot be read.
        """
        if self.kind == ".parquet":
            rows = self._parquet_rows(range(len(self.header)) if wanted is None else wanted)
        else:
            rows = self._json_rows() if self.kind == ".jsonl" else self._text_rows()
        while (row := self._guarded(lambda: next(rows, None))) is not None:
            yield row

    def error(self, expected: str, remedy: str) -> RequestError:
        return RequestError("dataset", self.spec, expected, short(printable(remedy), 1500))

    def _guarded(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (OSError, csv.Error) as error:  # pyarrow's errors on damaged files are OSError or ValueError
            raise self.error("a manifest that can be read", f"The reader says: {error}.") from None

    # ------------------------------------------------------------------------------------------- CSV, TSV

    @cached_property
    def _text(self) -> str:
        size = self.path.stat().st_size
        if size > MAX_BYTES:
            raise self.error(f"a manifest of at most {MAX_BYTES / 2**30:g} GiB", f"It has {size:,} bytes.")
        data = self.path.read_bytes()
        rate = self._rate or (lambda text: 0)
        text, self.encoding = decoded(data, rate)
        if self.encoding in UNICODE or self._rate is None:
            return text
        raw = data.decode("utf-8", "surrogateescape")  # names on the disk need not be text
        if rate(raw) > rate(text):
            text, self.encoding = raw, UNICODE[0]
        return text

    def _cells(self, text: str) -> tuple[Any, str]:
        """Reads lines of cells; also what is between them."""
        text = text.lstrip("\r\n")
        delimiter = None
        if said := re.match(r"sep=(.)\r?\n", text, re.IGNORECASE):  # as Excel writes it
            delimiter, text = said[1], text[said.end() :]
        delimiter = delimiter or max(DELIMITERS, key=text.partition("\n")[0].count)
        csv.field_size_limit(MAX_CELL)
        return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), delimiter

    def _text_header(self) -> list[str]:
        return next(self._cells(self._text)[0], [])

    def _text_rows(self) -> Iterator[tuple[str, list[str]]]:
        reader, delimiter = self._cells(self._text)
        names: list[str] = next(reader, [])
        for cells in reader:
            if not any(cells):
                continue
            if any(cell.strip() for cell in cells[len(names) :]):
                raise self.error(
                    f"have as many cells in every row as columns, {len(names)}",
                    f"Line {reader.line_num} has {len(cells)}. Put quotes around cells with {delimiter!r} in them.",
                )
            yield f"Line {reader.line_num}", [*cells[: len(names)], *[""] * (len(names) - len(cells))]

    # ----------------------------------------------------------------------------------------- JSON lines

    def _json_header(self) -> list[str]:
        """The keys of all objects, in the order of the first that has them."""
        return list(dict.fromkeys(key for _, row in self._objects for key in row))

    def _json_rows(self) -> Iterator[tuple[str, list[str]]]:
        for where, row in self._objects:
            yield where, [self._value(where, key, row.get(key)) for key in self.header]

    @cached_property
    def _objects(self) -> list[tuple[str, dict[str, Any]]]:
        found = []
        # Not splitlines(): texts may hold other ends of lines than those of the file.
        for number, line in enumerate(re.split(r"\r?\n", self._text), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                row, why = None, f"Line {number} is none: {error}."
            else:
                why = f"Line {number} is {line.strip()[:20]!r}..."
            if not isinstance(row, dict):
                if number == 1 and line.lstrip().startswith("["):
                    why = "It is one list. pandas writes lines: to_json(path, orient='records', lines=True)"
                raise self.error("one JSON object in every line", why)
            found.append((f"Line {number}", row))
        return found

    def _value(self, where: str, key: str, value: Any) -> str:
        if isinstance(value, (dict, list)):
            kind = "a list" if isinstance(value, list) else "an object"
            raise self.error("have a text or number under every key", f"{where} has {kind} as {key!r}.")
        return "" if value is None else str(value)

    # -------------------------------------------------------------------------------------------- Parquet

    def _parquet_file(self) -> Any:
        import pyarrow
        from pyarrow import parquet

        try:
            return parquet.ParquetFile(self.path)
        except (pyarrow.ArrowException, ValueError) as error:
            raise self._damaged(error) from None

    def _parquet_header(self) -> list[str]:
        names: list[str] = self._parquet_file().schema_arrow.names
        return names

    def _parquet_rows(self, wanted: Collection[int]) -> Iterator[tuple[str, list[str]]]:
        import pyarrow

        file = self._parquet_file()
        rows = file.metadata.num_rows
        if rows > MAX_ROWS:  # a file of a few KB may say that it has millions
            raise self.error(f"a manifest of at most {MAX_ROWS:,} rows", f"It has {rows:,}.")
        number = 0
        try:
            for batch in file.iter_batches(columns=[self.header[i] for i in sorted(wanted)]):
                columns = dict(zip(batch.schema.names, (c.to_pylist() for c in batch.columns), strict=True))
                for i in range(batch.num_rows if columns else 0):
                    number += 1
                    cells = [columns[name][i] if name in columns else None for name in self.header]
                    yield f"Row {number}", ["" if cell is None else str(cell) for cell in cells]
        except (pyarrow.ArrowException, ValueError, ArithmeticError) as error:  # these of damaged values
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> RequestError:
        return self.error("a Parquet file that can be read", f"The reader says: {error}.")
