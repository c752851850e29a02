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
from bench.modalities.image.levels import BYTES, ORDINARY
from bench.modalities.image.looks import lookalikes
from bench.modalities.near import near

FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".gif": "GIF", ".webp": "WEBP", ".tif": "TIFF",
    ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM",
}  # fmt: skip
"""What a file's extension says that it is."""


SCALED = "scaled_values"
"""Kind of the finding that there are images which a plain reader would show differently."""

OVERSHOOT = 0.25
"""How far, as a part of the range, values may lie outside of it as the trace of a resampling."""

NARROW = 51
"""Gray levels, a fifth of all, that all images together should use at least. Photographs of clothes use 255,
faint X-rays 20."""

OUTERMOST = 0.001
"""Share of the darkest and of the brightest gray levels that do not count for it."""

BLACK = 32
"""Gray level, an eighth of all, that some part of a thumbnail reaches if it is not nearly black."""

CONTRAST = 128
"""Between the darkest and brightest pixel of an image that is not weak; thin lines fade in a thumbnail alone."""

UNIFORM = 2
"""Gray levels within which all of a thumbnail lies if there is nothing to see."""

VEILED = 0.5
"""Share of an image's pixels that are half transparent at most where opacity is meant: edges, shadows."""

BRIGHTER, LARGE_EFFECT, SURE = 10.0, 0.8, 4.0
"""Least difference in brightness between test images and others that is told: in gray levels, in standard
deviations of images (a large effect by Cohen 1988) and in standard errors, all three at once."""

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


