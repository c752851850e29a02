"""Clips that are not read yet: files, parts of files, and rows of arrays."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bench.errors import BenchError
from bench.modalities.base import Item, Unreadable
from bench.system.files import is_lfs_pointer, sha256_file

EXTENSIONS = frozenset(
    ".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .caf .w64 .rf64".split()  # noqa: SIM905
)
"""Files of these names are read."""

CONVERT = frozenset(".m4a .aac .wma .amr .ape .wv .mka".split())  # noqa: SIM905
"""Those of these are sounds, too, and are not read."""

SOUNDS = EXTENSIONS | CONVERT

FORMATS = frozenset("WAV WAVEX RF64 W64 FLAC OGG MP3 AIFF AU CAF".split())  # noqa: SIM905
"""What is read, as libsndfile calls it, whatever a file is called."""

MAX_CHANNELS = 64

MAX_VALUES = 2**26
"""Samples of all channels that are decoded of one clip, at most: 30 seconds have far less."""

RATES = (1_000, 768_000)
"""Samples of a second, at least and at most."""

INSTALL = "pip install 'transfer-bench[audio]'"


@dataclass(frozen=True)
class Sound:
    """The part of a clip that becomes a row, as it is recorded.

    Attributes:
        samples: float32, (frames, channels), -1..1.
        rate: samples of a second.
        seconds: of the whole clip.
    """

    samples: np.ndarray
    rate: int
    seconds: float


class Clip(Item, Protocol):
    """One clip of a dataset."""

    def read(self, seconds: float) -> Sound:
        """At most so many seconds about its middle. Raises ``Unreadable``."""


def check_installed() -> None:
    """Raises ``BenchError`` where what reads sounds is missing."""
    if missing := [name for name in ("soundfile", "soxr") if find_spec(name) is None]:
        raise BenchError(f"Audio needs {' and '.join(missing)}. Install them: {INSTALL}")


@dataclass(frozen=True)
class FileClip:
    """An audio file, or a part of one.

    Attributes:
        path: where it lies.
        start, end: of the part, in seconds; None: the file's own.
    """

    path: Path
    start: float | None = None
    end: float | None = None

    def sha256(self) -> str:
        status = self.path.stat()
        whole = _sha256(self.path, status.st_size, status.st_mtime_ns)
        if self.start is None and self.end is None:
            return whole
        return hashlib.sha256(f"{whole} {self.start} {self.end}".encode()).hexdigest()

    def read(self, seconds: float) -> Sound:
        import soundfile

        try:
            if not self.path.stat().st_size:
                raise Unreadable("empty")
            if is_lfs_pointer(self.path):
                raise Unreadable("a git-lfs pointer: run git lfs pull")
            if self.path.suffix.lower() == ".raw":
                raise Unreadable("samples without a header: convert it to wav")
            with soundfile.SoundFile(os.fsencode(self.path)) as file:
                return self._middle(file, seconds)
        except soundfile.LibsndfileError as error:
            raise Unreadable(_reason(self.path, error.error_string)) from None
        except OSError as error:
            raise Unreadable((error.strerror or str(error)).lower()) from None
        except ValueError:
            raise Unreadable("no such file") from None  # a null character in its name

    def _middle(self, file: Any, seconds: float) -> Sound:
        """The middle of an open ``SoundFile``, or of the part; no more is decoded."""
        rate, total = file.samplerate, file.frames
        if file.format not in FORMATS:
            raise Unreadable(f"not read: {file.format}")
        if file.channels > MAX_CHANNELS:
            raise Unreadable(f"more than {MAX_CHANNELS} channels")
        if not RATES[0] <= rate <= RATES[1]:
            raise Unreadable(f"a sample rate of {rate:,} Hz")
        if _is_truncated(file.extra_info):
            raise Unreadable("truncated")
        if not total:
            raise Unreadable("without a single sample")
        first, last = self._span(rate, total)
        wanted = min(last - first, math.ceil(seconds * rate))
        if wanted * file.channels > MAX_VALUES:
            raise Unreadable(f"more than {MAX_VALUES:,} samples")
        start = first + (last - first - wanted) // 2
        if start:
            file.seek(start)
        samples = file.read(wanted, dtype="float32", always_2d=True)
        if len(samples) < wanted:
            raise Unreadable("truncated")
        if not np.isfinite(samples).all():
            raise Unreadable("samples that are no numbers")
        return Sound(samples, rate, (last - first) / rate)

    def _span(self, rate: int, total: int) -> tuple[int, int]:
        """The first frame of the part, and the one behind its last."""
        first = round((self.start or 0.0) * rate)
        last = total if self.end is None else min(total, round(self.end * rate))
        if first >= total:
            raise Unreadable(f"start beyond the end ({total / rate:.2f} s)")
        if first >= last:
            raise Unreadable("end before start")
        return first, last


@dataclass(frozen=True)
class RowClip:
    """A row of an array of sounds.

    Attributes:
        row: (samples,) or (samples, channels).
        rate: samples of a second.
        scale: the value that stands for 1.
    """

    row: np.ndarray
    rate: int
    scale: float

    @property
    def nbytes(self) -> int:
        """Of memory that it holds."""
        return self.row.nbytes

    def sha256(self) -> str:
        head = f"{self.row.dtype.str}{self.row.shape}{self.rate}"
        return hashlib.sha256(head.encode() + self.row.tobytes()).hexdigest()

    def read(self, seconds: float) -> Sound:
        total = len(self.row)
        wanted = min(total, math.ceil(seconds * self.rate))
        start = (total - wanted) // 2
        samples = self.row[start : start + wanted].reshape(wanted, -1).astype(np.float32)
        if not np.isfinite(samples).all():
            raise Unreadable("samples that are no numbers")
        offset = self.scale if self.row.dtype.kind == "u" else 0.0
        return Sound((samples - offset) / self.scale, self.rate, total / self.rate)


@lru_cache(4096)
def _sha256(path: Path, size: int, changed: int) -> str:
    """Of a file; many clips may be parts of one."""
    return sha256_file(path)


def _is_truncated(log: str) -> bool:
    """Whether a file ends before its header says so, by what libsndfile noted when it opened it."""
    for line in log.splitlines():
        name, _, rest = line.strip().partition(":")
        if name.strip() in ("data", "SSND") and "(should be " in rest:
            said, _, found = rest.partition("(should be ")
            # A program that writes into a pipe does not know the length beforehand.
            if 0 < int(said) < 2**31 - 2**16 and int(said) > int(found.rstrip(") ")):
                return True
    return False


def _reason(path: Path, said: str) -> str:
    """Why a file cannot be opened or decoded, in a few words."""
    if path.suffix.lower() in CONVERT:
        return f"a {path.suffix.lower()} file, which is not read: convert it to flac or wav"
    words = said.lower()
    if "not recognised" in words:
        return "not audio"
    if "lost sync" in words or "seek" in words:
        return "truncated or damaged"
    if any(word in words for word in ("unsupported", "unknown", "unimplemented", "compress", "'fmt '")):
        return "an unsupported codec, or damaged: convert it to flac or wav"
    return "damaged"
