"""What an export leaves to the kind of example: a module and two templates for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from bench.commands.export.recipe import Recipe
from bench.errors import RequestError
from bench.modalities.registry import modality

WRITERS = {
    "image": "bench.commands.export.images:Images",
    "text": "bench.commands.export.texts:Texts",
    "audio": "bench.commands.export.clips:Clips",
}
"""Modality to ``module:class``."""


class ExampleWriter(ABC):
    """What an export writes and says of one kind of example; ``train_...`` and ``card_...`` are its templates.

    ``files`` is the folder where the examples lie as files, None where the export holds them itself.
    """

    @abstractmethod
    def write_examples(self, recipe: Recipe, folder: Path) -> Path | None:
        """Writes what ``train.py`` learns from into the export's ``folder``, and returns ``files``."""

    @abstractmethod
    def describe_input(self, recipe: Recipe, files: Path | None) -> dict[str, Any]:
        """What the templates of train.py and of the card say of examples."""

    @abstractmethod
    def describe_backbone(self, recipe: Recipe) -> dict[str, Any]:
        """What train.py says of a backbone that Keras builds in one call."""


def listed(
    recipe: Recipe, content: str, values: Sequence[str], label: str
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """The columns and rows of a table of the pool: its examples and their classes.

    Of any number of labels each, every label is a column of 0 and 1.

    Args:
        content, label: what the columns are called.
        values: what stands for each example.
    """
    labels, names = recipe.dataset.pool.labels, recipe.dataset.class_names
    if labels.ndim == 2:
        return (content, *names), [(v, *row) for v, row in zip(values, labels.tolist(), strict=True)]
    return (content, label), [(v, names[c]) for v, c in zip(values, labels, strict=True)]


def writer_of(recipe: Recipe) -> ExampleWriter:
    """What writes the examples of a recipe."""
    kind = recipe.dataset.kind
    if kind.name not in WRITERS:
        expected = f"a run on {' or '.join(modality(name).noun.many for name in WRITERS)}"
        raise RequestError("DIR", kind.noun.many, expected, "There is no export of others yet.")
    found: ExampleWriter = resolve_name(WRITERS[kind.name])()
    return found
