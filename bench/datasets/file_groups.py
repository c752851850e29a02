"""Groups that file names give away: several files of one person, video, scan, burst or picture.

A test set drawn image by image then holds people who are also learned from, and measures how well they are
recognised again. Names are evidence and no proof, so groups made of them are only used when a plan asks for it.

What repeats is looked for in the part of an id that tells files of a class apart: without its class folder. Four
kinds of names are known, see ``patterns``. Numbers that merely count (``IMG_0001``, ``cat.12``) make no group, nor
do folders and prefixes that name a kind of thing (``character05/``) rather than one thing.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np

from bench.datasets.division import united
from bench.datasets.source import Contents
from bench.modalities.audio.items import SOUNDS
from bench.modalities.evidence import Evidence, numbered
from bench.modalities.findings import NEGLIGIBLE, Finding

Keys = Sequence[Hashable | None]
"""What each file has in common with others of its group; None: nothing."""

PEOPLE = (
    "person", "patient", "pat", "patientid", "subject", "subj", "subjectid", "participant", "proband", "volunteer",
    "donor", "case", "animal", "mouse", "specimen", "individual", "speaker", "actor", "writer", "user", "pid",
    "sub", "paciente", "sujet", "sujeto", "paziente", "tcga", "id", "p", "s",
)  # fmt: skip
THINGS = (
    "video", "vid", "clip", "movie", "film", "seq", "sequence", "scene", "track", "burst", "slide", "wsi", "study",
    "series", "exam", "scan", "session", "episode", "volume", "stack", "recording", "lesion", "plot", "plant",
    "tree", "plate", "well", "eye", "object", "obj", "item", "instance",
)  # fmt: skip
"""Words before a number that say what it numbers; people before what was taken of them."""
INITIALS = ("p", "s", "id", "sub", "pat", "case", "item", "object", "obj", "user")
"""Words that may mean something else: they take at least ``SEVERAL`` values."""

PARTS = frozenset((
    "set", "batch", "part", "fold", "split", "train", "test", "val", "valid", "page", "dataset", "data", "cam",
    "camera", "view", "angle", "size", "scale", "zoom", "rot", "version", "v", "level", "class", "label", "cat",
    "category", "folder", "dir", "group", "lot", "site", "day", "week", "month", "year",
))  # fmt: skip
"""Words before a number that part a collection: what shares it is no one thing."""

SEVERAL = 5
"""Values that a number has to take, at least, if no word says what it numbers."""
TOGETHER = 0.5
"""Share of the files of such a pattern that have to lie in groups of several."""
BURST_SECONDS = 2
"""Between two pictures of a burst, at most."""

LEAST_SPEAKERS = 3
"""Values that a name before the number of a take has to have."""

_TAKE = re.compile(
    rf"([^/]*[^\W\d_][^/]*?[-_. ]+\d+)(?:{'|'.join(map(re.escape, sorted(SOUNDS)))})(?: [\d.]+-[\d.]* s)?$",
    re.I,
)
"""The name of a sound that ends in a number."""

_COPY = re.compile(
    r"(?:\.rf\.[0-9a-f]{16,}"
    r"|[-_. ]+(?:aug(?:mented)?|copy|copie|kopie|copia|dup(?:licate)?|h?v?flip(?:ped)?|mirror(?:ed)?|rot(?:ated)?"
    r"|crop(?:ped)?|noise|noisy|blur(?:red)?|bright(?:ness)?|dark|gray|grey|scaled|shear|zoom(?:ed)?)"
    r"[-_. ]*(?:\(?\d+\)?)?"
    r"| ?\(\d+\))$",
    re.IGNORECASE,
)
"""What is added to the name of a file that was made of another."""
_DATE = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])\d\d")
_TIME = re.compile(
    r"(?<!\d)((?:19|20)\d{2})[-_]?(\d{2})[-_]?(\d{2})[-_T ]?(\d{2})[-_.:]?(\d{2})[-_.:]?(\d{2})(?!\d{4})"
)


@dataclass(frozen=True)
class Pattern:
    """Something that repeats in names.

    Attributes:
        text: for people: ``person#``, say.
        keys: of each file.
    """

    text: str
    keys: Keys


def patterns(ids: Sequence[str], labels: Sequence[int], class_names: Sequence[str]) -> list[Pattern]:
    """What repeats in names, where it groups files of a class without being the class.

    - a number after a word for people or what was taken of them (``person3_img_2``, ``patient12/study1/view``),
      in any class;
    - a number before others in one folder (``00012_00003``, ``P001-L-CC``), which takes several values, most of
      them in several files;
    - times within ``BURST_SECONDS`` of each other;
    - copies (``a_aug3``, ``a.rf.0123...``, ``a (2)`` beside ``a``);
    - of sounds, if nothing else repeats: a name or hash before the number of a take (``7_jackson_32.wav``,
      ``0a7c2a8d_nohash_0.wav``), which is heard in most classes.

    Args:
        ids: relative paths; rows of arrays have none, so nothing repeats in them.
        labels: class of each.
        class_names: a path's part that is the name of its class is left out.
    """
    names = [_name(id, class_names[label]) for id, label in zip(ids, labels, strict=True)]
    found: list[Pattern] = []
    number = len(names)
    for look in (_people_and_things, _copies, _bursts, _counted):
        for pattern in look(names):
            if _groups_within(pattern.keys, labels):
                groups = int(grouped([*found, pattern], len(names))[0].max()) + 1
                found += [pattern] if groups < number else []  # else it repeats what others say
                number = min(number, groups)
    return found or [p for p in _speakers(ids, labels) if _groups_within(p.keys, labels)]


def grouped(found: Sequence[Pattern], count: int) -> tuple[np.ndarray, list[str]]:
    """All patterns together: what has a key in common in any of them is one group.

    Args:
        found: of ``count`` files.
        count: how many files there are.

    Returns:
        The group of each file, int64, (count,), and the name of each group, empty for a file that stands alone.
    """
    groups = np.arange(count)
    names = [""] * count
    for pattern in found:
        keys = [("alone", i) if key is None else key for i, key in enumerate(pattern.keys)]
        groups = united(groups, numbered(keys))
    for pattern in reversed(found):
        for i, key in enumerate(pattern.keys):
            if key is not None:
                names[groups[i]] = _spelled(key)
    return groups, names[: int(groups.max(initial=-1)) + 1]


def with_groups(contents: Contents, found: Sequence[Pattern]) -> Contents:
    """A source without groups with those that the names of its files make; says so where they make none."""
    if not found:
        text = "groups=auto finds nothing that repeats in the names of files: each stands alone."
        return replace(
            contents, findings=[*contents.findings, Finding("names_without_groups", "validity", text)]
        )
    groups, names = grouped(found, len(contents.ids))
    first = np.unique(groups, return_index=True)[1].tolist()
    return replace(
        contents,
        groups=groups.tolist(),
        group_names=[name or contents.ids[i] for name, i in zip(names, first, strict=True)],
        group_texts=[names[group] for group in groups.tolist()],
        grouping=described(found),
    )


def pointed_out(found: Sequence[Pattern], numbers: Sequence[int], evidence: Evidence) -> list[Finding]:
    """Names that repeat across pool and test part, with the remedy; nothing below a share of ``NEGLIGIBLE``.

    Args:
        found: what repeats.
        numbers: which of the files are used.
        evidence: of these.
    """
    if not found:
        return []
    groups, in_test = grouped(found, len(found[0].keys))[0][list(numbers)], evidence.in_test
    both = np.intersect1d(groups[in_test], groups[~in_test])
    affected = int(np.isin(groups[in_test], both).sum())
    if affected < max(1, NEGLIGIBLE * in_test.sum()):
        return []
    members: dict[int, list[int]] = defaultdict(list)
    for i in np.flatnonzero(np.isin(groups, both)).tolist():
        members[int(groups[i])].append(i)
    # Of each, one of both sides comes first: that is what a person wants to see.
    cases = [evidence.case(sorted(rows, key=lambda i: not in_test[i])) for rows in members.values()]
    many = evidence.noun.many
    text = (
        f"{evidence.of_test(affected)} repeat a name ({described(found)}) of {many} that are learned from. If it "
        "stands for one person, video or scene, accuracy on new ones may be much lower. To keep each on one side: "
        "--set groups=auto, or a manifest with a column 'group'."
    )
    return [Finding("names_across_splits", "validity", text, cases)]


def described(found: Sequence[Pattern]) -> str:
    """The patterns, for people."""
    texts = list(dict.fromkeys(pattern.text for pattern in found))
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


# ------------------------------------------------------------------------------------------- the kinds of names


@dataclass(frozen=True)
class _Name:
    """The part of an id that tells files of a class apart.

    Attributes:
        place: the folders that are the class or lie above it.
        folders: those below.
        stem: of the file.
    """

    place: str
    folders: tuple[str, ...]
    stem: str

    @property
    def text(self) -> str:
        return "/".join([*self.folders, self.stem])


def _name(id: str, class_name: str) -> _Name:
    path = PurePosixPath(id)
    *folders, file = path.parts or ("",)
    at = max((i + 1 for i, folder in enumerate(folders) if _plain(folder) == _plain(class_name)), default=0)
    stem = file[: -len(path.suffix)] if path.suffix and not path.suffix[1:].isdigit() else file
    return _Name("/".join(folders[:at]), tuple(folders[at:]), stem)


@lru_cache(4096)
def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()


def _people_and_things(names: Sequence[_Name]) -> list[Pattern]:
    """The first word of each kind that takes several values, people first; the coarsest that a file has."""
    by_word: dict[str, dict[int, Hashable]] = defaultdict(dict)
    for i, name in enumerate(names):
        for word, value in _worded(name.text):
            by_word[word].setdefault(i, (word, value))
    found, taken = [], set[int]()
    for word in dict.fromkeys((*PEOPLE, *THINGS)):
        keys = {i: key for i, key in by_word.get(word, {}).items() if i not in taken}
        if len(set(keys.values())) >= (SEVERAL if word in INITIALS else 2) and _repeat(keys):
            found.append(Pattern(f"{word}#", [keys.get(i) for i in range(len(names))]))
            taken |= keys.keys()
    return found


_WORDED = re.compile(r"(?<![A-Za-z\d])([A-Za-z]{2,}?)s?[-_. #/]?([A-Z]{0,3}\d+|[A-Z]{1,2}(?![A-Za-z]))")
_LETTERED = re.compile(r"(?:^|[-_. /])([PpSs])(\d+)(?![A-Za-z\d])")
_BARCODE = re.compile(r"(TCGA)-(\w\w-\w{4})")
"""Of a patient in The Cancer Genome Atlas."""


def _worded(text: str) -> list[tuple[str, str]]:
    """Words of ``PEOPLE`` and ``THINGS`` with the number, or capital, behind them."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)  # imgPatient3 is img Patient3
    all_of_them = [*_BARCODE.findall(text), *_LETTERED.findall(text), *_WORDED.findall(spaced)]
    return [
        (word.lower(), value.lstrip("0") or "0")
        for word, value in all_of_them
        if word.lower() in PEOPLE or word.lower() in THINGS
    ]


