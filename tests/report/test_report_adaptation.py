"""Adaptation against the source alone, no labels at all, and pictures that a strategy has made."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import fake
import numpy as np
import pytest
from PIL import Image
from test_report_compare import store

from bench.commands.export.export import export
from bench.errors import RequestError
from bench.records import Cell, Record
from bench.store import Store
from reports.html import render
from reports.questions.adaptation import adaptation_table, adaptations
from reports.questions.pictures import pictures
from reports.recommend import Constraints, recommend
from reports.statistics.benefits import benefits
from reports.statistics.label_curves import label_curves
from reports.tables import curves_frame, results_frame

TRUTH = {
    "source_only": [0.5, 0.6, 0.7],
    "dann": [0.65, 0.7, 0.7],
    "mmd": [0.35, 0.5, 0.7],
    "full_finetune": [0.4, 0.62, 0.9],
}
LABELLED = {"source_and_target": [0.5, 0.8, 0.85], "source_then_target": [0.5, 0.75, 0.88], **TRUTH}
"""The labels of both are worth 20 points beside which DANN loses 10."""
COUNTERPARTS = {"dann": "source_and_target", "mmd": "source_and_target", "multi_task": "full_finetune"}
RUN = {
    "counterparts": COUNTERPARTS,
    "source_dataset": {
        "name": "drawings",
        "spec": "/data/drawings",
        "fingerprint": "ab" * 8,
        "n": 900,
        "findings": [],
        "targets": {"00" * 8: {"grouping": "names", "left_out": 180}},
    },
}


def made(
    folder: Path,
    fractions: tuple[float, ...] = (0.0, 0.1, 1.0),
    seeds: int = 4,
    truth: dict[str, list[float]] = TRUTH,
) -> list[Record]:
    """Records of strategies with these accuracies; all but the last learn from a source."""

    def spoil(record: Record) -> None:
        cell = record.cell
        place = fractions.index(cell["fraction"])
        record.metrics["accuracy"] = truth[cell["strategy"]][place] + 0.004 * (cell["seed"] % 3 - 1)
        if cell["strategy"] != "full_finetune":
            cell["companions"] = {"source": {"name": "drawings", "fingerprint": "ab" * 8}}
            record.n_source = 720

    strategies = tuple(truth) if fractions[0] else tuple(truth)[:-1]
    records = fake.records(strategies=strategies, fractions=fractions, seeds=seeds, test=2000, spoil=spoil)
    store(folder, records)
    return records


def test_help_and_harm_are_named(tmp_path: Path) -> None:
    results = results_frame(made(tmp_path))
    assert set(results["source_dataset"]) == {"drawings"}
    assert set(results["n_source"]) == {720}
    found = {(a.strategy, a.n): a for a in adaptations(results, COUNTERPARTS, tmp_path, 0.01)}
    assert len(found) == 6
    assert found["dann", 0].verdict == "helps"
    assert found["dann", 0].comparison.difference == pytest.approx(0.15, abs=0.002)
    assert found["dann", 0].comparison.low > 0.1
    assert found["mmd", 0].verdict == "harms"
    assert found["dann", 3409].verdict == "no difference"
    section = adaptation_table(list(found.values()), results, False)
    assert section is not None
    assert section.conclusions[0].startswith(
        "Without any label of the target, adaptation clearly helps: DANN"
    )
    assert section.conclusions[1].startswith("Without any label of the target, adaptation clearly harms: MMD")
    assert len(section.rows) == 6
    assert all(len(row) == len(section.columns) for row in section.rows)


def test_where_the_target_has_labels_both_domains_labels_are_the_measure(tmp_path: Path) -> None:
    results = results_frame(made(tmp_path, (0.0, 0.1, 1.0), truth=LABELLED))
    found = {(a.strategy, a.n): a for a in adaptations(results, COUNTERPARTS, tmp_path, 0.01)}
    assert {strategy for strategy, _ in found} == {"dann", "mmd"}  # the others adapt nothing
    assert (found["dann", 0].against, found["dann", 0].verdict) == ("source_only", "helps")
    few = found["dann", 341]
    assert (few.against, few.verdict, few.with_labels) == ("source_and_target", "harms", False)
    assert few.comparison.difference == pytest.approx(-0.1, abs=0.002)
    section = adaptation_table(list(found.values()), results, False)
    assert section is not None
    text = " ".join(section.conclusions)
    assert "labels included" not in str(section.rows)
    assert "this includes the effect" not in text
    assert "With 341 labels of the target and no adaptation: source and target 79.9%" in text
    assert "source, then target 74.9%" in text
    assert "The source alone reaches 59.9%" in text


def test_beside_the_source_alone_labels_are_said_to_be_included(tmp_path: Path) -> None:
    results = results_frame(made(tmp_path))
    found = adaptations(results, COUNTERPARTS, tmp_path, 0.01)
    assert {(a.n > 0, a.with_labels, a.against) for a in found} == {
        (False, False, "source_only"), (True, True, "source_only"),
    }  # fmt: skip
    section = adaptation_table(found, results, False)
    assert section is not None
    text = " ".join(section.conclusions)
    assert "With 341 labels of the target, clearly better than the source alone: DANN" in text
    assert "With 341 labels of the target, this includes the effect of these labels" in text
    assert "source_and_target" in text
    assert "With 341 labels of the target, adaptation clearly helps" not in text
    says = {(row[0], row[1]): row[-1] for row in section.rows}
    assert says["DANN", "341"] == "helps, labels included"
    assert says["DANN", "0"] == "helps"


def test_who_only_has_a_source_does_not_adapt(tmp_path: Path) -> None:
    records = made(tmp_path)
    for record in records:  # an embedding that was learned on the source
        if record.cell["strategy"] == "mmd":
            record.cell["strategy"] = "siamese"
    found = adaptations(results_frame(records), COUNTERPARTS, tmp_path, 0.01)
    assert {a.strategy for a in found} == {"dann"}


def test_values_that_are_given_are_given_to_both(tmp_path: Path) -> None:
    records = made(tmp_path)
    for record in records:
        strategy = record.cell["strategy"]
        if strategy in ("dann", "source_only"):
            record.cell["strategy"] = f"{strategy}:learning_rate=0.01"
    counterparts = {"dann:learning_rate=0.01": "source_and_target:learning_rate=0.01"}
    found = adaptations(results_frame(records), counterparts, tmp_path, 0.01)
    assert {a.against for a in found} == {"source_only:learning_rate=0.01"}


def test_what_the_target_s_own_labels_do_stands_beside_it(tmp_path: Path) -> None:
    results = results_frame(made(tmp_path, (0.1, 0.33, 1.0)))
    section = adaptation_table(adaptations(results, COUNTERPARTS, tmp_path, 0.01), results, False)
    assert section is not None
    text = " ".join(section.conclusions)
    assert "With 3,409 labels, the best without the source is full fine-tuning" in text
    assert "89.9%" in text


def test_below_three_seeds_nothing_is_claimed(tmp_path: Path) -> None:
    results = results_frame(made(tmp_path, seeds=2))
    assert {a.verdict for a in adaptations(results, COUNTERPARTS, tmp_path, 0.01)} == {"too few seeds"}


def test_without_a_source_there_is_no_such_section(tmp_path: Path) -> None:
    results = results_frame(fake.records())
    assert adaptations(results, COUNTERPARTS, None, 0.01) == []
    assert adaptation_table([], results, False) is None


@pytest.mark.parametrize("fractions", [(0.0,), (0.0, 0.1, 1.0)])
def test_a_page_with_no_labels_at_all(tmp_path: Path, fractions: tuple[float, ...]) -> None:
    records = made(tmp_path, fractions)
    picture = io.BytesIO()
    Image.fromarray(np.zeros((16, 64, 3), np.uint8)).save(picture, "PNG")
    cell = next(r for r in records if r.cell["strategy"] == "dann" and r.cell["seed"] == 0)
    (tmp_path / "predictions" / f"{cell.cell_id}.png").write_bytes(picture.getvalue())
    assert len(pictures(records, tmp_path)) == 1

    def none_of_them(fingerprint: str, ids: Any) -> dict[str, Any]:
        return {}

    page = render(records, RUN, "", tmp_path, images=none_of_them).read_text()
    assert "Did adaptation help?" in page
    assert "180 of its 900 images were left out" in page
    assert "0% (n=0)" in page
    assert page.count("data:image/png;base64,") >= 1
    assert "and what was made of them for" in page
    private = render(records, RUN, "", tmp_path, images=None).read_text()
    assert "and what was made of them for" not in private


def test_no_labels_do_not_upset_what_counts_in_logarithms(tmp_path: Path) -> None:
    records = made(tmp_path)
    results = results_frame(records)
    assert label_curves(results, tmp_path)[0] == []
    assert benefits(results, curves_frame(records), tmp_path) == []
    between = recommend(results, tmp_path, Constraints(labels=20))
    assert between.measured == (0.0, 341.0)
    assert between.decision.leader.strategy == "dann"
    assert recommend(results, tmp_path, Constraints(labels=0)).measured == (0.0,)


def test_a_run_without_any_label_has_nothing_to_export_and_says_so(tmp_path: Path) -> None:
    cells = Store(tmp_path)
    for record in made(tmp_path, (0.0,)):
        record.cell_id = Cell.of(record.cell).id
        record.metrics["macro_f1"] = record.metrics["balanced_accuracy"] = record.metrics["accuracy"]
        record.trials = []  # at fraction 0 those that are made up are out of their range
        cells.write(record)
    with pytest.raises(RequestError, match="cannot be exported"):
        export(tmp_path)
    assert not (tmp_path / "export").exists()
