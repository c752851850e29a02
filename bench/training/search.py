"""The hyperparameter search: keras-tuner proposes, we train and score.

keras-tuner's oracles are driven directly (``create_trial``, ``update_trial``, ``end_trial``), not through
``Tuner.search``: that one needs tensorboard, writes checkpoints, swallows exceptions, and resumes unsafely. An
oracle's files go to a folder that lives as long as the search of one cell.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras_tuner
from keras_tuner.engine.hyperparameters import HyperParameters

from bench.system.seeds import derived_seed, generator

WORST = -20.0
"""Score of a trial that diverged: below every real one, and finite, so that every oracle can use it."""

FINITE = 10_000
"""A space of no more points is looked through for untried ones."""


@dataclass(frozen=True)
class Proposal:
    """One trial: its hyperparameters and the cap of its epochs."""

    number: int
    hp: HyperParameters
    epochs: int


def values_of(hp: HyperParameters) -> dict[str, Any]:
    """The hyperparameters that a strategy declared, without keras-tuner's own bookkeeping."""
    return {name: value for name, value in hp.values.items() if not name.startswith("tuner/")}


def search(
    space: HyperParameters,
    algorithm: str,
    trials: int,
    epochs: int,
    seed: int,
    evaluate: Callable[[Proposal], float],
) -> None:
    """Runs a search; ``evaluate`` trains a proposal and returns the score to maximise.

    Trial 0 is always the default. A space of no more than ``trials`` distinct points is searched completely,
    whatever the algorithm. ``hyperband`` spends at most ``trials`` times ``epochs`` epochs in all, the others
    exactly ``trials`` trials of at most ``epochs`` epochs each.
    """
    points = count_points(space, trials)
    if points <= trials:
        for number, hp in enumerate(every_point(space)):
            evaluate(Proposal(number, hp, epochs))
        return
    with tempfile.TemporaryDirectory(prefix="transfer-bench-tuner-") as folder:
        oracle = _oracle(algorithm, space, trials, epochs, derived_seed("search", seed))
        oracle._set_project_dir(folder, "search")
        oracle.verbose = 0
        left = trials * epochs
        for number in itertools.count():
            trial = oracle.create_trial("worker")
            if trial.status != "RUNNING":
                break
            hp = trial.hyperparameters
            cap = hp.values.get("tuner/epochs", epochs) if number else epochs
            if algorithm == "hyperband" and cap > left:
                break
            left -= cap
            score = evaluate(Proposal(number, hp, cap))
            oracle.update_trial(trial.trial_id, {"score": score if math.isfinite(score) else WORST})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)


def count_points(space: HyperParameters, limit: int) -> int:
    """How many distinct points a space has, or ``limit`` + 1 if there are more."""
    count: float = 1
    for hp in space.space:
        count *= math.inf if _is_continuous(hp) else len(list(hp.values))
        if count > limit:
            return limit + 1
    return int(count)


def every_point(space: HyperParameters) -> Iterator[HyperParameters]:
    """All points of a finite space, the default first."""
    names = [hp.name for hp in space.space]
    choices = [[hp.default, *(v for v in hp.values if v != hp.default)] for hp in space.space]
    for values in itertools.product(*choices):
        point = space.copy()
        point.values = dict(zip(names, values, strict=True))
        yield point


def _is_continuous(hp: Any) -> bool:
    return type(hp).__name__ == "Float" and hp.step is None


def _oracle(
    algorithm: str, space: HyperParameters, trials: int, epochs: int, seed: int
) -> keras_tuner.Oracle:
    objective = keras_tuner.Objective("score", direction="max")
    common: dict[str, Any] = {"objective": objective, "hyperparameters": space.copy(), "seed": seed}
    if algorithm == "hyperband":
        # One iteration may be less than the budget: as many as it takes.
        return _Hyperband(max_epochs=epochs, hyperband_iterations=trials, **common)
    common["max_trials"] = trials
    if algorithm == "bayesian":
        # Its surrogate starts after two random points instead of 3 x dimensions: budgets here are small.
        return _Bayesian(num_initial_points=2, **common)
    return {"random": _Random, "grid": keras_tuner.oracles.GridSearchOracle}[algorithm](**common)


class _DefaultsFirst:
    """Makes an oracle's first trial the default values, which random and Bayesian search never try."""

    def populate_space(self: Any, trial_id: str) -> dict[str, Any]:
        if not self.start_order:
            values = {hp.name: hp.default for hp in self.get_space().space}
            self._tried_so_far.add(self._compute_values_hash(values))
            return {"status": "RUNNING", "values": values}
        return super().populate_space(trial_id)  # type: ignore[misc]


class _NothingTwice(_DefaultsFirst):
    """Never tries a point of a finite space again, and never stops while there are untried ones.

    Random search gives up after 20 draws that were tried before; Bayesian search does not look.
    """

    def populate_space(self: Any, trial_id: str) -> dict[str, Any]:
        proposed = super().populate_space(trial_id)
        if count_points(self.get_space(), FINITE) <= FINITE:
            tried = [trial.hyperparameters.values for trial in self.trials.values()]
            if proposed["status"] == "STOPPED" or proposed["values"] in tried:
                untried = [p.values for p in every_point(self.get_space()) if p.values not in tried]
                choice = generator("search", self.seed, len(tried)).integers(len(untried))
                return {"status": "RUNNING", "values": untried[choice]}
        return proposed


class _Random(_NothingTwice, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Bayesian(_NothingTwice, keras_tuner.oracles.BayesianOptimizationOracle):
    pass


class _Hyperband(_DefaultsFirst, keras_tuner.oracles.HyperbandOracle):
    pass
