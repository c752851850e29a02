"""Which columns of a manifest are used, and what those that are not may have been meant for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from bench.datasets.adapters.folder import EXTENSIONS
from bench.datasets.parts import part_of
from bench.modalities.audio.items import SOUNDS
from bench.modalities.findings import Finding, Level, short
from bench.modalities.text.items import SUFFIX

CONTENT = ("path", "text")
"""Either says what an example is."""

COLUMNS = (*CONTENT, "label", "split", "group")

_LIKE = {
    "path": "path file filepath image imageindex imagepath imagefile img imgpath imgfile fname fn id url uri "
    "location source",
    "text": "text sentence review content comment body message msg sms utterance query question tweet post "
    "document doc title headline description abstract summary snippet phrase reviewtext rawtext texts string",
    "label": "label findinglabel class target category y tag diagnosis dx species breed grade gt groundtruth "
    "answer finding sentiment intent topic polarity emotion stars rating",
    "split": "split subset fold partition istrain istest isval isvalid set part phase usage stage mode",
    "group": "group patient subject person case participant individual donor animal writer speaker study series "
    "scan slide specimen lesion video clip sequence burst camera site hospital plate well plot session user sample",
}
"""Names of columns that each column may be called by others, without anything but letters, "id" and "name"."""

LIKE = {name: column for column, names in _LIKE.items() for name in names.split()}

_STAGES = frozenset(("set", "part", "phase", "usage", "stage", "mode"))
"""Such columns are of parts only if their values say so: a disease has stages, too."""
_PLACES = frozenset(("camera", "site", "hospital", "plate", "well", "plot", "session", "user", "sample"))
"""Examples of one place may be many, and different."""

WORDS = 4
"""A name of a column has fewer."""

OTHERS = 20
"""Columns that are named at most."""


@dataclass(frozen=True)
class Column:
    """A column that is not used."""

    name: str
    values: Sequence[str]

    @property
    def like(self) -> str | None:
        """The column that it may be meant for, by its name."""
        return meant(self.name)


def meant(name: str) -> str | None:
    """The column of ``COLUMNS`` that a name may be meant for; None if it is like none, or is one of them."""
    return None if name.strip().lower() in COLUMNS else LIKE.get(_word(name))


def is_header(cells: Sequence[str]) -> bool:
    """Whether the first line of a manifest names columns, and is no row with a file or a sentence."""
    return not _has_file(cells) and not any(len(cell.split()) >= WORDS for cell in cells)


def content_of(header: Sequence[str]) -> str:
    """Which column of ``CONTENT`` a table without either was meant to have."""
    if is_header(header):
        like = [meant(name) for name in header]
        return "text" if "text" in like and "path" not in like else "path"
    return "path" if _has_file(header) else "text"


def _has_file(cells: Sequence[str]) -> bool:
    return any(PurePosixPath(cell.strip().lower()).suffix in {*EXTENSIONS, *SOUNDS, SUFFIX} for cell in cells)


def how_to_name(header: Sequence[str], missing: Sequence[str]) -> str:
    """What to do about missing columns."""
    if not is_header(header):
        names = ",".join(missing if "label" in missing else [*missing, "label"])
        return (
            f"Its first line is a row already. Put a line above it that names the columns, such as {names}."
        )
    said = []
    for column in missing:
        near = [name for name in header if meant(name) == column]
        if len(near) == 1:
            said.append(f"Rename the column {near[0]!r} to {column!r}.")
        elif near:
            said.append(f"Rename one of {', '.join(map(repr, near[:5]))} to {column!r}.")
    return " ".join(said)


def one_of_many(columns: Sequence[Column]) -> str:
    """What to do where each class has a column of its own, with 0 and 1; empty if it is not so."""
    flags = [
        c for c in columns if {v.strip() for v in c.values} in ({"0", "1"}, {"0.0", "1.0"}, {"True", "False"})
    ]
    if len(flags) < 2:
        return ""
    names = [column.name for column in flags]
    on = [
        sum(v.strip() in ("1", "1.0", "True") for v in row)
        for row in zip(*(c.values for c in flags), strict=True)
    ]
    listed = ", ".join(map(repr, names[:4])) + (", ..." if names[4:] else "")
    if set(on) == {1}:
        return (
            f"The columns {listed} are one class each (one-hot). With pandas: table['label'] = "
            f"table[{names!r}].idxmax(axis=1)."
        )
    return (
        f"The columns {listed} are several labels of each example (multi-label): up to {max(on)}. To learn them, "
        "join their names in a column 'label', such as cat;dog, and add --task multi_label. With pandas: "
        f"table['label'] = table[{names!r}].dot([name + ';' for name in {names!r}])."
    )


def unused(columns: Sequence[Column], used: Sequence[str], labels: Sequence[str]) -> list[Finding]:
    """What the columns that are not used may have been meant for.

    Args:
        columns: those that are not used.
        used: the names of those that are.
        labels: of the rows.
    """
    splits = [column for column in columns if "split" not in used and _is_split(column)]
    groups = [column for column in columns if "group" not in used and _is_group(column)]
    others = [column for column in columns if column not in (*splits, *groups)]
    found = []
    if splits:
        words = all(part_of(value) for value in splits[0].values if value.strip())
        how = "rename it to 'split'" if words else "write train, validation or test into a column 'split'"
        found.append(_not_used(splits, "split", "validity", f"If it says what to test on, {how}."))
    if groups:
        weak = all(_word(column.name) in _PLACES for column in groups)
        remedy = "If examples of one value belong together, rename it to 'group': none is then on two sides."
        found.append(_not_used(groups, "group", "note" if weak else "validity", remedy))
    labelled = [c for c in others if c.like == "label" and _is_other_label(labels, c.values)]
    if labelled:
        found.append(_not_used(labelled, "label", "note", "The classes are those of the column 'label'."))
    rest = [column for column in others if column not in labelled]
    if rest:
        listed = ", ".join(repr(column.name) for column in rest[:OTHERS]) + (", ..." if rest[OTHERS:] else "")
        found.append(Finding("unused_columns", "note", f"Columns that are not used: {listed}."))
    return found


def _is_split(column: Column) -> bool:
    """Whether a column may say what is to be tested on: by its values, or by its name."""
    values = {value.strip() for value in column.values} - {""}
    parts = {part_of(value) for value in values}
    if len(parts) > 1 and None not in parts:
        return True
    name = _word(column.name)
    return len(values) > 1 and LIKE.get(name) == "split" and name not in _STAGES


def _is_group(column: Column) -> bool:
    """Whether a column may say which examples belong together."""
    values = {value.strip() for value in column.values}
    return column.like == "group" and 1 < len(values) < len(column.values)


def _not_used(columns: Sequence[Column], meant: str, level: Level, remedy: str) -> Finding:
    first = columns[0]
    few = ", ".join(repr(short(v, 20)) for v in list(dict.fromkeys(v for v in first.values if v))[:3])
    others = f" (and {', '.join(repr(c.name) for c in columns[1:4])})" if columns[1:] else ""
    text = f"The column {first.name!r}{others} with {few} is not used. Did you mean {meant!r}? {remedy}"
    return Finding(f"unused_{meant}", level, text)


def _is_other_label(labels: Sequence[str], values: Sequence[str]) -> bool:
    """Whether values say more, or something else, than the labels, and are classes."""
    pairs = len(set(zip(labels, values, strict=True)))
    return 1 < len(set(values)) < len(values) and not pairs == len(set(labels)) == len(set(values))


def _word(name: str) -> str:
    """The name of a column as it stands in ``LIKE``: of ``Patient_IDs`` it is patient."""
    letters = re.sub(r"[\W\d_]+", "", name.lower())
    forms = (letters, letters.removesuffix("s"), re.sub("(id|name)s?$", "", letters))
    return next((form for form in forms if form in LIKE), letters)


def is_windows(path: str) -> bool:
    """Whether a path is written as on Windows."""
    return "\\" in path or PureWindowsPath(path).drive != ""
