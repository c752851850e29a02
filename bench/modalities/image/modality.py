"""Images, as the harness sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.modalities.base import Modality, Noun


class Image(Modality):
    name = "image"
    noun = Noun("image", "images")

    def described(self, settings: Mapping[str, Any]) -> str:
        mirrored = "with" if settings["flip"] else "without"
        return (
            f"images of {settings['image_size']} pixels ({settings['resizing']}), augmentation "
            f"{settings['augmentation']} {mirrored} mirroring"
        )
