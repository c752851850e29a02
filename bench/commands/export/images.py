"""Images in an export: files or pixels for train.py, and what its templates and the card say of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from bench.commands.export.inputs import ExampleWriter, listed
from bench.commands.export.recipe import Recipe
from bench.datasets.specs import open_source
from bench.modalities.image import augment
from bench.modalities.image.audit import SCALED
from bench.modalities.image.decode import max_pixels
from bench.modalities.image.facts import THUMBNAIL
from bench.modalities.image.pictures import FilePicture
from bench.system.files import write_atomic
from bench.system.spreadsheets import csv_text
from bench.system.templates import Verbatim, comment, identifier

RESIZINGS = {
    "crop": "the middle square, resized",
    "stretch": "stretched to a square",
    "pad": "resized to fit and padded to a square",
}


POOLINGS = {"avg": "GlobalAveragePooling2D", "max": "GlobalMaxPooling2D"}

DRAWS = 6
"""Random numbers that the augmentation of one image takes."""


class Images(ExampleWriter):
    """Files that are listed where train.py reads them as the harness does, else their pixels."""

    def write_examples(self, recipe: Recipe, folder: Path) -> Path | None:
        pool = recipe.dataset.pool
        files = {} if _is_scaled(recipe) else _files(recipe)
        if len(files) < len(set(pool.ids)):
            np.savez_compressed(folder / "images.npz", images=pool.data, labels=pool.labels)
            return None
        common = Path(os.path.commonpath([str(path) for path in files.values()]))
        base = common if common.is_dir() else common.parent
        _write_list(recipe, folder / "labels.csv", files, base)
        return base

    def describe_input(self, recipe: Recipe, files: Path | None) -> dict[str, Any]:
        given = recipe.cell.examples
        augmentation = "none" if recipe.method else given["augmentation"]
        smallest = augment.SMALLEST_CROP.get(augmentation, 1.0)
        return {
            "rows_template": "train_rows.py.j2",
            "draws": DRAWS,
            "scaled": Verbatim(""),
            "library": comment("pillow"),
            "source_file": comment("labels.csv" if files else "images.npz"),
            "files": bool(files),
            "folder": str(files or ""),
            "input_shape": Verbatim("SIZE, SIZE, 3"),
            **given,
            "draft": max(2 * given["image_size"], 4 * THUMBNAIL),
            "resizing_in_words": comment(RESIZINGS[given["resizing"]]),
            "augmentation": augmentation,
            "smallest_crop": smallest,
            "max_pixels": max_pixels(),
            "crop_percent": comment(f"{smallest * 100:g}"),
            "jitter": augment.JITTER,
            "angle": augment.ANGLE,
            "shear": augment.SHEAR,
            "scale": augment.SCALE,
            "move": augment.MOVE,
            "pooling": identifier(POOLINGS[recipe.head["pooling"]]),
        }

    def describe_backbone(self, recipe: Recipe) -> dict[str, Any]:
        from bench.backbones.build import CAFFE_MEAN_BGR, FRONTS, IMAGENET_MEAN, IMAGENET_STD

        spec = recipe.network.spec
        return {
            "front": FRONTS[spec.info.module].__name__.removeprefix("_"),
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
            "caffe_mean": CAFFE_MEAN_BGR,
            "application": identifier(spec.name),
            "options": [(identifier(name), value) for name, value in spec.options],
        }


def _is_scaled(recipe: Recipe) -> bool:
    """Whether ``read_image`` in train.py would show some images differently: it knows 8 bits alone."""
    return any(finding.kind == SCALED for finding in recipe.dataset.findings)


def _files(recipe: Recipe) -> dict[str, Path]:
    """The files of the pool, by id."""
    wanted = set(recipe.dataset.pool.ids)
    contents = open_source(recipe.cell.dataset, recipe.cell.task).contents()
    return {
        name: picture.path.resolve()
        for name, picture in zip(contents.ids, contents.pictures, strict=True)
        if name in wanted and isinstance(picture, FilePicture)
    }


def _write_list(recipe: Recipe, path: Path, files: dict[str, Path], base: Path) -> None:
    """Writes each file of the pool, relative to ``base``, and its class."""
    paths = [os.path.relpath(files[name], base) for name in recipe.dataset.pool.ids]
    write_atomic(path, csv_text(*listed(recipe, "path", paths, "class")))
