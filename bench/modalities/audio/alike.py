"""Clips that are nearly the same: louder, re-encoded or moved a little. Never quadratic in the clips.

A fingerprint is a coarse spectrogram. Two are compared by where their levels rise from band to band and frame to
frame, the differences of Haitsma and Kalker 2002 with their size: neither loudness nor the tone of a microphone
changes them, and two recordings of one word have few of them in common.
"""

from __future__ import annotations

import numpy as np

from bench.modalities.audio.spectrum import log_mel

PRINT = (96, 32)
"""Frames and bands of a fingerprint."""

FLOOR = 50.0
"""dB below the loudest place at which a fingerprint ends: what an encoder leaves out is softer."""

WINDOW = 3
"""Distances of two frames that a frame is long, so that a move by a part of one changes little."""

MOVED = 10
"""Frames by which one may be moved against the other, a tenth of the clip."""

ALIKE = 0.68
"""Least correlation of the differences of two fingerprints, where they overlap. Of 8,859 pairs in which a speaker
says a digit twice, the highest has .59. Among 3,000 such clips, one pair is found. Of 1,200 copies as MP3 or
Vorbis, moved, at a tenth of the loudness, with noise 30 dB below or with all of it, 1,198 are found."""

NEIGHBOURS, FAR = 16, 5.0
"""Clips that each is compared with: the nearest by the outline of their fingerprints, up to a distance in dB. These
copies have their originals within 4.4 dB, among the nearest ten."""

PLAIN = 1.0
"""Standard deviation of the differences, in dB, below which there is nothing to compare: silence, a hum."""


def fingerprint(row: np.ndarray) -> np.ndarray:
    """Of a row: a coarse spectrogram in dB of its loudest place, int8, PRINT."""
    frames, bands = PRINT
    window = max(500, WINDOW * len(row) // frames)
    return log_mel(row, frames, bands, window, FLOOR).round().astype(np.int8)


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
    heard = np.flatnonzero([differences(one[None]).std() >= PLAIN for one in prints])
    if len(heard) < 2 or len(np.unique(kinds)) < 2:
        return partner
    outlines = np.stack([outline(one) for one in prints[heard]])
    near = cKDTree(outlines).query(outlines, min(NEIGHBOURS, len(heard)), distance_upper_bound=FAR)[1]
    for column in near.T:
        (there,) = np.nonzero(column < len(heard))
        one, other = heard[there], heard[column[there]]
        wanted = (kinds[one] != kinds[other]) & (partner[one] < 0)
        a, b = one[wanted], other[wanted]
        alike = correlation(prints, a, b) >= ALIKE
        partner[a[alike]] = b[alike]
    return partner


def outline(one: np.ndarray) -> np.ndarray:
    """What of a fingerprint changes little when it is moved: mean and deviation of 8 wide bands, float32, (16,)."""
    wide = one.astype(np.float32).reshape(PRINT[0], 8, -1).mean(axis=2)
    return np.concatenate([wide.mean(axis=0), wide.std(axis=0)])


def differences(prints: np.ndarray) -> np.ndarray:
    """From band to band, and of these from frame to frame: float32, (N, frames - 2, bands - 1)."""
    steep = np.diff(prints.astype(np.float32), axis=2)
    return steep[:, 2:] - steep[:, :-2]


def correlation(prints: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The highest correlation of the differences of pairs, over moves of up to MOVED: float64, (P,)."""
    best = np.full(len(a), -1.0)
    for start in range(0, len(a), 256):
        part = slice(start, start + 256)
        one, other = differences(prints[a[part]]), differences(prints[b[part]])
        for move in range(-MOVED, MOVED + 1):
            best[part] = np.maximum(best[part], _correlation(*_overlap(one, other, move)))
    return best


def _overlap(one: np.ndarray, other: np.ndarray, move: int) -> tuple[np.ndarray, np.ndarray]:
    length = one.shape[1] - abs(move)
    first, second = max(0, move), max(0, -move)
    return one[:, first : first + length], other[:, second : second + length]


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.square(one).sum(axis=(1, 2)) * np.square(other).sum(axis=(1, 2)))
    return np.einsum("nfb,nfb->n", one, other) / np.maximum(scale, 1e-6)
