"""Made-up sounds, and files of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.modalities.audio.input import RATE

KINDS = {
    "wav": {}, "flac": {}, "ogg": {}, "mp3": {}, "aiff": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}  # fmt: skip
"""Extensions, and what they are to soundfile."""


def word(seed: int, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    """A made-up word: a few syllables of gliding tones in noise, float32."""
    rng = np.random.default_rng(seed)
    parts = []
    for length in rng.dirichlet(np.ones(5)) * seconds * rate:
        time = np.arange(max(8, int(length))) / rate
        tones = [
            rng.random() * np.sin(2 * np.pi * (f * time + 200 * rng.random() * time**2))
            for f in rng.uniform(150, 3500, 4)
        ]
        parts.append(np.hanning(len(time)) * (sum(tones) + 0.2 * rng.standard_normal(len(time))))
    sound = np.resize(np.concatenate(parts), round(seconds * rate))
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def written(path: Path, samples: np.ndarray, rate: int = RATE, **how: Any) -> Path:
    import soundfile

    soundfile.write(path, samples, rate, **(how or KINDS.get(path.suffix[1:], {})))
    return path
