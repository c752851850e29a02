"""What an audit says of images: duplicates, lookalikes, bad files, sizes, formats."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.modalities.findings import Finding, Item, _level, count
from bench.modalities.image.facts import TOO_LARGE
from bench.modalities.image.looks import lookalikes

if TYPE_CHECKING:
    from bench.modalities.image.facts import Facts


FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".gif": "GIF", ".webp": "WEBP", ".tif": "TIFF",
    ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM",
}  # fmt: skip
"""What a file's extension says that it is."""


OUTSIDE = "symbolic link that leaves the folder"
"""Why what such a link leads to is left out."""


LEAST_SIDE = 32
"""Images of fewer pixels on a side are not compared for looks: different digits of 8 pixels look alike."""


@dataclass(frozen=True)
class Evidence:
    """What decoding has brought to light of N images.

    Attributes:
        ids: of the images that are used.
        labels: indices into ``class_names``, (N,).
        class_names: in a fixed order.
        in_test: whether an image is a test image, (N,).
        same: equal where the pixels are, (N,); see ``duplicates.identical``.
        kept_together: whether splits keep identical images on one side.
        facts: of each image.
        left_out: (id, reason) of the images that are not used.
        image_size: side of the squares that images are brought to, in pixels.
    """

    ids: Sequence[str]
    labels: np.ndarray
    class_names: Sequence[str]
    in_test: np.ndarray
    same: np.ndarray
    kept_together: bool
    facts: Sequence[Facts] = field(repr=False)
    left_out: Sequence[tuple[str, str]]
    image_size: int

    def set_of(self, rows: Sequence[int]) -> Item:
        """The item of images that belong together."""
        return {
            "ids": [self.ids[i] for i in rows],
            "labels": [self.class_names[self.labels[i]] for i in rows],
        }

    def of_test(self, count: int) -> str:
        """``12 of 372 test images (3.2%)``."""
        total = int(self.in_test.sum())
        return f"{count:,} of {total:,} test images ({count / total:.1%})"


def summary(facts: Sequence[Facts]) -> dict[str, Any]:
    """Formats and colour modes with their counts; smallest, median and largest width and height in pixels."""
    sides = {"width": [f.width for f in facts], "height": [f.height for f in facts]}
    return {
        "formats": dict(Counter(f.format or "array" for f in facts).most_common()),
        "modes": dict(Counter(f.mode for f in facts).most_common()),
        **{name: [min(values), int(np.median(values)), max(values)] for name, values in sides.items()},
    }


def _duplicates(evidence: Evidence) -> list[Finding]:
    labels, in_test, same = evidence.labels, evidence.in_test, evidence.same
    sets: dict[int, list[int]] = defaultdict(list)
    for i in np.flatnonzero(np.bincount(same)[same] > 1).tolist():
        sets[int(same[i])].append(i)
    across_splits = [rows for rows in sets.values() if len(set(in_test[rows])) > 1]
    across_labels = [rows for rows in sets.values() if len(set(labels[rows])) > 1]
    apart = {rows[0] for rows in (*across_splits, *across_labels)}
    rest = [rows for rows in sets.values() if rows[0] not in apart]
    found = []
    if across_splits:
        affected = int(sum(in_test[rows].sum() for rows in across_splits))
        text = f"{evidence.of_test(affected)} with the very pixels of an image that is learned from."
        items = [evidence.set_of(rows) for rows in across_splits]
        found.append(Finding("identical_across_splits", "validity", text, items))
    if across_labels:
        affected = sum(map(len, across_labels))
        text = f"{count(len(across_labels), 'picture')} under different labels, in {affected:,} identical images."
        items = [evidence.set_of(rows) for rows in across_labels]
        found.append(Finding("identical_across_labels", "validity", text, items))
    if not evidence.kept_together:
        text = "Identical images are not all on one side of every split: that would leave too few different ones."
        different = np.bincount(np.unique(np.stack([labels, same]), axis=1)[0])
        items = [
            {"class": evidence.class_names[c], "images": int(different[c])}
            for c in np.flatnonzero(different < 3).tolist()
        ]
        found.append(Finding("identical_not_kept_together", "validity", text, items))
    if rest:
        copies = sum(map(len, rest)) - len(rest)
        kept = ", kept on one side of every split" if evidence.kept_together else ""
        text = f"{count(copies, 'image')} with the very pixels of another of the same class{kept}."
        found.append(Finding("identical_within", "note", text, [evidence.set_of(rows) for rows in rest]))
    known_splits = np.isin(same, [same[rows[0]] for rows in across_splits])
    known_labels = np.isin(same, [same[rows[0]] for rows in across_labels])
    return found + _lookalikes(evidence, known_splits, known_labels)


