"""Tables of texts: a column ``text`` and a column ``label``, and if wanted ``split`` and ``group``."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from bench.datasets.adapters.listing import Listing
from bench.datasets.adapters.table import Table
from bench.datasets.source import stamp_of
from bench.modalities.text.items import GivenText


class TextTable(Listing):
    """A CSV, TSV, Parquet or JSON lines file with one text a row. The id of a text is its place in the file."""

    modality = "text"
    forms: ClassVar[dict[str, str]] = {
        "FILE.csv|.tsv|.parquet|.jsonl ": "texts, with the columns text,label[,split][,group]"
    }
    content = "text"

    @classmethod
    def reads(cls, path: Path) -> bool:
        if not super().reads(path):
            return False
        names = Table(path, str(path)).first_names()
        return "text" in names and "path" not in names

    def stamp(self) -> list[Any]:
        return stamp_of(Path(), self.path.stat())

    @cached_property
    def _ids(self) -> list[str]:
        return [row.where.lower() for row in self._rows]

    def _items(self) -> list[GivenText]:
        return [GivenText(row.content) for row in self._rows]
