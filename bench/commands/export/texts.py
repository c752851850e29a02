"""Texts in an export: a table and a tokenizer for train.py, and what its templates and the card say of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bench.backbones.families.hub import TOKENIZER, HubTokenizer
from bench.commands.export.inputs import ExampleWriter, listed
from bench.commands.export.recipe import Recipe
from bench.commands.export.spelled import TEMPLATES
from bench.errors import RequestError
from bench.modalities.text.reader import BUCKETS, LENGTHS, HashedWords, TextReader
from bench.modalities.text.rows import texts_of
from bench.records import MULTI_LABEL
from bench.system.files import write_atomic
from bench.system.spreadsheets import csv_text
from bench.system.templates import comment, template


class Texts(ExampleWriter):
    """The texts as a network sees them, and their classes; beside them what divides texts into tokens."""

    def write_examples(self, recipe: Recipe, folder: Path) -> None:
        tokenizer, pool = _reader(recipe).tokenizer, recipe.dataset.pool
        if isinstance(tokenizer, HubTokenizer):
            shutil.copyfile(tokenizer.path, folder / TOKENIZER)
        elif not isinstance(tokenizer, HashedWords):
            remedy = "train.py cannot spell out its tokenizer. Choose another with --strategy or --backbone."
            raise RequestError("backbone", recipe.cell.backbone, "one with a tokenizer.json", remedy)
        table = listed(recipe, "text", texts_of(pool.data), "label")
        write_atomic(folder / "texts.csv", csv_text(*table))
        code = template(TEMPLATES, "predict_text.py.j2").render(many_labels=recipe.cell.task == MULTI_LABEL)
        (folder / "predict.py").write_text(code, encoding="utf-8")

    def describe_input(self, recipe: Recipe, files: Path | None) -> dict[str, Any]:
        reader = _reader(recipe)
        has_tokenizer = isinstance(reader.tokenizer, HubTokenizer)
        return {
            "rows_template": "train_rows_text.py.j2",
            "library": comment("tokenizers") if has_tokenizer else "",
            "source_file": comment("texts.csv"),
            "files": False,
            "augmentation": "none",
            "pooling": "",
            "pools_mean": recipe.head["pooling"] == "avg",
            "max_tokens": reader.limit,
            "pad": reader.tokenizer.pad,
            "lengths": LENGTHS,
            "buckets": BUCKETS - 2,
            "has_tokenizer": has_tokenizer,
        }

    def describe_backbone(self, recipe: Recipe) -> dict[str, Any]:
        return {}


def _reader(recipe: Recipe) -> TextReader:
    reader = recipe.network.reader
    assert isinstance(reader, TextReader)
    return reader
