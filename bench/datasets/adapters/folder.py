"""Folders of class folders, with or without parts above them."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench.datasets.adapters.arrangement import Arrangement, arranged
from bench.datasets.adapters.masks import masks
from bench.datasets.findings import OUTSIDE
from bench.datasets.labels import clean
from bench.datasets.parts import is_container
from bench.datasets.source import Adapter, Contents, stamp_of
from bench.errors import RequestError
from bench.modalities.audio.items import EXTENSIONS as AUDIO
from bench.modalities.audio.items import SOUNDS, FileClip
from bench.modalities.base import Item
from bench.modalities.findings import Finding, Level, count, level_of
from bench.modalities.image.pictures import FilePicture
from bench.modalities.nouns import Noun
from bench.modalities.registry import DEFAULT, modality
from bench.modalities.text.items import SUFFIX, FileText
from bench.store import is_written_here
from bench.system.files import cache_dir
from bench.system.names import printable

EXTENSIONS = frozenset(
    """
    .jpg .jpeg .jpe .jfif .png .bmp .dib .gif .webp .tif .tiff .ppm .pgm .pbm .pnm .avif .heic .heif .jp2
    """.split()  # noqa: SIM905
)
"""Files of these names are images; others are if they begin as one."""

TEXTS = frozenset(
    """
    .txt .xml .json .csv .tsv .md .html .htm .yaml .yml .toml .py .ipynb .log
    """.split()  # noqa: SIM905
)
"""Files of these names are not looked into."""

SYSTEM = frozenset(("thumbs.db", "desktop.ini", "__macosx", "@eadir", "lost+found", "$recycle.bin"))

EXPECTED = "a folder of class folders with images or audio, or with texts in files of their own"

ITEMS: dict[str, Callable[[Path], Item]] = {"image": FilePicture, "text": FileText, "audio": FileClip}
"""What a file is, by modality."""

DANGLING = "symbolic link to nothing"
CIRCLE = "symbolic link to a folder that it lies in"


@dataclass(frozen=True)
class _File:
    relative: Path
    """Relative to the dataset's folder."""
    status: os.stat_result
    problem: str = ""
    """Why it cannot be used, or an empty string."""
    real: str = ""
    """Where it lies with the links to its folder resolved."""
    linked: bool = False
    """Whether there are any."""

    @property
    def id(self) -> str:
        return printable(self.relative.as_posix())


