"""Sounds of several lengths, each written as a file that is named by its content."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from pathlib import Path
from typing import Any

from bench.datasets.objects.arrays import as_array
from bench.datasets.objects.refusal import refusal

SOUNDS = "sounds"
"""The folder of the sounds that a table lists."""
SUBTYPES = {"int16": "PCM_16", "int32": "PCM_32", "float32": "FLOAT", "float64": "DOUBLE"}
"""How samples of a type lie in a wav file: as they are."""
BEGIN = {b"RIFF": "wav", b"fLaC": "flac", b"OggS": "ogg", b"FORM": "aiff", b"ID3": "mp3"}
"""What files of a kind begin with."""


class Sounds:
    """Writes sounds into the folder ``sounds`` of a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / SOUNDS
        self.folder.mkdir()
        self._seen: Counter[str] = Counter()

    def add(self, sound: Any, label: str, rate: int = 0) -> str:
        """Writes a sound; returns the path that a table gives it.

        Args:
            sound: samples (samples,) or (samples, channels), or what a Hugging Face dataset gives for one: the
                ``bytes`` or ``path`` of a file, or an ``array`` with its ``sampling_rate``.
            label: keeps files of equal sounds with other labels apart, whatever order they come in.
            rate: samples a second of an array.

        Raises:
            RequestError: it is none, or the package soundfile is missing.
        """
        if isinstance(sound, dict) and "array" in sound:
            sound, rate = sound["array"], int(sound.get("sampling_rate") or 0)
        if isinstance(sound, dict):
            content, kind = _of_file(sound)
        else:
            content, kind = _wav(sound, rate), "wav"
        key = hashlib.sha256(f"{label}\0".encode() + content).hexdigest()[:24]
        self._seen[key] += 1
        name = key if self._seen[key] == 1 else f"{key}-{self._seen[key]}"
        (self.folder / f"{name}.{kind}").write_bytes(content)
        return f"{SOUNDS}/{name}.{kind}"


def _of_file(sound: dict[str, Any]) -> tuple[bytes, str]:
    """The content of a sound file, and its suffix without the dot."""
    path, content = sound.get("path"), sound.get("bytes")
    if content is None:
        try:
            content = Path(str(path)).read_bytes()
        except OSError as error:
            raise refusal(f"the sound {path}", "sounds that can be read", f"{error.strerror}.") from None
    known = next((kind for start, kind in BEGIN.items() if content.startswith(start)), "")
    return content, known or Path(str(path or "")).suffix.lstrip(".").lower() or "mp3"


def _wav(samples: Any, rate: int) -> bytes:
    """Samples as a wav file."""
    values = as_array(samples)
    if str(values.dtype) not in SUBTYPES or values.ndim not in (1, 2) or not values.size:
        remedy = f"Samples may be {', '.join(SUBTYPES)}."
        raise refusal(f"a sound of shape {values.shape} and type {values.dtype}", "sounds", remedy)
    try:
        import soundfile
    except ImportError as error:
        remedy = f"{error}. Run: pip install 'transfer-bench[audio]'"
        raise refusal("sounds of several lengths", "sounds, and the package soundfile", remedy) from None
    file = io.BytesIO()
    soundfile.write(file, values, rate, format="WAV", subtype=SUBTYPES[str(values.dtype)])
    return file.getvalue()
