"""What is recommended under constraints and between label counts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import fake
import numpy as np
import pytest

from bench.errors import RequestError
from bench.records import Record
from reports import recommend as r
from reports.tables import results_frame
from reports.target import labels_needed, needed_text


def made(folder: Path | None, records: list[Record] | None = None) -> Any:
    """The results of a made-up run, with predictions if a folder is given."""
    records = records or fake.records(seeds=4)
    if folder:
        (folder / "predictions").mkdir()
        for record in records:
            test = record.n_test or 0
            right = np.arange(test) < round(record.metrics["accuracy"] * test)
            np.savez(folder / "predictions" / f"{record.cell_id}.npz", ids=np.arange(test).astype(str),
                     probabilities=np.eye(2)[right.astype(int)], labels=np.ones(test, int))  # fmt: skip
    return results_frame(records)


def test_at_a_measured_count_it_is_the_verdict_of_the_report(tmp_path: Path) -> None:
    from reports.statistics.decisions import decide

    results = made(tmp_path)
    decision = decide(results, tmp_path)[-1]
    answer = r.recommend(results, tmp_path, r.Constraints())
    assert answer.decision.leader == decision.leader
    assert answer.decision.recommended == decision.recommended
    assert [c.verdict for c in answer.decision.comparisons] == [c.verdict for c in decision.comparisons]
    assert answer.measured == (answer.labels,)


def test_between_two_counts_it_lies_between(tmp_path: Path) -> None:
    results = made(tmp_path)
    counts = sorted(set(results["n"]))
    ends = [r.recommend(results, tmp_path, r.Constraints(labels=n)) for n in counts[:2]]
    middle = r.recommend(results, tmp_path, r.Constraints(labels=math.sqrt(counts[0] * counts[1])))
    assert middle.measured == tuple(counts[:2])

    def accuracy(answer: r.Recommendation, strategy: str) -> float:
        decision = answer.decision
        candidates = [decision.leader, *(c.candidate for c in decision.comparisons)]
        return next(c.value for c in candidates if c.strategy == strategy)

    for strategy in ("scratch", "full_finetune"):
        low, high = (accuracy(end, strategy) for end in ends)
        assert accuracy(middle, strategy) == pytest.approx((low + high) / 2)
    assert all(c.paired for c in middle.decision.comparisons)


def test_constraints_leave_out_with_the_reason() -> None:
    results = made(None)
    cheap = r.recommend(results, None, r.Constraints(seconds=100))
    assert cheap.decision.recommended.strategy == "feature_extraction"
    assert {c.strategy for c, _ in cheap.excluded} == {"scratch", "partial_finetune", "full_finetune"}
    assert all("more than 100" in reason for _, reason in cheap.excluded)
    assert "left out: training from scratch" in r.text(cheap)
    results["params"] = np.nan
    with pytest.raises(RequestError, match="parameters: not known"):
        r.recommend(results, None, r.Constraints(params=1e9))


@pytest.mark.parametrize("labels", [1, 200, 5000, math.nan])
def test_no_wild_guesses(labels: float) -> None:
    with pytest.raises(RequestError, match="which were measured"):
        r.recommend(made(None), None, r.Constraints(labels=labels))


def test_what_was_not_measured_on_both_sides_is_left_out() -> None:
    def failed(record: Record) -> None:
        if record.cell["strategy"] == "full_finetune" and record.cell["fraction"] == 1:
            record.status = "failed"

    results = made(None, fake.records(seeds=3, spoil=failed))
    answer = r.recommend(results, None, r.Constraints(labels=2000))
    assert [(c.strategy, reason) for c, reason in answer.excluded] == [
        ("full_finetune", "not measured at these label counts")
    ]


def test_several_datasets_need_a_name() -> None:
    results = made(None, fake.records(datasets=("cats", "dogs")))
    with pytest.raises(RequestError, match="one of cats, dogs"):
        r.recommend(results, None, r.Constraints())
    assert r.recommend(results, None, r.Constraints(), "dogs").dataset == "dogs"
    with pytest.raises(RequestError, match="dogs"):
        r.recommend(results, None, r.Constraints(), "dog")


def test_json_says_the_same_and_has_no_nan() -> None:
    answer = r.recommend(made(None, fake.records(seeds=2)), None, r.Constraints(labels=700))
    content = json.loads(json.dumps(answer.to_json(), allow_nan=False))
    assert content["claim"] == "provisional"
    assert content["recommended"]["strategy"] == answer.decision.recommended.strategy
    assert content["leader"]["low"] is None
    assert len(content["comparisons"]) == 3
    assert "fewer than three seeds make no comparison" in r.text(answer)


FRACTIONS = (0.05, 0.1, 0.2, 0.4, 1.0)


def test_labels_for_a_target(tmp_path: Path) -> None:
    records = fake.records(fractions=FRACTIONS, seeds=4)
    results = made(tmp_path, records)
    measured = results[(results["strategy"] == "full_finetune") & (results["fraction"] == 0.4)]
    target = float(measured["accuracy"].mean())
    found = labels_needed(results, tmp_path, target, r.Constraints())
    needed = {key[0]: labels for key, labels in found.needed}
    assert set(needed) == {"scratch", "feature_extraction", "partial_finetune", "full_finetune"}
    # The made-up curves are power laws, so the fit comes close to what was measured.
    assert needed["full_finetune"].value == pytest.approx(measured["n"].median(), rel=0.3)
    assert needed["full_finetune"].low <= needed["full_finetune"].value <= needed["full_finetune"].high
    assert [labels.value for _, labels in found.needed] == sorted(labels.value for _, labels in found.needed)
    text, content = needed_text(found), json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["needed"][0]["strategy"] == found.needed[0][0][0]
    assert "labelled images are needed" in text


def test_a_target_out_of_sight_is_called_so(tmp_path: Path) -> None:
    results = made(tmp_path, fake.records(fractions=FRACTIONS, seeds=4))
    found = labels_needed(results, tmp_path, 0.9999, r.Constraints())
    assert "not in sight" in needed_text(found)
    assert found.to_json()["needed"][0]["labels"] is None


@pytest.mark.parametrize(
    ("target", "constraints", "match"),
    [
        (0.0, r.Constraints(), "target"),
        (1.5, r.Constraints(), "target"),
        (math.nan, r.Constraints(), "target"),
        (0.8, r.Constraints(labels=100), "labels"),
        (0.8, r.Constraints(seconds=100), "max_seconds"),
        (0.8, r.Constraints(params=1), "keeps to them"),
    ],
)
def test_targets_that_cannot_be_answered(
    tmp_path: Path, target: float, constraints: r.Constraints, match: str
) -> None:
    results = made(tmp_path, fake.records(fractions=FRACTIONS, seeds=3))
    with pytest.raises(RequestError, match=match):
        labels_needed(results, tmp_path, target, constraints)


@pytest.mark.parametrize("fractions", [(0.1, 1.0), (0.1, 0.33, 1.0)], ids=["two counts", "three counts"])
@pytest.mark.parametrize("seeds", [1, 4])
def test_a_target_is_answered_within_the_measured_range(
    tmp_path: Path, fractions: tuple[float, ...], seeds: int
) -> None:
    results = made(tmp_path, fake.records(fractions=fractions, seeds=seeds))
    ends = results[results["strategy"] == "full_finetune"].groupby("n")["accuracy"].mean()
    low, high = ends.iloc[-2], ends.iloc[-1]
    found = labels_needed(results, tmp_path, (low + high) / 2, r.Constraints(strategies=("full_finetune",)))
    ((_, needed),) = found.needed
    assert needed.value == pytest.approx(math.sqrt(ends.index[-2] * ends.index[-1]))
    assert math.isnan(needed.low) if seeds < 3 else needed.low <= needed.value <= needed.high
    assert not found.to_json()["needed"][0]["fitted"]
    text = needed_text(found)
    assert "labelled images are needed" in text
    assert ("95% CI" in text) == (seeds >= 3)
    assert "nan" not in text
    assert "beyond 3,409 all is a guess. A learning curve needs at least 4 label counts" in text
    json.dumps(found.to_json(), allow_nan=False)


def test_a_target_that_was_not_reached_says_what_was(tmp_path: Path) -> None:
    results = made(tmp_path, fake.records(fractions=(0.1, 1.0), seeds=3))
    text = needed_text(labels_needed(results, tmp_path, 0.999, r.Constraints()))
    assert text.startswith("99.9% was not reached with up to 3,409 labelled images. The most was 8")
    assert ": more than 3,409" in text


@pytest.mark.parametrize("fractions", [(1.0,), (0.1, 1.0)], ids=["one count", "two counts"])
def test_a_target_below_all_that_was_measured(tmp_path: Path, fractions: tuple[float, ...]) -> None:
    results = made(tmp_path, fake.records(fractions=fractions, seeds=3))
    text = needed_text(labels_needed(results, tmp_path, 0.2, r.Constraints()))
    assert f"{results['n'].min():,.0f} labelled images or fewer are needed" in text


def test_what_has_no_fit_stands_beside_what_has(tmp_path: Path) -> None:
    records = fake.records(fractions=FRACTIONS, seeds=4)
    fewer = [x for x in records if x.cell["strategy"] != "scratch" or x.cell["fraction"] in (0.05, 1.0)]
    found = labels_needed(made(tmp_path, fewer), tmp_path, 0.97, r.Constraints())
    assert {key[0] for key in found.between} == {"scratch"}
    assert "scratch: more than 3,409" in needed_text(found).lower()
    assert "more than 13,636" in needed_text(found)
