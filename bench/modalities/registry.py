"""The modalities there are; one line each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pkgutil import resolve_name
from typing import Any

from bench.modalities.base import Input, Modality

MODALITIES = {"image": "bench.modalities.image.modality:Image"}
"""Name to ``module:class``."""

DEFAULT = "image"
"""Of sources and backbones that do not say what their examples are."""


@cache
def modality(name: str) -> Modality:
    """The modality of this name."""
    found: Modality = resolve_name(MODALITIES[name])()
    return found


def input_of(settings: Mapping[str, Any], name: str = DEFAULT) -> Input:
    """How examples of a modality become rows, by a plan's or ``Cell.input``'s settings."""
    return modality(name).input(settings)
