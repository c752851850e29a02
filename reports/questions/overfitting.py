"""Does it overfit? Accuracy in training, on validation and on test examples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.modalities.nouns import Noun
from reports import words
from reports.results import Results
from reports.sections import Section, Table
from reports.statistics.decisions import CONFIGURATION
from reports.tables import configuration_name, several_backbones
from reports.words import IMAGES


def section(run: Results) -> Section | None:
    """Accuracy in training, on validation and on test examples; None where training was not recorded.

    Nor with any number of labels: most answers are a rightful no, so shares of right answers hide what is learned
    by heart.
    """
    if run.many_labels:
        return None
    table = gaps_table(run.frame, run.curves, run.several, run.noun, mixed_shifts(run))
    return Section("overfitting", "Overfitting", [table], "Overfitting") if table.rows else None


OVERFITS = 0.1
"""A training accuracy so far above that on new examples is called overfitting."""


def mixed_shifts(run: Results) -> dict[str, float]:
    """By cell, how much validation accuracy would change if validation had the test part's mix of classes.

    Only of datasets whose given test part has another mix than the pool; NaN where the record does not tell.
    Classes that no example validates are left out of the test part's mix.
    """
    found = {}
    for record in run.records:
        about = run.run_info.get("datasets", {}).get(record.cell["fingerprint"], {})
        if record.status == "ok" and any(f.get("kind") == "class_mix" for f in about.get("findings", [])):
            chosen: dict[str, Any] = next((t for t in record.trials if t.get("chosen")), {})
            accuracies = np.array(chosen.get("val_class_accuracy") or [np.nan], float)
            found[record.cell_id] = math.nan
            if len(accuracies) == len(about["class_counts"]):
                tested = np.subtract(about["class_counts"], about["pool_counts"])
                known = np.isfinite(accuracies)
                mixed = (
                    np.average(accuracies[known], weights=tested[known]) if tested[known].any() else np.nan
                )
                found[record.cell_id] = float(mixed - chosen["val_accuracy"])
    return found


def gaps_table(
    results: pd.DataFrame,
    curves: pd.DataFrame,
    several: bool,
    noun: Noun = IMAGES,
    shifts: Mapping[str, float] | None = None,
) -> Table:
    """Accuracy in training, on validation and on test examples, with the most labels: who overfits.

    Args:
        results, curves: the frames of ``tables``.
        several: whether there is more than one dataset.
        noun: what examples are called.
        shifts: see ``mixed_shifts``.
    """
    numbers = gap_numbers(results, curves, shifts).dropna(subset=["train"])
    if numbers.empty:
        return Table(["Training curves were not recorded."])
    backbones = several_backbones(zip(numbers["backbone"], numbers["weights"], strict=True))
    rows: list[list[str]] = []
    overfit, caught, kept = [], [], []
    for row in numbers.to_dict("records"):
        name = configuration_name(
            row["strategy"], row["backbone"], row["weights"], backbones, row["dataset"] if several else ""
        )
        gap = row["train"] - row["test"]
        if gap > OVERFITS:
            overfit.append(f"{name} ({words.points(gap)} points)")
        if row["kept"] > OVERFITS:
            kept.append(name)
        elif row["rise"] > OVERFITS:
            caught.append(name)
        rise = f"{row['rise']:+.0%}".replace("-", "−") if math.isfinite(row["rise"]) else "–"
        rows.append(
            [name, *(words.percent(row[key]) for key in ("train", "val", "test")), words.points(gap), rise]
        )
    return Table(
        _conclusions(overfit, caught, kept, noun) + _mixes(numbers, backbones, several, noun, bool(shifts)),
        ["configuration", "training", "validation", "test", "gap", "validation loss after its best"],
        rows,
        "Means over seeds, with the most labels. Training and validation: the chosen trial at its end, "
        "training accuracy with augmentation and dropout on. Test: the refit on all labels. Gap: training "
        "minus test, in points. Last: how far the validation loss stood above its lowest at the end of the trial.",
        numbers["strategy"].tolist(),
        f"Accuracy in training, on validation and on test {noun.many}",
    )


def _conclusions(overfit: list[str], caught: list[str], kept: list[str], noun: Noun) -> list[str]:
    """Who overfits, whom early stopping has caught, and who was kept although the loss had risen."""
    conclusions = [
        f"Overfitting, more than {words.in_points(OVERFITS)} from training to test {noun.many}: "
        f"{words.brief(overfit)}. More labels, stronger augmentation or fewer trained layers help there."
        if overfit
        else f"No sign of overfitting: training accuracy is nowhere more than {words.in_points(OVERFITS)} "
        "above test."
    ]
    if caught:
        conclusions.append(
            f"After its best epoch the validation loss rose by more than a tenth: {words.brief(caught, 10)}. "
            "Early stopping caught this: the refit trains no longer than the best epoch."
        )
    if kept:
        conclusions.append(
            f"The validation loss ended more than a tenth above its lowest: {words.brief(kept, 10)}. A shorter "
            "training may do better there: --length 0.5."
        )
    return conclusions


def _mixes(numbers: pd.DataFrame, backbones: bool, several: bool, noun: Noun, differ: bool) -> list[str]:
    """What the mix of classes does to the gap between validation and test, for whoever is best in the test."""
    if not differ:
        return []
    known = numbers.dropna(subset=["shift"]).sort_values("test", ascending=False, kind="stable")
    other = f"The test {noun.many} have another mix of classes than validation {noun.many}."
    if known.empty:
        return [
            f"{other} How much of the gap this explains cannot be told, because this run has no validation "
            "accuracy by class."
        ]
    found = []
    for row in known.drop_duplicates("dataset").to_dict("records"):
        name = configuration_name(
            row["strategy"], row["backbone"], row["weights"], backbones, row["dataset"] if several else ""
        )
        found.append(
            f"{other} With that mix, validation accuracy of {name} would be "
            f"{words.percent(row['val'] + row['shift'])} instead of {words.percent(row['val'])}. The mix alone "
            f"makes {words.in_points(row['shift'], True)}, of "
            f"{words.points(row['test'] - row['val'], True)} from validation to test."
        )
    return found


def gap_numbers(
    results: pd.DataFrame, curves: pd.DataFrame, shifts: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Means over seeds at the most labels of each configuration: accuracy in training (``train``), on validation
    (``val``) and on test examples (``test``); by which share above its lowest the validation loss of the last stage
    ended (``rise``), and was at the epoch that was kept (``kept``). These two are not given without labels of the
    target: there the source validates, whose loss says nothing of it. And ``shift``, see ``mixed_shifts``."""
    ok = results[(results["status"] == "ok") & results["cell_id"].isin(curves["cell_id"])]
    ok = ok[ok["fraction"] == ok.groupby("dataset")["fraction"].transform("max")]
    mine = curves[(curves["run"] == "search") & curves["cell_id"].isin(ok["cell_id"])]
    if mine.empty:
        return pd.DataFrame(columns=[*CONFIGURATION, "train", "val", "test", "rise", "kept", "shift"])
    points = mine.pivot_table(index=["cell_id", "stage", "epoch", "images"], columns="metric", values="value")
    points = points.reset_index().sort_values("images", kind="stable")
    points = points.reindex(
        columns=["cell_id", "stage", "epoch", "train_accuracy", "val_accuracy", "val_loss"]
    )
    last = points.groupby("cell_id")["stage"].transform("last")
    untrained = (points["epoch"] == 0) & (last == points.groupby("cell_id")["stage"].transform("first"))
    points = points[(points["stage"] == last) & ~untrained].merge(ok[["cell_id", "epochs"]], on="cell_id")
    best = points[points["epoch"] == points["epochs"]].groupby("cell_id").last()
    losses = points.groupby("cell_id")["val_loss"]
    cells = ok.set_index("cell_id")
    cells = cells.assign(
        train=best["train_accuracy"],
        val=best["val_accuracy"],
        test=cells["accuracy"],
        rise=(losses.last() / losses.min() - 1).where(cells["n"] > 0),
        kept=(best["val_loss"] / losses.min() - 1).where(cells["n"] > 0),
    )
    cells["shift"] = pd.Series(dict(shifts or {}), dtype=float).reindex(cells.index).where(cells["n"] > 0)
    measured = ["train", "val", "test", "rise", "kept", "shift"]
    return cells.groupby(CONFIGURATION, sort=False)[measured].mean().reset_index()
