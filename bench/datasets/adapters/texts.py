"""Tables of texts: a column ``text`` and a column ``label``, and if wanted ``split`` and ``group``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, ClassVar

from bench.datasets.labels import clean
from bench.datasets.source import Adapter, Contents, numbered, stamp_of
from bench.modalities.text.items import GivenText


class TextTable(Adapter):
    """A CSV or TSV file with one text a row."""

    modality = "text"
    forms: ClassVar[dict[str, str]] = {"FILE.csv|.tsv": "texts, with the columns text,label[,split][,group]"}

    def __init__(self, path: str | Path) -> None:
        super().__init__(str(path))
        self.path = Path(path)
        self.name = self.path.stem

    @classmethod
    def reads(cls, path: Path) -> bool:
        if not path.is_file() or path.suffix.lower() not in (".csv", ".tsv"):
            return False
        with path.open(newline="", errors="replace") as file:
            return "text" in next(csv.reader(file), [])

    def stamp(self) -> list[Any]:
        return stamp_of(Path(), self.path.stat())

    def contents(self) -> Contents:
        with self.path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        labels, class_names = numbered([clean(row["label"]) for row in rows])
        splits = [row.get("split", "") for row in rows]
        return Contents(
            ids=[f"row {i}" for i in range(1, len(rows) + 1)],
            labels=labels,
            class_names=class_names,
            in_test=[split == "test" for split in splits] if "test" in splits else None,
            groups=None,
            group_names=(),
            pictures=[GivenText(row["text"]) for row in rows],
        )
