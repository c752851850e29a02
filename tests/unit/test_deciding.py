"""Which cell is next, and what may be claimed at which look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.deciding.chooser import Chooser, Rules
from bench.deciding.race import Arm, Race, next_step, provisional
from bench.deciding.rounds import in_rounds
from bench.errors import RequestError
from bench.plans.loading import load_plan
from bench.plans.plan import budget_seconds
from bench.records import Cell, Record
from bench.runs.experience import Experience
from reports.statistics.best import Family, comparisons_with_one
from reports.statistics.factors import on_backbones, over_backbones
from reports.statistics.looks import UNTIL_DECIDED, Looks, declared
from reports.statistics.pairs import Measured

LOOKS = Looks(UNTIL_DECIDED)


def measured(values: Sequence[float], name: str = "a", backbone: str = "", weights: str = "") -> Measured:
    cells = pd.DataFrame(
        {
            "accuracy": list(values), "n_test": 5_000_000, "total_seconds": 1.0, "inference_ms_per_image": 1.0,
            "params": 1.0, "strategy": name, "backbone": backbone, "weights": weights, "metric": "accuracy",
        },
        index=pd.Index(range(len(values)), name="seed"),
    )  # fmt: skip
    return Measured(cells, None)


# --- looks --------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(3, 50), max_size=12, unique=True))
def test_the_errors_of_all_looks_add_up_to_no_more_than_one_time_in_twenty(seeds: list[int]) -> None:
    looks = Looks(tuple(seeds))
    assert sum(looks.error(look) for look in seeds) <= 0.05 + 1e-12


@given(st.lists(st.integers(3, 50), min_size=1, max_size=6, unique=True), st.integers(3, 50))
def test_a_look_that_is_declared_later_changes_no_earlier_one(seeds: list[int], later: int) -> None:
    grown = declared(seeds, [later])
    assert grown[: len(seeds)] == seeds
    assert all(Looks(tuple(grown)).error(look) == Looks(tuple(seeds)).error(look) for look in seeds)


def test_between_looks_only_the_seeds_of_the_last_one_count() -> None:
    assert [LOOKS.reached(seeds)[-1] for seeds in (2, 3, 4, 5, 9, 10, 12)] == [2, 3, 3, 5, 5, 10, 10]
    assert LOOKS.reached(9) == [3, 5]
    one, other = measured([0.8] * 4), measured([0.8, 0.8, 0.8, 0.1])
    assert Family([one, other], LOOKS, 0.01).pair(0, 1).ahead == pytest.approx(0)


# --- what is given up at most -------------------------------------------------------------------------------


@given(st.lists(st.lists(st.floats(0.5, 0.9), min_size=3, max_size=3), min_size=2, max_size=6))
@settings(max_examples=40, deadline=None)
def test_bounds_agree_with_who_is_ruled_out(values: list[list[float]]) -> None:
    family = Family([measured(v, str(i)) for i, v in enumerate(values)], Looks(), 0.01)
    places = range(len(values))
    assert not family.is_out(family.leader)
    for i in places:
        behind = max(family.pair(i, j).ahead for j in places if j != i)
        assert family.at_most(i) >= max(behind, 0)  # no less than what is seen
    alone = [i for i in places if not family.is_out(i)]
    assert (family.at_most(alone[0]) == 0) == (len(alone) == 1) or len(alone) > 1


def test_fewer_comparisons_count_with_few_degrees_of_freedom_and_never_more_than_there_are() -> None:
    counted = [comparisons_with_one(12, degrees, 0.03) for degrees in (2, 4, 20, 1e4)]
    assert counted == sorted(counted)
    assert 1 <= counted[0] < counted[-1] <= 12


def test_who_has_too_few_seeds_is_not_compared_and_takes_nothing_from_the_others() -> None:
    runs = [measured([0.8, 0.81, 0.8], "a"), measured([0.7, 0.71, 0.7], "b")]
    with_one = Family([*runs, measured([0.9], "c")], Looks(), 0.01)
    assert np.isnan(with_one.at_most(2))
    assert with_one.leader == 0
    assert not with_one.is_out(0)


# --- strategy and backbone ----------------------------------------------------------------------------------


def test_what_uses_no_weights_or_no_backbone_stands_beside_all_of_them() -> None:
    runs = [
        measured([0.8] * 3, "full", "A", "imagenet"),
        measured([0.7] * 3, "full", "B", "imagenet"),
        measured([0.5] * 3, "scratch", "A"),
        measured([0.3] * 3, "scratch", "B"),
        measured([0.2] * 3, "nearest_pixel"),
        measured([0.9] * 3, "partial", "A", "imagenet"),  # failed on B
    ]
    means = {str(run.cells["strategy"].iloc[0]): run.value for run in over_backbones(runs)}
    assert means == pytest.approx({"full": 0.75, "scratch": 0.4, "nearest_pixel": 0.2})
    assert [run.value for run in on_backbones(runs, "full")] == pytest.approx([0.8, 0.7])
    assert not over_backbones(runs[:1])


# --- the race -----------------------------------------------------------------------------------------------


@dataclass
class World:
    """True accuracies; every seed is a little off."""

    truth: list[float]
    spread: float = 0.004
    prices: list[float] | None = None

    def race(self, arms: list[Arm]) -> Race:
        def family(chosen: Sequence[int]) -> Family:
            return Family([measured([*arms[i].values.values()], str(i)) for i in chosen], LOOKS, 0.01)

        return Race(arms, UNTIL_DECIDED, 0.01, family)

    def play(self, most: int = 500) -> tuple[str, list[Arm], list[tuple[str, int, int]]]:
        rng = np.random.default_rng(0)
        prices = self.prices or [1.0] * len(self.truth)
        arms = [Arm(seconds=p, probe_seconds=p / 4) for p in prices]
        steps = []
        for _ in range(most):
            step = next_step(self.race(arms))
            steps.append((step.what, step.arm, step.seed))
            if step.what not in ("probe", "seed", "raise"):
                return step.what, arms, steps
            true = self.truth[step.arm]
            if step.what == "probe":
                arms[step.arm] = replace(arms[step.arm], probe=true - 0.1, probed=True)
            else:
                arms[step.arm].values[step.seed] = true + self.spread * rng.standard_normal()
        raise AssertionError("it does not end")


def test_a_clear_winner_is_decided_and_what_is_ruled_out_gets_no_more_than_the_first_look() -> None:
    ended, arms, _ = World([0.9, 0.6, 0.5, 0.4], spread=0.001).play()
    assert ended == "decided"
    assert [len(arm.values) for arm in arms] == [3, 3, 3, 3]


def test_seeds_grow_only_for_those_that_may_still_be_the_best() -> None:
    _, arms, _ = World([0.9, 0.89, 0.5, 0.4], spread=0.012).play()
    assert len(arms[2].values) == len(arms[3].values) == 3
    assert len(arms[0].values) == len(arms[1].values) > 3


def test_everything_is_seen_once_before_anything_is_seen_in_full_the_cheapest_first() -> None:
    _, _, steps = World([0.8, 0.7, 0.6], prices=[4.0, 1.0, 2.0]).play()
    assert [(what, arm) for what, arm, _ in steps[:3]] == [("probe", 1), ("probe", 2), ("probe", 0)]


def test_a_probe_that_costs_as_much_as_all_labels_is_not_run() -> None:
    arms = [Arm(seconds=1.0, probe_seconds=0.9)] * 2
    assert next_step(World([0.8, 0.7]).race(arms)).what == "seed"


@given(st.lists(st.floats(0.3, 0.9), min_size=1, max_size=5), st.floats(0.001, 0.05))
@settings(max_examples=25, deadline=None)
def test_every_race_ends_and_asks_for_no_cell_twice(truth: list[float], spread: float) -> None:
    ended, arms, steps = World(truth, spread).play()
    assert ended in ("decided", "unsettled")
    assert len(set(steps)) == len(steps)
    assert all(3 <= len(arm.values) <= 10 for arm in arms)


def test_the_next_step_depends_on_results_and_not_on_how_they_came_about() -> None:
    arms = [Arm(0.7, True, {0: 0.8, 1: 0.81}), Arm(0.6, True, {0: 0.75})]
    again = [Arm(0.7, True, {1: 0.81, 0: 0.8}), Arm(0.6, True, {0: 0.75})]
    world = World([0.8, 0.75])
    assert next_step(world.race(arms)) == next_step(world.race(again))


def test_of_equals_the_cheaper_is_provisional() -> None:
    arms = [Arm(0.7, True, {0: 0.8}, seconds=9.0), Arm(0.7, True, {0: 0.8}, seconds=1.0)]
    assert provisional(World([0.8, 0.8]).race(arms)) == 1


# --- cells --------------------------------------------------------------------------------------------------

CELL = Cell(
    strategy="scratch", strategy_version=1, dataset="d", dataset_name="d", fingerprint="0", modality="image",
    backbone="MobileNet", weights="", weights_sha256="", fraction=1.0, seed=0,
    examples={"image_size": 32, "resizing": "stretch", "augmentation": "none", "flip": False},
    epochs=1, batch_size=1, threads=1, head={}, tuning={},
)  # fmt: skip
STRATEGIES = {"majority": 0.1, "scratch": 0.5, "full_finetune": 0.9}


def grid(seeds: int = 10) -> list[Cell]:
    return [
        replace(CELL, strategy=name, fraction=fraction, seed=seed)
        for name in STRATEGIES
        for fraction in (0.1, 0.5, 1.0)
        for seed in range(seeds)
    ]


def record(cell: Cell, status: str = "ok") -> Record:
    value = STRATEGIES[cell.strategy] + 0.001 * cell.seed - 0.1 * (1 - cell.fraction)
    metrics = {"accuracy": value} if status == "ok" else {}
    costs = {"total_seconds": 1.0, "inference_ms_per_image": 1.0, "params": 1.0}
    n = round(1000 * cell.fraction)
    return Record(cell.id, asdict(cell), status, n=n, n_test=50_000, metrics=metrics, costs=costs)  # type: ignore[arg-type]


def run_through(chooser: Chooser, clock: list[float], statuses: dict[str, str] | None = None) -> list[Cell]:
    done = []
    while chooser:
        cell = chooser.take(0)
        assert cell is not None
        clock[0] += 1.0
        chooser.add(record(cell, (statuses or {}).get(cell.strategy, "ok")))
        done.append(cell)
    return done


def chooser_of(seconds: float, tmp_path: Path, clock: list[float], stored: Sequence[Record] = ()) -> Chooser:
    prices = {0.1: 0.1, 0.5: 0.6, 1.0: 1.0}
    rules = Rules(LOOKS, 0.01, seconds)
    return Chooser(grid(), stored, lambda cell: prices[cell.fraction], rules, tmp_path, lambda: clock[0])


def test_a_race_of_cells_ends_decided_and_draws_the_curve_of_the_winner(tmp_path: Path) -> None:
    clock = [0.0]
    chooser = chooser_of(float("inf"), tmp_path, clock)
    done = run_through(chooser, clock)
    places = {(c.strategy, c.fraction, c.seed) for c in done}
    assert {("full_finetune", f, s) for f in (0.1, 0.5, 1.0) for s in range(3)} <= places
    assert not any(c.strategy == "scratch" and c.fraction == 0.5 for c in done)
    assert not any(c.seed > 2 for c in done)
    course = chooser.courses()["0"]
    assert course.ended == "decided"
    assert [name[1] for name in course.out] == ["scratch"]
    assert sum(course.left.values()) == len(grid()) - len(done)
    assert chooser.chosen() == [cell.id for cell in grid() if cell in done]


def test_the_curve_of_a_clear_winner_comes_before_seeds_on_which_nothing_hangs(tmp_path: Path) -> None:
    done = [(c.strategy, c.fraction) for c in run_through(chooser_of(float("inf"), tmp_path, [0.0]), [0.0])]
    curve = [i for i, place in enumerate(done) if place == ("full_finetune", 0.5)]
    last_of_scratch = max(i for i, place in enumerate(done) if place == ("scratch", 1.0))
    assert len(curve) == 3
    assert max(curve) < last_of_scratch


def test_a_budget_begins_no_cell_that_would_end_later_and_goes_on_with_more(tmp_path: Path) -> None:
    clock = [0.0]
    short = chooser_of(9.5, tmp_path, clock)
    first = run_through(short, clock)
    assert clock[0] <= 9.5
    assert short.courses()["0"].ended == "budget"
    later = chooser_of(1000.0, tmp_path, [0.0], [record(cell) for cell in first])
    rest = run_through(later, [0.0])
    assert not {cell.id for cell in first} & {cell.id for cell in rest}
    undisturbed = run_through(chooser_of(1000.0, tmp_path, [0.0]), [0.0])
    assert {cell.id for cell in (*first, *rest)} == {cell.id for cell in undisturbed}


def test_an_arm_that_fails_is_left_alone_and_the_race_goes_on(tmp_path: Path) -> None:
    clock = [0.0]
    chooser = chooser_of(float("inf"), tmp_path, clock)
    done = run_through(chooser, clock, {"scratch": "failed"})
    assert sum(cell.strategy == "scratch" and cell.fraction == 1.0 for cell in done) <= 1
    course = chooser.courses()["0"]
    assert course.ended == "decided"
    assert course.left["failed"] > 0


def test_what_is_put_back_is_the_next(tmp_path: Path) -> None:
    chooser = chooser_of(float("inf"), tmp_path, [0.0])
    cell = chooser.take(0)
    assert cell is not None
    chooser.put_back(cell)
    assert chooser.take(1) == cell


def test_where_the_first_look_is_reached_workers_start_for_the_next_one(tmp_path: Path) -> None:
    stored = [record(cell) for cell in grid(3)]
    for found in stored:  # all trained ones are alike, each seed differs
        seed, trained = found.cell["seed"], found.cell["strategy"] != "majority"
        shift = 1 if found.cell["strategy"] == "scratch" else -1
        found.metrics["accuracy"] = 0.6 + 0.03 * shift * (seed - 1) if trained else 0.1
    chooser = chooser_of(float("inf"), tmp_path, [0.0], stored)
    assert chooser.peek() is not None
    assert len(chooser) == 2


def test_a_display_chooses_no_cell(tmp_path: Path) -> None:
    chooser = chooser_of(float("inf"), tmp_path, [0.0])
    assert chooser.upcoming() is None
    chosen = chooser.peek()
    assert chooser.upcoming() == chosen
    chooser.take(0)
    assert chooser.upcoming() is None


def test_a_grid_begins_with_a_look_at_everything_and_leaves_nothing_out() -> None:
    cells = grid(3)
    first, second, third = in_rounds(cells)
    assert {(c.fraction, c.seed) for c in first} == {(0.1, 0)}
    assert {c.fraction for c in second} == {1.0}
    assert sorted(c.id for c in (*first, *second, *third)) == sorted(c.id for c in cells)


# --- plans --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2 h", 7200)])
def test_times(text: str, seconds: float) -> None:
    assert budget_seconds(text) == seconds


@pytest.mark.parametrize("text", ["0", "-1h", "soon", "1d", "nan", "inf", "1h30m", "1e3"])
def test_what_is_no_time_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(RequestError, match=r"budget.*30m"):
        load_plan({"datasets": ["digits"], "budget": text})


@pytest.mark.parametrize("number", ["5", 5])
def test_a_number_without_its_unit_is_refused_with_what_to_type(number: object) -> None:
    with pytest.raises(RequestError, match=r"budget.* unit: 5s, 5m or 5h"):
        load_plan({"datasets": ["digits"], "budget": number})


def test_neither_budget_nor_end_makes_another_plan() -> None:
    plain = load_plan({"datasets": ["digits"]})
    short = load_plan({"datasets": ["digits"], "budget": "30m", "until": "decided"})
    assert plain.hash() == short.hash()
    assert "budget" not in plain.to_toml()
    assert (plain.looks, short.looks) == ((3,), (3, 5, 10))
    assert load_plan({"datasets": ["digits"], "until": "decided", "seeds": 5}).looks == (5, 10)


def test_few_shot_says_that_it_has_no_budget() -> None:
    from bench.plans.resolved import resolve

    resolved = resolve(load_plan({"datasets": ["digits"], "protocol": "few-shot", "budget": "30m"}))
    with pytest.raises(RequestError, match="budget"):
        resolved.protocol.check(resolved.plan, resolved.strategies)


def test_gains_of_earlier_runs_are_kept_by_strategy_and_of_no_use_to_a_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(tmp_path))
    cell = replace(CELL, strategy="full_finetune")
    assert Experience().gain(cell) is None
    Experience().learn([record(replace(cell, fraction=f, seed=s)) for f in (0.1, 1.0) for s in range(2)])
    assert Experience().gain(cell) == pytest.approx(0.09)
    assert Experience().gain(CELL) is None
    (tmp_path / "gains.json").write_text("torn")
    assert Experience().gain(cell) is None


def test_an_arm_whose_gain_is_known_to_be_large_is_opened_first() -> None:
    arms = [Arm(0.6, True, seconds=1.0), Arm(0.5, True, seconds=1.0)]
    race = World([0.7, 0.7]).race
    assert next_step(race(arms)).arm == 0
    assert next_step(race([arms[0], replace(arms[1], gain=0.4)])).arm == 1


def test_a_bound_of_an_earlier_look_is_not_taken_back() -> None:
    one, other = measured([0.9, 0.9, 0.9, 0.5, 0.5]), measured([0.7] * 5)
    early = Family([one, other], Looks((3,)), 0.01).at_most(0)
    assert Family([one, other], Looks((3, 5)), 0.01).at_most(0) <= early
