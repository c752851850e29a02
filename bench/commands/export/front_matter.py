"""The head of the card: YAML, as the Hugging Face Hub reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from bench.commands.export.formats import Converted
from bench.commands.export.recipe import Recipe
from bench.system.names import titled
from bench.system.templates import Verbatim
from reports import words

METRICS = {"macro_f1": "f1", "auroc": "roc_auc"}
"""What the Hub calls a metric, where it has another name."""


def front_matter(recipe: Recipe, metric: str, value: float, formats: Sequence[Converted]) -> dict[str, Any]:
    """What the template says there. Without a licence: that of the data and of the weights is not known."""
    dataset, cell = recipe.dataset, recipe.cell
    made = [measured.format for measured in formats if not measured.reason]
    backbone = titled(cell.backbone, cell.weights)  # without paths
    tags = ["transfer-bench", "transfer-learning", cell.strategy, backbone]
    return {
        "yaml": {
            "task": scalar(f"{dataset.modality}-classification"),
            "tags": [
                scalar(tag) for tag in dict.fromkeys([*tags, *(tag for kind in made for tag in kind.tags)])
            ],
            "name": scalar(f"{backbone}, {cell.strategy}, {dataset.name}"),
            "dataset": scalar(dataset.name),
            "dataset_type": scalar(_of_the_hub(cell.dataset) or dataset.name),
            "metric": scalar(METRICS.get(metric, metric)),
            "metric_name": scalar(
                f"{words.capital(words.metric_name(metric))} on the test {recipe.noun.many}"
            ),
            "value": Verbatim(f"{value:.4f}"),
        }
    }


def _of_the_hub(spec: str) -> str:
    """The name of a dataset on the Hub; empty for any other."""
    found = re.match(r"hf:([\w.-]+(/[\w.-]+)?)", spec)
    return found[1] if found else ""


def scalar(text: str) -> Verbatim:
    """A text in YAML: JSON's quotes are YAML's, and what could not be printed is left out."""
    return Verbatim(json.dumps(words.clean(text, 100), ensure_ascii=False))
