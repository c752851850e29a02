"""Every strategy keeps the same promises; a new one is tested by being registered."""

from __future__ import annotations

import ast
import importlib
import json
import math
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.modalities.image.input import ImageInput

keras_tuner = pytest.importorskip("keras_tuner")

from bench.datasets import open_dataset
from bench.errors import RequestError
from bench.plans.strategies import get_strategy
from bench.protocols.fractions.cell import run_cell
from bench.protocols.outcome import Outcome
from bench.tasks.single_label import score
from bench.training.engine import Engine
from bench.training.loop import POINTS
from strategies import STRATEGIES
from strategies.base import Info, Stage, Strategy
from strategies.refuse import stage_problems

INFO = Info("image", tuple("abcdefghij"), 72, True, 32, 32, has_source=True, has_auxiliary=True)
WITHOUT_WEIGHTS = replace(INFO, has_weights=False)
WITHOUT_SOURCE = replace(INFO, has_source=False)
WITHOUT_AUXILIARY = replace(INFO, has_auxiliary=False)

OF_IMAGES = [name for name in STRATEGIES if get_strategy(name).learns_from({"image"})]

each = pytest.mark.parametrize("name", STRATEGIES)
each_of_images = pytest.mark.parametrize("name", OF_IMAGES)

OF_MATRICES = ("lora",)
"""Strategies that need 1 x 1 convolutions."""

LENGTH = 0.05
"""Of the cells of ``make_cell``."""


@each
def test_it_introduces_itself(name: str) -> None:
    strategy = get_strategy(name)
    assert isinstance(strategy, Strategy)
    assert strategy.name == name
    assert name.isidentifier()
    for line in (strategy.summary, strategy.when, strategy.cost):
        assert line.strip() == line != ""
        assert "\n" not in line
        assert len(line) <= 120
        assert line.endswith(".")
    assert strategy.version >= 1
    assert "\n" not in strategy.reference
    assert len(strategy.reference) <= 120


@each
def test_its_space_has_its_defaults_inside(name: str) -> None:
    hp = keras_tuner.HyperParameters()
    get_strategy(name).space(hp)
    declared = [parameter.name for parameter in hp.space]
    assert len(set(declared)) == len(declared)
    assert not {"hidden_units", "dropout"} & set(
        declared
    )  # the head's, and searched for all strategies alike
    assert not [key for key in declared if key.startswith("tuner/")]
    for parameter in hp.space:
        if type(parameter).__name__ in ("Float", "Int"):
            assert parameter.min_value < parameter.max_value
            assert parameter.min_value <= parameter.default <= parameter.max_value
        else:
            assert parameter.default in list(parameter.values)


@each
def test_its_stages_follow_from_any_point_of_its_space(name: str) -> None:
    strategy = get_strategy(name)
    if type(strategy).fit is not Strategy.fit:
        pytest.skip("it is no schedule of stages")
    hp = keras_tuner.HyperParameters()
    strategy.space(hp)
    for seed in range(10):
        if seed:
            hp.values = {parameter.name: parameter.random_sample(seed) for parameter in hp.space}
        stages = strategy.stages(hp, INFO)
        assert stages
        assert stage_problems(stages) == []
        assert stages[-1].steps > 0  # or it would train next to nothing on few labels
        for stage in stages:
            assert isinstance(stage, Stage)
            assert stage.cut in ("top", "input") or 0 < float(stage.cut) < 1
            assert 0 < stage.learning_rate < 1
            assert (
                0 <= stage.learning_rate * stage.weight_decay < 1
            )  # a share of a kernel, taken off each step
            assert 0 < stage.warmup < 1
        assert strategy.stages(hp, INFO) == stages
        if strategy.uses_weights:
            assert {stage.weights for stage in stages} == {"pretrained"}
        else:
            assert stages[0].weights == "random"


@each_of_images
def test_without_weights_it_says_why_it_cannot_run_or_runs(
    name: str, engine: Any, digits: Any, make_cell: Callable[..., Any]
) -> None:
    strategy = get_strategy(name)
    assert strategy.skip(INFO) is None
    reason = strategy.skip(WITHOUT_WEIGHTS)
    if not strategy.uses_weights or not strategy.needs_weights:
        assert reason is None
        return
    assert reason
    assert "weights" in reason
    cell = make_cell(strategy=name, weights="none", weights_sha256="")
    outcome = run_cell(cell, digits, engine, None, lambda text: None)
    assert outcome.probabilities is None
    assert outcome.fields["status"] == "skipped"
    assert outcome.fields["error"]["message"] == reason
    assert (outcome.fields["n"], outcome.fields["n_test"]) == (72, 359)


@each_of_images
def test_without_a_source_it_says_so_or_needs_none(
    name: str, engine: Any, digits: Any, make_cell: Callable[..., Any]
) -> None:
    strategy = get_strategy(name)
    reason = strategy.skip(WITHOUT_SOURCE)
    assert bool(reason) == strategy.needs_source
    if reason is not None:
        assert "source dataset" in reason
        outcome = run_cell(make_cell(strategy=name), digits, engine, None, lambda text: None)
        assert outcome.fields["status"] == "skipped"
        assert outcome.fields["error"]["message"] == reason


