"""Log-mel spectrograms with NumPy, for fingerprints and pictures. Networks have their own, as layers."""

from __future__ import annotations

from functools import cache

import numpy as np

from bench.modalities.audio.input import RATE
from bench.modalities.audio.rows import floats

LOWEST, HIGHEST = 60.0, 7_800.0
"""Hz."""


def log_mel(row: np.ndarray, frames: int, bands: int, window: int, floor: float) -> np.ndarray:
    """The spectrogram of a row.

    Args:
        row: int16, (samples,).
        frames: at even distances, the first and last a half of ``window`` from the ends.
        bands: of the mel scale.
        window: samples of a frame.
        floor: dB below the loudest place to which all else is raised.

    Returns:
        float32, (frames, bands), in dB of the loudest place: -floor..0. All -floor for digital silence.
    """
    samples = floats(row)
    samples = np.pad(samples, (0, max(0, window - len(samples))))
    starts = np.linspace(0, len(samples) - window, frames).round().astype(int)
    cut = np.lib.stride_tricks.sliding_window_view(samples, window)[starts]
    power = np.square(np.abs(np.fft.rfft(cut * _hann(window)))) @ _filters(window, bands)
    loudest = power.max()
    if not loudest:
        return np.full((frames, bands), -floor, np.float32)
    return (10 * np.log10(np.maximum(power / loudest, 10 ** (-floor / 10)))).astype(np.float32)


@cache
def _hann(window: int) -> np.ndarray:
    return np.hanning(window).astype(np.float32)


@cache
def _filters(window: int, bands: int) -> np.ndarray:
    """Triangles on the mel scale, float32 (window / 2 + 1, bands); each covers one bin at least."""
    edges = np.linspace(_mel(LOWEST), _mel(HIGHEST), bands + 2)
    mel = _mel(np.linspace(0, RATE / 2, window // 2 + 1))[:, None]
    step = edges[1] - edges[0]
    triangles = np.maximum(0, 1 - np.abs(mel - edges[1:-1]) / step)
    nearest = np.abs(mel - edges[1:-1]).argmin(axis=0)
    triangles[nearest, np.arange(bands)] = np.maximum(triangles[nearest, np.arange(bands)], 0.5)
    return triangles.astype(np.float32)


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)