def _counted(names: Sequence[_Name]) -> list[Pattern]:
    """Beginnings of names that end in a number and are followed by something else, by their shape."""
    by_shape: dict[str, dict[int, Hashable]] = defaultdict(dict)
    for i, name in enumerate(names):
        for shape, key in _beginnings(name):
            by_shape[shape][i] = (name.place, key)
    found, taken = [], set[int]()
    for shape in sorted(by_shape, key=lambda shape: (shape.count("#"), shape)):  # the coarsest first
        keys = {i: key for i, key in by_shape[shape].items() if i not in taken}
        if len(set(keys.values())) >= SEVERAL and _repeat(keys):
            found.append(Pattern(f"{shape}...", [keys.get(i) for i in range(len(names))]))
            taken |= keys.keys()
    return found


def _beginnings(name: _Name) -> list[tuple[str, str]]:
    """(shape, text) of what may number one thing: everything up to a number, with more behind it."""
    if any(_is_kind(folder) for folder in name.folders) or _TIME.search(name.text):
        return []
    found, text = [], name.text
    if re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-", text, re.IGNORECASE):  # a UUID
        return []
    chunks = list(re.finditer(r"[^\W_]+", text))
    for chunk, following in pairwise(chunks):
        plain = re.fullmatch(r"([^\W\d_]*)(\d+)", chunk[0])
        hashed = len(chunk[0]) >= 8 and following[0].isdigit() and not chunk[0].isalpha()
        if plain and (plain[1].lower() in PARTS or _DATE.fullmatch(plain[2])):
            continue
        if plain or hashed:
            beginning = text[: chunk.end()]
            shape = re.sub(r"\d+", "#", beginning) if plain else re.sub(r"[^\W_]+$", "*", beginning)
            found.append((re.sub(r"(?<=\*).*(?=[-_./ ]\*)", "", shape), beginning))
    return found


