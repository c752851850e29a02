"""A small encoder of text without weights, which needs no vocabulary: what Conv4 is for images."""

from __future__ import annotations

from typing import Any, ClassVar

from bench.backbones.families.encoder_config import EncoderConfig
from bench.backbones.plugin import BackbonePlugin
from bench.modalities.text.reader import BUCKETS


class SmallTransformer(BackbonePlugin):
    summary = "two small layers without weights, on hashed words of any language"
    modality = "text"
    minimum_size = 8
    params_millions = 2.6
    options: ClassVar[dict[str, float | int | bool | str]] = {"layers": 2, "width": 128}

    def build(self, image: Any, **options: Any) -> Any:
        from bench.backbones.families.encoder import encoder

        layers, width = options["layers"], options["width"]
        heads = max(1, width // 32)
        return encoder(image, EncoderConfig(layers, width, heads, 4 * width, BUCKETS, positions=4096))
