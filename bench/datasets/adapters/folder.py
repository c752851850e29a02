"""Folders of class folders, with or without train/, validation/ and test/ above them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench.datasets.findings import OUTSIDE
from bench.datasets.source import Adapter, Contents, stamp_of
from bench.errors import RequestError
from bench.modalities.findings import Finding, count
from bench.modalities.image.pictures import FilePicture
from bench.system.names import printable

EXTENSIONS = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))

SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}
"""Folder names and manifest entries, in lower case -> the part that they mean."""

SYSTEM = frozenset(("thumbs.db", "desktop.ini", "__macosx", "@eadir", "lost+found", "$recycle.bin"))


@dataclass(frozen=True)
class _File:
    relative: Path
    """Relative to the dataset's folder."""
    status: os.stat_result
    problem: str
    """Why it cannot be used, or an empty string."""


class Folder(Adapter):
    """A folder of images; scanned (names, sizes, times) when it is made, opened only for pixels."""

    forms: ClassVar[dict[str, str]] = {
        "FOLDER/": "a folder of class folders, or of train/ validation/ test/ folders of class folders"
    }

    @classmethod
    def reads(cls, path: Path) -> bool:
        return path.is_dir()

    def __init__(self, root: str | Path) -> None:
        super().__init__(str(root))
        self.root = root = Path(root)
        self.name = root.name or str(root)
        self._real_root = os.path.realpath(root)
        self._files: list[_File] = []
        self._folders: list[Path] = []
        self._others: list[Path] = []
        self._scan()
        self._files.sort(key=lambda file: file.relative.parts)
        self._folders.sort()
        self._others.sort()

    def stamp(self) -> list[Any]:
        files = [stamp_of(file.relative, file.status) + [file.problem] for file in self._files]
        return [files, *([str(path) for path in paths] for paths in (self._folders, self._others))]

    def contents(self) -> Contents:
        parts = self._split_folders()
        depth = 1 if parts else 0  # where in a path the class folder's name stands
        tops = set(parts) or {path.parts[0] for path in self._folders}
        classes = {p.parts[depth] for p in self._folders if len(p.parts) == depth + 1 and p.parts[0] in tops}
        if not self._files:
            raise RequestError(
                "dataset",
                str(self.root),
                "a folder of class folders with images",
                f"It holds no image file ({' '.join(sorted(EXTENSIONS))}).",
            )
        if len(classes) < 2:
            raise RequestError(
                "dataset",
                str(self.root),
                "at least two class folders",
                f"There is one, {printable(next(iter(classes)))!r}."
                if classes
                else "The images lie directly in the folder: give those of each class a folder of their own.",
            )
        good: list[Path] = []
        loose: list[Path] = []
        for file in self._files:
            if not file.problem:
                in_class = len(file.relative.parts) > depth + 1 and file.relative.parts[0] in tops
                (good if in_class else loose).append(file.relative)
        class_names = sorted(map(printable, classes))
        index = {name: i for i, name in enumerate(class_names)}
        in_test = [parts.get(path.parts[0]) == "test" for path in good]
        return Contents(
            ids=[printable(path.as_posix()) for path in good],
            labels=[index[printable(path.parts[depth])] for path in good],
            class_names=class_names,
            in_test=in_test if any(in_test) else None,
            groups=None,
            group_names=(),
            pictures=[FilePicture(self.root / path) for path in good],
            findings=self._findings(loose),
            left_out=[(printable(f.relative.as_posix()), f.problem) for f in self._files if f.problem],
        )

    def _scan(self) -> None:
        """Notes all files of the folder. Follows no link to a folder, and no link to a file elsewhere."""
        pending = [Path()]
        while pending:
            relative = pending.pop()
            try:
                with os.scandir(self.root / relative) as entries:
                    pending += self._scan_one(relative, entries)
            except OSError as error:
                where = str(self.root / relative)
                raise RequestError(
                    "dataset", str(self.root), "a folder that can be read", f"{where!r}: {error.strerror}."
                ) from None

    def _scan_one(self, relative: Path, entries: Iterable[os.DirEntry[str]]) -> list[Path]:
        """Notes the files that lie directly in one folder; returns the folders in it."""
        folders = []
        for entry in entries:
            path = relative / entry.name
            if entry.name.startswith(".") or entry.name.lower() in SYSTEM:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
                continue
            problem = ""
            if entry.is_symlink():
                real = os.path.realpath(entry.path)
                if not real.startswith(self._real_root.rstrip("/") + "/"):
                    problem = OUTSIDE
                elif not os.path.exists(real):
                    problem = "symbolic link to nothing"
                elif os.path.isdir(real):
                    problem = "symbolic link to a folder"
            is_folder = problem and os.path.isdir(entry.path)
            if not is_folder and path.suffix.lower() not in EXTENSIONS:
                self._others.append(path)
                continue
            try:
                status = entry.stat(follow_symlinks=not problem)
            except OSError:  # gone since it was listed
                continue
            self._files.append(_File(path, status, problem))
        self._folders += folders
        return folders

    def _split_folders(self) -> dict[str, str]:
        """The top folders that are parts of a given split -> which; empty for a plain folder of classes.

        A folder counts only if it holds folders: classes may be called "valid" and "invalid", or "test".
        """
        with_folders = {path.parts[0] for path in self._folders if len(path.parts) > 1}
        found = {top: SPLITS[top.lower()] for top in with_folders if top.lower() in SPLITS}
        others = with_folders - set(found)
        if not found or ("train" not in found.values() and others):
            return {}
        if "train" not in found.values():
            raise RequestError(
                "dataset",
                str(self.root),
                "a folder train/ of class folders beside " + " and ".join(f"{top}/" for top in sorted(found)),
            )
        return found

    def _findings(self, loose: list[Path]) -> list[Finding]:
        found = []
        if loose:
            text = f"{count(len(loose), 'image')} in no class folder, not used."
            items = [{"id": printable(path.as_posix()), "reason": "in no class folder"} for path in loose]
            found.append(Finding("loose_images", "validity", text, items))
        # What lies at the top (a licence, a readme) is not meant to be an image.
        others = [path for path in self._others if len(path.parts) > 1]
        if others:
            text = f"{count(len(others), 'file')} in the folders not an image by the name, not used."
            items = [
                {"id": printable(path.as_posix()), "reason": printable(path.suffix) or "no extension"}
                for path in others
            ]
            found.append(Finding("other_files", "note", text, items))
        return found