def _is_kind(folder: str) -> bool:
    """Whether a folder is called like a kind of thing (``character05``), new ones of which are to be recognised."""
    words = re.findall(r"[^\W\d_]{4,}", folder.lower())
    return bool(words) and not any(word in PEOPLE or word in THINGS for word in words)


def _speakers(ids: Sequence[str], labels: Sequence[int]) -> list[Pattern]:
    """The names or hashes before the number of a take, in the names of sounds: the coarsest of what fits.

    Each is heard in most classes: a word that names a class, or a kind of one, is not.
    """
    by_shape: dict[str, dict[int, Hashable]] = defaultdict(dict)
    for i, id in enumerate(ids):
        if found := _TAKE.search(id):
            *chunks, _ = re.findall(r"[^\W_]+", found[1])
            for at, chunk in enumerate(chunks):
                if len(chunk) > 1 and not chunk.isdigit():
                    kinds = ["name" if k == at else "#" if c.isdigit() else "*" for k, c in enumerate(chunks)]
                    by_shape["_".join([*kinds, "#"])][i] = chunk.lower()
    kept = []
    for shape, keys in by_shape.items():
        classes: dict[Hashable, set[int]] = defaultdict(set)
        for i, key in keys.items():
            classes[key].add(labels[i])
        heard = sum(map(len, classes.values())) / len(classes)
        if len(classes) >= LEAST_SPEAKERS and heard >= TOGETHER * len({labels[i] for i in keys}):
            kept.append(Pattern(shape, [keys.get(i) for i in range(len(ids))]))
    return sorted(kept, key=lambda pattern: len(set(pattern.keys)))[:1]


