"""The plan's keys that are of images alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bench.system.sections import Section


class Settings(Section):
    image_size: Annotated[int, Field(ge=8, le=2048)] = 96
    """Side of the square input, in pixels."""
    # crop: the centre, in its proportions, as pretrained networks expect; on clothing a linear probe on stretched
    # images is 4 points worse.
    resizing: Literal["crop", "stretch", "pad"] = "crop"
    """How an image becomes a square. ``crop`` keeps the centre, ``pad`` keeps all of it in its proportions."""
    augmentation: Literal["none", "light", "strong", "affine"] = "light"
    """How training images are varied. ``affine`` is for drawings, letters and signs."""
    flip: bool | Literal["auto"] = "auto"
    """Whether training images are mirrored. Use ``false`` for digits, letters and signs. ``auto`` decides by the
    dataset."""
