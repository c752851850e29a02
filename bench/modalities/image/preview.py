"""Thumbnails of images."""

from __future__ import annotations

import base64
import io

import numpy as np

THUMBNAIL = 96
"""Pixels of the longer side."""


def thumbnail(image: np.ndarray) -> str:
    """A JPEG image as a data URI.

    Args:
        image: uint8, (H, W, 3).
    """
    from PIL import Image

    picture = Image.fromarray(image)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
