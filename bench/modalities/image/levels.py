"""What pixel values mean: which of them is black and which is white, decided once for all images of a dataset.

A file or an array says how its values are stored, seldom what they mean: 12-bit values lie in 16-bit files, masks
of 0 and 1 in bytes, pictures in floats of 0 to 1 or of -1 to 1. One image does not tell, all of them together do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import numpy as np

from bench.modalities.base import Unfit

FEW = 0.001
"""Share of all values that may lie anywhere: dead and hot pixels, values that stand for no measurement."""

OVERSHOOT = 0.01
"""Share of all values that may lie up to a quarter of the range beyond it, as sharp resampling leaves them."""

FILLED = 0.05
"""Share of all values that the upper three quarters of a range hold at least if those beyond it are exceptions."""

APART = 8
"""How many times as large as those of another part the values of a part may be before one scale cannot fit both."""

SMALL = (1, 3, 15, 16)
"""White of whole numbers that are all as small as this: 1, 2 and 4 bits, and digits of 0 to 16."""

DEPTHS = (255, 1023, 4095, 16383, 65535)
"""White of greater ones: 8, 10, 12, 14 and 16 bits."""

CENTRED = (128, 32768)
"""Black, below zero, of signed whole numbers; white is one less above it."""

DARKEST = SMALL[-1]
"""Bytes above this are what they seem to be."""

_EDGES = sorted({float(DARKEST), *(part * limit for limit in (1, *DEPTHS) for part in (0.25, 1, 1.25, 2))})
_BELOW = (-1.25, -1.0, 0.0)


class Undecided(ValueError):
    """What is black and what is white cannot be told from the values.

    Attributes:
        why: a sentence about them.
        remedy: what to do, a sentence.
    """

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(f"{why} {remedy}")
        self.why, self.remedy = why, remedy


@dataclass(frozen=True, slots=True)
class Scale:
    """The values that are shown as 0 and as 255."""

    black: float = 0.0
    white: float = 255.0

    @property
    def factor(self) -> float:
        return 255 / (self.white - self.black)

    def __str__(self) -> str:
        return f"{self.black:,.6g} is black, {self.white:,.6g} is white"


BYTES = Scale()


@dataclass(frozen=True, slots=True)
class Levels:
    """What is known of the values of one image or of many; those of two are added.

    Attributes:
        count: how many values there are.
        low: the smallest (NaN if any value is NaN).
        high: the largest.
        whole: whether all are whole numbers.
        above: how many exceed each of ``_EDGES``.
        below: how many are less than each of ``_BELOW``.
    """

    count: int
    low: float
    high: float
    whole: bool
    above: tuple[int, ...] = field(repr=False)
    below: tuple[int, ...] = field(repr=False)

    @classmethod
    def of(cls, values: np.ndarray) -> Levels:
        """Looks at values of any shape and real type, at least one."""
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            return cls(values.size, math.nan, math.nan, False, (0,) * len(_EDGES), (0,) * len(_BELOW))
        whole = values.dtype.kind != "f" or _is_whole(values)
        # Whole numbers exceed an edge where they exceed its floor; a comparison of their own type is the faster.
        edges = _EDGES if values.dtype.kind == "f" else [math.floor(edge) for edge in _EDGES]
        above = tuple(_count_above(values, edge, low, high) for edge in edges)
        below = tuple(int(np.count_nonzero(values < edge)) if low < edge else 0 for edge in _BELOW)
        return cls(values.size, low, high, whole, above, below)

    def __add__(self, other: Levels) -> Levels:
        return Levels(
            self.count + other.count,
            float(np.minimum(self.low, other.low)),  # keeps a NaN, as min() does not
            float(np.maximum(self.high, other.high)),
            self.whole and other.whole,
            tuple(map(add, self.above, other.above)),
            tuple(map(add, self.below, other.below)),
        )

    def __str__(self) -> str:
        return f"{self.low:,.6g} to {self.high:,.6g}"

    def over(self, edge: float) -> float:
        """Share of the values that exceed one of ``_EDGES``."""
        return self.above[_EDGES.index(edge)] / self.count

    def under(self, edge: float) -> float:
        """Share of the values that are less than one of ``_BELOW``."""
        return self.below[_BELOW.index(edge)] / self.count

    def within(self, white: float) -> bool:
        """Whether 0 to ``white`` is their range, but for a few values."""
        beyond, far = self.over(white), self.over(1.25 * white)
        # Signal goes on beyond any limit; what begins again at twice the limit stands for something else.
        if far > FEW or beyond > OVERSHOOT or far > self.over(2 * white):
            return False
        # Few bright places in dark images are the signal: others have to fill the range up to the limit.
        if far and self.over(0.25 * white) - beyond < FILLED:
            return False
        return self.under(0) <= (OVERSHOOT if self.low >= -0.25 * min(white, self.high) else FEW)

    def scale(self) -> Scale:
        """Which values are black and white.

        Raises:
            Undecided: that cannot be told.
        """
        if math.isnan(self.low):
            raise Undecided(
                "Some values are NaN or infinite.", "Leave these images out, or np.nan_to_num(x)."
            )
        signed = self._signed() if self.low < 0 else None
        if signed and self.under(0) > OVERSHOOT:
            return signed
        if signed or self.under(0) > OVERSHOOT:  # a few values below zero: the only black, or no measurement
            raise self._undecided()
        if self.whole:
            small = [white for white in SMALL if self.low >= 0 and 0 < self.high <= white]
            fitting = [*small, *(white for white in DEPTHS if self.within(white))]
        else:
            # Fractions up to 255 are pictures; dark ones of 0 to 255 and bright ones of 0 to 4 look the same.
            bytes_ = self.within(255) and self.over(DARKEST) > FEW
            fitting = [white for white, fits in ((1, self.within(1)), (255, bytes_)) if fits]
        if not fitting:
            raise self._undecided()
        return Scale(0.0, float(fitting[0]))

    def _signed(self) -> Scale | None:
        """The scale of values on both sides of zero; None if they fill the range of none."""
        for black in (1, *CENTRED) if self.whole else ():
            white = max(1, black - 1)
            if -black <= self.low < -black / 2 and white / 2 <= self.high <= white:
                return Scale(-float(black), float(white))
        near = max(self.under(-1.0), self.over(1)) <= OVERSHOOT and not max(
            self.under(-1.25), self.over(1.25)
        )
        return Scale(-1.0, 1.0) if near and self.low < -0.5 else None

    def _undecided(self) -> Undecided:
        why = (
            f"The values are {self}{'' if self.whole else ', with fractions'}. Pixels are 0 to 1, -1 to 1, 0 to "
            "255 or whole numbers of up to 16 bits."
        )
        for white in (1, 255):
            if -0.5 * white <= self.low and 0.5 * white < self.high <= 2 * white:
                return Undecided(why, f"If 0 is black and {white} is white: x = np.clip(x, 0, {white}).")
        return Undecided(
            why,
            "Choose the values that become black and white: "
            'x = np.clip((x - BLACK) * 255.0 / (WHITE - BLACK), 0, 255).astype("uint8").',
        )


def _is_whole(values: np.ndarray) -> bool:
    first = values.reshape(-1)[:1024]
    return bool((first == np.rint(first)).all() and (values == np.rint(values)).all())


def _count_above(values: np.ndarray, edge: float, low: float, high: float) -> int:
    if edge >= high:
        return 0
    return values.size if edge < low else int(np.count_nonzero(values > edge))


FULL = Levels.of(np.array([0, 255], np.uint8))
"""Those of bytes of which some exceed DARKEST: nothing else matters."""


@dataclass(frozen=True, slots=True)
class Values:
    """How the values of one image became 0 to 255.

    Attributes:
        kind: ``"bytes"``, ``"integers"`` or ``"floats"`` for those of files, of which each kind has its own scale
            within a dataset; ``"given"`` where somebody has said what is black and white.
        levels: what they were.
        scale: what was taken as black and white; None if that cannot be told by this image alone.
        cut: share of the values outside of these.
        beyond: how far the farthest lies outside, as a part of the range.
    """

    kind: str = "bytes"
    levels: Levels = FULL
    scale: Scale | None = BYTES
    cut: float = 0.0
    beyond: float = 0.0


ORDINARY = Values()
"""What nearly all images are, one object for all of them."""


def together(levels: Iterable[Levels]) -> Levels:
    """The sum of some, at least one."""
    return reduce(add, levels)


def agreed(parts: Mapping[str, Levels]) -> Scale:
    """One scale for all parts of a dataset.

    Args:
        parts: the levels of each, by what to call it.

    Raises:
        Undecided: their ranges differ, or no scale can be told.
    """
    names = list(parts)
    for i, one in enumerate(names):
        for other in names[:i]:
            if _differ(parts[one], parts[other]):
                raise Undecided(
                    f"The values of {other} are {parts[other]}, those of {one} {parts[one]}.",
                    "Bring all parts to one range first, for instance 0 to 255.",
                )
    return together(parts.values()).scale()


def scales(values: Sequence[Values], in_test: np.ndarray | None) -> dict[int, Scale]:
    """The scale of a dataset for those of its image files that were decoded with another.

    Args:
        values: of each image.
        in_test: which are test images, (N,); None if no test part is given.

    Returns:
        By number of the image.

    Raises:
        Unfit: no scale can be told, or none fits both the test part and the rest.
    """
    found: dict[int, Scale] = {}
    for kind in ("bytes", "integers", "floats"):
        numbers = [i for i, value in enumerate(values) if value.kind == kind]
        if all(values[i] is ORDINARY for i in numbers):
            continue
        tested = [in_test is not None and bool(in_test[i]) for i in numbers]
        parts = {}
        for name, side in (("images outside the test part", False), ("test images", True)):
            of_part = [values[i].levels for i, test in zip(numbers, tested, strict=True) if test is side]
            if of_part:
                parts[name] = together(
                    {id(levels): levels for levels in of_part}.values()
                )  # FULL counts once
        try:
            scale = agreed(parts)
        except Undecided as error:
            raise Unfit(
                "image files whose values say which are black and white",
                f"{error.why} {error.remedy} Save the result as 8-bit files.",
            ) from None
        found |= {i: scale for i in numbers if values[i].scale != scale}
    return found


def _differ(a: Levels, b: Levels) -> bool:
    """Whether one scale cannot be right for both."""
    of_a, of_b = _scale_or_none(a), _scale_or_none(b)
    if of_a and of_b and of_a.black != of_b.black:
        return True
    tops = [min(levels.high, s.white) if s else levels.high for levels, s in ((a, of_a), (b, of_b))]
    return min(tops) > 0 and max(tops) >= APART * min(tops)


def _scale_or_none(levels: Levels) -> Scale | None:
    try:
        return levels.scale()
    except Undecided:
        return None
