"""What is said of columns and keys: of each one, and of none that does not exist."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import fake
import numpy as np
import pandas as pd

from bench.records import STATUSES, Record
from bench.tasks.multi_label import MultiLabel
from bench.tasks.single_label import score
from reports import columns, tables
from reports.questions.few_shot import measurements as few_shot


def test_each_table_has_the_columns_that_are_documented() -> None:
    records = fake.records(seeds=1)
    assert list(tables.results_frame(records)) == list(columns.RESULTS)
    assert list(tables.curves_frame(records)) == list(columns.CURVES)
    assert list(few_shot.few_shot_frame([])) == list(columns.FEW_SHOT)


def test_results_csv_is_what_it_was_promised_to_be(tmp_path: Path) -> None:
    promised = [
        "cell_id", "status", "dataset", "backbone", "weights", "strategy", "fraction", "n", "n_train", "n_val",
        "n_test", "seed", "accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece", "trials", "epochs",
        "tune_seconds", "fit_seconds", "prefix_seconds", "wall_seconds", "inference_ms_per_image", "params",
        "trainable_params", "peak_memory_mb", "hyperparameters", "error", "total_seconds", "source_dataset",
        "n_source", "auxiliary", "n_auxiliary", "auroc", "metric", "class_weight", "steps",
    ]  # fmt: skip
    tables.write_csv(tables.results_frame(fake.records(seeds=1)), tmp_path / "results.csv")
    table = pd.read_csv(tmp_path / "results.csv", dtype=str)
    assert list(table)[: len(promised)] == promised  # only ever append
    for name, column in columns.RESULTS.items():
        if column.kind == "whole":
            assert table[name].dropna().str.fullmatch(r"\d+").all(), name


def test_a_record_has_the_keys_that_are_documented() -> None:
    assert {field.name for field in fields(Record)} == set(columns.RECORD)
    assert set(STATUSES) == set(re.findall(r"[a-z]{2,}", columns.RECORD["status"].meaning)) - {"or"}


def test_the_parts_of_a_record_have_the_keys_that_are_documented() -> None:
    records = fake.records(seeds=1)
    metrics = {key for record in records for key in record.metrics}
    assert metrics == set(columns.CLASSIFICATION)
    others = (columns.LATER, columns.VERIFICATION, columns.PAIRS, columns.MANY_LABELS)
    assert metrics.union(*others) == set(columns.METRICS)
    costs = {key for record in records for key in record.costs}
    assert costs | set(columns.TOTAL) == set(columns.COSTS)
    for part, documented, rare in (
        ("trials", columns.TRIALS, {"epoch_limit", "error", "val_threshold"}),
        ("curves", columns.POINTS, set()),
    ):
        keys = {key for record in records for entry in getattr(record, part) for key in entry}
        assert keys | rare == set(documented)


def test_the_metrics_are_those_that_are_computed() -> None:
    assert list(score(np.eye(3), np.arange(3))) == [*columns.CLASSIFICATION, *columns.LATER]


def test_the_metrics_of_many_labels_are_those_that_are_computed() -> None:
    found = MultiLabel().score(np.eye(3), np.eye(3, dtype=int))
    assert set(found) == {*columns.MANY_LABELS, "macro_f1", "auroc", "log_loss", "ece"}


def test_each_meaning_is_a_short_sentence() -> None:
    for table in columns.TABLES.values():
        for name, column in table.items():
            assert column.meaning.endswith("."), name
            assert max(len(sentence.split()) for sentence in column.meaning.split(". ")) <= 20, name
            assert len(f"  {name:22} {column.meaning}") <= 140, name
