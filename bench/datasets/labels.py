"""What labels look like that are not one class each: twins, several labels in one, ids and numbers."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench.datasets.source import Contents
from bench.modalities.findings import Finding

ALPHABET = 6
"""Classes of one letter each from which on they are letters, of which "a" and "A" are two."""

STRONG = "|;"
"""What stands in a label only between several."""
WEAK = (",", "+", "&", "/", " ")
"""What may be part of a label."""
RECURRING = 0.9
"""Share of the pieces that have to occur in several labels, where what separates them may be part of a label."""
MOVING = 0.5
"""Share of the pieces that have to occur at several places where spaces separate them: "ace of clubs" has none."""

MANY = 10
"""Fewer labels are not taken for ids or numbers."""
ALONE = 0.5
"""Share of the labels with one example each, and of labels among examples, from which on they look like ids."""

_TRUE = frozenset("true t yes y 1 positive pos".split())  # noqa: SIM905
_FALSE = frozenset("false f no n 0 negative neg".split())  # noqa: SIM905

_NOTHING = frozenset(("nan", "null", "n/a", "#n/a", "<na>", "?", "-"))

CAUSES = (
    "twin_classes",
    "several_labels",
    "labels_like_ids",
    "labels_like_numbers",
    "files_not_read",
    "group_of_nothing",
)
"""Findings that explain why classes are too small, or groups too few."""

ONE_EACH = (
    "One class an example is learned here. To learn all labels of an example,{0} add --task multi_label. Or keep "
    "one label of each."
)


def clean(label: str) -> str:
    """A label without spaces around it, in the Unicode form in which equal letters are equal characters (NFC)."""
    return unicodedata.normalize("NFC", label).strip(" \t\xa0\u3000")


def key_of(label: str) -> str:
    """What is the same for labels that are the same to a person, in any case, with any spaces, as 1 or 1.0."""
    text = unicodedata.normalize(
        "NFKC", re.sub("[\ufe00-\ufe0f]", "", label)
    ).casefold()  # emoji in colour or not
    text = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf").strip()
    text = re.sub(r"(?<![\d.])(\d+)\.0+(?![\d.])", r"\1", text)  # 1.0 is 1, and v1.0.2 stays
    text = re.sub(r"(?<![\d.,])0+(?=\d)", "", text)  # 007 is 7
    text = re.sub(r"^\+(?=\d+$)", "", text)
    return re.sub(r"(?<=[^\W\d])[\s_-]+(?=\w)|(?<=\w)[\s_-]+(?=[^\W\d])", "", text)


def labels_in(cell: str) -> list[str]:
    """The labels of a cell: between ``;`` or ``|``, or a list as programs write it. An empty cell has none."""
    found = _listed(cell)
    pieces = re.split("[;|]", cell) if found is None else found
    return list(dict.fromkeys(label for piece in pieces if (label := clean(piece))))


def twins(names: Collection[str]) -> list[list[str]]:
    """Names that are the same to a person, together; letters of an alphabet have none."""
    of_key: dict[str, list[str]] = defaultdict(list)
    letters = {name.casefold() for name in names if len(name) == 1 and name.isalpha()}
    truths = all(key_of(name) in _TRUE | _FALSE for name in names)
    for name in names:
        alone = len(name) == 1 and len(letters) >= ALPHABET
        key = name if alone else key_of(name)
        of_key[str(key in _TRUE) if truths else key].append(name)
    return [sorted(found) for found in of_key.values() if len(found) > 1]


def noted(contents: Contents) -> Contents:
    """With what its labels and groups look like among the findings."""
    names, labels = contents.class_names, np.asarray(contents.labels)
    found = [
        *_twins("classes", "twin_classes", names),
        *_twins(
            "groups", "twin_groups", sorted({*contents.group_texts} - {""}) if contents.group_texts else ()
        ),
        *(_one_each(labels) if labels.ndim == 2 else _of_classes(names, labels)),
        *_no_label(names, contents.group_names),
    ]
    return replace(contents, findings=[*contents.findings, *found])


def _of_classes(names: Sequence[str], labels: np.ndarray) -> list[Finding]:
    counts = Counter(labels.tolist())
    return _several(names, counts) or _not_classes(names, counts)


def _one_each(labels: np.ndarray) -> list[Finding]:
    """Labels (N, classes) that say no more than classes would."""
    if (labels.sum(axis=1) != 1).any():
        return []
    text = "Every example has exactly one label. Leave --task multi_label out to learn one class of each."
    return [Finding("one_label_each", "note", text)]


def _twins(what: str, kind: str, names: Collection[str]) -> list[Finding]:
    found = twins(names)
    if not found:
        return []
    few = "; ".join(" and ".join(map(repr, names)) for names in found[:3])
    text = (
        f"{sum(map(len, found)):,} {what} differ only in case, spaces, or in how a number, a letter, or yes and no "
        f"are written: {few}. Each counts on its own. Write those that are the same in one way."
    )
    items = [
        {"id": names[0], "reason": f"also written {' and '.join(map(repr, names[1:]))}"} for names in found
    ]
    return [Finding(kind, "validity", text, items)]


# ------------------------------------------------------------------------------------ several labels in one


def _several(names: Sequence[str], counts: Mapping[int, int]) -> list[Finding]:
    separator, pieces = _pieces(names)
    if not pieces:
        return []
    compound = [name for name, found in pieces.items() if len(found) > 1]
    single = len({piece for found in pieces.values() for piece in found})
    index = {name: i for i, name in enumerate(names)}
    examples = sum(counts.get(index[name], 0) for name in compound)
    write = "" if separator in (*STRONG, "[") else " write them as cat;dog and"
    by = {" ": "spaces", "[": "brackets"}.get(separator, repr(separator))
    text = (
        f"{len(compound):,} of {len(names):,} classes look like several labels (multi-label), divided by {by}: "
        f"{single:,} labels make them up, in {examples:,} examples. {ONE_EACH.format(write)}"
    )
    items = [{"id": name, "reason": " and ".join(pieces[name])} for name in compound]
    return [Finding("several_labels", "validity", text, items)]


def _pieces(names: Sequence[str]) -> tuple[str, dict[str, list[str]]]:
    """What separates labels, and the labels in each name; nothing if each is one label."""
    lists = {name: found for name in names if (found := _listed(name)) is not None}
    if sum(len(found) > 1 for found in lists.values()) and len(lists) > len(names) / 2:
        return "[", {name: lists.get(name, [name]) for name in names}
    for separator in (*STRONG, *WEAK):
        pieces = {name: _split(name, separator) for name in names}
        if _are_several(pieces, separator):
            return separator, pieces
    return "", {}


def _are_several(pieces: Mapping[str, list[str]], separator: str) -> bool:
    """Whether pieces of names are labels of their own: they occur again, and in varying number."""
    compound = [found for found in pieces.values() if len(found) > 1]
    if not compound:
        return False
    occurrences = Counter(piece for found in pieces.values() for piece in set(found))
    recurring = [piece for piece, number in occurrences.items() if number > 1]
    if separator in STRONG:
        return not _is_tree([*pieces.values()]) and any(
            piece in recurring for found in compound for piece in found
        )
    return (
        len(compound) >= max(3, len(pieces) / 2)
        and len({len(found) for found in pieces.values()}) > 1
        and len(recurring) >= RECURRING * len(occurrences)
        and len(occurrences) < len(pieces)
        and all(len(set(found)) == len(found) for found in compound)
        and (separator != " " or _moving(pieces.values()) > MOVING * len(occurrences))
    )


def _moving(names: Iterable[Sequence[str]]) -> int:
    """How many pieces occur alone, or first in one name and later in another."""
    places: dict[str, set[int]] = defaultdict(set)
    for found in names:
        for place, piece in enumerate(found):
            places[piece].add(-1 if len(found) == 1 else place)
    return sum(-1 in at or len(at) > 1 for at in places.values())


def _is_tree(names: Sequence[list[str]]) -> bool:
    """Whether all names are a class below others, each below one: ``Tops|Shirt``, ``Tops|Blouse``."""
    below = {tuple(found): found[-1] for found in names}
    return len({len(found) for found in names}) == 1 and len(set(below.values())) == len(below)


def _listed(name: str) -> list[str] | None:
    """The labels of a list as programs write it: ``['a', 'b']``, ``["a"]``, ``{a, b}``; ``(25, 32)`` is a range."""
    if not re.fullmatch(r"\s*(\[.*\]|\(.*['\"].*\)|\{.*\})\s*", name, re.DOTALL):
        return None
    try:
        value = ast.literal_eval(name)
        return [str(v) for v in value] if isinstance(value, (list, tuple, set)) else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return [piece.strip(" '\"") for piece in re.split(r"[,\s]+", name.strip()[1:-1]) if piece]


def _split(name: str, separator: str) -> list[str]:
    return [piece for part in name.split(separator) if (piece := part.strip())] or [name]


# ------------------------------------------------------------------------------------------ ids and numbers


def _not_classes(names: Sequence[str], counts: Mapping[int, int]) -> list[Finding]:
    """Labels nearly as many as examples: ids, file names, measurements."""
    total, alone = sum(counts.values()), sum(number == 1 for number in counts.values())
    decimals = sum(
        re.fullmatch(r"[+-]?\d*[.,]\d*[1-9]\d*(e[+-]?\d+)?", name.lower()) is not None for name in names
    )
    if len(names) >= MANY and decimals > len(names) / 2:
        text = (
            f"{len(names):,} classes have decimals, like a quantity that is to be predicted (regression)."
            " Classes are learned here: divide the range into a few, or give the column with the classes."
        )
        return [Finding("labels_like_numbers", "validity", text)]
    if len(names) >= MANY and alone >= ALONE * len(names) and len(names) >= ALONE * total:
        text = (
            f"{len(names):,} classes for {total:,} examples, {alone:,} of them with one: the labels look like ids, "
            "file names or measurements. Give the column or folders that say what is to be told apart."
        )
        return [Finding("labels_like_ids", "validity", text)]
    return []


def _no_label(names: Sequence[str], groups: Sequence[str]) -> list[Finding]:
    """Classes and groups whose names are what programs write where there is no value."""
    found = [name for name in names if name.lower() in _NOTHING or (name == "-1" and "0" in names)]
    text = f"A class is called {' and '.join(map(repr, found))}. If that means no label, leave these examples out."
    said = [Finding("class_of_nothing", "note", text)] if found else []
    found = [name for name in groups if name.lower() in _NOTHING]
    text = (
        f"A group is called {' and '.join(map(repr, found))}, and its examples stay together. If that means no "
        "group, leave the cells empty: each then stands alone."
    )
    return [*said, *([Finding("group_of_nothing", "note", text)] if found else [])]
