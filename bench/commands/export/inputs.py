"""What an export leaves to the kind of example: a module and two templates for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, ClassVar

from bench.commands.export.recipe import Recipe

INPUTS = {"image": "bench.commands.export.images:Images"}
"""Modality to ``module:class``."""


class Input(ABC):
    """What an export writes and says of one kind of example; its templates carry the name of its modality.

    ``files`` is the folder where the examples lie as files, None where the export holds them itself.
    """

    each: ClassVar[str]
    """One example, with its article."""
    limits: ClassVar[tuple[str, ...]]
    """What the card says of what a classifier of such examples cannot do."""

    @abstractmethod
    def write_examples(self, recipe: Recipe, folder: Path) -> Path | None:
        """Writes what ``train.py`` learns from into the export's ``folder``, and returns ``files``."""

    @abstractmethod
    def describe_input(self, recipe: Recipe, files: Path | None) -> dict[str, Any]:
        """What the template of train.py says of examples."""

    @abstractmethod
    def describe_backbone(self, recipe: Recipe) -> dict[str, Any]:
        """What it says of a backbone that Keras builds in one call."""

    @abstractmethod
    def describe_card(self, recipe: Recipe, files: Path | None) -> dict[str, Any]:
        """What the template of the card says of examples."""

    @abstractmethod
    def tensor(self, recipe: Recipe) -> str:
        """What the model takes."""

    @abstractmethod
    def preparation(self, recipe: Recipe) -> str:
        """How examples were prepared and augmented, as a sentence."""

    @abstractmethod
    def provenance(self, files: Path | None) -> str:
        """What the export holds of the examples, as a sentence."""


def input_of(recipe: Recipe) -> Input:
    """What writes the examples of a recipe."""
    found: Input = resolve_name(INPUTS[recipe.dataset.modality])()
    return found
