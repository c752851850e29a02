"""Sounds as rows: 16-bit samples of one channel, 16,000 a second, all of one length."""

from __future__ import annotations

import numpy as np

from bench.modalities.audio.input import RATE

FULL = 2**15
"""The value of a sample that stands for 1."""


def row_of(samples: np.ndarray, rate: int, size: int) -> np.ndarray:
    """A sound as a row.

    Args:
        samples: floating-point, (frames,) or (frames, channels), in -1..1. Channels are averaged.
        rate: samples of a second.
        size: samples of the row.

    Returns:
        int16, (size,): its middle, or all of it between silence.
    """
    mono = samples if samples.ndim == 1 else samples.mean(axis=1)
    mono = middle(resampled(mono, rate), size)
    values = np.clip(np.rint(mono * FULL), -FULL, FULL - 1).astype(np.int16)
    row = np.zeros(size, np.int16)
    before = (size - len(values)) // 2
    row[before : before + len(values)] = values
    return row


def middle(samples: np.ndarray, size: int) -> np.ndarray:
    """At most ``size`` samples about the middle."""
    start = max(0, (len(samples) - size) // 2)
    return samples[start : start + size]


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    """A sound of one channel at ``RATE``."""
    if rate == RATE or not len(samples):
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, rate, RATE))


def floats(rows: np.ndarray) -> np.ndarray:
    """Rows as networks take them: float32, -1..1."""
    return rows.astype(np.float32) / FULL
