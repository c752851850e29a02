"""Masks that lie among the pictures they belong to: segmentation data given as if they were pictures of classes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from bench.datasets.parts import words_of
from bench.modalities.findings import Finding, count, level_of
from bench.system.names import printable

_WORDS = frozenset(
    """
    mask masks label labels annotation annotations segmentation segmentations gt groundtruth truth
    """.split()  # noqa: SIM905
)
"""Words in the name of a folder of masks."""
_ENDING = re.compile(r"[-_. ]+(mask|label|annotation|segmentation|seg|gt)s?([-_ ]?\d+)?$", re.IGNORECASE)
"""What is added to the name of a picture to name its mask."""


def masks(images: Sequence[Path], roots: Collection[tuple[str, ...]]) -> list[Finding]:
    """The finding of images that are masks of others by name.

    A mask is called like a picture in its folder with ``_mask``, say, behind it, or lies in a folder ``masks``
    beside or below that of a picture of its name. Classes may be called "mask": their folders do not count.

    Args:
        images: those of class folders, as relative paths.
        roots: the folders whose folders are classes.
    """
    found = [*_masks(images, roots)]
    if not found:
        return []
    text = (
        f"{len(found):,} of {count(len(images), 'image')} are masks of others by name, and are read as pictures of "
        "their class. Move them out of the class folders, or list the pictures alone in a manifest."
    )
    items = [{"id": printable(path.as_posix()), "reason": "mask"} for path in found]
    return [Finding("masks", level_of(len(found) / len(images)), text, items)]


def _masks(images: Sequence[Path], roots: Collection[tuple[str, ...]]) -> Iterator[Path]:
    names = {(path.parent, path.stem) for path in images}
    of_masks = {f for f, _ in names if f.parent.parts not in roots and _WORDS & {*words_of(f.name)}}
    beside: dict[Path, set[Path]] = defaultdict(set)
    for folder in {folder for folder, _ in names} - of_masks:
        beside[folder].add(folder)
        beside[folder.parent].add(folder)
    for path in images:
        base = _ENDING.sub("", path.stem)
        folders = beside[path.parent.parent] if path.parent in of_masks else ()
        if (base != path.stem and (path.parent, base) in names) or any(
            (folder, stem) in names for folder in folders for stem in (base, path.stem)
        ):
            yield path