@each_of_images
def test_without_auxiliary_labels_it_says_so_or_needs_none(
    name: str, engine: Any, digits: Any, make_cell: Callable[..., Any]
) -> None:
    strategy = get_strategy(name)
    reason = strategy.skip(WITHOUT_AUXILIARY)
    assert bool(reason) == strategy.needs_auxiliary
    if reason is not None:
        assert "auxiliary labels" in reason
        outcome = run_cell(make_cell(strategy=name), digits, engine, None, lambda text: None)
        assert outcome.fields["status"] == "skipped"
        assert outcome.fields["error"]["message"] == reason


@each
def test_its_counterpart_has_all_its_hyperparameters_but_those_of_what_it_adds(name: str) -> None:
    strategy = get_strategy(name)
    if not strategy.counterpart:
        pytest.skip("it has none")
    spaces = []
    for of in (strategy, get_strategy(strategy.counterpart)):
        hp = keras_tuner.HyperParameters()
        of.space(hp)
        spaces.append({parameter.name: parameter.get_config() for parameter in hp.space})
    assert spaces[1].items() <= spaces[0].items()


def test_what_needs_no_labels_needs_a_source() -> None:
    found = [get_strategy(name) for name in STRATEGIES]
    assert all(strategy.needs_source for strategy in found if not strategy.needs_labels)


def lines_of_code(path: Path) -> int:
    """Lines that are no docstring, comment or blank."""
    tree = ast.parse(path.read_text())
    told = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = path.read_text().splitlines()
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in told
        for number, line in enumerate(lines, start=1)
    )


def test_a_strategy_is_a_small_file() -> None:
    modules = {target.partition(":")[0] for target in STRATEGIES.values()}
    sizes = {name: lines_of_code(Path(str(importlib.import_module(name).__file__))) for name in modules}
    assert lines_of_code(Path(__file__)) > 100  # it can tell
    assert statistics.median(sizes.values()) <= 40
    assert max(sizes.values()) <= 60, sizes


def test_an_unknown_strategy() -> None:
    with pytest.raises(RequestError, match="Did you mean 'majority'"):
        get_strategy("majorty")


# --------------------------------------------------------------------------------------------- whole cells


@pytest.fixture(scope="module", params=OF_IMAGES)
def name(request: pytest.FixtureRequest) -> str:
    """A strategy; all tests of one run together, as a worker takes the cells of one together."""
    return str(request.param)


Go = Callable[..., Outcome]


@pytest.fixture(scope="module")
def go(engine: Any, digits: Any, source: Any, auxiliary: Any, make_cell: Any, small: dict[str, str]) -> Go:
    """Runs a cell of a strategy, with a source or auxiliary labels if it needs some."""

    def run(name: str, dataset: Any = digits, engine: Any = engine, **changes: Any) -> Outcome:
        strategy = get_strategy(name)
        tasks = (auxiliary,) if strategy.needs_auxiliary else ()
        domain = source if strategy.needs_source else None
        cell = cell_of(make_cell, name, **({} if name in OF_MATRICES else small), **changes)
        return run_cell(cell, dataset, engine, 1.5, lambda text: None, source=domain, auxiliary=tasks)

    return run


@pytest.fixture(scope="module")
def outcome(name: str, go: Go) -> Outcome:
    """What a cell of the strategy gives."""
    return go(name)


def cell_of(make_cell: Callable[..., Any], name: str, **changes: Any) -> Any:
    strategy = get_strategy(name)
    changes |= {} if strategy.uses_weights else {"weights": "", "weights_sha256": ""}
    changes |= {} if strategy.uses_backbone else {"backbone": ""}
    return make_cell(strategy=name, **changes)


def counted(fields: dict[str, Any]) -> str:
    """A record's fields as text, without what a clock measured."""

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: timeless(item) for key, item in value.items() if "seconds" not in key}
        return [timeless(item) for item in value] if isinstance(value, list) else value

    return json.dumps(timeless(fields), allow_nan=False, sort_keys=True)


def test_it_gives_probabilities_and_a_whole_record(name: str, outcome: Outcome, digits: Any) -> None:
    fields, probabilities = outcome.fields, outcome.probabilities
    assert fields["status"] == "ok", fields.get("error")
    assert probabilities is not None
    assert probabilities.shape == (359, 10)
    assert probabilities.dtype == np.float32
    assert np.isfinite(probabilities).all()
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert fields["metrics"] == score(probabilities, digits.test.labels)
    assert (fields["n"], fields["n_train"] + fields["n_val"], fields["n_test"]) == (72, 72, 359)
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields
    costs = fields["costs"]
    assert all(costs[key] >= 0 for key in ("tune_seconds", "fit_seconds", "prefix_seconds"))
    # What search and refit share is counted once in the total, and in each of them as if alone.
    both = costs["fit_seconds"] + costs["tune_seconds"]
    assert both - costs["prefix_seconds"] - 1e-9 <= costs["total_seconds"] <= both + 1e-9
    assert costs["prefix_seconds"] <= costs["total_seconds"] + 1e-9
    assert (both > costs["total_seconds"] + 1e-9) == (costs["prefix_seconds"] > 0)
    uses = get_strategy(name).uses_backbone
    assert costs["params"] > 2_000 or not uses
    learns = uses or name == "nearest_pixel"  # which keeps its images
    assert (0 < costs["trainable_params"] <= costs["params"]) == learns
    assert costs["inference_ms_per_image"] == (1.5 if learns else 0.0)


