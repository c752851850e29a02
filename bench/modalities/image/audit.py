"""What an audit says of images: lookalikes, sizes, formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from bench.modalities.evidence import Evidence
from bench.modalities.findings import Finding, count, level_of
from bench.modalities.image.facts import Facts
from bench.modalities.image.looks import lookalikes

FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".gif": "GIF", ".webp": "WEBP", ".tif": "TIFF",
    ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM",
}  # fmt: skip
"""What a file's extension says that it is."""


LEAST_SIDE = 32
"""Images of fewer pixels on a side are not compared for looks: different digits of 8 pixels look alike."""


def summary(facts: Sequence[Facts]) -> dict[str, Any]:
    """Formats and colour modes with their counts; smallest, median and largest width and height in pixels."""
    sides = {"width": [f.width for f in facts], "height": [f.height for f in facts]}
    return {
        "formats": dict(Counter(f.format or "array" for f in facts).most_common()),
        "modes": dict(Counter(f.mode for f in facts).most_common()),
        **{name: [min(values), int(np.median(values)), max(values)] for name, values in sides.items()},
    }


def described(summary: Mapping[str, Any]) -> str:
    """``summary`` as a line: ``formats PNG (1,797); modes L (1,797); width 8 px; height 8 px``."""
    kinds = [
        f"{part} {', '.join(f'{kind} ({number:,})' for kind, number in summary[part].items())}"
        for part in ("formats", "modes")
    ]
    sides = [
        f"{name} {low:,} to {high:,} px (median {median:,})" if low < high else f"{name} {low:,} px"
        for name, (low, median, high) in ((name, summary[name]) for name in ("width", "height"))
    ]
    return "; ".join([*kinds, *sides])


def near(evidence: Evidence) -> list[Finding]:
    """Near duplicates, but for the images that are known to be identical to one across splits or labels."""
    labels, in_test = evidence.labels, evidence.in_test
    found = []
    crossing = [(a, b) for a, b in _pairs(evidence, in_test) if in_test[a]]
    if crossing:
        affected = int((evidence.copies_of([a for a, _ in crossing]) & in_test).sum())
        text = (
            f"{evidence.of_test(affected)} nearly the same as an image that is learned from (re-encoded, resized "
            "or brightened, say)."
        )
        cases = [evidence.case(pair) for pair in crossing]
        found.append(Finding("near_across_splits", level_of(affected / int(in_test.sum())), text, cases))
    contradicting = _pairs(evidence, labels)
    if contradicting:
        affected = int(evidence.copies_of([a for a, _ in contradicting]).sum())
        share = affected / len(labels)
        text = f"{affected:,} images ({share:.1%}) nearly the same as one of another class."
        once = dict.fromkeys((min(pair), max(pair)) for pair in contradicting)
        cases = [evidence.case(pair) for pair in once]
        found.append(Finding("near_across_labels", level_of(share), text, cases))
    return found


def _pairs(evidence: Evidence, values: np.ndarray) -> list[tuple[int, int]]:
    """Images with one each that looks the same and differs in ``values``, where none is known to be identical."""
    large = np.array([min(f.width, f.height) >= LEAST_SIDE for f in evidence.facts])
    # One image stands for all that are identical, of one class, and in one part.
    kinds = np.stack([evidence.same, evidence.labels, evidence.in_test], axis=1)
    different = np.unique(kinds, axis=0, return_index=True)[1]
    rows = np.sort(different[large[different]])
    partner = lookalikes([evidence.facts[i] for i in rows], values[rows])
    known = evidence.copies_of([members[0] for members in evidence.across(values)])
    hit = np.flatnonzero((partner >= 0) & ~known[rows])
    return [(int(rows[i]), int(rows[partner[i]])) for i in hit]


def files(evidence: Evidence) -> list[Finding]:
    """Formats, animations, sizes, colour modes."""
    facts, found = evidence.facts, []
    with_ids = list(zip(evidence.ids, facts, strict=True))
    wrong = [
        {"id": id, "reason": f"is {f.format}"}
        for id, f in with_ids
        if f.format and _claimed(id) not in (None, f.format)
    ]
    if wrong:
        text = f"{count(len(wrong), 'image')} of another format than the name says, read all the same."
        found.append(Finding("mislabelled_extension", "note", text, wrong))
    animated = [{"id": id, "reason": f.format} for id, f in with_ids if f.animated]
    if animated:
        text = f"{count(len(animated), 'file')} with several pictures, of which the first is used."
        found.append(Finding("animated", "note", text, animated))
    return found + _shapes(facts, evidence.input.image_size)


def _shapes(facts: Sequence[Facts], size: int) -> list[Finding]:
    """Sizes and colour modes."""
    found = []
    about = summary(facts)
    (narrowest, _, widest), (lowest, _, highest) = about["width"], about["height"]
    if (narrowest, lowest) != (widest, highest):
        text = (
            f"Images differ in size: {narrowest:,} to {widest:,} px wide, {lowest:,} to {highest:,} px high."
        )
        found.append(Finding("mixed_sizes", "note", text))
    small = sum(min(f.width, f.height) < size for f in facts)
    if small:
        text = f"{small:,} of {len(facts):,} images with fewer than {size:,} pixels on a side, enlarged."
        found.append(Finding("small_images", "note", text))
    if len(about["modes"]) > 1:
        modes = ", ".join(f"{mode}: {count:,}" for mode, count in about["modes"].items())
        text = f"Images differ in colour mode ({modes}); all become RGB."
        found.append(Finding("mixed_modes", "note", text))
    return found


def _claimed(id: str) -> str | None:
    """The format that a file's name speaks of."""
    return FORMATS.get(PurePosixPath(id).suffix.lower())
