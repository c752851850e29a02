"""The modalities there are; one line each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from bench.modalities.base import Input, Modality
from bench.system.sections import Section

MODALITIES = {"image": "bench.modalities.image"}
"""Name to the package whose ``modality`` has a ``KIND``, and whose ``settings`` has the plan's keys of its own."""

DEFAULT = "image"
"""Of sources and backbones that do not say what their examples are."""


@cache
def modality(name: str) -> Modality:
    """The modality of this name."""
    found: Modality = import_module(f"{MODALITIES[name]}.modality").KIND
    return found


def settings() -> tuple[type[Section], ...]:
    """The keys of a plan that are of one modality alone, of each."""
    return tuple(import_module(f"{package}.settings").Settings for package in MODALITIES.values())


def input_of(settings: Mapping[str, Any], name: str = DEFAULT) -> Input:
    """How examples of a modality become rows, by a plan's or ``Cell.input``'s settings."""
    return modality(name).input(settings)
