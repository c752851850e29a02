"""Several datasets and backbones: ranks, interquartile means, critical differences."""

from __future__ import annotations

import math
from pathlib import Path

import fake
import numpy as np
import pandas as pd
import pytest

from reports.html import render
from reports.questions import standings as across
from reports.tables import results_frame


def _runs(scores: dict[str, list[list[float]]]) -> pd.DataFrame:
    """By strategy: for each dataset, accuracies by seed."""
    rows = [
        (f"data {d}", "B", strategy, seed, accuracy)
        for strategy, datasets in scores.items()
        for d, seeds in enumerate(datasets)
        for seed, accuracy in enumerate(seeds)
    ]
    return pd.DataFrame(rows, columns=["dataset", "backbone", "strategy", "seed", "accuracy"])


def test_ranks_and_firsts() -> None:
    found = across.standings(_runs({"a": [[0.9], [0.5], [0.7]], "b": [[0.8], [0.6], [0.7]]}), "strategy")
    assert found is not None
    assert found.contexts == 3
    by_name = {row.name: row for row in found.rows}
    assert by_name["a"].rank == by_name["b"].rank == 1.5  # a tie shares the ranks
    assert by_name["a"].first == by_name["b"].first == 2
    assert math.isnan(by_name["a"].low)  # one seed says nothing of others


def test_the_interquartile_mean_and_its_interval() -> None:
    scores = [[0.1, 0.6, 0.65], [0.7, 0.75, 0.8]]
    found = across.standings(_runs({"a": scores, "b": [[0.2] * 3] * 2}), "strategy")
    assert found is not None
    a, b = found.rows
    assert a.value == pytest.approx(0.675)  # without the lowest and the highest of six
    assert a.low < a.value < a.high
    assert (b.value, b.low, b.high) == pytest.approx((0.2, 0.2, 0.2))


def test_two_seeds_have_no_interval() -> None:
    found = across.standings(_runs({"a": [[0.6, 0.7]] * 4, "b": [[0.2, 0.3]] * 4}), "strategy")
    assert found is not None
    assert all(math.isnan(row.low) and math.isnan(row.high) for row in found.rows)


@pytest.mark.parametrize("contexts", [2, 4, 12])
def test_the_interval_of_three_seeds_covers(contexts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(across, "DRAWS", 400)
    rng = np.random.default_rng(contexts)
    means, runs, inside = rng.uniform(0.6, 0.9, contexts), 300, 0

    def measured(times: int) -> np.ndarray:
        return means[:, None] + 0.015 * rng.standard_normal((times, contexts, 3))

    truth = across._interquartile_mean(measured(4000).reshape(4000, -1)).mean()
    for scores in measured(runs):
        _, low, high = across._iqm(list(scores), rng)
        inside += low <= truth <= high
    assert inside / runs > 0.92


def test_only_where_all_have_a_result() -> None:
    runs = _runs({"a": [[0.9], [0.5], [0.7]], "b": [[0.8], [0.6]]})
    found = across.standings(runs, "strategy")
    assert found is not None
    assert found.contexts == 2
    assert across.standings(runs[runs["strategy"] == "a"], "strategy") is None
    assert across.standings(runs[runs["dataset"] == "data 0"], "strategy") is None


def test_critical_difference_is_that_of_the_tables() -> None:
    rng = np.random.default_rng(0)
    scores = {
        name: [[0.5 + 0.1 * k + rng.normal(0, 0.01)] for _ in range(14)] for k, name in enumerate("abcd")
    }
    found = across.critical_difference(_runs(scores))
    assert found is not None
    # Demšar 2006, table 5(a): q = 2.569 for four classifiers.
    assert found.critical == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), abs=2e-3)
    assert found.ranks == {"d": 1.0, "c": 2.0, "b": 3.0, "a": 4.0}
    assert found.p < 1e-6
    few = {name: seeds[: across.MINIMUM_DATASETS - 1] for name, seeds in scores.items()}
    assert across.critical_difference(_runs(few)) is None


def test_scratch_counts_for_every_set_of_weights() -> None:
    records = fake.records(datasets=("one", "two"), backbones=("A", "B"), seeds=2)
    runs = across.runs_frame(results_frame(records))
    assert set(runs["strategy"]) == set(fake.STRATEGIES) - {"majority"}
    assert len(runs) == 2 * 2 * 4 * 2
    found = across.standings(runs, "backbone")
    assert found is not None
    assert {row.name for row in found.rows} == {"A", "B"}
    assert found.contexts == 8


def test_the_page_shows_it_only_where_there_is_something_to_compare(tmp_path: Path) -> None:
    records = fake.records(fractions=(1.0,), datasets=tuple(f"data {i}" for i in range(5)), seeds=2)
    page = render(records, fake.run_info(records), "", tmp_path / "many").read_text()
    assert "Over all datasets and backbones" in page
    assert (tmp_path / "many" / "figures" / "ranks.png").exists()
    records = fake.records(fractions=(1.0,), seeds=2)
    page = render(records, fake.run_info(records), "", tmp_path / "one").read_text()
    assert "Over all datasets and backbones" not in page
