"""Where rows of numbers come from."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, ClassVar

from bench.datasets.source import Adapter, Contents, numbered, stamp_of
from numbers_modality.modality import Row


class Table(Adapter):
    """A file of lines with a label and numbers."""

    modality = "numbers"
    suffixes = (".numbers",)
    forms: ClassVar[dict[str, str]] = {"FILE.numbers": "lines with a label and four numbers"}

    def __init__(self, spec: str) -> None:
        super().__init__(spec)
        self.path = Path(spec)
        self.name = self.path.stem

    def stamp(self) -> list[Any]:
        return stamp_of(Path(), self.path.stat())

    def contents(self) -> Contents:
        with self.path.open(newline="") as file:
            lines = list(csv.reader(file))
        labels, class_names = numbered([label for label, *_ in lines])
        return Contents(
            ids=[f"line {i}" for i in range(len(lines))],
            labels=labels,
            class_names=class_names,
            in_test=None,
            groups=None,
            group_names=(),
            pictures=[Row(tuple(cells)) for _, *cells in lines],
        )
