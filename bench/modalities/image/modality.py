"""Images, as the harness sees them."""

from __future__ import annotations

from bench.modalities.base import Modality, Noun


class Image(Modality):
    name = "image"
    noun = Noun("image", "images")
