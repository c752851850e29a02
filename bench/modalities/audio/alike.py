"""Clips that are nearly the same: louder, re-encoded or moved a little. Never quadratic in the clips."""

from __future__ import annotations

import numpy as np

from bench.modalities.audio.spectrum import log_mel

PRINT = (96, 16)
"""Frames and bands of a fingerprint."""

FLOOR = 50.0
"""dB below the loudest place at which a fingerprint ends: what an encoder leaves out is softer."""

MOVED = 10
"""Frames by which one may be moved against the other, a tenth of the clip."""

ALIKE = 0.9
"""Least correlation of two fingerprints, where they overlap."""

NEIGHBOURS = 32
"""Clips that each is compared with, the nearest by the outline of their fingerprints."""

PLAIN = 3.0
"""Standard deviation of a fingerprint over time, in dB, below which there is nothing to compare: silence, a hum."""


def fingerprint(row: np.ndarray) -> np.ndarray:
    """Of a row: a coarse spectrogram in dB of its loudest place, int8, PRINT."""
    frames, bands = PRINT
    return log_mel(row, frames, bands, max(400, 3 * len(row) // frames), FLOOR).round().astype(np.int8)


def partners(prints: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Finds for each clip one of another kind that is nearly the same.

    Args:
        prints: int8, (N, *PRINT).
        kinds: integers or booleans, (N,).

    Returns:
        int64, (N,): the index of such a clip, or -1.
    """
    from scipy.spatial import cKDTree

    partner = np.full(len(prints), -1)
    heard = np.flatnonzero(_deviation(prints) >= PLAIN)
    if len(heard) < 2:
        return partner
    outlines = _outlines(prints[heard])
    near = cKDTree(outlines).query(outlines, min(NEIGHBOURS, len(heard)))[1]
    for column in near.T:
        other = heard[column]
        wanted = (kinds[heard] != kinds[other]) & (partner[heard] < 0)
        a, b = heard[wanted], other[wanted]
        alike = correlation(prints, a, b) >= ALIKE
        partner[a[alike]] = b[alike]
    return partner


def correlation(prints: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The highest correlation of pairs of fingerprints over moves of up to MOVED, each band about its mean."""
    best = np.full(len(a), -1.0)
    for start in range(0, len(a), 1024):
        part = slice(start, start + 1024)
        one, other = (prints[which[part]].astype(np.float32) for which in (a, b))
        for move in range(-MOVED, MOVED + 1):
            best[part] = np.maximum(best[part], _correlation(*_overlap(one, other, move)))
    return best


def _overlap(one: np.ndarray, other: np.ndarray, move: int) -> tuple[np.ndarray, np.ndarray]:
    length = one.shape[1] - abs(move)
    first, second = max(0, move), max(0, -move)
    return one[:, first : first + length], other[:, second : second + length]


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = (x - x.mean(axis=1, keepdims=True) for x in (one, other))
    scale = np.sqrt(np.square(one).sum(axis=(1, 2)) * np.square(other).sum(axis=(1, 2)))
    return np.einsum("nfb,nfb->n", one, other) / np.maximum(scale, 1e-6)


def _deviation(prints: np.ndarray) -> np.ndarray:
    return np.sqrt(np.array([np.square(p - p.mean(axis=0, dtype=np.float32)).mean() for p in prints]))


def _outlines(prints: np.ndarray) -> np.ndarray:
    """What of a fingerprint changes little when it is moved: mean and deviation of pairs of bands, (N, 16)."""
    pairs = PRINT[1] // 2
    found = np.empty((len(prints), 2 * pairs), np.float32)
    for i, one in enumerate(prints):
        wide = one.astype(np.float32).reshape(PRINT[0], pairs, 2).mean(axis=2)
        found[i] = np.concatenate([wide.mean(axis=0), wide.std(axis=0)])
    return found
