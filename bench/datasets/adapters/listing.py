"""Tables that list examples: a column for what an example is, its label and, if wanted, split and group."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from bench.datasets.adapters.columns import CONTENT, Column, content_of, how_to_name, one_of_many, unused
from bench.datasets.adapters.table import SUFFIXES, Table
from bench.datasets.labels import clean, labels_in
from bench.datasets.parts import KNOWN, PartName, is_fold, is_unlabelled, parts_of
from bench.datasets.source import Adapter, Contents, indicated, numbered
from bench.errors import RequestError
from bench.modalities.base import Item
from bench.modalities.findings import Finding, count
from bench.modalities.registry import modality
from bench.records import SINGLE_LABEL
from bench.system.names import printable
from bench.system.texts import USUAL

_INDEX = re.compile("unnamed: ?\\d+$|__index_level_")
"""What pandas calls the numbers of the rows."""


class Row(NamedTuple):
    """One example; empty where nothing is given."""

    where: str
    """Where it stands in the file: "line 7"."""
    content: str
    """The path of a file, or a text."""
    label: str
    split: str
    group: str


class Listing(Adapter):
    """A CSV, TSV, Parquet or JSON lines file that lists examples.

    Labels and groups are text as written, but for spaces around them: ``007`` and ``NA`` stay what they are.

    Args:
        path: of the file.
        task: with many labels, a cell holds any number of them, see ``labels_in``. The column may be called
            ``labels``.
    """

    suffixes = SUFFIXES
    many_labels = True
    content: ClassVar[str]
    """The column that says what an example is."""

    def __init__(self, path: str | Path, task: str = SINGLE_LABEL) -> None:
        super().__init__(str(path))
        self.path, self.task = Path(path), task
        self.name = self.path.stem
        self.table = Table(self.path, self.spec, self._rate)
        self._names = [name.strip().lower() for name in self.table.header]
        if self._has_many and "label" not in self._names:
            self._names = ["label" if name == "labels" else name for name in self._names]
        self._check_columns()
        self._rows = [
            Row(where, self._found(content), clean(label), split.strip(), clean(group))
            for where, content, label, split, group in self._read(self.columns)
        ]

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that are used."""
        return (self.content, "label", "split", "group")

    def contents(self) -> Contents:
        self._check_rows()
        splits = self._splits()
        labels, class_names = self._labels()
        groups, group_names = self._groups()
        return Contents(
            ids=self._ids,
            labels=labels,
            class_names=class_names,
            in_test=[split == "test" for split in splits] if "test" in splits else None,
            groups=groups,
            group_names=group_names,
            pictures=self._items(),
            findings=self._findings(),
            group_texts=None if groups is None else [printable(row.group) for row in self._rows],
        )

    def further_columns(self) -> list[str]:
        """The names of its columns beyond those that are used."""
        return [name for name in self._names if name and name not in self.columns]

    def column(self, name: str) -> dict[str, str]:
        """What stands in one of ``further_columns``, as written, by example id; empty where nothing does."""
        return dict(zip(self._ids, (value for _, value in self._read([name])), strict=True))

    @property
    def _has_many(self) -> bool:
        """Whether an example has any number of labels."""
        return self.task != SINGLE_LABEL

    def _labels(self) -> tuple[Any, list[str]]:
        """See ``Contents.labels`` and ``Contents.class_names``."""
        texts = [printable(row.label) for row in self._rows]
        if not self._has_many:
            return numbered(texts)
        labels, names = indicated([labels_in(text) for text in texts])
        if not names:
            raise self._error("have a label in some row", "All cells of the column 'label' are empty.")
        return labels, names

    # --------------------------------------------------------------------------- what the two kinds differ in

    _rate: Any = None
    """How well an encoding fits what is known otherwise."""

    def _found(self, content: str) -> str:
        """What the column ``content`` means by what it says."""
        return content

    @property
    @abstractmethod
    def _ids(self) -> list[str]:
        """The id of each row."""

    @abstractmethod
    def _items(self) -> Sequence[Item]:
        """What each row lists."""

    # ---------------------------------------------------------------------------------------------- checks

    def _check_columns(self) -> None:
        header, names = self.table.header, self._names
        content = self.content if self.content in names else content_of(header)
        missing = [name for name in (content, "label") if name not in names]
        if missing:
            near = how_to_name(header, missing)
            if not near and missing == ["label"]:
                cells = [row for _, row in self.table.rows()]
                of_name = zip(header, zip(*cells, strict=True), strict=False)
                near = one_of_many([Column(name, values) for name, values in of_name])
            instead = "Of texts, the column is called text." if missing[0] == "path" and not near else ""
            raise self._error(
                f"a manifest with the columns {content},label[,split][,group]",
                f"It lacks {' and '.join(missing)}. It has {', '.join(map(repr, header[:9])) or 'none'}. "
                f"{near}{instead}".rstrip(),
            )
        if other := [name for name in CONTENT if name in names and name != self.content]:
            remedy = f"Rename {self.content!r} or {other[0]!r}, such as to 'notes'."
            raise self._error("have one of the columns path (of files) and text, not both", remedy)
        twice = next((name for name in self.columns if names.count(name) > 1), None)
        if twice:
            raise self._error("have every column once", f"There are {names.count(twice)} columns {twice!r}.")

    def _check_rows(self) -> None:
        """Refuses rows without a label, and a table without rows."""
        if not self._rows:
            raise self._error("hold at least one row", f"It lists no {modality(self.modality).noun.one}.")
        for row in self._rows if not self._has_many else ():
            if not row.label:
                raise self._lacks(row, "label")

    def _lacks(self, row: Row, column: str) -> RequestError:
        return self._error(
            f"have a {self.content} and a label in every row",
            f"{row.where} lacks its {column}. Leave out rows without one.",
        )

    def _splits(self) -> list[PartName]:
        """The part of each row; one without is of the training part."""
        found: list[PartName] = []
        parts = parts_of({row.split for row in self._rows})
        for row in self._rows:
            part = parts.get(row.split) if row.split else "train"
            if part is None:
                raise self._error(
                    f"have {KNOWN} or nothing as split",
                    f"{row.where} has {row.split!r}. {_as_split(row.split)}",
                )
            found.append(part)
        return found

    def _findings(self) -> list[Finding]:
        names = [name for name in self.further_columns() if not _INDEX.match(name)]
        values = [row[1:] for row in self._read(names)]
        columns = [Column(name, [row[i] for row in values]) for i, name in enumerate(names)]
        found = unused(columns, self._names, [row.label for row in self._rows])
        without = [(id, row.where) for id, row in zip(self._ids, self._rows, strict=True) if not row.split]
        if 0 < len(without) < len(self._rows):
            items = [{"id": id, "reason": where} for id, where in without]
            text = f"{count(len(without), 'row')} without a split, taken for training."
            found.append(Finding("rows_without_split", "note", text, items))
        if self.table.encoding not in USUAL:
            text = (
                f"The file is not UTF-8; it was read as {self.table.encoding}. If names are wrong, save it as "
                "UTF-8."
            )
            found.append(Finding("encoding", "note", text))
        return found

    def _groups(self) -> tuple[list[int] | None, list[str]]:
        """Numbers the groups; a row without one stands alone."""
        given = [row.group for row in self._rows]
        if not any(given):
            return None, []
        groups, names = numbered([printable(g) if g else f"\0{i:09d}" for i, g in enumerate(given)])
        return groups, [name.replace("\0", "row ") for name in names]

    # --------------------------------------------------------------------------------------------- reading

    def _read(self, columns: Sequence[str]) -> list[tuple[str, ...]]:
        """Where each row stands in the file, and its values in these columns; empty where there is none."""
        at = [self._names.index(name) if name in self._names else None for name in columns]
        wanted = {i for i in at if i is not None}
        return [(where, *("" if i is None else row[i] for i in at)) for where, row in self.table.rows(wanted)]

    def _error(self, expected: str, remedy: str) -> RequestError:
        return self.table.error(expected, remedy)


def _as_split(split: str) -> str:
    """What to do about a split that is no word for a part."""
    if split.isdecimal() or is_fold(split):
        return "These look like folds: write test for the one to test on, and train for the others."
    if is_unlabelled(split):
        return "Leave out the rows without a label."
    return "Write test for what to test on and train for the rest."