def pixels(evidence: Evidence) -> list[Finding]:
    """What became of pixel values, and whether there is something to see."""
    thumbnails = np.stack([f.thumbnail for f in evidence.facts])
    total = thumbnails[..., 0].astype(
        np.uint16
    )  # a mean over three numbers at a time takes five times as long
    total += thumbnails[..., 1]
    total += thumbnails[..., 2]
    gray = (total // 3).astype(np.uint8).reshape(len(thumbnails), -1)
    weak = np.array([f.contrast < CONTRAST for f in evidence.facts])
    return [
        *_values(evidence.facts),
        *_cut(evidence),
        *(_narrow(gray, weak) or _black(evidence, thumbnails, weak)),
        *_transparent(evidence),
        *_uniform(evidence, thumbnails, gray),
        *_brightness(evidence, gray.mean(axis=1)),
    ]


def _values(facts: Sequence[Facts]) -> list[Finding]:
    """Images whose values were not bytes of 0 to 255."""
    values = [f.values for f in facts if f.values is not ORDINARY]
    scales = Counter(v.scale for v in values if v.kind != "bytes" or v.scale != BYTES)
    if not scales:
        return []
    listed = ", ".join(f"{scale} ({count(n, 'image')})" for scale, n in scales.most_common())
    return [Finding(SCALED, "note", f"Pixel values are scaled to 8 bits: {listed}.")]


def _cut(evidence: Evidence) -> list[Finding]:
    """Values beyond what is black and white."""
    beyond = [(i, f.values) for i, f in enumerate(evidence.facts) if f.values.cut]
    if not beyond:
        return []
    share = sum(values.cut for _, values in beyond) / len(evidence.facts)
    far = max(values.beyond for _, values in beyond) > OVERSHOOT
    text = (
        f"{100 * share:.2g}% of all pixel values, in {count(len(beyond), 'image')}, are clipped: they are darker "
        "than black or brighter than white."
    )
    text += " If they show something, scale the images to 8 bits yourself." if far else ""
    cases = [
        {"id": evidence.ids[i], "reason": f"{values.cut:.2%} of its values; {values.scale}"}
        for i, values in beyond
    ]
    return [Finding("clipped_values", "validity" if far else "note", text, cases)]


def _narrow(gray: np.ndarray, weak: np.ndarray) -> list[Finding]:
    """All images together use few gray levels."""
    shares = np.bincount(gray.reshape(-1), minlength=256).cumsum() / gray.size
    low, high = np.searchsorted(shares, [OUTERMOST, 1 - OUTERMOST]).tolist()
    if high - low >= NARROW or weak.mean() < 0.5:
        return []
    kind = "dark" if high < 128 else "bright" if low >= 128 else "faint"
    text = (
        f"The images are {kind}: they use only gray levels {low} to {high} of 0 to 255. Pretrained "
        "networks see little in them. If black and white are other values, stretch the images before storing them."
    )
    return [Finding("narrow_range", "validity", text)]


def _black(evidence: Evidence, thumbnails: np.ndarray, weak: np.ndarray) -> list[Finding]:
    """Images that are nearly black beside others that are not."""
    brightest = thumbnails.reshape(len(thumbnails), -1).max(axis=1)
    dark = np.flatnonzero((brightest < BLACK) & weak).tolist()
    if not dark:
        return []
    share = len(dark) / len(thumbnails)
    text = (
        f"{count(len(dark), 'image')} ({share:.1%}) nearly black: below gray level {BLACK} of 255. Check that all "
        "images have the same range of values."
    )
    cases = [{"id": evidence.ids[i], "reason": f"brightest {brightest[i]} of 255"} for i in dark]
    return [Finding("black_images", level_of(share), text, cases)]


def _transparent(evidence: Evidence) -> list[Finding]:
    """Images whose opacity hides them, or is something else."""
    facts = evidence.facts
    clear = [i for i, f in enumerate(facts) if f.clear == 1]
    veiled = [i for i, f in enumerate(facts) if f.veiled > VEILED]
    texts = {
        "transparent_images": "wholly transparent, and so white all over. If they hold colours, save them "
        "without opacity.",
        "veiled_images": "half transparent nearly everywhere, and shown on white. If their last channel is no "
        "opacity but another band, such as infrared or depth, save them without it.",
    }
    return [
        Finding(
            kind,
            level_of(len(chosen) / len(facts)),
            f"{count(len(chosen), 'image')} ({len(chosen) / len(facts):.1%}) {texts[kind]}",
            [{"id": evidence.ids[i], "reason": facts[i].mode or "array"} for i in chosen],
        )
        for kind, chosen in (("transparent_images", clear), ("veiled_images", veiled))
        if chosen
    ]


def _uniform(evidence: Evidence, thumbnails: np.ndarray, gray: np.ndarray) -> list[Finding]:
    """Images in which there is next to nothing to see."""
    flat = np.flatnonzero(np.ptp(gray, axis=1) <= UNIFORM)
    spread = np.ptp(thumbnails[flat], axis=(1, 2)).max(axis=1)
    plain = [i for i in flat[spread <= UNIFORM].tolist() if evidence.facts[i].clear < 1]
    if not plain:
        return []
    share = len(plain) / len(thumbnails)
    text = f"{count(len(plain), 'image')} ({share:.1%}) of one colour all over: empty, or of another range."
    cases = [
        {"id": evidence.ids[i], "reason": f"gray level {thumbnails[i].mean():.0f} of 0 to 255"} for i in plain
    ]
    return [Finding("uniform_images", level_of(share), text, cases)]


def _brightness(evidence: Evidence, brightness: np.ndarray) -> list[Finding]:
    """Images of a given test part are darker or brighter than the others of their class; else it is chance."""
    if not evidence.given:
        return []
    labels, tested = evidence.labels, evidence.in_test
    sums = np.bincount(labels[~tested], brightness[~tested], len(evidence.class_names))
    counts = np.bincount(labels[~tested], minlength=len(evidence.class_names))
    residual = brightness - (sums / np.maximum(counts, 1))[labels]
    known = counts[labels] > 0
    test, rest = residual[tested & known], residual[~tested]
    if len(test) < 2 or len(rest) < 2:
        return []
    spread = float(np.sqrt((test.var() + rest.var()) / 2))
    difference = float(test.mean())
    error = spread * np.sqrt(1 / len(test) + 1 / len(rest))
    if abs(difference) < max(BRIGHTER, LARGE_EFFECT * spread, SURE * error):
        return []
    text = (
        f"Test images are {abs(difference):.0f} gray levels of 255 {'brighter' if difference > 0 else 'darker'} "
        "than the other images of their classes. Check that both have the same range of values and were made in "
        "the same way."
    )
    return [Finding("test_brightness", "validity", text)]


def near_duplicates(evidence: Evidence) -> list[Finding]:
    """Images that look the same, if they are large enough to tell."""
    large = np.array([min(f.width, f.height) >= LEAST_SIDE for f in evidence.facts])
    return near(evidence, lookalikes, "re-encoded, resized or brightened", large)


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
    return [*found, *_several(with_ids), *_shapes(facts, evidence.input.image_size)]


def _several(with_ids: Sequence[tuple[str, Facts]]) -> list[Finding]:
    """Files with more than the picture that is used: a stack may show in any slice what it is labelled for."""
    several = [(id, f.format) for id, f in with_ids if f.animated]
    stacks = [{"id": id, "reason": format} for id, format in several if format == "TIFF"]
    animated = [{"id": id, "reason": format} for id, format in several if format != "TIFF"]
    found = []
    if stacks:
        text = (
            f"{count(len(stacks), 'TIFF file')} with several pictures, of which the first is used. If what the "
            "label says is to be seen in another, save that one, or all as files, with a column 'group'."
        )
        found.append(Finding("stacks", level_of(len(stacks) / len(with_ids)), text, stacks))
    if animated:
        text = f"{count(len(animated), 'file')} with several pictures, of which the first is used."
        found.append(Finding("animated", "note", text, animated))
    return found


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
