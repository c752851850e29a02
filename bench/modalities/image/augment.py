"""Image augmentation on uint8 arrays, cheap enough to be done between two training steps.

- ``none``: images as they are.
- ``light``: a random crop of 80 to 100% of each side, and a mirror image half of the time.
- ``strong``: a crop of 60 to 100%, a mirror image half of the time, brightness and contrast by up to 30%.
- ``affine``: turned by up to 15 degrees, sheared and scaled by up to a fifth and moved by up to 8% of the side, a
  mirror image half of the time: for drawings, letters and signs, which a crop would cut.

Mirroring is left out where it would change what an image means (``flip = false``: digits, letters, signs).
Crops as in Szegedy et al. 2015 (arXiv:1409.4842), milder, since few epochs are trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

SMALLEST_CROP = {"light": 0.8, "strong": 0.6}
JITTER = 0.3
ANGLE, SHEAR, SCALE, MOVE = 15.0, 0.2, 1.2, 0.08
"""Of ``affine``, at most: degrees; shift of a row by its height; factor; share of the side."""
DRAWS = 6


@dataclass(frozen=True)
class Augmentation:
    """A policy: ``kind`` is ``none``, ``light``, ``strong`` or ``affine``; ``flip`` allows mirror images."""

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
        result = affine(images, draws) if self.kind == "affine" else self._cropped(images, draws)
        if self.flip:
            mirrored = draws[:, 3] < 0.5
            result[mirrored] = result[mirrored, :, ::-1]
        if self.kind == "strong":
            gain = 1 + JITTER * (2 * draws[:, 4] - 1)
            shift = 255 * JITTER * (draws[:, 5] - 0.5)
            pixels = result.astype(np.float32) * gain[:, None, None, None] + shift[:, None, None, None]
            result = np.clip(pixels, 0, 255).astype(np.uint8)
        return result

    def _cropped(self, images: np.ndarray, draws: np.ndarray) -> np.ndarray:
        size = images.shape[1]
        sides = size * (SMALLEST_CROP[self.kind] + (1 - SMALLEST_CROP[self.kind]) * draws[:, 0])
        lefts, tops = (size - sides) * draws[:, 1], (size - sides) * draws[:, 2]
        result = np.empty_like(images)
        for i, image in enumerate(images):
            box = (lefts[i], tops[i], lefts[i] + sides[i], tops[i] + sides[i])
            crop = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box)
            result[i] = np.asarray(crop)
        return result


def affine(images: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Images turned, sheared, scaled and moved; what comes in from outside has the colour of the border."""
    size, spread = images.shape[1], 2 * draws - 1
    result = np.empty_like(images)
    for i, image in enumerate(images):
        angle, shear, scale = np.deg2rad(ANGLE) * spread[i, 0], SHEAR * spread[i, 1], SCALE ** spread[i, 2]
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        back = scale * turn @ [[1, shear], [0, 1]]  # from where a pixel comes
        start = size / 2 - back @ (size / 2 + MOVE * size * spread[i, 4:])
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        moved = Image.fromarray(image).transform(
            (size, size),
            Image.Transform.AFFINE,
            (*back[0], start[0], *back[1], start[1]),
            Image.Resampling.BILINEAR,
            fillcolor=tuple(np.median(border, axis=0).astype(int).tolist()),
        )
        result[i] = np.asarray(moved)
    return result
