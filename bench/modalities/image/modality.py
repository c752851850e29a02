"""Images, as the harness sees them."""

from __future__ import annotations

import numpy as np

from bench.modalities.base import Modality, Noun


class Image(Modality):
    name = "image"
    noun = Noun("image", "images")

    def tensors(self, rows: np.ndarray) -> list[np.ndarray]:
        return [rows.astype(np.float32)]
