"""Which trial is trained again: the default, unless another one is better on validation beyond noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

keras_tuner = pytest.importorskip("keras_tuner")

import strategies
from bench.protocols.fractions.cell import LabelSearch, run_cell
from bench.protocols.trials import SURE, surely_better
from contract.test_training import Constant
from strategies.base import Fitted, Info, Stage, Strategy, Task

LOSSES = st.lists(st.floats(0, 16), min_size=2, max_size=60).map(np.array)


# ------------------------------------------------------------------------------------------------ beyond noise


@given(LOSSES, st.data())
def test_what_is_worse_on_average_is_never_better(default: np.ndarray, data: st.DataObject) -> None:
    change = np.array(data.draw(st.lists(st.floats(-4, 4), min_size=len(default), max_size=len(default))))
    losses = default + change
    assert surely_better(losses, default) <= (losses.mean() < default.mean() + 1e-12)
    assert not (surely_better(losses, default) and surely_better(default, losses))


@given(LOSSES)
def test_what_is_the_same_is_not_better(default: np.ndarray) -> None:
    assert not surely_better(default, default)
    assert not surely_better(default.copy(), default)


@given(st.floats(-100, 100), st.floats(-100, 100))
def test_one_example_is_never_enough(losses: float, default: float) -> None:
    assert not surely_better(np.array([losses]), np.array([default]))


@given(st.integers(4, 400), st.integers(0, 2**32 - 1))
def test_what_is_better_on_each_example_by_much_is_better(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    default = rng.uniform(2, 3, n)
    assert surely_better(default - rng.uniform(1, 1.5, n), default)


def test_it_takes_so_many_standard_errors_of_paired_differences() -> None:
    n = 101
    noise = np.linspace(-1, 1, n)
    error = noise.std(ddof=1) / np.sqrt(n)
    far_apart = 10 * np.random.default_rng(0).normal(size=n)  # examples differ, which says nothing of trials
    for errors, better in ((0.99 * SURE, False), (1.01 * SURE, True)):
        assert surely_better(far_apart - noise - errors * error, far_apart) == better


def test_among_equals_the_default_is_rarely_given_up() -> None:
    rng = np.random.default_rng(0)
    found = [surely_better(rng.normal(size=20), rng.normal(size=20)) for _ in range(2000)]
    assert np.mean(found) < 0.1  # where whoever has the lower mean were taken half of the time


# -------------------------------------------------------------------------------------------- whole searches


class Numbered(Strategy):
    """A head whose learning rate is that of a number; 0 is the default."""

    name, summary = "numbered", "A test."
    rates: ClassVar[tuple[float, ...]] = ()

    def space(self, hp: Any) -> None:
        hp.Choice("number", list(range(len(self.rates))), default=0)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [Stage("head", cut="top", learning_rate=self.rates[hp.get("number")], steps=1000)]


class Noted(Strategy):
    """Notes the lengths of its tasks, and trains nothing."""

    name, summary = "noted", "A test."
    lengths: ClassVar[list[float]] = []

    def space(self, hp: Any) -> None:
        hp.Float("rate", 0.0, 1.0, default=0.5)

    def fit(self, task: Task, hp: Any) -> Fitted:
        self.lengths.append(task.length)
        return Fitted(Constant(task.info.classes))


@pytest.fixture
def fields(
    engine: Any, digits: Any, make_cell: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """What the record of a cell says."""
    for kind in (Numbered, Noted):
        monkeypatch.setitem(strategies.STRATEGIES, kind.name, f"{__name__}:{kind.__name__}")

    def run(strategy: str, **changes: Any) -> dict[str, Any]:
        cell = make_cell(strategy=strategy, **changes)
        found = run_cell(cell, digits, engine, None, lambda text: None).fields
        assert found["status"] == "ok", found
        return found

    return run


def scoring(monkeypatch: pytest.MonkeyPatch, *losses: Any) -> None:
    """Gives trials these losses, one a trial, each of nine examples."""
    scored, left = LabelSearch.scored, iter(losses)

    def told(self: LabelSearch, task: Any, hp: Any) -> Any:
        values = np.broadcast_to(np.asarray(next(left), float), 9)
        return scored(self, task, hp)._replace(score=-values.mean(), losses=values)

    monkeypatch.setattr(LabelSearch, "scored", told)


def chosen(found: dict[str, Any]) -> int:
    (trial,) = (trial["trial"] for trial in found["trials"] if trial["chosen"])
    return int(trial)


def test_a_default_that_is_bad_is_given_up(fields: Callable[..., Any]) -> None:
    Numbered.rates = (0.9, 1e-3)  # steps far too large, and small ones
    found = fields("numbered")
    assert chosen(found) == 1
    assert found["hyperparameters"] == {"number": 1}
    assert found["trials"][1]["score"] > found["trials"][0]["score"] + 0.1
    assert found["metrics"]["log_loss"] < 2.5 < -found["trials"][0]["score"]  # the refit has it, too


def test_a_default_that_is_as_good_is_kept(fields: Callable[..., Any]) -> None:
    Numbered.rates = (3e-2, 1e-6, 3e-2)
    found = fields("numbered", tuning={"algorithm": "random", "trials": 3})
    assert chosen(found) == 0
    assert found["hyperparameters"] == {"number": 0}
    assert found["trials"][0]["score"] == found["trials"][2]["score"]


ONE_GOOD = [0.0, *[1.1] * 8]
"""Lower on average than a loss of 1, by luck with a single example."""


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ((1.0, 0.9, 0.8), 2),  # the best of those that are surely better
        ((1.0, ONE_GOOD, 1.5), 0),
        ((1.0, 2.0, 3.0), 0),
    ],
)
def test_the_best_trial_has_to_beat_the_default_beyond_noise(
    fields: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, losses: Any, expected: int
) -> None:
    scoring(monkeypatch, *losses)
    found = fields("noted", tuning={"algorithm": "random", "trials": 3})
    assert chosen(found) == expected
    assert found["hyperparameters"] == found["trials"][expected]["hyperparameters"]


def test_short_rounds_have_their_share_of_the_length_and_the_refit_the_chosen_one_s(
    fields: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    hyperband = {"algorithm": "hyperband", "trials": 4}
    for losses, shorter in ((np.arange(1.0, 40), False), (np.arange(40.0, 1, -1), True)):
        Noted.lengths.clear()
        with monkeypatch.context() as patch:
            scoring(patch, *losses)
            found = fields("noted", epochs=9, length=0.5, tuning=hyperband)
        trials = found["trials"]
        *of_trials, of_refit = Noted.lengths
        assert of_trials == [trial["length"] for trial in trials]
        assert trials[0]["length"] == 0.5
        assert min(of_trials) < 0.5 == max(of_trials)
        assert all((9 * length / 0.5).is_integer() for length in of_trials)
        assert sum(of_trials) == pytest.approx(4 * 0.5) or sum(of_trials) < 4 * 0.5
        assert of_refit == trials[chosen(found)]["length"]
        assert chosen(found) == (len(trials) - 1 if shorter else 0)


@pytest.mark.parametrize("strategy", ["scratch", "full_finetune", "knn"])
def test_without_a_search_the_defaults_train_once(strategy: str, fields: Callable[..., Any]) -> None:
    unsearched = fields(strategy, tuning={"algorithm": "random", "trials": 0})
    tried = fields(strategy, tuning={"algorithm": "random", "trials": 1})
    assert unsearched["trials"] == []
    assert unsearched["costs"]["tune_seconds"] == 0
    for same in ("hyperparameters", "steps", "params"):
        assert (unsearched | unsearched["costs"])[same] == (tried | tried["costs"])[same]
    assert unsearched["metrics"] == pytest.approx(tried["metrics"], abs=1e-6)  # the same refit
