"""The modalities there are; one line each."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from bench.modalities.base import Modality

MODALITIES = {"image": "bench.modalities.image.modality:Image"}
"""Name to ``module:class``."""


@cache
def modality(name: str) -> Modality:
    """The modality of this name."""
    module, _, attribute = MODALITIES[name].partition(":")
    found: Modality = getattr(import_module(module), attribute)()
    return found
