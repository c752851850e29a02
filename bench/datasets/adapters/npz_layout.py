"""Which arrays of an ``.npz`` are images and labels, by names and shapes: every package has its own."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.datasets.parts import WORDS
from bench.modalities.findings import Case, Finding, count

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each array by its name."""

IMAGES = ("x", "image", "images", "img", "imgs", "data", "audio", "waveform", "waveforms")
LABELS = ("y", "label", "labels", "target", "targets")
PARTS = {"train": WORDS["train"], "val": WORDS["validation"], "test": WORDS["test"]}
CLASS_NAMES = "class_names"
RATES = ("rate", "sample_rate", "sampling_rate", "samplerate", "sr")
"""One number, the samples of a second: it says that x are sounds."""

_OTHER = {
    "groups": ("group", "groups", "patient", "patients", "subject", "subjects"),
    "split": ("split", "splits", "fold", "folds", "idx", "index", "indices"),
    "names": ("classes", "categories", "names"),
}
"""What else a name may speak of."""

_REMEDIES = {
    "x": "looks like images; to use them, join them to x with np.concatenate",
    "y": "looks like labels; to use them, join them to y with np.concatenate",
    "groups": "looks like groups, which an .npz cannot give; list image files in a .csv with a column group",
    "split": "looks like a split; store x_train, x_val and x_test, with y_train, y_val and y_test, instead",
    "names": f"did you mean {CLASS_NAMES}?",
}


@dataclass(frozen=True)
class Pair:
    """The arrays of a part: ``part`` is ``"train"`` (also where none is named), ``"val"`` or ``"test"``."""

    part: str
    images: str
    labels: str


class Unclear(Exception):
    """Names or shapes do not say what is meant.

    Args:
        expected: what would have been right, as the end of the sentence "expected ...".
        remedy: what to do about it, sentences.
    """

    def __init__(self, expected: str, remedy: str) -> None:
        super().__init__(f"{expected}. {remedy}")
        self.expected, self.remedy = expected, remedy