class Folder(Adapter):
    """A folder of images, of audio if it holds more of that, or of texts in files of their own if it has neither.

    It is scanned (names, sizes, times) when it is made, and its files are opened only when they are read.

    Links are followed as long as they stay within it. What this program writes into it (runs, sources, exports, its
    cache) is no part of it.
    """

    forms: ClassVar[dict[str, str]] = {
        "FOLDER/": "class folders with images, audio or .txt files, or train/ validation/ test/ folders of such"
    }

    @classmethod
    def reads(cls, path: Path) -> bool:
        return path.is_dir()

    def __init__(self, root: str | Path) -> None:
        super().__init__(str(root))
        self.root = root = Path(root)
        self.name = root.name or str(root)
        self._real_root = os.path.realpath(root)
        self._cache = os.path.realpath(cache_dir())
        self._files: list[_File] = []
        self._others: list[_File] = []
        self._hidden: list[_File] = []
        self._links: list[_File] = []
        """To folders that are not followed."""
        self._folders: list[Path] = []
        self._scan(Path(), self._real_root, frozenset((self._real_root,)))
        self._take_sounds()
        if not self._files:
            self._take_texts()
        for files in (self._files, self._others, self._hidden, self._links):
            files.sort(key=lambda file: file.relative.parts)
        self._folders.sort()

    @classmethod
    def modality_at(cls, path: Path) -> str:
        suffixes = {os.path.splitext(name)[1].lower() for _, _, names in os.walk(path) for name in names}
        is_plain = suffixes & EXTENSIONS and not suffixes & SOUNDS
        return DEFAULT if is_plain else cls(path).modality

    @property
    def noun(self) -> Noun:
        return modality(self.modality).noun

    def _take_sounds(self) -> None:
        """Takes the sounds for the examples, if there are more of them than images (covers, spectrograms)."""
        sounds = [file for file in self._others if file.relative.suffix.lower() in SOUNDS]
        if len(sounds) > len(self._files):
            self.modality = "audio"
            taken = {file.relative for file in sounds}
            self._others = [file for file in (*self._others, *self._files) if file.relative not in taken]
            self._files = sounds

    def _take_texts(self) -> None:
        """Takes the text files for the examples, if most files in the folders are such."""
        texts = [file for file in self._others if file.relative.suffix.lower() == SUFFIX]
        within = [file for file in texts if len(file.relative.parts) > 1]
        if 2 * len(within or texts) > sum(len(file.relative.parts) > 1 for file in self._others):
            self.modality = "text"
            self._files = within or texts  # what lies at the top is a licence, a readme
            taken = {file.relative for file in self._files}
            self._others = [file for file in self._others if file.relative not in taken]

    def stamp(self) -> list[Any]:
        kinds = (self._files, self._others, self._hidden, self._links)
        files = [[[*stamp_of(file.relative, file.status), file.problem] for file in files] for files in kinds]
        return [*files, [str(path) for path in self._folders]]

    def contents(self) -> Contents:
        if is_written_here(os.listdir(self.root)):
            remedy = "It was written by a run, pretrain or export. Give the folder of the examples."
            raise RequestError("dataset", str(self.root), EXPECTED, remedy)
        noun = self.noun
        is_images = self.modality == DEFAULT
        revealed = _Revealed.of(self.root, self._others) if is_images else _Revealed([], [], self._others)
        images = sorted([*self._files, *revealed.images], key=lambda file: file.relative.parts)
        if not any(not file.problem for file in images):
            raise self._nothing(images, revealed)
        try:
            arrangement = arranged(self.root, [file.relative.parts for file in images], noun)
        except RequestError as error:
            remedy = " ".join(filter(None, [error.remedy, *self._beside(images, revealed)]))
            raise RequestError(error.field, error.received, error.expected, remedy) from None
        placed, loose = _placed(images, arrangement)
        good = [place for place in placed if not place.file.problem]
        empty, unfilled = self._unfilled(images, arrangement)
        class_names = sorted({place.label for place in placed} | empty)
        index = {name: i for i, name in enumerate(class_names)}
        in_test = [place.part == "test" for place in good]
        return Contents(
            ids=[place.file.id for place in good],
            labels=[index[place.label] for place in good],
            class_names=class_names,
            in_test=in_test if any(in_test) else None,
            groups=None,
            group_names=(),
            pictures=[ITEMS[self.modality](self.root / place.file.relative) for place in good],
            findings=[
                *arrangement.findings,
                *(masks([place.file.relative for place in good], arrangement.roots) if is_images else ()),
                *_loose(loose, arrangement, len(images), noun),
                *_unread(revealed, images),
                *unfilled,
                *_other_files(revealed.others, self._hidden, noun),
            ],
            left_out=[(file.id, file.problem) for file in (*images, *self._links) if file.problem],
        )

    def _beside(self, images: Sequence[_File], revealed: _Revealed) -> list[str]:
        """What else there is, where the folders with images are too few or misplaced."""
        filled = {file.relative.parts[0] for file in images}
        empty = [f"{printable(folder.name)}/" for folder in self._folders if len(folder.parts) == 1]
        empty = [name for name in empty if name.removesuffix("/") not in filled]
        unread = [f"Not read: {_by_reason(revealed.unread)}."] if revealed.unread else []
        without = (
            [f"No {self.noun.one} is in {', '.join(empty[:4])}{' ...' if empty[4:] else ''}."]
            if empty
            else []
        )
        return [*unread, *without, _of_links(self.root, self._links)]

    def _nothing(self, images: Sequence[_File], revealed: _Revealed) -> RequestError:
        """The refusal of a folder without a single image that can be tried."""
        if images:
            reasons = Counter(file.problem for file in images)
            listed = ", ".join(f"{number:,}: {reason}" for reason, number in reasons.most_common())
            remedy = f"None of its {len(images):,} {self.noun.one} files can be used ({listed})."
            if OUTSIDE in reasons:
                copying = f"cp -rL {shlex.quote(str(self.root))} COPY"
                remedy += f" Copy them ({copying}), or list the files themselves in a manifest."
            if DANGLING in reasons:
                remedy += " Fetch the files that the links lead to first (git annex get, dvc pull)."
        elif revealed.unread:
            remedy = f"It holds no image that can be read: {_by_reason(revealed.unread)}."
        elif self._links:
            remedy = ""
        else:
            remedy = (
                f"It holds no image file ({' '.join(sorted(EXTENSIONS))}), no audio ({' '.join(sorted(AUDIO))}) "
                f"and no texts ({SUFFIX})."
            )
        remedy = f"{remedy} {_of_links(self.root, self._links)}".strip()
        return RequestError("dataset", str(self.root), EXPECTED, remedy)

    def _unfilled(self, images: Sequence[_File], arrangement: Arrangement) -> tuple[set[str], list[Finding]]:
        """Folders beside class folders that hold no image.

        Returns:
            The classes that are empty folders, whose images are missing; and what is told of the others, which hold
            something else or lie beside the parts.
        """
        filled = {parent for file in images for parent in file.relative.parents}
        held = {parent for file in self._others for parent in file.relative.parents}
        at_classes = [f for f in self._folders if f not in filled and f.parts[:-1] in arrangement.roots]
        beside = [f for f in self._folders if f not in filled and len(f.parts) == 1 and f not in at_classes]
        empty = {clean(printable(folder.name)) for folder in at_classes if folder not in held}
        others = [*beside, *(folder for folder in at_classes if folder in held)]
        if not others:
            return empty, []
        level: Level = "note" if all(is_container(folder.name) for folder in others) else "validity"
        classes = "a class" if len(others) == 1 else "classes"
        text = f"{count(len(others), 'folder')} without {self.noun.any}, not taken for {classes}."
        items = [{"id": f"{printable(str(folder))}/", "reason": f"no {self.noun.one}"} for folder in others]
        return empty, [Finding("folders_without_images", level, text, items)]

    # ------------------------------------------------------------------------------------------- scanning

    def _scan(self, relative: Path, real: str, above: frozenset[str]) -> bool:
        """Notes all that lies in a folder.

        Args:
            relative: the folder.
            real: the same with all links resolved.
            above: the real paths of the folders that lead to it.

        Returns:
            Whether it holds anything beside what this program has written.
        """
        try:
            with os.scandir(self.root / relative) as listing:
                entries = list(listing)
        except OSError as error:
            where = str(self.root / relative)
            raise RequestError(
                "dataset", str(self.root), "a folder that can be read", f"{where!r}: {error.strerror}."
            ) from None
        if relative.parts and (real == self._cache or is_written_here(entry.name for entry in entries)):
            return False
        written = 0
        linked = real != os.path.normpath(os.path.join(self._real_root, relative))
        for entry in entries:
            path = relative / entry.name
            if self._is_folder(entry, path, above):
                inside = os.path.realpath(entry.path)
                kept = self._scan(path, inside, above | {inside})
                written += not kept
                if kept:
                    self._folders.append(path)
            elif entry.name.lower() not in SYSTEM:
                self._note(entry, path, real, linked)
        return not written or written < sum(not entry.name.startswith(".") for entry in entries)

    def _is_folder(self, entry: os.DirEntry[str], path: Path, above: frozenset[str]) -> bool:
        """Whether an entry is a folder to look into; notes links to folders that are not."""
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM or not os.path.isdir(entry.path):
            return False
        if entry.is_symlink():
            real = os.path.realpath(entry.path)
            problem = OUTSIDE if not self._is_within(real) else CIRCLE if real in above else ""
            if problem:
                self._links.append(_File(path, entry.stat(follow_symlinks=False), problem))
                return False
        return True

    def _is_within(self, real: str) -> bool:
        return real.startswith(self._real_root.rstrip("/") + "/") or real == self._real_root

    def _note(self, entry: os.DirEntry[str], path: Path, real: str, linked: bool) -> None:
        """Notes a file."""
        if entry.name.startswith("."):
            kind = self._hidden
            if entry.name.startswith("._") or path.suffix.lower() not in EXTENSIONS:
                return
        elif entry.is_symlink() and os.path.isdir(entry.path):
            return  # noted as a link
        else:
            kind = self._files if path.suffix.lower() in EXTENSIONS else self._others
        problem = ""
        if entry.is_symlink():
            target = os.path.realpath(entry.path)
            if not self._is_within(target):
                problem = OUTSIDE
            elif not os.path.exists(target):
                problem = DANGLING
        try:
            status = entry.stat(follow_symlinks=not problem)
        except OSError:  # gone since it was listed
            return
        kind.append(_File(path, status, problem, os.path.join(real, entry.name), linked))


