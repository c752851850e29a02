"""Records of a real run hold the keys that ``reports.columns`` documents, all of them and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.records import Record
from bench.store import Store
from reports import columns

OF_A_SOURCE = {"verification_false_accepts", "verification_false_rejects", "val_threshold"}
"""Only with a source, whose held-out classes choose the threshold: test_docs has such a run, of faces."""
OF_MANY_LABELS = {"label_accuracy", "mean_average_precision", "micro_f1"}
"""Only with many labels: test_many_labels has such a run."""


@pytest.fixture(scope="module")
def records(
    small_file: Path, cli: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> list[Record]:
    """Three cells of the digits, and one of the few-shot protocol."""
    found = []
    network = ["--backbone", f"Conv4:filters=8,weights={small_file}"]
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
    documented = set({"metrics": columns.METRICS, "costs": columns.COSTS}[part])
    assert {
        key for record in records for key in getattr(record, part)
    } == documented - OF_A_SOURCE - OF_MANY_LABELS


@pytest.mark.parametrize(
    ("part", "documented"),
    [
        # Of one that diverged, and of old ones.
        ("trials", set(columns.TRIALS) - OF_A_SOURCE - {"error", "epoch_limit"}),
        ("curves", set(columns.POINTS)),
        ("similarity", set(columns.SIMILARITY)),
        ("episodes", set(columns.EPISODES)),
    ],
)
def test_parts(records: list[Record], part: str, documented: set[str]) -> None:
    assert {key for record in records for entry in getattr(record, part) for key in entry} == documented