def pairs(shapes: Shapes) -> list[Pair]:
    """The arrays that are used, those of the test part last.

    Raises:
        Unclear: there are none, one lacks its partner, or two could be meant.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name in sorted(shapes):
        found.setdefault(_meaning(name), []).append(name)
    if set(shapes) == {"arr_0", "arr_1"}:  # np.savez without names
        found = {("", role): [name] for role, name in zip("xy", _by_shape(shapes), strict=True)}
    # Beside x_train and y_train, x and y hold the same images once more.
    named = {("train", "x"), ("train", "y")} & found.keys()
    plain = {("", "x"), ("", "y")} <= found.keys()
    learned = "train" if len(named) == 2 or (named and not plain) else ""
    parts = [part for part in ("val", "test") if {(part, "x"), (part, "y")} & found.keys()]
    return [
        Pair(part or "train", *(_only(found, shapes, part, role) for role in "xy"))
        for part in (learned, *parts)
    ]


def unused(shapes: Shapes, used: Collection[Pair]) -> list[Finding]:
    """The finding of arrays that are not used, if there are any."""
    rest = sorted(
        set(shapes) - {CLASS_NAMES, *RATES} - {name for pair in used for name in (pair.images, pair.labels)}
    )
    if not rest:
        return []
    roles = [_meaning(name)[1] or ("x" if _is_images(shapes[name]) else "") for name in rest]
    cases: list[Case] = [
        {"id": name, "reason": _REMEDIES.get(role, f"of shape {shapes[name]}")}
        for name, role in zip(rest, roles, strict=True)
    ]
    touches = not {"x", "y", "groups", "split"}.isdisjoint(roles)
    text = f"Arrays of the file that are not used: {', '.join(rest[:20])}{', ...' if rest[20:] else ''}."
    return [Finding("unused_arrays", "validity" if touches else "note", text, cases)]


def unused_names(names: Sequence[str], labels: Sequence[str]) -> list[Finding]:
    """The finding of class names that do not fit the labels.

    Args:
        names: given ones.
        labels: what the classes are called.
    """
    if not names or set(labels) <= set(names):
        return []
    text = (
        f"{CLASS_NAMES} is not used: it holds {count(len(names), 'name')}, and labels are {labels[0]} to "
        f"{labels[-1]}. Labels are places in it, from 0 to {len(names) - 1}."
    )
    return [Finding("unused_class_names", "note", text)]


def check_images(name: str, shape: tuple[int, ...], labels: int) -> None:
    """Refuses shapes that are not (N, H, W), or (N, H, W, C) with 1, 3 or 4 channels.

    Args:
        name: of the array.
        shape: its shape.
        labels: how many labels belong to it.

    Raises:
        Unclear: with the line that brings it into shape.
    """
    if len(shape) in (3, 4) and 0 not in shape[1:] and (len(shape) == 3 or shape[3] in (1, 3, 4)):
        if shape[0] != labels and shape[-1] == labels:
            raise Unclear(
                f"{name} with the images along its first axis",
                f"It is {shape}. Store np.moveaxis({name}, -1, 0).",
            )
        return
    line = _line(name, shape, labels)
    sounds = (
        " If these are sounds, store their sample rate as well, such as rate=16000."
        if len(shape) == 2
        else ""
    )
    raise Unclear(
        f"{name} of shape (N, H, W), (N, H, W, 1), (N, H, W, 3) or (N, H, W, 4)",
        f"It is {shape}.{f' Store {line}.' if line else ''}{sounds}",
    )


def check_sounds(name: str, shape: tuple[int, ...], labels: int, channels: int) -> None:
    """Refuses shapes that are not (N, samples), or (N, samples, C) with at most ``channels`` channels.

    Raises:
        Unclear: with the line that brings it into shape.
    """
    line = ""
    if len(shape) == 2 and shape[0] != labels and shape[1] == labels:
        line = f"{name}.T"
    elif len(shape) == 3 and shape[1] < shape[2]:
        line = f"{name}.transpose(0, 2, 1)"
    elif len(shape) in (2, 3) and 0 not in shape[1:] and (len(shape) == 2 or shape[2] <= channels):
        return
    raise Unclear(
        f"{name} of shape (N, samples) or (N, samples, channels)",
        f"It is {shape}.{f' Store {line}.' if line else ''}",
    )


def _line(name: str, shape: tuple[int, ...], labels: int) -> str:
    """The line of NumPy that brings an array into shape; empty if there is none."""
    if 0 in shape:
        return ""
    if len(shape) == 4:
        if shape[0] != labels and shape[3] == labels:
            return f"{name}.transpose(3, 0, 1, 2)"
        if shape[1] == 1:
            return f"{name}[:, 0]"
        if shape[1] in (3, 4):
            return f"{name}.transpose(0, 2, 3, 1)"
        return f"{name}[..., 0], one of its {shape[3]} channels" + (
            f", or {name}[..., :3]" if shape[3] > 3 else ""
        )
    if len(shape) == 2:
        for channels in (1, 3):
            side = math.isqrt(shape[1] // channels)
            if side > 1 and channels * side**2 == shape[1]:
                gray = f"{name}.reshape(-1, {side}, {side})"
                return (
                    gray
                    if channels == 1
                    else (
                        f"{name}.reshape(-1, 3, {side}, {side}).transpose(0, 2, 3, 1), or {name}.reshape(-1, "
                        f"{side}, {side}, 3) if each pixel's colours stand together"
                    )
                )
    if len(shape) == 5 and shape[1] == 1:
        return f"{name}[:, 0]"
    return ""


def _only(found: Mapping[tuple[str, str], list[str]], shapes: Shapes, part: str, role: str) -> str:
    """The one array of a part and a role."""
    suffix = f"_{part}" if part else ""
    names = found.get((part, role), [])
    if role + suffix in names:
        return role + suffix
    if len(names) == 1:
        return names[0]
    listed = ", ".join(sorted(shapes)[:20]) or "nothing"
    if names:
        raise Unclear(
            f"one array for {role}{suffix}",
            f"{' and '.join(names)} could both be meant. {_renaming(shapes)}",
        )
    if part:
        raise Unclear(f"both x{suffix} and y{suffix}, or neither", f"It holds: {listed}.")
    lacks = " and ".join(r for r in "xy" if not found.get((part, r)))
    raise Unclear(
        "arrays x (images) and y (labels)", f"It lacks {lacks}; it holds: {listed}. {_renaming(shapes)}"
    )


def _renaming(shapes: Shapes) -> str:
    """The line of NumPy that gives arrays the names that are understood."""
    images, labels = _by_shape(shapes)
    return (
        f'Rename them: np.savez("new.npz", x=old["{images}"], y=old["{labels}"]).'
        if images and labels
        else ""
    )


def _by_shape(shapes: Shapes) -> tuple[str, str]:
    """The first array that looks like images, and the first with a value for each; empty if there is none."""
    images = next((name for name in sorted(shapes) if _is_images(shapes[name])), "")
    rows = shapes[images][:1] if images else ()
    labels = next((n for n in sorted(shapes) if n != images and rows and shapes[n][:1] == rows), "")
    return images, labels


def _is_images(shape: tuple[int, ...]) -> bool:
    return len(shape) in (3, 4) and min(shape) > 0


def _meaning(name: str) -> tuple[str, str]:
    """Part and role by the words of a name; the role is empty if a word is left that speaks of neither."""
    spaced = re.sub(r"^([xy])(?=train|val|test)", r"\1_", name, flags=re.IGNORECASE)
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", spaced)]
    parts = [part for part, spellings in PARTS.items() if set(words) & set(spellings)]
    rest = [word for word in words if not any(word in spellings for spellings in PARTS.values())]
    other = [role for role, spellings in _OTHER.items() if set(rest) & set(spellings)]
    if other or len(parts) > 1:  # group_labels are no labels, train_idx are no images
        return "", other[0] if other else ""
    part = parts[0] if parts else ""
    if len(rest) != 1:
        return part, ""
    return part, "x" if rest[0] in IMAGES else "y" if rest[0] in LABELS else ""
