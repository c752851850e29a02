"""The modalities there are; one line each."""

from __future__ import annotations

from functools import cache
from pkgutil import resolve_name

from bench.modalities.base import Modality

MODALITIES = {"image": "bench.modalities.image.modality:Image"}
"""Name to ``module:class``."""


@cache
def modality(name: str) -> Modality:
    """The modality of this name."""
    found: Modality = resolve_name(MODALITIES[name])()
    return found
