"""What a page is made of: sections that answer one question each, and what stands in them.

The template shows each part by the macro of ``parts.html.j2`` that has the name of its ``kind``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from reports.drawing import Plan
from reports.forest import Forest


@dataclass(frozen=True)
class Table:
    """A table with what to conclude from it.

    Attributes:
        conclusions: sentences.
        columns: heads; the first one heads the rows' names.
        rows: cells as text, the row's name first.
        note: what the columns mean.
        strategies: whose each row is; empty if the rows are not of single strategies.
        label: the table's name for screen readers.
    """

    kind: ClassVar[str] = "table"

    conclusions: list[str]
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""
    strategies: list[str] = field(default_factory=list)
    label: str = ""


@dataclass(frozen=True)
class GridCell:
    """A number, what stands small below it, and whether it is the best of its column."""

    main: str
    sub: str = ""
    best: bool = False


@dataclass(frozen=True)
class Grid:
    """Strategies by label counts or settings.

    Attributes:
        title: what it is about.
        columns: heads, but for that of the strategies.
        rows: strategy, its name in words, cells.
        label: what it is, for screen readers.
        caption: what the numbers are, as markup.
        conclusion: a sentence or two; empty: none.
    """

    kind: ClassVar[str] = "grid"

    title: str
    columns: list[str]
    rows: list[tuple[str, str, list[GridCell]]]
    label: str
    caption: str
    conclusion: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI."""

    kind: ClassVar[str] = "picture"

    title: str
    uri: str


Part = Table | Grid | Picture | Plan


@dataclass(frozen=True)
class Tile:
    """A short text beside others.

    Attributes:
        title, text: in words.
        level: that of the alert it stands for, and so its colour; empty: it warns of nothing.
        link: anchor of the section that says more; empty: none.
        command: what to type; empty: nothing.
    """

    title: str
    text: str
    level: str = ""
    link: str = ""
    command: str = ""


@dataclass(frozen=True)
class Answer:
    """What may be said about one dataset.

    Attributes:
        dataset: its name.
        claim: of ``Decision.claim``, or ``none``.
        headline, line: the answer in a few words, and what it gives up.
        sentences: the details.
        about: what it rests on: labels, test examples, seeds.
        forest: the candidates; None without any.
        tiles: what is asked next.
        by_labels: rows of a table, one a label count; empty with a single one.
    """

    dataset: str
    claim: str
    headline: str
    line: str
    sentences: list[str] = field(default_factory=list)
    about: list[str] = field(default_factory=list)
    forest: Forest | None = None
    tiles: list[Tile] = field(default_factory=list)
    by_labels: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """The answer to one question.

    Attributes:
        id: the anchor of its heading.
        title: the heading; empty: none.
        parts: in the order in which they stand.
        link: its name in the list of sections at the top; empty: it is not there.
        several: whether it is about more than one dataset, so that parts have to name theirs.
        template: a file of ``templates``, for what parts cannot show.
        content: what that file shows.
        hidden: it has no heading here: its template has one, with the anchor.
        folded: what opens it; empty: it is open. What is folded is left out on paper.
        shown: False: its figures are only written to files.
        below: sections that stand in this one.
    """

    id: str
    title: str
    parts: Sequence[Part] = ()
    link: str = ""
    several: bool = False
    template: str = "section.html.j2"
    content: Any = None
    hidden: bool = False
    folded: str = ""
    shown: bool = True
    below: tuple[Section, ...] = ()

    @property
    def plans(self) -> list[Plan]:
        """The figures to be drawn."""
        return [part for part in self.parts if isinstance(part, Plan)]