def _bursts(names: Sequence[_Name]) -> list[Pattern]:
    """Times in names that follow each other within ``BURST_SECONDS``, in one folder."""
    by_folder: dict[tuple[str, ...], list[tuple[datetime, int]]] = defaultdict(list)
    for i, name in enumerate(names):
        if (found := _TIME.search(name.stem)) and (time := _time(found.groups())):
            by_folder[(name.place, *name.folders)].append((time, i))
    keys: list[Hashable | None] = [None] * len(names)
    for folder, times in by_folder.items():
        times.sort()
        first = times[0][0]
        for (before, _), (time, i) in zip(times[:1] + times, times, strict=False):
            first = first if (time - before).total_seconds() <= BURST_SECONDS else time
            keys[i] = ("/".join(folder), f"{first:%Y-%m-%d %H:%M:%S}")
    return [Pattern(f"times within {BURST_SECONDS} seconds", keys)]


def _time(parts: Sequence[str]) -> datetime | None:
    try:
        return datetime(*map(int, parts))  # type: ignore[arg-type]
    except ValueError:
        return None


def _copies(names: Sequence[_Name]) -> list[Pattern]:
    """Names that are equal but for what a copy's name ends in, if the original is there or the ending is sure."""
    bases = [_base(name.stem) for name in names]
    where = [(name.place, *name.folders) for name in names]
    originals = {(place, name.stem) for place, name in zip(where, names, strict=True)}
    keys = []
    for name, base, place in zip(names, bases, where, strict=True):
        numbered_only = re.fullmatch(r" ?\(\d+\)", name.stem[len(base) :])
        known = (place, base) in originals or not numbered_only
        keys.append(f"copies of {'/'.join(place)}/{base}" if known else None)
    counts = Counter(keys)
    kept: list[Hashable | None] = [key if key is not None and counts[key] > 1 else None for key in keys]
    return [Pattern("copies", kept)]


def _base(stem: str) -> str:
    while (shorter := _COPY.sub("", stem)) not in ("", stem):
        stem = shorter
    return stem


# ------------------------------------------------------------------------------------------- what makes a group


def _repeat(keys: dict[int, Hashable]) -> bool:
    """Whether most files of a pattern share their value with others."""
    counts = Counter(keys.values())
    return sum(counts[key] > 1 for key in keys.values()) >= TOGETHER * len(keys) > 0


def _groups_within(keys: Keys, labels: Sequence[int]) -> bool:
    """Whether some class has several groups, one of several files; else the key is the class, or nothing."""
    of_class: dict[int, Counter[Hashable]] = defaultdict(Counter)
    for key, label in zip(keys, labels, strict=True):
        if key is not None:
            of_class[int(label)][key] += 1
    return any(len(counts) > 1 and max(counts.values()) > 1 for counts in of_class.values())


def _spelled(key: Hashable) -> str:
    return " ".join(part for part in key if part) if isinstance(key, tuple) else str(key)