@dataclass(frozen=True)
class _Revealed:
    """Files whose names do not say that they are images, by their first bytes."""

    images: list[_File]
    unread: list[tuple[_File, str]]
    """Pictures, videos and archives that cannot be read, and why."""
    others: list[_File]

    @classmethod
    def of(cls, root: Path, files: Sequence[_File]) -> _Revealed:
        from bench.modalities.image.decode import quiet
        from bench.modalities.image.kinds import disguised

        found = cls([], [], [])
        with quiet():
            for file in files:
                text = file.problem or file.relative.suffix.lower() in TEXTS
                kind = None if text else disguised(root / file.relative)
                if kind is None:
                    found.others.append(file)
                elif kind:
                    found.unread.append((file, kind))
                else:
                    found.images.append(file)
        return found


@dataclass(frozen=True)
class _Place:
    file: _File
    label: str
    part: str | None


def _placed(images: Sequence[_File], arrangement: Arrangement) -> tuple[list[_Place], list[_File]]:
    """The images of class folders, each once a class however many links lead to it, and the rest."""
    placed: list[_Place] = []
    loose: list[_File] = []
    ways: dict[tuple[str, str, str | None], _Place] = {}
    for file in sorted(images, key=lambda file: file.linked):
        place = arrangement.place(file.relative.parts)
        if place is None:
            loose.append(file)
            continue
        found = _Place(file, clean(printable(place[0])), place[1])
        first = ways.setdefault((file.real, found.label, found.part), found)
        if first is found:
            placed.append(found)
    used = {place.file.real for place in placed}
    placed.sort(key=lambda place: place.file.relative.parts)
    return placed, [file for file in loose if not file.problem and file.real not in used]


