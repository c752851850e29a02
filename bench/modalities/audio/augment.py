"""Augmentation of clips on rows of samples, cheap enough to be done between two training steps.

- ``none``: clips as they are.
- ``light``: shifted by up to a tenth of the clip, a span of up to a tenth silenced, and a band removed.
- ``strong``: shifted by up to a fifth, two spans and two bands, louder or softer by up to 6 dB, and noise 10 to
  40 dB below the clip.

Spans and bands are the masks of SpecAugment (Park et al. 2019, arXiv:1904.08779), made on samples, so that any
network hears them whatever its front end is. Its warping of time is left out: the paper finds that it adds little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.modalities.audio.rows import FULL

SHIFT = {"light": 0.1, "strong": 0.2}
"""Of the clip, to either side, at most."""
MASKS = {"light": 1, "strong": 2}
"""Spans and bands."""
SPAN = 0.1
"""Of the clip that a span silences, at most."""
BAND = 0.15
"""Of the mel scale that a band removes, at most."""
GAIN, NOISE = 6.0, (10.0, 40.0)
"""Decibels."""
MOST_MEL = 2595 * np.log10(1 + 8000 / 700)


@dataclass(frozen=True)
class Augmentation:
    """A policy: ``kind`` is ``none``, ``light`` or ``strong``."""

    kind: str = "none"

    def __bool__(self) -> bool:
        return self.kind != "none"

    def __call__(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augments each clip on its own.

        Args:
            rows: int16 (N, samples); not changed.
            rng: what is random.

        Returns:
            int16 (N, samples), a new array (the same one for ``none``).
        """
        if not self:
            return rows
        result = np.empty_like(rows)
        for i, row in enumerate(rows):
            result[i] = self._one(row, rng)
        return result

    def _one(self, row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        size, masks = len(row), MASKS[self.kind]
        samples = shifted(row, round(size * SHIFT[self.kind] * (2 * rng.random() - 1))).astype(np.float32)
        samples = without_bands(samples, rng.random((masks, 2)))
        for width, start in rng.random((masks, 2)):
            length = int(size * SPAN * width)
            first = int((size - length) * start)
            samples[first : first + length] = 0
        if self.kind == "strong":
            gain, below = rng.random(2)
            loud = np.sqrt(np.square(samples).mean())
            noise = rng.standard_normal(size, np.float32)
            samples += noise * loud * 10 ** (-(NOISE[0] + (NOISE[1] - NOISE[0]) * below) / 20)
            samples *= 10 ** (GAIN * (2 * gain - 1) / 20)
        return np.clip(np.rint(samples), -FULL, FULL - 1).astype(np.int16)


def shifted(row: np.ndarray, by: int) -> np.ndarray:
    """A row moved to the right; silence comes in."""
    result = np.zeros_like(row)
    if by >= 0:
        result[by:] = row[: len(row) - by]
    else:
        result[:by] = row[-by:]
    return result


def without_bands(samples: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Samples without some bands of frequency.

    Args:
        samples: float32, (samples,).
        draws: width and place of each band, uniform in [0, 1), (bands, 2).
    """
    spectrum = np.fft.rfft(samples)
    mel = 2595 * np.log10(1 + np.linspace(0, 8000, len(spectrum)) / 700)
    for width, place in draws:
        least = MOST_MEL * (1 - BAND * width) * place
        spectrum[(mel >= least) & (mel < least + MOST_MEL * BAND * width)] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)
