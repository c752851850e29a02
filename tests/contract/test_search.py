"""The search: the default first, as many trials as promised, and none of what keras-tuner does by itself.

``evaluate`` is a made-up function here: nothing is trained.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

keras_tuner = pytest.importorskip("keras_tuner")

from bench.system.seeds import derived_seed, generator
from bench.training.search import WORST, Proposal, count_points, every_point, search, values_of

# A Gaussian process says so of a made-up score that does not depend on a parameter.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The optimal value found for dimension"),
    pytest.mark.filterwarnings("ignore:lbfgs failed to converge"),
]

ALGORITHMS = ("random", "bayesian", "hyperband", "grid")
BY_TRIALS = ("random", "bayesian", "grid")


def space() -> Any:
    """One that strategies could declare: continuous, integer and of choices."""
    hp = keras_tuner.HyperParameters()
    hp.Float("learning_rate", 1e-4, 1e-1, sampling="log", default=3e-3)
    hp.Int("layers", 1, 9, default=4)
    hp.Choice("unfreeze", [0.25, 0.5, 0.75], default=0.5)
    return hp


DEFAULT = {"learning_rate": 3e-3, "layers": 4, "unfreeze": 0.5}


def choices(*sizes: int) -> Any:
    """A finite space; the default of each parameter is its last value."""
    hp = keras_tuner.HyperParameters()
    for i, size in enumerate(sizes):
        hp.Choice(f"p{i}", list(range(size)), default=size - 1)
    return hp


def a_score(proposal: Proposal) -> float:
    values = values_of(proposal.hp)
    return -abs(math.log10(values.get("learning_rate", 1)) + 2) - 0.1 * values.get("layers", 0)


def run(
    hp: Any,
    algorithm: str,
    trials: int,
    epochs: int = 9,
    seed: int = 0,
    evaluate: Callable[[Proposal], float] = a_score,
) -> list[Proposal]:
    """The proposals of a search."""
    seen: list[Proposal] = []

    def noted(proposal: Proposal) -> float:
        seen.append(proposal)
        return evaluate(proposal)

    search(hp, algorithm, trials, epochs, seed, noted)
    return seen


def points(proposals: list[Proposal]) -> list[tuple[Any, ...]]:
    return [tuple(sorted(values_of(proposal.hp).items())) for proposal in proposals]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_trial_0_is_the_default_at_full_length(algorithm: str) -> None:
    first = run(space(), algorithm, 4)[0]
    assert (first.number, first.epochs, values_of(first.hp)) == (0, 9, DEFAULT)
    assert first.hp.get("layers") == 4


@pytest.mark.parametrize("algorithm", BY_TRIALS)
@pytest.mark.parametrize("trials", [1, 2, 7])
def test_exactly_as_many_trials_as_asked_all_different_and_at_full_length(
    algorithm: str, trials: int
) -> None:
    found = run(space(), algorithm, trials)
    assert [proposal.number for proposal in found] == list(range(trials))
    assert len(set(points(found))) == trials
    assert {proposal.epochs for proposal in found} == {9}
    for proposal in found:
        values = values_of(proposal.hp)
        assert set(values) == set(DEFAULT)
        assert 1e-4 <= values["learning_rate"] <= 1e-1
        assert 1 <= values["layers"] <= 9
        assert values["unfreeze"] in (0.25, 0.5, 0.75)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("sizes", "trials"), [((2, 2), 4), ((3, 2), 20), ((1,), 1), ((1, 1), 5), ((4,), 5)])
def test_a_small_space_is_searched_completely(algorithm: str, sizes: tuple[int, ...], trials: int) -> None:
    found = run(choices(*sizes), algorithm, trials)
    assert len(found) == math.prod(sizes)
    assert len(set(points(found))) == math.prod(sizes)
    assert values_of(found[0].hp) == {f"p{i}": size - 1 for i, size in enumerate(sizes)}
    assert all(proposal.epochs == 9 for proposal in found)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_empty_space_gives_one_trial(algorithm: str) -> None:
    found = run(keras_tuner.HyperParameters(), algorithm, 4)
    assert [(proposal.number, proposal.epochs, values_of(proposal.hp)) for proposal in found] == [(0, 9, {})]


@pytest.mark.parametrize(
    ("algorithm", "size"),
    [("random", 5), ("random", 21), ("bayesian", 5), ("bayesian", 21), ("grid", 5), ("grid", 21)],
)
def test_a_space_of_one_point_more_than_trials(algorithm: str, size: int) -> None:
    for seed in range(8):  # what happens to one cell in eight is seen
        found = run(
            choices(size), algorithm, size - 1, seed=seed, evaluate=lambda p: -abs(p.hp.get("p0") - 2.0)
        )
        assert len(found) == size - 1
        assert len(set(points(found))) == size - 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, WORST])
def test_scores_that_are_no_scores_do_not_break_it(algorithm: str, bad: float) -> None:
    everywhere = run(space(), algorithm, 4, evaluate=lambda proposal: bad)
    sometimes = run(space(), algorithm, 4, evaluate=lambda p: bad if p.number % 2 else a_score(p))
    for found in (everywhere, sometimes):
        if algorithm in BY_TRIALS:
            assert len(found) == 4
        assert sum(proposal.epochs for proposal in found) <= 4 * 9
        assert len(found) > 1


def test_an_infinite_score_is_not_taken_for_a_good_one() -> None:
    # Bayesian search goes where scores were high: not to where the loss exploded, as at the default.
    def explodes(proposal: Proposal) -> float:
        rate = proposal.hp.get("learning_rate")
        return math.inf if rate > 1e-3 else -abs(math.log10(rate) + 3.5)

    found = run(space(), "bayesian", 10, evaluate=explodes)
    assert sum(proposal.hp.get("learning_rate") <= 1e-3 for proposal in found[5:]) >= 3


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("error", [MemoryError("full"), RuntimeError("no"), KeyboardInterrupt()])
def test_an_exception_comes_through(algorithm: str, error: BaseException) -> None:
    for number in (0, 2):

        def fails(proposal: Proposal, number: int = number) -> float:
            if proposal.number == number:
                raise error
            return a_score(proposal)

        with pytest.raises(type(error)) as caught:
            run(space(), algorithm, 4, evaluate=fails)
        assert caught.value is error


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_seed_decides_and_0_is_a_seed(algorithm: str) -> None:
    first, again, other = (run(space(), algorithm, 4, seed=seed) for seed in (0, 0, 1))
    assert points(first) == points(again)
    assert [proposal.epochs for proposal in first] == [proposal.epochs for proposal in again]
    assert (points(first) == points(other)) == (algorithm == "grid")


@pytest.mark.parametrize("trials", [1, 2, 3, 4, 7, 20])
@pytest.mark.parametrize("epochs", [1, 2, 3, 9, 20])
def test_hyperband_keeps_to_its_epochs(trials: int, epochs: int) -> None:
    found = run(space(), "hyperband", trials, epochs)
    assert found[0].epochs == epochs
    assert sum(proposal.epochs for proposal in found) <= trials * epochs
    assert all(1 <= proposal.epochs <= epochs for proposal in found)
    if trials >= 4 and epochs >= 9:
        assert len(found) > trials  # many short ones: what it is for
        assert {proposal.epochs for proposal in found[1:]} != {epochs}


def test_hyperband_goes_on_with_the_best() -> None:
    found = run(space(), "hyperband", 20, 9)
    longer = [p for p in found[1:] if p.hp.values.get("tuner/round")]
    assert longer
    for proposal in longer:
        same = [p for p in found if p.number < proposal.number and points([p]) == points([proposal])]
        assert same
        assert same[0].epochs < proposal.epochs


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_file_is_left_behind(
    algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    run(space(), algorithm, 4)
    with pytest.raises(MemoryError):
        run(space(), algorithm, 4, evaluate=lambda p: exec("raise MemoryError"))
    assert os.listdir(here) == os.listdir(temporary) == []
    assert capfd.readouterr().out == ""


def test_tensorboard_is_not_needed(python: Callable[..., Any]) -> None:
    code = (
        "import sys; sys.modules['tensorboard'] = None\n"
        "import keras_tuner\n"
        "from bench.training.search import search\n"
        "hp = keras_tuner.HyperParameters(); hp.Float('x', 0, 1, default=0.5)\n"
        "seen = []\n"
        "for algorithm in ('random', 'bayesian', 'hyperband', 'grid'):\n"
        "    search(hp, algorithm, 2, 3, 0, lambda p: seen.append(p.number) or 0.0)\n"
        "assert seen.count(0) == 4 and seen.count(1) >= 3, seen\n"
    )
    result = python("-c", code)
    assert result.rc == 0, result.stderr


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_space_given_is_not_changed(algorithm: str) -> None:
    hp = space()
    before = (dict(hp.values), hp.get_config())
    run(hp, algorithm, 3)
    assert (dict(hp.values), hp.get_config()) == before


def test_counting_points() -> None:
    assert count_points(keras_tuner.HyperParameters(), 4) == 1
    assert count_points(choices(3, 2), 100) == 6
    assert count_points(choices(30, 20), 4) == 5
    assert count_points(space(), 1000) == 1001
    stepped = keras_tuner.HyperParameters()
    stepped.Float("a", 0, 1, step=0.25)
    stepped.Int("b", 1, 3)
    stepped.Boolean("c")
    stepped.Fixed("d", 3)
    assert count_points(stepped, 100) == 5 * 3 * 2
    every = list(every_point(stepped))
    assert len({tuple(point.values.items()) for point in every}) == 30
    assert every[0].values == {"a": 0.0, "b": 1, "c": False, "d": 3}


def test_seeds_are_never_zero_and_depend_on_every_part() -> None:
    seeds = {
        derived_seed(*parts) for parts in [(0,), (1,), ("search", 0), ("search", 1), ("a", "b"), ("ab",)]
    }
    assert len(seeds) == 6
    assert all(0 < seed < 2**31 for seed in seeds)
    assert generator("x", 0).random() == generator("x", 0).random() != generator("x", 1).random()