def test_it_searches_from_its_defaults_with_as_many_trials_as_all(name: str, outcome: Outcome) -> None:
    fields = outcome.fields
    hp = keras_tuner.HyperParameters()
    get_strategy(name).space(hp)
    trials = fields["trials"]
    assert [trial["trial"] for trial in trials] == list(range(2 if hp.space else 1))
    assert trials[0]["hyperparameters"] == {parameter.name: parameter.default for parameter in hp.space}
    assert all(trial["status"] in ("ok", "diverged") for trial in trials)
    (chosen,) = (trial for trial in trials if trial["chosen"])
    assert all(chosen["score"] >= trial["score"] for trial in trials[:1] if trial["status"] == "ok")
    assert fields["hyperparameters"] == chosen["hyperparameters"]
    assert fields["epochs"] == chosen["epochs"]
    assert {trial["length"] for trial in trials} == {LENGTH}


def test_search_and_refit_take_the_steps_that_its_stages_say(name: str, outcome: Outcome) -> None:
    strategy, fields = get_strategy(name), outcome.fields
    (chosen,) = (trial for trial in fields["trials"] if trial["chosen"])
    if type(strategy).fit is not Strategy.fit:
        assert bool(fields["steps"]) == bool(chosen["steps"]) == bool(chosen["epochs"])
        return
    last = strategy.stages(SimpleNamespace(get=chosen["hyperparameters"].__getitem__), INFO)[-1]
    for run, steps in (("search", chosen["steps"]), ("refit", fields["steps"])):
        epochs = [point["epoch"] for point in fields["curves"] if point["run"] == run][-1]
        each = steps / epochs
        assert each.is_integer()
        assert epochs == max(1, round(LENGTH * max(min(2, last.epochs or 2), math.ceil(last.steps / each))))


def test_its_curves_begin_before_the_first_step(name: str, outcome: Outcome) -> None:
    fields = outcome.fields
    if type(get_strategy(name)).fit is not Strategy.fit:
        pytest.skip("it is no schedule of stages")
    for run in ("search", "refit"):
        points = [point for point in fields["curves"] if point["run"] == run]
        assert points[0]["epoch"] == points[0]["images"] == 0
        assert "train_loss" not in points[0]
        assert [p["images"] for p in points] == sorted(p["images"] for p in points)
        assert [p["seconds"] for p in points] == sorted(p["seconds"] for p in points)
        for stage in dict.fromkeys(point["stage"] for point in points):
            epochs = [point["epoch"] for point in points if point["stage"] == stage]
            assert epochs == sorted({0, *epochs})
            assert 1 < len(epochs) <= POINTS + 1
        for point in points:
            assert ("val_loss" in point) == ("val_accuracy" in point) == (run == "search")
            assert ("train_loss" in point) == ("train_accuracy" in point) == (point["epoch"] > 0)


def test_the_same_cell_again_gives_the_same_to_the_last_bit(name: str, outcome: Outcome, go: Go) -> None:
    assert_same(outcome, go(name))


@pytest.mark.slow
def test_without_labels_it_learns_from_the_source_alone(name: str, go: Go, source: Any) -> None:
    if get_strategy(name).needs_labels:
        pytest.skip("it needs labels of the target")
    outcome = go(name, fraction=0.0, tuning={"algorithm": "random", "trials": 1})
    fields = outcome.fields
    assert fields["status"] == "ok", fields.get("error")
    assert (fields["n"], fields["n_train"], fields["n_val"]) == (0, 0, 0)
    assert fields["n_source"] == len(source.rows)
    assert outcome.probabilities is not None
    assert np.isfinite(outcome.probabilities).all()


@pytest.mark.slow
def test_another_worker_without_a_cache_gives_the_same_to_the_last_bit(
    name: str, outcome: Outcome, fresh_cache: Path, go: Go
) -> None:
    other = Engine()
    dataset = open_dataset("digits", ImageInput(32))
    go("feature_extraction", dataset, other, seed=5)
    assert_same(outcome, go(name, dataset, other))


def assert_same(first: Outcome, second: Outcome) -> None:
    assert first.probabilities is not None
    assert second.probabilities is not None
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert first.fields["metrics"] == second.fields["metrics"]
    assert counted(first.fields) == counted(second.fields)
