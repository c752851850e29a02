"""What is noted of a clip when it is read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.modalities.audio.alike import PRINT, fingerprint
from bench.modalities.audio.items import Sound

FULL_SCALE = 0.999
"""From which size on a sample is at the end of its range."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a clip is, beside its row.

    Attributes:
        seconds: of the whole clip.
        rate: samples of a second, as it is recorded.
        channels: likewise.
        level: of the loudest 25 ms of its row, in dB below full scale (RMS); -inf for digital silence.
        clipped: share of its samples at full scale.
        offset: mean of its samples, where full scale is 1.
        digest: equal for clips with the same samples.
        print: by which nearly identical clips are known, see ``alike``.
    """

    seconds: float
    rate: int
    channels: int
    level: float
    clipped: float
    offset: float
    digest: bytes
    print: np.ndarray

    @classmethod
    def of(cls, sound: Sound, row: np.ndarray) -> Facts:
        """What is noted of a sound and its row."""
        samples = sound.samples
        content = f"{sound.rate} {samples.shape} {sound.seconds:.4f}".encode() + samples.tobytes()
        return cls(
            seconds=sound.seconds,
            rate=sound.rate,
            channels=samples.shape[1],
            level=loudest(row),
            clipped=float((np.abs(samples) >= FULL_SCALE).mean()),
            offset=float(np.abs(samples.mean(axis=0, dtype=np.float64)).max()),
            digest=hashlib.blake2b(content, digest_size=16).digest(),
            print=fingerprint(row),
        )


def loudest(row: np.ndarray, frame: int = 400) -> float:
    """The level of the loudest frame of a row, in dB of full scale."""
    whole = row[: len(row) // frame * frame].reshape(-1, frame).astype(np.float64) / 2**15
    power = float(np.square(whole).mean(axis=1).max())
    return 10 * np.log10(power) if power else -np.inf


class Album(list[Facts]):
    """Facts whose fingerprints lie in one piece: thousands of small arrays would fragment memory."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._prints = np.empty((count, *PRINT), np.int8)

    def append(self, facts: Facts) -> None:
        super().append(self._kept(len(self), facts))

    def __setitem__(self, number: Any, facts: Any) -> None:
        super().__setitem__(number, self._kept(number, facts))

    def _kept(self, number: int, facts: Facts) -> Facts:
        kept = self._prints[number]
        kept[:] = facts.print
        return replace(facts, print=kept)
