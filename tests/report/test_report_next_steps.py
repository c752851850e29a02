"""What a person is told to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

import fake
import pytest

from reports.next_steps import advised_seeds, next_steps
from reports.results import Results


def test_commands_can_be_pasted(tmp_path: Path) -> None:
    directory = tmp_path / "$(rm x) my photos"
    for command, what in next_steps(Results(fake.records(seeds=2), {}, "", directory)):
        words = shlex.split(command)
        assert words[:3] == ["python", "-m", "bench"]
        assert Path(words[4]) in (directory, directory / "plan.toml")
        assert what


def test_what_has_too_few_seeds_goes_on_until_it_is_decided(tmp_path: Path) -> None:
    command, what = next_steps(Results(fake.records(seeds=2), {}, "", tmp_path))[0]
    assert command.endswith("plan.toml --until decided")
    assert what == "3 seeds allow a comparison"


def test_a_run_whose_time_was_up_goes_on_with_more(tmp_path: Path) -> None:
    records = fake.records(strategies=("full_finetune", "scratch"), seeds=4)
    fake.write_predictions(records, tmp_path)
    course = {"0": {"ended": "budget", "out": [], "left": {"budget": 3}}}
    steps = next_steps(Results(records, {"course": course}, "", tmp_path))
    assert " export " in steps[0][0]  # it is decided all the same
    assert steps[1][0].endswith("--budget 1h")


def test_a_strategy_of_ones_own_has_to_be_trusted_again(tmp_path: Path) -> None:
    records = fake.records(strategies=("scratch", "my.package:Mine"), seeds=2)
    assert all(command.endswith("--trust") for command, _ in next_steps(Results(records, {}, "", tmp_path)))
    assert next_steps(Results([], {}, "", tmp_path)) == []


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_three_are_advised(tmp_path: Path, seeds: int) -> None:
    assert advised_seeds(Results(fake.records(seeds=seeds), {}, "", tmp_path)) == 3


def test_what_is_undecided_is_told_how_many_would_settle_it(tmp_path: Path) -> None:
    records = fake.records(strategies=("scratch", "full_finetune"), seeds=4, test=3000)
    for record in records:
        ahead = 0.02 + 0.02 * (-1) ** record.cell["seed"] if record.cell["strategy"] == "scratch" else 0
        record.metrics["accuracy"] = 0.8 + ahead
    fake.write_predictions(records, tmp_path)
    advised = advised_seeds(Results(records, {}, "", tmp_path))
    assert advised is not None
    assert advised > 4


def test_nothing_is_advised_where_seeds_settle_nothing(tmp_path: Path) -> None:
    records = fake.records(strategies=("full_finetune", "scratch"), seeds=4)
    fake.write_predictions(records, tmp_path)
    assert advised_seeds(Results(records, {}, "", tmp_path)) is None
    assert advised_seeds(Results([], {}, "", tmp_path)) is None
