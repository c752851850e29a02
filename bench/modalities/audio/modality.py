"""Audio, as the harness sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.modalities.audio import audit
from bench.modalities.audio.augment import Augmentation
from bench.modalities.audio.facts import Album, Facts
from bench.modalities.audio.input import RATE, AudioInput
from bench.modalities.audio.items import Clip, check_installed
from bench.modalities.audio.preview import sound, spectrogram
from bench.modalities.audio.rows import floats, row_of
from bench.modalities.base import Again, Modality, Tensor
from bench.modalities.evidence import Evidence, numbered
from bench.modalities.findings import Finding
from bench.modalities.nouns import Noun


class Audio(Modality):
    name = "audio"
    default_backbone = "SpeechEmbedding"
    noun = Noun("clip", "clips", "samples", "recording", "like these, speech or other sounds")
    version = 1
    keys = ("clip_seconds", "augmentation")
    size_key = "clip_seconds"
    features = ("batch", "frames", "bands", "c")

    def input(self, settings: Mapping[str, Any]) -> AudioInput:
        return AudioInput(float(settings["clip_seconds"]))

    def sized(self, settings: Mapping[str, Any]) -> str:
        return f"{settings['clip_seconds']:g} s"

    def given(self, size: int) -> float:
        return size / RATE

    def takes(self, least: int) -> str:
        return f"it takes clips of {least / RATE:g} s or more"

    def input_named(self, name: str) -> AudioInput:
        return AudioInput(float(name))

    def mismatch(self, then: AudioInput, now: AudioInput) -> str:
        return f"clips of {then.clip_seconds:g} s; here they have {now.clip_seconds:g} s"

    def settings(self, plan: Mapping[str, Any], traits: Mapping[str, Any]) -> dict[str, Any]:
        if plan["augmentation"] == "affine":
            raise RequestError("augmentation", "affine", "none, light or strong", "affine is for images.")
        return super().settings(plan, traits)

    def augmentation(self, settings: Mapping[str, Any]) -> Augmentation:
        return Augmentation(settings["augmentation"])

    def described(self, settings: Mapping[str, Any]) -> str:
        return f"clips of {settings['clip_seconds']:g} s at 16 kHz, augmentation {settings['augmentation']}"

    def row(self, input: AudioInput) -> Tensor:
        return Tensor((input.size,), "int16")

    def read(self, item: Clip, input: AudioInput) -> tuple[np.ndarray, Facts]:
        sound = item.read(input.clip_seconds)
        row = row_of(sound.samples, sound.rate, input.size)
        return row, Facts.of(sound, row)

    def reading(self) -> AbstractContextManager[None]:
        check_installed()
        return nullcontext()

    def album(self, count: int) -> Album:
        return Album(count)

    def identical(self, facts: list[Facts], sha256: Sequence[str], again: Again) -> np.ndarray:
        """Clips are identical if they decode to the same samples."""
        return numbered([f.digest for f in facts])

    def lookalikes(self, evidence: Evidence) -> list[Finding]:
        return audit.near_duplicates(evidence)

    def findings(self, evidence: Evidence) -> list[Finding]:
        return [*audit.lengths(evidence), *audit.rates(evidence), *audit.levels(evidence)]

    def summary(self, facts: Sequence[Facts]) -> dict[str, Any]:
        return audit.summary(facts)

    def described_summary(self, summary: Mapping[str, Any]) -> str:
        return audit.described(summary)

    def preview(self, row: np.ndarray) -> str:
        return spectrogram(row)

    def sound(self, row: np.ndarray) -> str:
        return sound(row)

    def inputs(self, size: int) -> dict[str, Tensor]:
        """``samples``: one channel, 16,000 a second, -1..1."""
        return {"samples": Tensor((size,), "float32")}

    def reader(self, tokenizer: Any, size: int) -> SampleReader:
        return SampleReader()


class SampleReader:
    """Gives networks the samples as numbers from -1 to 1."""

    def tensors(self, rows: np.ndarray) -> list[np.ndarray]:
        """float32 (N, samples)."""
        return [floats(rows)]

    def lengths(self, rows: np.ndarray) -> None:
        return None


KIND = Audio()
