"""Vision transformers of the Hugging Face hub, with the preprocessing that belongs to them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.backbones.families.hub_folder import CONFIG, PREPROCESSOR, HubModel
from bench.backbones.families.pieces import Shape
from bench.backbones.families.vit_config import KINDS, ViTConfig, config_of, weights_of


class HubViT(HubModel):
    """A vision transformer: ViT, DeiT or DINOv2."""

    modality = "image"
    described_by = (CONFIG, PREPROCESSOR)

    @property
    def minimum_size(self) -> int:  # type: ignore[override]
        """Side of a patch, in pixels."""
        return self.config.patch

    @cached_property
    def config(self) -> ViTConfig:
        """Its shape."""
        with self.reading(KINDS) as found:
            return config_of(found)

    def weights_needed(self) -> Mapping[str, Shape]:
        return weights_of(self.config)

    def build(self, image: Any, **options: Any) -> Any:
        import keras

        from bench.backbones.families.vit import vit

        scale, offset = self._preprocessing()
        # float32 also under a mixed-precision policy: pixels are not to be rounded before they are centred.
        front = keras.layers.Rescaling(scale, offset, dtype="float32", name="preprocessing")
        return vit(front(image), self.config)

    def load(self, model: Any, path: Path) -> None:
        from bench.backbones.families.vit import load

        load(model, self.tensors(path), self.config)

    def _preprocessing(self) -> tuple[list[float], list[float]]:
        """By channel the factor of pixels from 0 to 255, and what is added."""
        found = self.json(PREPROCESSOR)
        factor = float(found.get("rescale_factor", 1 / 255)) if found.get("do_rescale", True) else 1.0
        means, deviations = [0.0] * 3, [1.0] * 3
        if found.get("do_normalize", True):
            means, deviations = (list(found.get(key, [0.5] * 3)) for key in ("image_mean", "image_std"))
        pairs = list(zip(means, deviations, strict=True))
        return [factor / deviation for _, deviation in pairs], [
            -mean / deviation for mean, deviation in pairs
        ]
