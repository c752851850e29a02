"""What a page says of what is given up at most, of strategy and backbone apart, and of what was not run."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import fake
import pytest

from bench.records import Record
from reports.claims import gives_up
from reports.html import render
from reports.questions.answer import answers, answers_of
from reports.questions.course import ends
from reports.questions.tiles import tiles
from reports.results import Results
from reports.so_far import so_far
from reports.statistics.decisions import decide
from reports.tables import results_frame


def two_backbones() -> list[Record]:
    """Full fine-tuning wins on both, and which backbone is better changes from seed to seed."""

    def spoil(record: Record) -> None:
        if record.cell["strategy"] == "majority":
            return
        wins = record.cell["strategy"] == "full_finetune"
        sign = 1 if (record.cell["backbone"] == "A") == (record.cell["seed"] % 2 == 0) else -1
        record.metrics["accuracy"] = (0.9 if wins else 0.7) + 0.02 * sign + 0.0001 * record.cell["seed"]

    return fake.records(
        backbones=("A", "B"), strategies=("feature_extraction", "full_finetune", "majority"), fractions=(1.0,),
        seeds=4, test=1_000_000, spoil=spoil,
    )  # fmt: skip


def test_a_strategy_that_wins_on_both_backbones_wins_though_these_tie() -> None:
    results = results_frame(two_backbones())
    (decision,) = decide(results, None)
    assert decision.claim == "undecided"
    assert decision.strategy is not None
    assert decision.backbone is not None
    assert (decision.strategy.is_decided, decision.strategy.recommended.strategy) == (True, "full_finetune")
    assert not decision.backbone.is_decided
    (answer,) = answers(results, [decision])
    assert answer.headline == "Use full fine-tuning: 90.0% of new images correct"
    assert answer.line.endswith("The backbones are too close to call.")
    assert decision.recommended.strategy == "full_finetune"


def test_who_failed_on_one_backbone_keeps_the_strategy_open() -> None:
    records = two_backbones()
    for record in records:
        if (record.cell["strategy"], record.cell["backbone"]) == ("feature_extraction", "B"):
            record.status, record.metrics = "failed", {}
    others = [
        replace(r, cell={**r.cell, "strategy": "partial_finetune"}, cell_id=f"p{r.cell_id}")
        for r in two_backbones()
    ]
    others = [r for r in others if r.metrics and r.metrics["accuracy"] < 0.8]
    (decision,) = decide(results_frame([*records, *others]), None)
    assert decision.strategy is not None
    assert {c.strategy for c in decision.strategy.candidates} == {"full_finetune", "partial_finetune"}
    assert decision.strategy.claim == "incomplete"
    (answer,) = answers(results_frame([*records, *others]), [decision])
    assert "Use full fine-tuning: " not in answer.headline


def test_of_one_backbone_there_is_no_second_question() -> None:
    (*_, decision) = decide(results_frame(fake.records()), None)
    assert decision.strategy is None
    assert decision.backbone is None


def test_a_cheaper_one_says_what_it_would_cost_at_most(tmp_path: Path) -> None:
    records = fake.records(fractions=(1.0,))
    fake.write_predictions(records, tmp_path)
    results = results_frame(records)
    (decision,) = decide(results, tmp_path)
    (answer,) = answers(results, [decision])
    cheaper = [text for text in answer.sentences if "and gives up at most" in text]
    assert cheaper
    bounds = {c.strategy: c.at_most for c in decision.candidates}
    assert f"gives up at most {math.ceil(1000 * bounds['partial_finetune']) / 10} points" in cheaper[0]


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
def test_the_answer_so_far_agrees_with_the_report(tmp_path: Path, seeds: int) -> None:
    records = fake.records(seeds=seeds)
    fake.write_predictions(records, tmp_path)
    (text,) = so_far(records, tmp_path, 0.01)
    last = decide(results_frame(records), tmp_path)[-1]
    if seeds < 3:
        assert "no comparison yet" in text
    else:
        assert gives_up(last) in text
    assert so_far([], tmp_path, 0.01) == []


def test_more_looks_spend_no_more_error_and_take_no_claim_back(tmp_path: Path) -> None:
    records = fake.records(fractions=(1.0,), seeds=5)
    fake.write_predictions(records, tmp_path)
    bounds = []
    for looks in ([3], [3, 5], [3, 4, 5]):
        (tmp_path / "run.json").write_text(json.dumps({"looks": looks}))
        (decision,) = decide(results_frame(records), tmp_path)
        bounds.append({c.strategy: c.at_most for c in decision.candidates})
    for strategy, first in bounds[0].items():
        assert bounds[1][strategy] <= first
        assert bounds[2][strategy] <= first


def test_a_page_lists_what_was_not_run_and_a_whole_grid_has_no_such_list(tmp_path: Path) -> None:
    records = fake.records()
    info = fake.run_info(records)
    course = {
        "ended": "budget",
        "out": [["scratch", "MobileNet:alpha=0.25", ""]],
        "left": {"out": 7, "budget": 5},
    }
    short = info | {"course": {records[0].cell["fingerprint"]: course}}
    left = [r for r in records if r.cell["strategy"] == "full_finetune" or r.cell["fraction"] == 1.0]
    page = render(left, short, fake.plan_toml(records), tmp_path).read_text()
    assert "not run yet" not in page
    assert "only this one was run" in page
    for said in (
        "Cells that were not run",
        "nothing that was left fitted the budget",
        "Ruled out: training from scratch",
        "--budget 1h",
    ):
        assert said in page, said
    page = render(records, info, fake.plan_toml(records), tmp_path).read_text()
    assert "Cells that were not run" not in page


def test_the_end_says_why_and_what_would_decide_it(tmp_path: Path) -> None:
    records = fake.records()
    fake.write_predictions(records, tmp_path)
    print_ = records[0].cell["fingerprint"]

    def said(ended: str) -> list[str]:
        course = {print_: {"ended": ended, "out": [], "left": {}}}
        return ends(Results(records, {"course": course}, "", tmp_path))

    assert decide(results_frame(records), tmp_path)[-1].claim == "undecided"
    (text,) = said("unsettled")
    assert text.startswith(
        "It ended undecided: more seeds, up to the last look, would probably not settle it."
    )
    assert text.endswith("would probably decide it.")
    assert said("budget") == [
        "It ended because nothing that was left fitted the budget. More time goes on from here: --budget 1h."
    ]
    assert ends(Results(records, {}, "", tmp_path)) == []


def test_the_tile_on_labels_says_what_was_gained_where_no_curve_can_be_fitted(tmp_path: Path) -> None:
    def rising(record: Record) -> None:
        record.metrics["accuracy"] = 0.7 + 0.1 * record.cell["fraction"]
        record.n = (record.n or 0) + record.cell["seed"]  # as with groups, which seeds divide differently

    records = fake.records(strategies=("full_finetune",), fractions=(0.5, 1.0), seeds=2, spoil=rising)
    run = Results(records, fake.run_info(records), "", tmp_path, 0.01, 0.0, None, {})
    (answer,) = answers_of(run)
    (text,) = (tile.text for tile in tiles(run, answer) if tile.title == "More labels?")
    assert text.startswith("From ")
    assert text.endswith("gained 5 points (2 seeds).")
