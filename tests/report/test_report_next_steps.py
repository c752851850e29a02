"""What a person is told to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

import fake
import pytest

from reports.next_steps import advised_seeds, more_seeds_command
from reports.results import Results


def test_the_command_can_be_pasted() -> None:
    command = more_seeds_command(Path("runs/my photos"), 5)
    assert command == "python -m bench run 'runs/my photos/plan.toml' --seeds 5"
    assert shlex.split(more_seeds_command(Path("$(rm x)"), 3, trust=True))[4:] == [
        "$(rm x)/plan.toml", "--seeds", "3", "--trust",
    ]  # fmt: skip


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