def _lookalikes(evidence: Evidence, known_splits: np.ndarray, known_labels: np.ndarray) -> list[Finding]:
    """Near duplicates, but for the images that are known to be identical to one across splits or labels."""
    labels, in_test, same = evidence.labels, evidence.in_test, evidence.same
    large = np.array([min(f.width, f.height) >= LEAST_SIDE for f in evidence.facts])
    # One image stands for all that are identical, of one class, and in one part.
    different = np.unique(np.stack([same, labels, in_test], axis=1), axis=0, return_index=True)[1]
    rows = np.sort(different[large[different]])
    facts = [evidence.facts[i] for i in rows]

    def pairs(kinds: np.ndarray, known: np.ndarray) -> list[tuple[int, int]]:
        partner = lookalikes(facts, kinds[rows])
        hit = np.flatnonzero((partner >= 0) & ~known[rows])
        return [(int(rows[i]), int(rows[partner[i]])) for i in hit]

    def copies(chosen: list[int], of: np.ndarray) -> int:
        return int((np.isin(same, same[chosen]) & of).sum())

    found = []
    crossing = [(a, b) for a, b in pairs(in_test, known_splits) if in_test[a]]
    if crossing:
        affected = copies([a for a, _ in crossing], in_test)
        text = (
            f"{evidence.of_test(affected)} nearly the same as an image that is learned from (re-encoded, resized "
            "or brightened, say)."
        )
        level = _level(affected / int(in_test.sum()))
        items = [evidence.set_of(pair) for pair in crossing]
        found.append(Finding("near_across_splits", level, text, items))
    contradicting = pairs(labels, known_labels)
    if contradicting:
        affected = copies([a for a, _ in contradicting], np.ones(len(same), bool))
        share = affected / len(same)
        text = f"{affected:,} images ({share:.1%}) nearly the same as one of another class."
        once = dict.fromkeys((min(pair), max(pair)) for pair in contradicting)
        found.append(
            Finding("near_across_labels", _level(share), text, [evidence.set_of(pair) for pair in once])
        )
    return found


def _left_out(evidence: Evidence) -> list[Finding]:
    by_kind: dict[str, list[Item]] = defaultdict(list)
    for id, reason in evidence.left_out:
        too_large = "too_many_pixels" if TOO_LARGE in reason else "unreadable"
        by_kind["links_outside" if reason == OUTSIDE else too_large].append({"id": id, "reason": reason})
    total = len(evidence.ids) + len(evidence.left_out)
    reasons = Counter(item["reason"] for item in by_kind["unreadable"])
    listed = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())
    texts = {
        "unreadable": f"of {total:,} images not readable and left out: {listed}.",
        "too_many_pixels": f"of {total:,} images too large, left out; TRANSFER_BENCH_MAX_PIXELS raises the limit.",
        "links_outside": f"of {total:,} images left out: symbolic links that leave the folder.",
    }
    return [
        Finding(kind, "validity", f"{len(by_kind[kind]):,} {text}", by_kind[kind])
        for kind, text in texts.items()
        if by_kind[kind]
    ]


def _files(evidence: Evidence) -> list[Finding]:
    """Formats, animations, sizes, colour modes."""
    facts, found = evidence.facts, []
    wrong = [
        {"id": id, "reason": f"is {f.format}"}
        for id, f in zip(evidence.ids, facts, strict=True)
        if f.format and _claimed(id) not in (None, f.format)
    ]
    if wrong:
        text = f"{count(len(wrong), 'image')} of another format than the name says, read all the same."
        found.append(Finding("mislabelled_extension", "note", text, wrong))
    animated = [
        {"id": id, "reason": f.format} for id, f in zip(evidence.ids, facts, strict=True) if f.animated
    ]
    if animated:
        text = f"{count(len(animated), 'file')} with several pictures, of which the first is used."
        found.append(Finding("animated", "note", text, animated))
    about = summary(facts)
    (narrowest, _, widest), (lowest, _, highest) = about["width"], about["height"]
    if (narrowest, lowest) != (widest, highest):
        text = (
            f"Images differ in size: {narrowest:,} to {widest:,} px wide, {lowest:,} to {highest:,} px high."
        )
        found.append(Finding("mixed_sizes", "note", text))
    size = evidence.image_size
    small = sum(min(f.width, f.height) < size for f in facts)
    if small:
        text = f"{small:,} of {len(facts):,} images with fewer than {size:,} pixels on a side, enlarged."
        found.append(Finding("small_images", "note", text))
    if len(about["modes"]) > 1:
        modes = ", ".join(f"{mode}: {count:,}" for mode, count in about["modes"].items())
        found.append(
            Finding("mixed_modes", "note", f"Images differ in colour mode ({modes}); all become RGB.")
        )
    return found


def _claimed(id: str) -> str | None:
    """The format that a file's name speaks of."""
    return FORMATS.get(PurePosixPath(id).suffix.lower())
