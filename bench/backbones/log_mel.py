"""Log-mel spectrograms inside of networks: standard operations of Keras with constants, and nothing that trains.

Frames are 25 ms under a periodic Hann window, 10 ms apart, and their spectra have 512 places. A saved model holds
all of it, and any backend computes it. The filters are triangles on the scale of Slaney (1998, Auditory Toolbox),
each of area 1, or on that of HTK (Young et al. 2006, The HTK Book), each of height 1.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

RATE = 16_000
"""Samples of a second."""
WINDOW, STEP, FRAME = 400, 160, 512
"""In samples: the window, the distance of frames, and a frame with the zeros about its window."""
BANDS, LOWEST, HIGHEST = 64, 20.0, 8_000.0
"""Of pictures: bands, and the Hz that they reach from and to."""
DEPTH = 80.0
"""Decibels below the loudest place of a clip at which pictures are black."""
SILENCE = 1e-12
"""Power of a band that counts as none."""


def picture(samples: keras.KerasTensor, side: int) -> keras.KerasTensor:
    """Clips as images for a network of images.

    The loudest place of a clip is 255 and what lies 80 dB below it is 0, so that a clip made louder or softer gives
    the same image. A clip whose loudest band has a power below 1e-4 is darker, and silence is black.

    Args:
        samples: float32 (batch, samples), -1..1.
        side: of the images, in pixels: time from top to bottom, frequency from left to right.

    Returns:
        float32 (batch, side, side, 3), 0..255, three equal channels.
    """
    level = decibels(banded(power(samples), slaney(BANDS, LOWEST, HIGHEST)), SILENCE)
    black = float(10 * np.log10(SILENCE))
    loudest = ops.maximum(ops.max(level, axis=(1, 2), keepdims=True), black + DEPTH)
    shown = ops.maximum((level - loudest) * (255 / DEPTH) + 255.0, 0.0)
    image = ops.image.resize(ops.expand_dims(shown, -1), (side, side), antialias=True)
    return ops.concatenate([image, image, image], axis=-1)


def power(samples: keras.KerasTensor) -> keras.KerasTensor:
    """The power spectrum of each frame: float32 (batch, frames, 257)."""
    real, imaginary = ops.stft(samples, WINDOW, STEP, FRAME, window="hann", center=False)
    return real * real + imaginary * imaginary


def banded(spectrum: keras.KerasTensor, filters: np.ndarray) -> keras.KerasTensor:
    """A spectrum summed into bands: (batch, frames, bands)."""
    return ops.matmul(spectrum, filters)


def decibels(bands: keras.KerasTensor, least: float) -> keras.KerasTensor:
    """Ten times the logarithm of power, of ``least`` at least."""
    return ops.log(ops.maximum(bands, least)) * float(10 / np.log(10))


def slaney(bands: int, lowest: float, highest: float) -> np.ndarray:
    """Filters of area 1 on Slaney's scale, float32 (257, bands): linear up to 1 kHz, then logarithmic."""
    step = np.log(6.4) / 27

    def mel(hertz: float) -> float:
        return hertz * 3 / 200 if hertz < 1000 else 15 + float(np.log(hertz / 1000)) / step

    edges = np.linspace(mel(lowest), mel(highest), bands + 2)
    hertz = np.where(edges < 15, edges * 200 / 3, 1000 * np.exp(step * (edges - 15)))
    triangles = _triangles(np.linspace(0, RATE / 2, FRAME // 2 + 1), hertz)
    return (triangles * 2 / (hertz[2:] - hertz[:-2])).astype(np.float32)


def htk(bands: int, lowest: float, highest: float) -> np.ndarray:
    """Filters of height 1 on HTK's scale, which are triangles on that very scale; float32 (257, bands)."""

    def mel(hertz: np.ndarray | float) -> np.ndarray:
        return np.asarray(1127 * np.log(1 + np.asarray(hertz) / 700))

    edges = np.linspace(mel(lowest), mel(highest), bands + 2)
    return _triangles(mel(np.linspace(0, RATE / 2, FRAME // 2 + 1)), edges).astype(np.float32)


def _triangles(places: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Triangles of height 1, each from an edge over the next to the one behind that: (places, edges - 2)."""
    rising = (places[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - places[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))
