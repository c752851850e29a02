"""Images of several sizes, each written as a PNG file that is named by its content."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.objects.refusal import refusal
from bench.datasets.objects.store import IMAGES

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")
"""What PNG files hold; images of other modes become RGB."""


def is_picture(value: Any) -> bool:
    """Whether it is a PIL image."""
    return hasattr(value, "mode") and hasattr(value, "getbands")


class Pictures:
    """Writes images into the folder ``images`` of a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / IMAGES
        self.folder.mkdir()
        self._seen: Counter[str] = Counter()

    def add(self, image: Any, label: str) -> str:
        """Writes an image, of PIL or an array of bytes; returns the path that a table gives it.

        Args:
            image: what is seen of it is written, turned as its EXIF data say.
            label: keeps files of equal images with other labels apart, whatever order they come in.

        Raises:
            RequestError: it is none.
        """
        from PIL import Image, ImageOps

        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim not in (2, 3):
                remedy = "Images of several sizes have to be uint8. Else resize them to one size."
                raise refusal(f"an image of shape {image.shape} and type {image.dtype}", "images", remedy)
            image = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
        if not is_picture(image):
            raise refusal(image, "images")
        try:
            image = ImageOps.exif_transpose(image)
            image = image if image.mode in MODES else image.convert("RGB")
        except (OSError, ValueError, SyntaxError) as error:  # it is read only now
            raise refusal("an image that is damaged", "images that can be read", f"{error}.") from None
        about = f"{label}\0{image.mode} {image.size}\0".encode()
        key = hashlib.sha256(about + image.tobytes()).hexdigest()[:24]
        self._seen[key] += 1
        name = key if self._seen[key] == 1 else f"{key}-{self._seen[key]}"
        image.save(self.folder / f"{name}.png", compress_level=1)
        return f"{IMAGES}/{name}.png"
