"""The modalities there are; one line each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from bench.errors import RequestError
from bench.modalities.base import Input, Modality
from bench.system.sections import Section

MODALITIES = {
    "image": "bench.modalities.image",
    "text": "bench.modalities.text",
    "audio": "bench.modalities.audio",
}
"""Name to the package whose ``modality`` has a ``KIND``, and whose ``settings`` has the plan's keys of its own."""

DEFAULT = "image"
"""Of sources and backbones that do not say what their examples are."""


@cache
def modality(name: str) -> Modality:
    """The modality of this name.

    Raises:
        RequestError: there is none.
    """
    if name not in MODALITIES:
        raise RequestError("modality", name, " or ".join(MODALITIES), "A file of the run says so.")
    found: Modality = import_module(f"{MODALITIES[name]}.modality").KIND
    return found


def plan_keys() -> dict[str, type[Section]]:
    """The keys of a plan that are of one modality alone, by modality."""
    return {name: import_module(f"{package}.settings").Settings for name, package in MODALITIES.items()}


def size_of(settings: Mapping[str, Any], name: str) -> int:
    """How large a network's inputs are."""
    return input_of(settings, name).size


def input_of(settings: Mapping[str, Any], name: str = DEFAULT) -> Input:
    """How examples of a modality become rows, by a plan's or ``Cell.examples``'s settings."""
    return modality(name).input(settings)
