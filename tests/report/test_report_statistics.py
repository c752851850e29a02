"""What is claimed, and what is not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import fake
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.records import Record
from reports.statistics import answers, best, decisions, intervals, pairs
from reports.tables import results_frame


def _run(
    directory: Path | None, accuracies: dict[str, list[float]], test: int = 1000, noise: float = 0.0
) -> list[decisions.Decision]:
    """Decisions on made-up accuracies by strategy and seed; predictions agree as far as they can."""
    seeds = max(map(len, accuracies.values()))
    records = fake.records(strategies=tuple(accuracies), fractions=(1.0,), seeds=seeds, test=test)

    def known(record: Record) -> bool:
        return record.cell["seed"] < len(accuracies[record.cell["strategy"]])

    records = [record for record in records if known(record)]
    for record in records:
        record.metrics["accuracy"] = accuracies[record.cell["strategy"]][record.cell["seed"]]
    if directory:
        folder = directory / "predictions"
        folder.mkdir()
        for record in records:  # the same images are hard for all
            right = np.arange(test) < round(record.metrics["accuracy"] * test)
            np.savez(folder / f"{record.cell_id}.npz", probabilities=np.eye(2)[right.astype(int)],
                     labels=np.ones(test, int), ids=np.arange(test).astype(str))  # fmt: skip
    return decisions.decide(results_frame(records), directory)


def _cells(accuracies: Sequence[float]) -> pd.DataFrame:
    return pd.DataFrame({"accuracy": list(accuracies), "n_test": 1000.0})


def _verdicts(decision: decisions.Decision) -> dict[str, str]:
    return {c.candidate.strategy: c.verdict for c in decision.comparisons}


def test_t_half_width() -> None:
    data = [0.5, 0.55, 0.7, 0.6]
    low, high = stats.t.interval(0.95, 3, np.mean(data), stats.sem(data))
    assert intervals.t_half_width(float(np.std(data, ddof=1)), 4) == pytest.approx((high - low) / 2)
    assert math.isnan(intervals.t_half_width(0.1, 2))


@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_agrees_with_scipy(n: int, share: float) -> None:
    k = round(share * n)
    low, high = intervals.wilson(k / n, n)
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_facts_of_the_test_set_size() -> None:
    low, high = intervals.wilson(0.9, 200)
    assert (high - low) / 2 == pytest.approx(0.042, abs=0.001)
    assert all(map(math.isnan, intervals.wilson(math.nan, 100)))


def test_a_clear_lead_is_better(tmp_path: Path) -> None:
    (decision,) = _run(tmp_path, {"full_finetune": [0.8, 0.81, 0.8], "scratch": [0.4, 0.41, 0.42]})
    assert decision.claim == "better"
    assert decision.leader.strategy == "full_finetune"
    comparison = decision.comparisons[0]
    assert comparison.paired
    assert 0 < comparison.low < comparison.difference < comparison.high
    assert comparison.p < 0.05
    assert decision.leader.low < decision.leader.value < decision.leader.high


def test_below_three_seeds_nothing_is_claimed(tmp_path: Path) -> None:
    (decision,) = _run(tmp_path, {"full_finetune": [0.9, 0.9], "scratch": [0.1, 0.1]})
    assert decision.claim == "provisional"
    assert _verdicts(decision) == {"scratch": "unknown"}
    assert math.isnan(decision.comparisons[0].low)
    assert math.isnan(decision.leader.low)


def test_equals_are_tied_and_the_cheaper_is_taken(tmp_path: Path) -> None:
    accuracies = {
        "full_finetune": [0.801, 0.802, 0.801],
        "feature_extraction": [0.8, 0.801, 0.8],
        "scratch": [0.3, 0.31, 0.3],
    }
    (decision,) = _run(tmp_path, accuracies)
    assert decision.claim == "decided"
    assert _verdicts(decision) == {"feature_extraction": "tied", "scratch": "better"}
    assert decision.recommended.strategy == "feature_extraction"


def test_a_noisy_lead_is_undecided(tmp_path: Path) -> None:
    (decision,) = _run(tmp_path, {"full_finetune": [0.8, 0.7, 0.78], "partial_finetune": [0.72, 0.76, 0.75]})
    assert decision.claim == "undecided"
    assert decision.comparisons[0].low < 0 < decision.comparisons[0].high


def test_pairing_narrows_and_its_absence_is_said(tmp_path: Path) -> None:
    accuracies = {"full_finetune": [0.8, 0.81, 0.8], "partial_finetune": [0.77, 0.78, 0.78]}
    (paired,) = _run(tmp_path, accuracies)
    (blind,) = _run(None, accuracies)
    one, other = paired.comparisons[0], blind.comparisons[0]
    assert (one.paired, other.paired) == (True, False)
    assert one.high - one.low < other.high - other.low
    assert one.difference == pytest.approx(other.difference)


def test_damaged_or_foreign_predictions_are_not_paired(tmp_path: Path) -> None:
    records = fake.records(strategies=("scratch", "full_finetune"), fractions=(1.0,))
    fake.write_predictions(records, tmp_path)
    (tmp_path / "predictions" / f"{records[0].cell_id}.npz").write_bytes(b"PK\x03\x04 torn")
    (decision,) = decisions.decide(results_frame(records), tmp_path)
    assert not decision.comparisons[0].paired


def test_only_seeds_that_both_have_are_compared(tmp_path: Path) -> None:
    (decision,) = _run(tmp_path, {"full_finetune": [0.8, 0.81, 0.8, 0.82], "scratch": [0.4, 0.41]})
    assert decision.comparisons[0].seeds == 2
    assert decision.claim == "incomplete"
    assert decision.recommended.strategy == "full_finetune"


def _compared(directory: Path | None, accuracies: dict[str, list[float]]) -> dict[str, pairs.Comparison]:
    (decision,) = _run(directory, accuracies)
    return {c.candidate.strategy: c for c in decision.comparisons}


def test_a_pair_alone_borrows_nothing() -> None:
    lead = np.array([0.02, 0.05, 0.08])
    pair = {"a": list(0.8 + lead), "b": [0.8] * 3}
    assert pairs.typical_variance([pairs.Measured(_cells(values), None) for values in pair.values()]) == (
        0,
        0,
    )


def test_thetypical_variance_is_that_of_the_pairs_and_no_single_strategy_moves_it() -> None:
    rng = np.random.default_rng(0)
    found, with_wild = [], []
    for _ in range(400):
        values = 0.7 + 0.01 * rng.standard_normal((6, 3))
        runs = [pairs.Measured(_cells(row), None) for row in values]
        found.append(pairs.typical_variance(runs))
        wild = pairs.Measured(_cells(0.7 + 0.2 * rng.standard_normal(3)), None)
        with_wild.append(pairs.typical_variance([*runs[:5], wild]))
    variances = np.array([variance for variance, _ in found])
    assert variances.mean() == pytest.approx(2 * 0.01**2, rel=0.2)
    assert np.mean([variance for variance, _ in with_wild]) < 3 * 2 * 0.01**2
    assert {degrees for _, degrees in found} == {pairs.BORROWED}
    assert pairs.typical_variance(runs[:3]) == (0, 0)


def test_three_seeds_tell_more_beside_others() -> None:
    some = {"a": [0.80, 0.82, 0.84], "b": [0.79, 0.785, 0.8]}
    others = {f"s{i}": [0.70 + i / 500, 0.71, 0.72 - i / 400] for i in range(4)}
    alone, beside = _compared(None, some)["b"], _compared(None, {**some, **others})["b"]
    assert alone.difference == beside.difference
    # Corrected for fifteen pairs, and yet not as wide as two degrees of freedom would have it.
    assert beside.high - beside.low < (alone.high - alone.low) * 2
    lead = np.subtract(some["a"], some["b"])
    half = intervals.t_half_width(float(lead.std(ddof=1)), 3, level=1 - 0.05 / 15)
    assert (beside.high - beside.low) / 2 < half


def test_no_interval_leaves_what_differences_can_be() -> None:
    strategies = {f"s{i}": [0.5 + i / 100, 0.7, 0.9 - i / 50] for i in range(20)}
    for comparison in _run(None, strategies)[0].comparisons:
        assert -1 <= comparison.low < comparison.high <= 1
        assert comparison.verdict == "undecided"


@pytest.mark.parametrize("candidates", [3, 6, 20])
@pytest.mark.parametrize("degrees", [4, 20])
def test_comparisons_with_one_are_those_of_drawn_values(candidates: int, degrees: int) -> None:
    rng = np.random.default_rng(0)
    others = candidates - 1 + best.UNEVEN
    drawn = rng.standard_normal((200_000, others + 1))
    ahead = (drawn[:, 1:] - drawn[:, :1]).max(axis=1) / math.sqrt(2)
    highest = ahead / np.sqrt(rng.chisquare(degrees, len(ahead)) / degrees)
    expected = 0.05 / stats.t.sf(np.quantile(highest, 0.95), degrees)
    assert best.comparisons_with_one(candidates, degrees, 0.05) == pytest.approx(expected, rel=0.05)


def test_few_seeds_tell_one_of_many_strategies_apart() -> None:
    rng = np.random.default_rng(0)
    many = {f"s{i:02}": (0.85 + 0.02 * rng.standard_normal(3)).tolist() for i in range(19)}
    last = _compared(None, {**many, "behind": [0.74, 0.76, 0.75]})["behind"]
    assert last.verdict == "better"
    with pytest.MonkeyPatch.context() as patch:  # 19 comparisons, as if each said something of its own
        patch.setattr(best, "comparisons_with_one", lambda *_: 1e6)
        assert _compared(None, {**many, "behind": [0.74, 0.76, 0.75]})["behind"].verdict == "undecided"


def test_holm_widens_intervals_with_the_family(tmp_path: Path) -> None:
    (decision,) = _run(
        tmp_path,
        {
            "full_finetune": [0.8, 0.82, 0.81],
            "a": [0.79, 0.8, 0.82],
            "b": [0.8, 0.78, 0.83],
            "scratch": [0.4] * 3,
        },
    )
    p = [c.p for c in sorted(decision.comparisons, key=lambda c: c.p)]
    assert p == sorted(p)
    assert _verdicts(decision) == {"a": "undecided", "b": "undecided", "scratch": "better"}


def test_majority_is_the_floor_and_no_candidate() -> None:
    found = decisions.decide(results_frame(fake.records()))
    assert len(found) == 3
    for decision in found:
        assert decision.floor is not None
        assert decision.floor.candidate.value == pytest.approx(0.2, abs=0.01)
        assert decision.floor.difference == pytest.approx(decision.leader.value - 0.2, abs=0.01)
    assert all("majority" not in _verdicts(d) and d.leader.strategy != "majority" for d in found)
    assert decisions.decide(results_frame(fake.records(strategies=("majority",)))) == []
    assert decisions.decide(results_frame([])) == []


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("spread", [0.005, 0.04])
def test_intervals_cover_as_often_as_they_say(seeds: int, spread: float) -> None:
    """Two recipes with the same expected accuracy; ``tests/benchmarks/truth.py`` has the whole table."""
    rng, images, runs = np.random.default_rng(1), 400, 1000
    hits = 0
    for _ in range(runs):
        difficulty = rng.normal(size=images)

        def right(hard: np.ndarray = difficulty) -> np.ndarray:
            shift = rng.normal(0, spread / 0.3, (seeds, 1))
            return (hard + rng.normal(0, 0.7, (seeds, images)) < 0.8 + shift).astype(float)

        lead = right() - right()
        half = answers.Answers(np.arange(images).astype(str), lead, None).spread(lead).half_width(0.95)
        hits += abs(lead.mean()) <= half
    assert 0.93 < hits / runs < 0.985


def test_the_parts_of_the_spread_are_found_again() -> None:
    rng = np.random.default_rng(0)
    seeds, images = 40, 3000
    values = rng.normal(0, 2, (seeds, 1)) + rng.normal(0, 3, images) + rng.normal(0, 5, (seeds, images))
    spread = answers.Answers(np.arange(images).astype(str), values, None).spread(values)
    assert math.sqrt(spread.over_seeds) == pytest.approx(2, rel=0.25)
    assert math.sqrt(spread.over_examples) == pytest.approx(3, rel=0.05)
    assert math.sqrt(spread.rest) == pytest.approx(5, rel=0.01)
    error = math.sqrt(4 / seeds + 9 / images + 25 / seeds / images)
    assert spread.half_width(0.95) == pytest.approx(2.02 * error, rel=0.25)
    assert spread.half_width(0.95, seeds=160) < 0.6 * spread.half_width(0.95)


def test_the_p_value_is_where_the_interval_reaches_zero() -> None:
    spread = intervals.Spread(4, 500, 0.02**2, 0.1, 0.05)
    assert spread.half_width(1 - spread.p_value(0.0275)) == pytest.approx(0.0275, rel=1e-6)


def settled(mean: float, region: float = 0.01) -> Callable[[float], bool]:
    return lambda half: intervals.verdict_on(mean, half, region) != "undecided"


def test_what_would_settle_it() -> None:
    few_seeds = intervals.Spread(3, 10_000, 0.02**2, 0.05, 0.05)
    seeds, images = few_seeds.needed(settled(0.03), lambda degrees: 0.95)
    assert seeds is not None
    assert images is None  # the seeds alone are too uncertain
    assert few_seeds.half_width(0.95, seeds=seeds) < 0.03 <= few_seeds.half_width(0.95, seeds=seeds - 1)
    few_images = intervals.Spread(5, 200, 1e-8, 0.1, 0.05)
    seeds, images = few_images.needed(settled(0.03), lambda degrees: 0.95)
    assert seeds is None
    assert images is not None
    assert (
        few_images.half_width(0.95, examples=images)
        < 0.03
        <= few_images.half_width(0.95, examples=images - 1)
    )
    on_the_edge = intervals.Spread(5, 200, 0.02**2, 0.1, 0.05)
    assert on_the_edge.needed(settled(0.01), lambda degrees: 0.95)[1] is None
    # With more seeds there are more degrees of freedom, and more comparisons of a large family count.
    more = few_seeds.needed(
        settled(0.03), lambda degrees: 1 - 0.05 / best.comparisons_with_one(20, degrees, 0.05)
    )[0]
    fixed = few_seeds.needed(
        settled(0.03), lambda degrees: 1 - 0.05 / best.comparisons_with_one(20, 2.0, 0.05)
    )[0]
    assert more is not None
    assert fixed is not None
    assert more > fixed > seeds_of_one(few_seeds)


def seeds_of_one(spread: intervals.Spread) -> int:
    seeds = spread.needed(settled(0.03), lambda degrees: 0.95)[0]
    assert seeds is not None
    return seeds


def test_test_images_of_one_group_are_one_draw() -> None:
    right = np.random.default_rng(0).integers(0, 2, (2, 40)).astype(float)
    ids = np.arange(400).astype(str)
    repeated = np.repeat(right, 10, axis=1)  # ten frames of each of forty films
    alone = answers.Answers(np.arange(40).astype(str), right, None)
    frames = answers.Answers(ids, repeated, None)
    films = answers.Answers(ids, repeated, np.repeat(np.arange(40), 10))
    assert films.error(films.credits.mean(axis=0)) == pytest.approx(
        alone.error(alone.credits.mean(axis=0)), rel=1e-9
    )
    assert frames.error(frames.credits.mean(axis=0)) < 0.4 * films.error(films.credits.mean(axis=0))
    one_film = answers.Answers(ids, repeated, np.zeros(400, np.int64))
    assert one_film.error(repeated.mean(axis=0)) == math.inf
    assert one_film.spread(repeated).half_width(0.95) == math.inf


@pytest.mark.parametrize(("groups", "spread"), [(3, 0.0), (3, 0.1), (10, 0.0), (10, 0.1), (60, 0.03)])
def test_intervals_of_groups_cover_as_often_as_they_say_and_are_no_wider_than_need_be(
    groups: int, spread: float
) -> None:
    """Sixty test examples of each of so many persons, for whom accuracy differs by ``spread``."""
    rng, covered, half = np.random.default_rng(groups), [], 0.0
    of = np.repeat(np.arange(groups), 60)
    for _ in range(200):
        share = rng.normal(0.7, spread, groups).clip(0, 1)[of]
        right = (rng.uniform(size=(3, len(of))) < share).astype(float)
        found = answers.Answers(np.arange(len(of)).astype(str), right, of)
        half = found.spread(right, found.unseen()).half_width(0.95)
        covered.append(abs(right.mean() - 0.7) <= half)
    assert np.mean(covered) > 0.9
    if groups == 60:  # about what the scatter of 60 persons gives
        assert half < 3 * 1.96 * math.hypot(spread, math.sqrt(0.21 / 60)) / math.sqrt(60)


def test_two_groups_far_above_the_most_frequent_class_are_enough_to_say_so() -> None:
    of = np.repeat(np.arange(2), 100)
    right = np.tile((np.arange(200) % 10 > 0).astype(float), (3, 1))  # 90% of each
    found = answers.Answers(np.arange(200).astype(str), right, of)
    assert found.least(0.05) == pytest.approx(0.9 * math.sqrt(0.05))
    assert answers.Answers(found.ids, right, None).least(0.05) == 0
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(2000):  # whatever groups are like: here one in ten is always right, all others never
        share = (rng.uniform(size=2) < 0.1).astype(float)
        some = answers.Answers(found.ids, np.tile(share[of], (3, 1)), of)
        wrong += some.least(0.05) > 0.1
    assert wrong / 2000 < 0.05


def test_who_lost_seeds_does_not_lead() -> None:
    whole = {"feature_extraction": [0.8, 0.8, 0.8], "partial_finetune": [0.79, 0.79, 0.79]}
    (decision,) = _run(None, {"full_finetune": [0.9, 0.9], **whole})
    assert decision.leader.strategy == "feature_extraction"


def test_a_single_one_with_enough_seeds_does_not_lead_by_them() -> None:
    (decision,) = _run(None, {"full_finetune": [0.9], "feature_extraction": [0.8, 0.8, 0.8]})
    assert decision.claim == "provisional"
    assert decision.recommended.strategy == decision.leader.strategy == "full_finetune"
    (decision,) = _run(None, {"full_finetune": [0.7], "feature_extraction": [0.8, 0.8, 0.8]})
    assert decision.claim == "incomplete"
    assert decision.recommended.strategy == decision.leader.strategy == "feature_extraction"


def test_the_probability_of_being_best(tmp_path: Path) -> None:
    (clear,) = _run(tmp_path, {"a": [0.9, 0.91, 0.9], "b": [0.5, 0.52, 0.51], "c": [0.4, 0.42, 0.41]})
    assert clear.leader.best > 0.99
    assert sum(c.best for c in (clear.leader, *(c.candidate for c in clear.comparisons))) == pytest.approx(1)
    (unpaired,) = _run(None, {"a": [0.9, 0.91, 0.9], "b": [0.5, 0.52, 0.51]})
    assert math.isnan(unpaired.leader.best)


def test_equals_are_as_likely_to_be_best() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(60):
        right = (rng.normal(size=(3, 4, 300)) + rng.normal(size=300) < 0.8).astype(float)
        drawn = pairs.draws([_Given(f"{i}", r) for i, r in enumerate(right)], decisions.DRAWS)
        assert drawn is not None
        shares.append(decisions._probabilities_of_best(drawn))
    assert np.mean(shares, axis=0) == pytest.approx([1 / 3] * 3, abs=0.1)
    assert 0.15 < np.std(shares) < 0.35  # and not always a third: each result says something


@pytest.mark.parametrize("strategies", [2, 8])
def test_the_highest_of_several_looks_better_than_it_is(strategies: int) -> None:
    """All are equal, so whoever leads does by chance: by as much as is said, and its interval allows for that."""
    rng = np.random.default_rng(1)
    excess, told, covered, alone, runs = 0.0, 0.0, 0, 0, 200
    for _ in range(runs):
        truth = rng.normal(0.8, 0.02, (strategies, 4, 1))  # the seeds of each
        right = (rng.uniform(size=(strategies, 4, 400)) < truth).astype(float)
        measured = [_Given(f"{i}", r) for i, r in enumerate(right)]
        decision = decisions.decide_among(measured, 0.01, "made up", 1.0)
        leader = decision.leader
        excess, told = excess + leader.value - 0.8, told + decision.optimism
        covered += leader.low <= 0.8 <= leader.high
        alone += leader.low + decision.optimism <= 0.8 <= leader.high
    assert told == pytest.approx(excess, rel=0.35)
    assert covered >= alone
    assert covered / runs > 0.93


def test_of_two_far_apart_the_better_is_no_better_than_it_looks(tmp_path: Path) -> None:
    (decision,) = _run(tmp_path, {"a": [0.9, 0.91, 0.9], "scratch": [0.5, 0.52, 0.51]})
    assert decision.optimism < 0.002


class _Given(pairs.Measured):
    """Results that came from no files."""

    def __init__(self, name: str, right: np.ndarray) -> None:
        frame = {"accuracy": right.mean(axis=1), "n_test": right.shape[1], "total_seconds": 1.0, "strategy": name,
                 "backbone": "", "weights": "", "inference_ms_per_image": 1.0, "params": 1.0}  # fmt: skip
        super().__init__(pd.DataFrame(frame, index=range(len(right))), None)
        self.given = answers.Answers(np.arange(right.shape[1]).astype(str), right, None)

    def answers(self, seeds: object) -> answers.Answers:
        return self.given
