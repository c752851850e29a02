"""Odd runs that real people have: each of these once gave a wrong sentence or no report at all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake
import numpy as np
import pandas as pd
import pytest

from bench.records import Record
from bench.store import Store
from bench.system.files import sha256_file
from reports import recommend as r
from reports.html import render
from reports.phrases import absence
from reports.questions.answer import answers
from reports.questions.transfer import transfer_tables
from reports.statistics.answers import answers_of
from reports.statistics.benefits import benefits
from reports.statistics.decisions import decide
from reports.tables import curves_frame, results_frame, several_backbones


def perfect(directory: Path, records: list[Record], wrong: int = 0) -> None:
    """Predictions in which all but the first ``wrong`` images are right, for all alike."""
    (directory / "predictions").mkdir(parents=True)
    for record in records:
        test = record.n_test or 0
        labels = np.arange(test) % 2
        right = np.where(np.arange(test) < wrong, 1 - labels, labels)
        record.metrics["accuracy"] = 1 - wrong / test
        np.savez(directory / "predictions" / f"{record.cell_id}.npz", ids=np.arange(test).astype(str),
                 probabilities=np.eye(2)[right], labels=labels)  # fmt: skip


def test_all_right_on_a_few_images_is_no_certainty(tmp_path: Path) -> None:
    records = fake.records(fractions=(1.0,), test=20, strategies=("scratch", "full_finetune"))
    perfect(tmp_path, records)
    decision = decide(results_frame(records), tmp_path)[0]
    assert decision.leader.low < 0.9
    assert decision.leader.high == 1
    assert decision.comparisons[0].verdict == "undecided"
    # Neither is better: what is known of them is the same.
    assert decision.leader.best == pytest.approx(0.5, abs=0.05)


def test_more_images_narrow_it(tmp_path: Path) -> None:
    widths = []
    for test in (50, 500, 5000):
        records = fake.records(fractions=(1.0,), test=test, strategies=("scratch",))
        perfect(tmp_path / str(test), records)
        leader = decide(results_frame(records), tmp_path / str(test))[0].leader
        widths.append(leader.high - leader.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[2] < 0.001 < widths[1]


def test_no_better_than_the_most_frequent_class_is_no_recommendation(tmp_path: Path) -> None:
    def poor(record: Record) -> None:
        record.metrics["accuracy"] = 0.6 if record.cell["strategy"] == "majority" else 0.5

    records = fake.records(fractions=(1.0,), spoil=poor)
    results = results_frame(records)
    answer = answers(results, decide(results))[0]
    assert answer.claim == "floor"
    assert answer.headline == "Nothing is better than always answering with the most frequent class."
    assert "reaches 50.0%, the most frequent class 60.0%" in answer.line
    found = r.recommend(results, None, r.Constraints())
    said = r.text(found)
    assert said.startswith("Nothing is better than always answering with the most frequent class.")
    assert "always answering with the most frequent class: 60.0%" in said
    assert found.to_json()["claim"] == "floor"


def test_a_lead_over_the_most_frequent_class_may_be_chance(tmp_path: Path) -> None:
    def near(record: Record) -> None:
        if record.cell["strategy"] != "majority":
            record.metrics["accuracy"] = (
                0.21 + 0.01 * record.cell["seed"] - 0.003 * len(record.cell["strategy"])
            )
        else:
            record.metrics["accuracy"] = 0.16

    records = fake.records(fractions=(1.0,), spoil=near, test=120)
    fake.write_predictions(records, tmp_path)
    (decision,) = decide(results_frame(records), tmp_path)
    assert decision.leader.value > 0.18
    assert decision.claim == "floor"
    answer = answers(results_frame(records), [decision])[0]
    assert answer.headline.startswith("Nothing is surely better than always answering")
    assert r.text(r.recommend(results_frame(records), tmp_path, r.Constraints())).startswith(answer.headline)
    assert "may be chance" in " ".join(answer.sentences)


LATE = ("partial_finetune", "full_finetune")


def _without(what: Callable[[Record], bool], tmp_path: Path) -> pd.DataFrame:
    """A run without some of its records."""
    records = [r for r in fake.records(seeds=6) if not what(r)]
    fake.write_predictions(records, tmp_path)
    return results_frame(records)


def test_what_was_not_run_may_be_better(tmp_path: Path) -> None:
    """Of a run that was interrupted only some have a result with all labels."""
    results = _without(lambda r: r.cell["strategy"] in LATE and r.cell["fraction"] == 1.0, tmp_path)
    *before, last = decide(results, tmp_path)
    assert all(not decision.absent for decision in before)
    assert [(a.strategy, a.status) for a in last.absent] == [(name, "missing") for name in LATE]
    assert last.claim == "incomplete"
    answer = answers(results, [*before, last])[0]
    assert answer.headline.startswith("So far, use feature extraction: 7")
    assert answer.line.startswith("It is the best of the 2 tried (95% confidence). ")
    assert answer.line.endswith("Partial fine-tuning and full fine-tuning were not run.")
    assert answer.by_labels[-1][-1].endswith("partial fine-tuning and full fine-tuning were not run")
    found = r.recommend(results, tmp_path, r.Constraints())
    assert found.decision.claim == "incomplete"
    assert r.text(found).startswith("So far, use feature extraction")
    assert [a["strategy"] for a in found.to_json()["absent"]] == list(LATE)
    # Who is asked about others only need not know.
    asked = r.recommend(results, tmp_path, r.Constraints(strategies=("scratch", "feature_extraction")))
    assert not asked.decision.absent


@pytest.mark.parametrize(("status", "claim"), [("oom", "incomplete"), ("skipped", "better")])
def test_what_failed_may_be_better_and_what_is_skipped_is_not_missed(
    status: str, claim: str, tmp_path: Path
) -> None:
    records = fake.records(seeds=6, fractions=(1.0,))
    for record in records:
        if record.cell["strategy"] in LATE:
            fake.fail(record, status)
    fake.write_predictions(records, tmp_path)
    (decision,) = decide(results_frame(records), tmp_path)
    assert decision.claim == claim
    answer = answers(results_frame(records), [decision])[0]
    assert ("ran out of memory" in answer.line) == (status == "oom")


def test_what_no_cell_was_run_of_is_known_from_the_plan(tmp_path: Path) -> None:
    everything = fake.records(seeds=6, fractions=(1.0,), backbones=("A", "B"))
    some = [r for r in everything if r.cell["strategy"] != "full_finetune" and r.cell["backbone"] != "B"]
    fake.write_predictions(some, tmp_path)
    (tmp_path / "plan.toml").write_text(fake.plan_toml(everything))
    (decision,) = decide(results_frame(some), tmp_path)
    assert not decision.absent  # nothing says that cells are missing
    (tmp_path / "run.json").write_text(json.dumps({"cells": [record.cell_id for record in everything]}))
    (decision,) = decide(results_frame(some), tmp_path)
    assert [(a.strategy, a.backbone) for a in decision.absent] == [("full_finetune", ""), ("", "B")]
    assert absence(decision) == "full fine-tuning and everything on B were not run"
    assert decision.claim != "better"
    (decision,) = decide(results_frame(everything), tmp_path)
    assert not decision.absent


def test_who_lost_seeds_is_not_recommended_and_takes_no_probabilities_away(tmp_path: Path) -> None:
    def unlucky(record: Record) -> None:
        means = {"majority": 0.2, "full_finetune": 0.82, "partial_finetune": 0.818}
        record.metrics["accuracy"] = means.get(record.cell["strategy"], 0.815) + 0.004 * record.cell["seed"]
        if record.cell["strategy"] == "feature_extraction" and record.cell["seed"]:
            fake.fail(record)

    records = fake.records(fractions=(1.0,), spoil=unlucky)
    fake.write_predictions(records, tmp_path)
    (decision,) = decide(results_frame(records), tmp_path)
    assert decision.claim == "undecided"
    assert decision.recommended.strategy != "feature_extraction"
    known = {c.strategy: c.best for c in decision.candidates}
    assert math.isnan(known.pop("feature_extraction"))
    assert sum(known.values()) == pytest.approx(1)
    line = answers(results_frame(records), [decision])[0].line
    assert "Feature extraction has fewer than 3 seeds." in line


def test_equals_are_decided_and_the_cheapest_is_taken(tmp_path: Path) -> None:
    def alike(record: Record) -> None:
        record.metrics["accuracy"] = 0.2 if record.cell["strategy"] == "majority" else 0.8
        record.costs["inference_ms_per_image"] = 9.0 if record.cell["strategy"] == "scratch" else 4.0

    records = fake.records(fractions=(1.0,), spoil=alike, test=4000, seeds=5)
    folder = tmp_path / "predictions"
    folder.mkdir()
    for record in records:  # all of them are right on the same images
        right = np.arange(4000) < round(record.metrics["accuracy"] * 4000)
        np.savez(folder / f"{record.cell_id}.npz", probabilities=np.eye(2)[right.astype(int)],
                 labels=np.ones(4000, int), ids=np.arange(4000).astype(str))  # fmt: skip
    (decision,) = decide(results_frame(records), tmp_path)
    assert decision.claim == "decided"
    assert decision.recommended.seconds == min(c.seconds for c in decision.candidates)
    answer = answers(results_frame(records), [decision])[0]
    assert answer.line == "It gives up at most 0.1 points against the best of the 4 tried (95% confidence)."
    assert " is 78." in answer.sentences[0]


def test_better_than_what_was_asked_for_is_not_better_than_all(tmp_path: Path) -> None:
    records = fake.records(backbones=("A", "B"), seeds=6)
    fake.write_predictions(records, tmp_path)
    found = r.recommend(
        results_frame(records), tmp_path, r.Constraints(strategies=("scratch", "feature_extraction"))
    )
    if found.decision.claim == "better":
        assert "asked for" in r.text(found)
    assert found.limited
    assert not r.recommend(results_frame(records), tmp_path, r.Constraints()).limited


def test_label_counts_that_differ_a_little_belong_together() -> None:
    def grouped(record: Record) -> None:
        assert record.n is not None
        record.n += record.cell["seed"]

    found = r.recommend(results_frame(fake.records(spoil=grouped)), None, r.Constraints())
    assert found.decision.leader.seeds == 3


def test_seeds_that_survived_at_different_counts() -> None:
    def unlucky(record: Record) -> None:
        where = record.cell["fraction"], record.cell["seed"]
        if record.cell["strategy"] == "scratch" and where not in ((0.33, 0), (1.0, 1), (1.0, 2)):
            fake.fail(record)

    found = r.recommend(results_frame(fake.records(spoil=unlucky)), None, r.Constraints(labels=2000))
    assert [(c.strategy, reason) for c, reason in found.excluded] == [
        ("scratch", "not measured at these label counts")
    ]


def test_two_fractions_of_the_same_size(tmp_path: Path) -> None:
    records = fake.records(fractions=(0.5, 0.51), pool=30)
    for record in records:
        record.n = 15
    results = results_frame(records)
    found = benefits(results, curves_frame([]), None)
    assert math.isnan(found[0].over_labels.slope.value)
    assert transfer_tables(found, False)
    render(records, fake.run_info(records), "", tmp_path)


def test_missing_metrics_and_costs(tmp_path: Path) -> None:
    def bare(record: Record) -> None:
        record.metrics = {"accuracy": record.metrics["accuracy"]}
        record.costs = {"tune_seconds": 1.0, "fit_seconds": 1.0}

    records = fake.records(spoil=bare)
    fake.write_predictions(records, tmp_path)
    page = render(records, fake.run_info(records), "", tmp_path).read_text()
    assert "nan" not in page.replace('data-v="nan"', "")
    assert "nan" not in r.text(r.recommend(results_frame(records), tmp_path, r.Constraints()))


def test_a_single_group_of_test_images_gives_json_without_infinity(tmp_path: Path) -> None:
    records = fake.records(fractions=(1.0,))
    fake.write_predictions(records, tmp_path)
    for path in (tmp_path / "predictions").iterdir():
        content = dict(np.load(path))
        np.savez(path, **content, groups=np.zeros(len(content["ids"]), np.int64))
    found = r.recommend(results_frame(records), tmp_path, r.Constraints())
    assert json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize("name", ["url(#x)", 'a" id="b', "#ffffff", "href=#c", "<!-- -->", "strategy:x"])
def test_names_that_look_like_svg(tmp_path: Path, name: str) -> None:
    records = fake.records(datasets=(name,), backbones=(name,))
    fake.write_predictions(records, tmp_path)
    info = fake.run_info(records)
    for about in info["datasets"].values():
        about["class_names"] = [f"{name} {i}" for i in range(10)]
    page = render(records, info, "", tmp_path).read_text()
    if name == "#ffffff":
        assert ">#ffffff 1</text>" in page.replace("\n", "")


@pytest.mark.parametrize(
    ("found", "several"),
    [
        ([("A", "imagenet"), ("A", ""), ("", "")], False),
        ([("A", ""), ("", "")], False),
        ([("A", "imagenet"), ("A", "x.weights.h5"), ("A", "")], True),
        ([("A", "imagenet"), ("B", "")], True),
        ([], False),
    ],
)
def test_when_backbones_are_named(found: list[tuple[str, str]], several: bool) -> None:
    assert several_backbones(found) == several


def test_two_sets_of_weights_are_told_apart(tmp_path: Path) -> None:
    other = fake.records(strategies=("feature_extraction",))
    for record in other:
        record.cell["weights"] = "/data/own.weights.h5"
        record.cell_id = record.cell_id[::-1]
    records = [*fake.records(strategies=("scratch", "feature_extraction")), *other]
    page = render(records, fake.run_info(records), "", tmp_path).read_text()
    assert "feature extraction on MobileNet:alpha=0.25 (weights: own.weights.h5)" in page


def test_training_far_below_test_is_not_within_ten_points(tmp_path: Path) -> None:
    def odd(record: Record) -> None:
        for point in record.curves:
            if "train_accuracy" in point:
                point["train_accuracy"] = 0.1

    records = fake.records(spoil=odd)
    page = render(records, fake.run_info(records), "", tmp_path).read_text()
    assert "nowhere more than 10 points above" in page


def test_the_same_backbones_for_all_in_the_diagram_of_ranks() -> None:
    from reports.questions.standings import critical_difference, standings

    rows: list[tuple[Any, ...]] = []
    for d in range(5):
        for strategy, accuracy in (("scratch", 0.7), ("feature_extraction", 0.68), ("full_finetune", 0.66)):
            rows += [(f"data {d}", "A", strategy, seed, accuracy) for seed in range(3)]
        rows += [(f"data {d}", "hard", "scratch", seed, 0.2) for seed in range(3)]
    import pandas as pd

    runs = pd.DataFrame(rows, columns=["dataset", "backbone", "strategy", "seed", "accuracy"])
    found, places = critical_difference(runs), standings(runs, "strategy")
    assert found is not None
    assert places is not None
    assert next(iter(found.ranks)) == places.rows[0].name == "scratch"


def test_predictions_that_were_exchanged_are_named_and_not_used(tmp_path: Path) -> None:
    records = fake.records(fractions=(1.0,), strategies=("scratch", "full_finetune"))
    fake.write_predictions(records, tmp_path)
    store = Store(tmp_path)
    for record in records:
        record.predictions_sha256 = sha256_file(store.predictions_path(record.cell_id))
        store.write(record)
    whole = render(records, fake.run_info(records), "", tmp_path).read_text()
    assert "were changed or exchanged" not in whole
    one, other = (store.predictions_path(record.cell_id) for record in (records[0], records[-1]))
    one.rename(tmp_path / "aside")
    other.rename(one)
    (tmp_path / "aside").rename(other)
    page = render(records, fake.run_info(records), "", tmp_path).read_text()
    assert "The predictions of 2 cells were changed or exchanged after the run." in page
    assert one.name in page
    assert other.name in page
    assert answers_of(tmp_path, records[0].cell_id) is None
    assert answers_of(tmp_path, records[1].cell_id) is not None
    # Whole files that were stored before there were hashes are read as they are.
    for record in records:
        record.predictions_sha256 = None
        store.write(record)
    assert answers_of(tmp_path, records[1].cell_id) is not None
