"""The plan's keys that are of images alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bench.system.sections import Section


class Settings(Section):
    image_size: Annotated[int, Field(ge=8, le=2048)] = 96
    # crop: the centre, in its proportions, as pretrained networks expect; on clothing a linear probe on stretched
    # images is 4 points worse.
    resizing: Literal["crop", "stretch", "pad"] = "crop"
    augmentation: Literal["none", "light", "strong", "affine"] = "light"
    flip: bool | Literal["auto"] = "auto"
