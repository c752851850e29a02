"""Image augmentation on uint8 arrays, cheap enough to be done between two training steps.

- ``none``: images as they are.
- ``light``: a random crop of 80 to 100% of each side, and a mirror image half of the time.
- ``strong``: a crop of 60 to 100%, a mirror image half of the time, brightness and contrast by up to 30%.

Mirroring is left out where it would change what an image means (``flip = false``: digits, letters, signs).
Crops as in Szegedy et al. 2015 (arXiv:1409.4842), milder, since few epochs are trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

SMALLEST_CROP = {"light": 0.8, "strong": 0.6}
JITTER = 0.3
DRAWS = 6


@dataclass(frozen=True)
class Augmentation:
    """A policy: ``kind`` is ``none``, ``light`` or ``strong``; ``flip`` allows mirror images."""

    kind: str = "none"
    flip: bool = True

    def __bool__(self) -> bool:
        return self.kind != "none"

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augments each image with random numbers from ``rng``; see ``apply``."""
        return self.apply(images, rng.random((len(images), DRAWS))) if self else images

    def apply(self, images: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Augments each image on its own.

        Args:
            images: uint8 (N, S, S, 3); not changed.
            draws: what is random of each image, uniform in [0, 1), (N, DRAWS); as many whatever the policy.

        Returns:
            uint8 (N, S, S, 3), a new array (the same one for ``none``).
        """
        if not self:
            return images
        size = images.shape[1]
        sides = size * (SMALLEST_CROP[self.kind] + (1 - SMALLEST_CROP[self.kind]) * draws[:, 0])
        lefts, tops = (size - sides) * draws[:, 1], (size - sides) * draws[:, 2]
        result = np.empty_like(images)
        for i, image in enumerate(images):
            box = (lefts[i], tops[i], lefts[i] + sides[i], tops[i] + sides[i])
            crop = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box)
            result[i] = np.asarray(crop)
        if self.flip:
            mirrored = draws[:, 3] < 0.5
            result[mirrored] = result[mirrored, :, ::-1]
        if self.kind == "strong":
            gain = 1 + JITTER * (2 * draws[:, 4] - 1)
            shift = 255 * JITTER * (draws[:, 5] - 0.5)
            pixels = result.astype(np.float32) * gain[:, None, None, None] + shift[:, None, None, None]
            result = np.clip(pixels, 0, 255).astype(np.uint8)
        return result
