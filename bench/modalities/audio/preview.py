"""What the page shows of a clip: its spectrogram, and the clip itself to listen to."""

from __future__ import annotations

import base64
import io
from importlib.util import find_spec

import numpy as np

from bench.modalities.audio.input import RATE
from bench.modalities.audio.rows import middle
from bench.modalities.audio.spectrum import log_mel

WIDTH, HEIGHT = 160, 64
"""Pixels of a spectrogram."""
RANGE = 60.0
"""dB that it shows."""

HEARD_SECONDS = 3
"""Of a clip at most."""

_STOPS = np.array([(0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191)], float)
"""From soft to loud: a few colours of magma, which is even to the eye and to the colour-blind."""


def spectrogram(row: np.ndarray) -> str:
    """A log-mel spectrogram as a PNG data URI, low tones at the bottom."""
    from PIL import Image

    level = log_mel(row, WIDTH, HEIGHT, 1024, RANGE)
    shade = np.rint(255 * (1 + level.T[::-1] / RANGE)).astype(np.uint8)
    picture = Image.fromarray(shade).convert("P")
    picture.putpalette(_palette())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def sound(row: np.ndarray) -> str:
    """The middle of a clip as an MP3 data URI, which every browser plays; empty without soundfile."""
    if find_spec("soundfile") is None:
        return ""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, middle(row, HEARD_SECONDS * RATE), RATE, format="MP3", subtype="MPEG_LAYER_III")
    return f"data:audio/mpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _palette() -> bytes:
    at = np.linspace(0, len(_STOPS) - 1, 256)
    colours = np.stack([np.interp(at, np.arange(len(_STOPS)), column) for column in _STOPS.T], axis=1)
    return np.rint(colours).astype(np.uint8).tobytes()
