"""Records of a real run hold the keys that ``reports.columns`` documents, all of them and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.records import Record
from bench.store import Store
from reports import columns


@pytest.fixture(scope="module")
def records(
    weights_file: Path, cli: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> list[Record]:
    """Three cells of the digits, and one of the few-shot protocol."""
    found = []
    network = ["--backbone", f"MobileNet:alpha=0.25,weights={weights_file}"]
    for strategies, options in (
        (
            ("majority", "feature_extraction", "partial_finetune"),
            "--fractions 0.1 --trials 1 --length 0.02",
        ),
        (("nearest_mean",), "--protocol few-shot --ways 2 --shots 1 --episodes 10"),
    ):
        given = [*network, *options.split(), *(word for name in strategies for word in ("--strategy", name))]
        out = tmp_path_factory.mktemp("columns") / "run"
        result = cli(
            "run", "--dataset", "digits", "--image-size", 32, "--seeds", 1, *given, "--out", out, timeout=600
        )
        assert result.rc == 0, result.stderr
        found += Store(out).records()
    return found


@pytest.mark.parametrize("part", ["metrics", "costs"])
def test_metrics_and_costs(records: list[Record], part: str) -> None:
    assert {key for record in records for key in getattr(record, part)} == set(
        {"metrics": columns.METRICS, "costs": columns.COSTS}[part]
    )


@pytest.mark.parametrize(
    ("part", "documented"),
    [
        ("trials", set(columns.TRIALS) - {"error", "epoch_limit"}),  # of one that diverged, and of old ones
        ("curves", set(columns.POINTS)),
        ("similarity", set(columns.SIMILARITY)),
        ("episodes", set(columns.EPISODES)),
    ],
)
def test_parts(records: list[Record], part: str, documented: set[str]) -> None:
    assert {key for record in records for entry in getattr(record, part) for key in entry} == documented
