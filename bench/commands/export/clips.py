"""Clips in an export: their samples for train.py, and what its templates and the card say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.commands.export.images import POOLINGS
from bench.commands.export.inputs import ExampleWriter
from bench.commands.export.recipe import Recipe
from bench.commands.export.spelled import TEMPLATES
from bench.modalities.audio import augment
from bench.modalities.audio.input import RATE
from bench.modalities.audio.rows import FULL
from bench.modalities.registry import size_of
from bench.records import MULTI_LABEL
from bench.system.templates import Verbatim, comment, identifier, template


class Clips(ExampleWriter):
    """The samples of the clips as a network hears them; beside them what reads audio files."""

    def write_examples(self, recipe: Recipe, folder: Path) -> None:
        pool = recipe.dataset.pool
        np.savez_compressed(folder / "clips.npz", clips=pool.data, labels=pool.labels)
        code = template(TEMPLATES, "predict_audio.py.j2").render(many_labels=recipe.cell.task == MULTI_LABEL)
        (folder / "predict.py").write_text(code, encoding="utf-8")

    def describe_input(self, recipe: Recipe, files: Path | None) -> dict[str, Any]:
        given = recipe.cell.examples
        augmentation = "none" if recipe.method else given["augmentation"]
        return {
            "rows_template": "train_rows.py.j2",
            "draws": 0,
            "scaled": Verbatim(" / FULL"),
            "library": "",
            "source_file": comment("clips.npz"),
            "files": False,
            "input_shape": Verbatim("SAMPLES"),
            "pooling": identifier(POOLINGS[recipe.head["pooling"]]),
            "clip_seconds": given["clip_seconds"],
            "samples": size_of(given, "audio"),
            "rate": RATE,
            "full": FULL,
            "augmentation": augmentation,
            "shift": augment.SHIFT.get(augmentation, 0.0),
            "masks": augment.MASKS.get(augmentation, 0),
            "span": augment.SPAN,
            "band": augment.BAND,
            "gain": augment.GAIN,
            "noise": augment.NOISE,
        }

    def describe_backbone(self, recipe: Recipe) -> dict[str, Any]:
        return {}