def _loose(loose: Sequence[_File], arrangement: Arrangement, total: int, noun: Noun) -> list[Finding]:
    if not loose:
        return []
    items = [{"id": file.id, "reason": arrangement.why_not(file.relative.parts)} for file in loose]
    reasons = Counter(item["reason"] for item in items)
    listed = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())
    text = f"{len(loose):,} of {count(total, noun.one)} not used: {listed}."
    return [Finding("loose_images", level_of(len(loose) / total), text, items)]


def _unread(revealed: _Revealed, images: Sequence[_File]) -> list[Finding]:
    """Pictures of kinds that are not read."""
    unread = revealed.unread
    if not unread:
        return []
    whole = {file.relative.parent for file, _ in unread} - {file.relative.parent for file in images}
    share = len(unread) / (len(images) + len(unread))
    text = f"{count(len(unread), 'file')} not read: {_by_reason(unread)}."
    items = [{"id": file.id, "reason": reason} for file, reason in unread]
    return [Finding("files_not_read", "validity" if whole else level_of(share), text, items)]


def _by_reason(unread: Sequence[tuple[_File, str]]) -> str:
    reasons = Counter(reason for _, reason in unread)
    return "; ".join(f"{reason} ({number:,})" for reason, number in reasons.most_common())


def _other_files(others: Sequence[_File], hidden: Sequence[_File], noun: Noun) -> Iterator[Finding]:
    # What lies at the top (a licence, a readme) is not meant to be an example.
    within = [file for file in others if len(file.relative.parts) > 1]
    if within:
        text = f"{count(len(within), 'file')} in the folders no {noun.one} by name and content, not used."
        items = [{"id": f.id, "reason": printable(f.relative.suffix) or "no extension"} for f in within]
        yield Finding("other_files", "note", text, items)
    if hidden:
        text = f"{count(len(hidden), 'hidden image')} not used: their names begin with a dot."
        yield Finding("hidden_images", "note", text, [{"id": f.id, "reason": "hidden"} for f in hidden])


def _of_links(root: Path, links: Sequence[_File]) -> str:
    """What to do about folders that are links to elsewhere; empty if there are none."""
    outside = [file for file in links if file.problem == OUTSIDE]
    if not outside:
        return ""
    real = [os.path.realpath(root / file.relative) for file in outside]
    where = os.path.commonpath([os.path.dirname(path) for path in real])
    listed = ", ".join(f"{printable(file.id)}/" for file in outside[:4]) + (" ..." if outside[4:] else "")
    are = "is a symbolic link" if len(outside) == 1 else "are symbolic links"
    return (
        f"{listed} {are} to folders outside of it, which are not followed. Give {printable(where)} if that holds "
        f"the class folders, copy them (cp -rL), or list the files in a manifest."
    )
