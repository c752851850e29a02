"""All cells, one row each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.modalities.nouns import Noun
from bench.records import MULTI_LABEL
from reports import words
from reports.columns import MANY_LABELS
from reports.results import Results
from reports.sections import Section
from reports.statistics.credits import task_of
from reports.tables import backbone_title


@dataclass(frozen=True)
class Value:
    """A table cell: the text to show and, of a number, the raw value to sort by."""

    text: str
    raw: float | None = None


def section(run: Results) -> Section | None:
    """All cells, to be sorted; None of an empty run."""
    content = full_table(run.frame, run.noun)
    if not content["rows"]:
        return None
    return Section(
        "cells",
        "All cells",
        link="All cells",
        template="cells.html.j2",
        content=content,
        folded=f"Show {words.plural(len(content['rows']), 'cell')}",
    )


_FULL = (
    ("dataset", "dataset", None),
    ("backbone", "backbone", None),
    ("strategy", "strategy", None),
    ("status", "status", None),
    ("labels", "n", words.count),
    ("share", "fraction", words.fraction_name),
    ("seed", "seed", words.count),
    ("accuracy", "accuracy", words.percent),
    ("balanced acc.", "balanced_accuracy", words.percent),
    ("macro F1", "macro_f1", lambda value: f"{value:.3f}"),
    ("AUROC", "auroc", lambda value: f"{value:.3f}"),
    ("mAP", "mean_average_precision", words.percent),
    ("micro F1", "micro_f1", lambda value: f"{value:.3f}"),
    ("right answers", "label_accuracy", words.percent),
    ("log loss", "log_loss", lambda value: f"{value:.3f}"),
    ("ECE", "ece", lambda value: f"{value:.3f}"),
    ("epochs", "epochs", words.count),
    ("tuning", "tune_seconds", words.duration),
    ("refit", "fit_seconds", words.duration),
    ("ms/{one}", "inference_ms_per_image", lambda value: f"{value:.3g}"),
    ("parameters", "params", words.magnitude),
    ("trainable", "trainable_params", words.magnitude),
    ("memory MB", "peak_memory_mb", words.count),
)


def full_table(results: pd.DataFrame, noun: Noun) -> dict[str, Any]:
    """Every cell: a heading and, row by row, what to show and what to sort by."""
    several = results["dataset"].nunique() > 1
    # Records from before there was a metric have none, nor have those of other tasks.
    of_others = ("accuracy", "balanced_accuracy") if task_of(results) == MULTI_LABEL else tuple(MANY_LABELS)
    hidden = {"dataset": not several, "auroc": results["auroc"].isna().all()} | dict.fromkeys(of_others, True)
    columns = [column for column in _FULL if not hidden.get(column[1])]
    rows = []
    for row in results.to_dict("records"):
        row["backbone"] = backbone_title(row["backbone"], row["weights"])
        line = []
        for _, key, text in columns:
            value = row[key]
            if text is None:
                line.append(Value(words.clean(value, 60)))
            elif math.isfinite(value):
                line.append(Value(text(value), value))
            else:
                line.append(Value("–", math.nan))
        rows.append((row["strategy"], line))
    titles = [(title.format(one=noun.one), text is not None) for title, _, text in columns]
    return {"columns": titles, "rows": rows}
