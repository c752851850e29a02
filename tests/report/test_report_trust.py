"""Nothing on a page contradicts anything else: a sweep over made-up runs, with what goes wrong in real ones."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import fake
import numpy as np
import pytest

from bench.records import Record
from reports import recommend as r
from reports import words
from reports.forest import SHOWN, Row
from reports.pages import ask, page_of
from reports.questions.alerts import sorted_alerts
from reports.questions.answer import section
from reports.results import Results
from reports.sections import Answer
from reports.so_far import so_far
from reports.statistics.pairs import Candidate

STRATEGIES = ("scratch", "feature_extraction", "partial_finetune", "full_finetune", "lora", "majority")
MOST_WORDS, MOST_IN_LINE = 120, 30


def made_up(number: int, directory: Path) -> Results:
    """A run: alike or far apart, at the floor, with lost seeds, failed cells, one to five seeds, one or two
    backbones."""
    rng = np.random.default_rng(number)
    seeds = int(rng.choice([1, 2, 3, 3, 5]))
    base, apart = rng.choice([0.2, 0.5, 0.9]), rng.choice([0.0, 0.002, 0.01, 0.05])
    scatter, lost = rng.choice([0.0, 0.005, 0.03]), rng.choice([0.0, 0.1, 0.3])
    strategies = tuple(rng.permutation(STRATEGIES[:-1])[: rng.integers(1, 6)]) + ("majority",)
    own = {name: rng.uniform(0, 3) for name in STRATEGIES}

    def spoil(record: Record) -> None:
        strategy = record.cell["strategy"]
        if strategy == "majority":
            return
        value = base + apart * own[strategy] + rng.normal(0, scatter) - 0.02 * (record.cell["fraction"] < 1)
        record.metrics["accuracy"] = round(float(np.clip(value, 0, 1)) * 250) / 250
        if rng.uniform() < lost:
            fake.fail(record, str(rng.choice(["oom", "timeout", "failed"])))

    records = fake.records(
        strategies=strategies, backbones=("A", "B")[: rng.integers(1, 3)], fractions=(0.1, 1.0), seeds=seeds,
        test=250, points=2, spoil=spoil,
    )  # fmt: skip
    if rng.uniform() < 0.8:
        fake.write_predictions(records, directory)
    plan = fake.plan_toml(records)
    if rng.uniform() < 0.3 and len(strategies) > 2:  # the time was up before the last strategy
        records = [record for record in records if record.cell["strategy"] != strategies[-2]]
    info = fake.run_info(records) | {"cells": [record.cell_id for record in records]}
    if plan != fake.plan_toml(records):
        info["course"] = {
            records[0].cell["fingerprint"]: {"ended": "budget", "out": [], "left": {"budget": 9}}
        }
    (directory / "run.json").write_text(json.dumps(info))
    (directory / "plan.toml").write_text(plan)
    return Results(records, info, plan, directory)


def texts(value: Any) -> Iterator[str]:
    """Every text in what a section shows."""
    if isinstance(value, str):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from texts(getattr(value, field.name))
    elif isinstance(value, dict):
        yield from texts([*value.values()])
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts(one)


def shown(answer: Answer, command: str) -> str:
    """What stands on the first screen of one dataset."""
    parts = [answer.dataset, *answer.about, answer.headline, answer.line, command, "Next step copy"]
    parts += [f"{tile.title} {tile.text}" for tile in answer.tiles]
    parts += ["strategy 95% CI band test accuracy gives up at most points training inference"]
    for row in answer.forest.shown.rows if answer.forest else []:
        parts += [
            row.name,
            row.backbone,
            row.mark,
            row.value,
            row.at_most,
            row.seconds,
            row.latency,
            row.status,
        ]
    return " ".join(parts)


def counted(text: str) -> int:
    """Words that are read; a number with its unit is seen."""
    units = {"ms", "min", "s", "h"}
    return sum(bool(re.search("[a-zA-Z]{2}", word)) and word not in units for word in text.split())


@pytest.fixture(scope="module", params=range(16))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return made_up(request.param, tmp_path_factory.mktemp("run"))


@pytest.fixture
def answer(run: Results) -> Answer:
    (found,) = section(run).content["answers"]
    return found


def place_of(c: Candidate) -> tuple[str, str, str, float]:
    return c.strategy, c.backbone, c.weights, c.value


def rows(answer: Answer) -> list[Row]:
    return answer.forest.rows if answer.forest else []


def test_no_lead_is_negative_and_nothing_is_said_to_be_near(run: Results) -> None:
    page = page_of(run)
    said = [text for question in page.questions for text in texts(ask(question, run))]
    said += so_far(run.records, run.directory, run.region)
    if run.decisions:
        said.append(r.text(r.recommend(run.frame, run.directory, r.Constraints())))
    for text in said:
        assert not re.search(r"[−-]\d[\d.]* points? (behind|ahead|more|apart|worse|better)", text), text
        assert not re.search(r"lead (of|over|is)[^.]*[−-]\d", text), text
        assert "near the best" not in text.lower()
        assert "nan" not in text.split()


def test_headline_forest_recommend_and_table_name_the_same(run: Results, answer: Answer) -> None:
    if not run.decisions:
        assert answer.claim == "none"
        return
    decision = run.decisions[-1]
    found = r.recommend(run.frame, run.directory, r.Constraints()).decision
    assert found.claim == decision.claim == answer.claim
    assert place_of(found.recommended) == place_of(decision.recommended)
    said = r.text(r.recommend(run.frame, run.directory, r.Constraints()))
    marked = [row for row in rows(answer) if row.mark]
    if answer.claim == "floor":
        assert not marked
        assert said.startswith(answer.headline)
        assert so_far(run.records, run.directory, run.region)[0].startswith(answer.headline[:-1])
        return
    chosen = decision.recommended
    value = words.percent(chosen.value)
    assert words.strategy_name(chosen.strategy).lower() in answer.headline.lower()
    assert f": {value} of new images correct" in answer.headline
    assert value in said
    if answer.claim != "alone":
        (row,) = marked
        assert (row.strategy, row.value) == (chosen.strategy, value)
        assert row.backbone in ("", chosen.backbone)
        assert row in answer.forest.shown.rows  # on the first screen
    if answer.by_labels:
        assert answer.by_labels[-1][2].startswith(value)
    grid = next(g for g in page_of(run).summary(run) if chosen.backbone in g.title)
    cells = next(cells for strategy, _, cells in grid.rows if strategy == chosen.strategy)
    assert cells[-1].main.startswith(value)


def test_no_headline_is_surer_than_its_claim(answer: Answer, run: Results) -> None:
    doubt = {
        "undecided": "for now", "incomplete": "So far", "provisional": "Provisionally", "floor": "Nothing is",
        "none": "no answer",
    }  # fmt: skip
    settled = bool(run.decisions) and run.decisions[-1].settled_strategy is not None
    if answer.claim in doubt and not (answer.claim == "undecided" and settled):
        assert doubt[answer.claim] in answer.headline
    if answer.claim == "better":
        assert "the best of" in answer.line
        assert not {"undecided", "tied", "unknown"} & {c.verdict for c in run.decisions[-1].comparisons}


def test_the_highest_mean_is_the_highest_shown(run: Results, answer: Answer) -> None:
    values = [float(row.value[:-1]) for row in rows(answer) if row.value != "–"]
    assert values[:7] == sorted(values, reverse=True)[:7]
    for sentence in answer.sentences:
        if found := re.search(r"has the highest mean, ([\d.]+)%", sentence):
            assert float(found[1]) == max(values)
    for question in ("cost", "labels"):
        for text in texts(ask(question, run)):
            if found := re.search(r"has the highest mean(?:,| \() ?([\d.]+)%", text):
                assert float(found[1]) == max(values)
    for grid in page_of(run).summary(run):
        for _, *columns in [(name, *cells) for _, name, cells in grid.rows]:
            for place, cell in enumerate(columns):
                others = [cells[place].main for _, _, cells in grid.rows]
                known = [float(text.split("%")[0]) for text in others if "%" in text]
                assert not cell.best or float(cell.main.split("%")[0]) == max(known)


def test_what_was_asked_for_and_has_no_result_is_named(run: Results, answer: Answer) -> None:
    if not run.decisions:
        return
    ran = {c.strategy for c in run.decisions[-1].candidates}
    names = tomllib.loads(run.plan_toml)["strategies"]
    without = [words.strategy_name(name) for name in names if name not in {*ran, "majority"}]
    text = " ".join([answer.line.lower(), *(row.name.lower() for row in answer.forest.shown.rows)])
    assert all(name.lower() in text for name in without)


def test_a_small_test_set_is_no_caution_beside_a_clear_verdict(run: Results) -> None:
    small = [alert.text for alert in sorted_alerts(run) if "test set" in alert.text]
    if small:
        assert run.decisions[-1].claim == "undecided"
        assert run.decisions[-1].comparisons[0].verdict != "better"


def test_the_first_screen_is_short(run: Results, answer: Answer) -> None:
    steps = section(run).content["next"]
    assert len(answer.line.split()) <= MOST_IN_LINE, answer.line
    text = shown(answer, steps[0][0] if steps else "")
    assert counted(text) <= MOST_WORDS, (counted(text), text)
    assert not answer.forest or len(answer.forest.shown.rows) <= SHOWN


@pytest.mark.parametrize("number", [2, 60])
def test_two_and_sixty_candidates_have_the_same_first_screen(number: int, tmp_path: Path) -> None:
    names = [f"lora:rank={i}" for i in range(number)]
    records = fake.records(strategies=names, fractions=(1.0,), points=2)
    run = Results(records, fake.run_info(records), "", tmp_path)
    (answer,) = section(run).content["answers"]
    assert answer.forest is not None
    assert len(answer.forest.shown.rows) == min(number, SHOWN)
    assert len(rows(answer)) == number
    assert counted(shown(answer, "")) <= MOST_WORDS
    for row in rows(answer):
        assert 0 <= row.low <= row.dot <= row.high <= 100


def test_who_is_recommended_stands_on_the_first_screen_though_many_are_higher(tmp_path: Path) -> None:
    def spoil(record: Record) -> None:
        cheap = record.cell["strategy"] == "lora:rank=0"
        record.metrics["accuracy"] = 0.8 if cheap else 0.802
        record.costs["total_seconds"] = 1.0 if cheap else 100.0

    names = [f"lora:rank={i}" for i in range(12)]
    records = fake.records(strategies=names, fractions=(1.0,), points=2, seeds=2, spoil=spoil)
    (answer,) = section(Results(records, {}, "", tmp_path)).content["answers"]
    assert [row.strategy for row in answer.forest.shown.rows if row.mark] == ["lora:rank=0"]
    assert answer.forest.shown.rows[-1].strategy == "lora:rank=0"


def test_only_what_is_scored_is_warned_of(tmp_path: Path) -> None:
    records = fake.records(seeds=1, points=2)
    info = fake.run_info(records)
    (about,) = info["datasets"].values()
    info["source_dataset"] = {"name": "drawings", "findings": list(about["findings"])}
    info["datasets"]["ff" * 8] = about | {"name": "never run"}
    about |= {"class_counts": [1000, 110], "pool_counts": [900, 10]}  # the test part is balanced
    told = [alert.text for alert in sorted_alerts(Results(records, info, "", tmp_path))]
    assert sum("same pixels" in text for text in told) == 1
    assert any(text.startswith("drawings: 1 of 3,782") for text in told)
    assert not any("never run" in text or "speaks mostly" in text for text in told)


def test_what_is_folded_does_not_stretch_the_axis_of_the_first_screen(tmp_path: Path) -> None:
    def spoil(record: Record) -> None:
        place = int(record.cell["strategy"].removeprefix("lora:rank="))
        record.metrics["accuracy"] = 0.2 if place >= SHOWN else 0.8 + 0.01 * place

    names = [f"lora:rank={i}" for i in range(12)]
    records = fake.records(strategies=names, fractions=(1.0,), points=2, spoil=spoil)
    (answer,) = section(Results(records, {}, "", tmp_path)).content["answers"]
    shown, folded = answer.forest.shown, answer.forest.folded
    assert max(row.dot for row in shown.rows) - min(row.dot for row in shown.rows) > 30
    assert all(0 < row.dot < 100 for row in [*shown.rows, *folded.rows])
    assert shown.ticks != folded.ticks
    assert shown.band
    assert not folded.band
