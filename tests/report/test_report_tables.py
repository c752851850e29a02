"""Tables: columns, order, missing values, CSV that a spreadsheet opens safely."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import fake
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records import STATUSES
from bench.system.spreadsheets import defused
from reports import tables, words


def test_results_have_the_promised_columns_in_order_and_raw_numbers() -> None:
    records = fake.records(seeds=2)
    frame = tables.results_frame(records)
    assert tuple(frame.columns) == tables.COLUMNS
    assert len(frame) == len(records)
    by_id = {record.cell_id: record for record in records}
    for row in frame.to_dict("records"):
        record = by_id[row["cell_id"]]
        assert row["accuracy"] == record.metrics["accuracy"]
        assert row["n"] == record.n
        assert row["trials"] == len(record.trials)
        assert json.loads(row["hyperparameters"]) == record.hyperparameters


def test_order_is_canonical_and_does_not_depend_on_the_input_order() -> None:
    records = fake.records(strategies=("majority", "zeta", "full_finetune", "alpha", "scratch"), seeds=2)
    frame = tables.results_frame(records)
    pd.testing.assert_frame_equal(frame, tables.results_frame(records[::-1]))
    mine = frame[frame["backbone"] != ""]["strategy"]
    assert list(dict.fromkeys(mine)) == ["scratch", "full_finetune", "alpha", "zeta"]
    assert tables.ordered(frame["strategy"])[-1] == "majority"


@pytest.mark.parametrize("status", STATUSES[1:])
def test_a_cell_without_a_result_has_nan_and_its_message(status: str) -> None:
    records = fake.records(strategies=("scratch",), fractions=(1.0,), seeds=1)
    fake.fail(records[0], status, "why")
    row = tables.results_frame(records).iloc[0]
    assert row["status"] == status
    assert row["error"] == "why"
    assert np.isnan([row["accuracy"], row["n"], row["fit_seconds"]]).all()
    summary = tables.summary_frame(tables.results_frame(records)).iloc[0]
    assert (summary["cells"], summary["seeds"]) == (1, 0)


def test_datasets_of_one_name_are_told_apart() -> None:
    frame = tables.results_frame(fake.records(datasets=("photos", "photos"), strategies=("majority",)))
    assert frame["dataset"].nunique() == 2


def test_summary_numbers() -> None:
    records = fake.records(strategies=("scratch",), fractions=(1.0,), seeds=3)
    for record, accuracy, seconds in zip(records, (0.5, 0.6, 0.7), (10, 30, 20), strict=True):
        record.metrics["accuracy"] = accuracy
        record.costs |= {"tune_seconds": seconds, "fit_seconds": 1}
    row = tables.summary_frame(tables.results_frame(records)).iloc[0]
    assert row["accuracy"] == pytest.approx(0.6)
    assert row["spread"] == pytest.approx(0.1)
    assert (row["min"], row["max"], row["seeds"], row["seconds"]) == (0.5, 0.7, 3, 21)
    assert row["half_width"] == pytest.approx(4.302653 * 0.1 / 3**0.5)  # t, two degrees of freedom
    two = tables.summary_frame(tables.results_frame(records[:2])).iloc[0]
    assert np.isnan(two["half_width"])
    assert np.isnan(tables.summary_frame(tables.results_frame(records[:1])).iloc[0]["spread"])


def test_a_failed_configuration_shows_the_label_count_of_its_neighbours() -> None:
    records = fake.records(spoil=lambda r: fake.fail(r) if r.cell["strategy"] == "scratch" else None)
    summary = tables.summary_frame(tables.results_frame(records))
    scratch = summary[summary["strategy"] == "scratch"]
    assert list(scratch["n"]) == [341, 1125, 3409]


def test_curves_are_long_and_keep_only_what_was_measured() -> None:
    records = fake.records(strategies=("majority", "full_finetune"), fractions=(1.0,), seeds=1)
    frame = tables.curves_frame(records)
    assert tuple(frame.columns) == tables.CURVE_COLUMNS
    points = [p for r in records for p in r.curves]
    assert len(frame) == sum(len(p) - 5 for p in points)
    assert not ((frame["run"] == "refit") & (frame["metric"] == "val_accuracy")).any()


def test_panels_share_scratch_and_majority() -> None:
    frame = tables.results_frame(fake.records(backbones=("A", "B"), datasets=("x", "y")))
    found = tables.panels(frame)
    assert [(p.dataset, p.title) for p in found] == [("x", "A"), ("x", "B"), ("y", "A"), ("y", "B")]
    assert all(set(p.results["strategy"]) == set(fake.STRATEGIES) for p in found)
    assert all(p.results["backbone"].nunique() == 2 for p in found)  # its own, and none
    only = tables.panels(tables.results_frame(fake.records(strategies=("majority",))))
    assert [p.title for p in only] == ["no backbone"]


def test_csv_has_full_precision_and_whole_numbers(tmp_path: Path) -> None:
    records = fake.records()
    records[0].metrics["log_loss"] = 1 / 3
    fake.fail(records[1])
    frame = tables.results_frame(records)
    tables.write_csv(frame, tmp_path / "results.csv")
    back = pd.read_csv(tmp_path / "results.csv")
    assert tuple(back.columns) == tables.COLUMNS
    assert (back["log_loss"].dropna() == frame["log_loss"].dropna()).all()
    with (tmp_path / "results.csv").open() as file:
        rows = {row["cell_id"]: row for row in csv.DictReader(file)}
    assert rows[records[0].cell_id]["n"] == "341"
    assert rows[records[1].cell_id]["n"] == ""


@given(st.text(max_size=12))
def test_no_csv_cell_is_a_formula(text: str) -> None:
    value = defused(text)
    assert value.endswith(text)
    assert not value.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_hostile_names_survive_csv(tmp_path: Path) -> None:
    frame = tables.results_frame(fake.records(datasets=("=cmd|' /C calc'!A0", "\ud800 lone"), seeds=1))
    tables.write_csv(frame, tmp_path / "r.csv")
    assert set(pd.read_csv(tmp_path / "r.csv")["dataset"]) == {"'=cmd|' /C calc'!A0", "\\ud800 lone"}


def _printed(frame: pd.DataFrame) -> str:
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(tables.terminal_table(frame))
    return console.export_text()


def test_terminal_table() -> None:
    def spoil(record: fake.Record) -> None:
        if record.cell["strategy"] == "scratch" and record.cell["fraction"] == 0.1:
            fake.fail(record, "timeout")
        if record.cell["strategy"] == "full_finetune" and record.cell["seed"] == 2:
            fake.fail(record, "oom")

    text = _printed(tables.results_frame(fake.records(backbones=("A", "[red]B[/]"), spoil=spoil)))
    assert "10% (n=341)" in text
    assert "[red]B[/]" in text  # not markup
    assert "timeout" in text
    assert "(2/3 ok)" in text
    assert text.count("Majority class") == 2
    assert " ± " in text
    assert not _printed(tables.results_frame([])).strip()


@given(st.text())
def test_clean_is_one_printable_line(text: str) -> None:
    line = words.clean(text, 20)
    assert len(line) <= 20
    assert line.isprintable()
    line.encode()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "<0.1 s"), (9.9, "9.9 s"), (9.96, "10 s"), (99, "99 s"), (150, "2.5 min"), (3600, "60 min"),
     (7200, "2.0 h"), (float("nan"), "–")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text
