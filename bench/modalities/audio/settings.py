"""The plan's keys that are of audio. ``augmentation`` is one of images, too."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bench.system.sections import Section


class Settings(Section):
    clip_seconds: Annotated[float, Field(ge=0.1, le=30)] = 1.0
    """Seconds of a clip that a network hears. The middle of longer clips is used. Shorter ones are filled with
    silence."""
    augmentation: Literal["none", "light", "strong", "affine"] = "light"
    """How training examples are varied. ``affine`` is for images of drawings, letters and signs. Clips are shifted
    and masked, and ``strong`` adds noise."""
