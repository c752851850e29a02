"""What sets the members of the family apart: which weights move, how far, and towards what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
keras_tuner = pytest.importorskip("keras_tuner")

from bench.backbones.cuts import block_of, find_cuts
from bench.plans.strategies import get_strategy
from bench.training.task import CellTask
from strategies.base import Info, Stage
from strategies.feature_extraction import warm_up_stage
from strategies.hyperrule import LEARNING_RATE, LENGTH, WEIGHT_DECAY
from strategies.lp_ft import probe_stage
from strategies.on_features import linear, logistic_regression, normalised

HEAD = Stage("head", cut="top", learning_rate=3e-2, weight_decay=1e-2, epochs=1)
FULL = Stage("finetune", cut="input", learning_rate=1e-2, epochs=1)

INFO = Info("image", tuple("abcdefghij"), 72, True, 32, 32)


def stages_of(name: str, **values: Any) -> list[Stage]:
    """The schedule of a strategy with its defaults, but for these values."""
    strategy, hp = get_strategy(name), keras_tuner.HyperParameters()
    strategy.space(hp)
    hp.values |= values
    return strategy.stages(hp, INFO)


def quick(stages: list[Stage], **changes: Any) -> list[Stage]:
    """The same stages with an epoch each, and the last with these changes, which none of the family is about."""
    short = [replace(stage, steps=0, epochs=1) for stage in stages]
    return [*short[:-1], replace(short[-1], **{"learning_rate": 1e-2, **changes})]


@pytest.fixture(scope="module")
def task(engine: Any, digits: Any, make_cell: Callable[..., Any]) -> CellTask:
    """A task of 72 labels without a validation part."""
    from bench.protocols.fractions.cell import LabelSearch

    head = {"pooling": "avg", "hidden_units": 0, "dropout": 0.0}
    cell = make_cell(augmentation="none", head=head, epochs=5, length=1.0)
    network = engine.network(cell.backbone, cell.weights, 32)
    info = Info("image", digits.class_names, 72, True, 32, 32, **network.traits)
    rows = np.arange(72)
    strategy = get_strategy("feature_extraction")
    search = LabelSearch(
        cell, digits, network, strategy, info, lambda text: None,
        train=rows, val=rows[:0], source=None, auxiliary=(),
    )  # fmt: skip
    return search._of_rows(rows, None)


@pytest.fixture(scope="module", autouse=True)
def without_similarity() -> Iterator[None]:
    """Which each refit of a backbone measures: it takes longer than most stages here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.training.stages.SIMILARITY_LEAST", 10**6)
        yield


@pytest.fixture
def similarity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured for once."""
    monkeypatch.setattr("bench.training.stages.SIMILARITY_LEAST", 20)


def trained(task: CellTask, *stages: Stage) -> dict[str, np.ndarray]:
    """The weights after these stages."""
    task._finished.clear()
    state: dict[str, np.ndarray] = task.fit_stages(list(stages)).predictor.state  # type: ignore[attr-defined]
    return state


def moved(task: CellTask, after: dict[str, np.ndarray]) -> dict[str, float]:
    """How far each weight of the backbone has moved, relative to its size; those that have not are not there."""
    start = task.network.pretrained  # type: ignore[union-attr]
    return {
        place: float(np.abs(after[place] - value).mean() / (np.abs(value).mean() + 1e-9))
        for place, value in start.items()
        if place in after and not np.array_equal(after[place], value)
    }


def kinds(task: CellTask) -> dict[str, str]:
    """By place: the name of the variable, such as gamma or kernel."""
    layers = task.network.model.layers  # type: ignore[union-attr]
    return {
        f"{i}:{k}": variable.name
        for i, layer in enumerate(layers)
        for k, variable in enumerate(layer.weights)
    }


# --- their schedules ------------------------------------------------------------------------------------------

WARM = warm_up_stage()
PROBE = probe_stage(SimpleNamespace(get={"head_weight_decay": 0.7}.__getitem__))
BODY = {"learning_rate": 2e-3, "weight_decay": 0.3}
FIRST_AND_LAST: dict[str, tuple[dict[str, Any], Stage | None, dict[str, Any]]] = {
    "plain_finetune": (BODY, None, BODY),
    "full_finetune": (BODY, WARM, BODY),
    "hyperrule": ({}, WARM, {"learning_rate": LEARNING_RATE, "weight_decay": WEIGHT_DECAY}),
    "partial_finetune": ({**BODY, "unfreeze": 0.25}, WARM, {**BODY, "cut": 0.25}),
    "gradual_unfreeze": (BODY, WARM, BODY),
    "discriminative_lr": ({**BODY, "rate_decay": 0.6}, WARM, {**BODY, "rate_decay": 0.6}),
    "l2_sp": (BODY, WARM, {**BODY, "decay_to": "start"}),
    "surgical": ({**BODY, "depth": 0.25}, WARM, {**BODY, "cut": 0.75, "blocks": 1}),
    "norm_only": ({"learning_rate": 2e-3}, WARM, {"learning_rate": 2e-3, "only": "norm"}),
    "bias_only": ({"learning_rate": 2e-3}, WARM, {"learning_rate": 2e-3, "only": "bias"}),
    "lora": ({"learning_rate": 2e-3, "rank": 4}, WARM, {"learning_rate": 2e-3, "rank": 4}),
    "lp_ft": ({**BODY, "head_weight_decay": 0.7}, PROBE, BODY),
    "wise_ft": ({**BODY, "head_weight_decay": 0.7, "mix": 0.5}, PROBE, {**BODY, "mix": 0.5}),
}
"""By name: values of its hyperparameters, the stage before all others, and fields of the one that fine-tunes."""


@pytest.mark.parametrize("name", FIRST_AND_LAST)
def test_a_schedule_is_what_sets_it_apart(name: str) -> None:
    values, first, last = FIRST_AND_LAST[name]
    strategy, hp = get_strategy(name), keras_tuner.HyperParameters()
    strategy.space(hp)
    assert set(values) == {parameter.name for parameter in hp.space}
    stages = stages_of(name, **values)
    assert stages[-1] == Stage("finetune", **{"cut": "input", **LENGTH, **last})
    assert stages[:1] == ([stages[-1]] if first is None else [first])
    assert len(stages) == {"plain_finetune": 1, "gradual_unfreeze": 5}.get(name, 2)


def test_gradual_unfreezing_goes_from_the_top_down() -> None:
    stages = stages_of("gradual_unfreeze")
    assert [stage.cut for stage in stages] == ["top", 0.25, 0.5, 0.75, "input"]
    assert max(stage.steps for stage in stages[:-1]) < stages[-1].steps
    assert len({(stage.learning_rate, stage.weight_decay) for stage in stages[1:]}) == 1


SHARING = (
    "plain_finetune", "full_finetune", "partial_finetune", "gradual_unfreeze", "discriminative_lr", "l2_sp",
    "surgical", "lp_ft", "wise_ft", "multi_task", "source_only", "source_then_target", "adabn", "deep_coral", "mmd",
    "dann", "cycle_gan",
)  # fmt: skip


@pytest.mark.parametrize("name", SHARING)
def test_trial_0_fine_tunes_with_the_values_of_the_rule(name: str) -> None:
    rule, default = stages_of("hyperrule")[-1], stages_of(name)[-1]
    assert (default.learning_rate, default.weight_decay) == (rule.learning_rate, rule.weight_decay)
    assert stages_of("full_finetune") == stages_of("hyperrule")


# --- which weights they move ----------------------------------------------------------------------------------


def test_norm_only_moves_scales_and_offsets_and_no_statistic(task: CellTask) -> None:
    found = moved(task, trained(task, *quick(stages_of("norm_only"))))
    kind = kinds(task)
    assert {kind[place] for place in found} == {"gamma", "beta"}
    assert len(found) >= sum(name in ("gamma", "beta") for name in kind.values()) - 2


def test_bias_only_moves_offsets(task: CellTask) -> None:
    found = moved(task, trained(task, *quick(stages_of("bias_only"))))
    assert {kinds(task)[place] for place in found} <= {"beta", "bias"}
    assert found


@pytest.mark.parametrize("depth", [0.0, 0.25, 0.5, 1.0])
def test_surgical_moves_one_block_from_the_first_to_the_last(task: CellTask, depth: float) -> None:
    after = trained(task, *quick(stages_of("surgical", depth=depth)))
    network = task.network
    assert network is not None
    blocks = block_of(find_cuts(network.model))
    layers = network.model.layers
    (where,) = {blocks[layers[int(place.partition(":")[0])].name] for place in moved(task, after)}
    last = len(network.cuts) - 1  # blocks count from 1
    if depth in (0, 1):
        assert where == (1, last)[int(depth)]
    assert (where - 1) / (last - 1) == pytest.approx(depth, abs=0.1)


def test_rates_that_fall_move_lower_blocks_less(task: CellTask) -> None:
    even = moved(task, trained(task, *quick(stages_of("full_finetune"))))
    falling = moved(task, trained(task, *quick(stages_of("discriminative_lr", rate_decay=0.5))))
    kernels = [place for place, name in kinds(task).items() if name == "kernel"]
    shares = [falling.get(place, 0.0) / even[place] for place in kernels]
    assert shares[0] < 0.02
    assert shares[-1] > 0.5
    assert np.corrcoef(np.arange(len(shares)), shares)[0, 1] > 0.5


def test_weight_decay_falls_with_the_rates(task: CellTask) -> None:
    start = task.network.pretrained  # type: ignore[union-attr]
    kernels = [place for place, name in kinds(task).items() if name == "kernel"]
    kept = {}
    for name in ("full_finetune", "discriminative_lr"):
        after = trained(task, *quick(stages_of(name, weight_decay=1.0), epochs=4, learning_rate=1e-2))
        kept[name] = [float(np.linalg.norm(after[p]) / np.linalg.norm(start[p])) for p in kernels]
    assert max(kept["full_finetune"]) < 0.93  # all blocks shrink alike
    assert kept["discriminative_lr"][-1] < 0.93
    assert 0.98 < kept["discriminative_lr"][0] < 1.02
    assert np.corrcoef(np.arange(len(kernels)), kept["discriminative_lr"])[0, 1] < -0.8


def test_l2_sp_pulls_back_to_where_the_stage_began(task: CellTask) -> None:
    strong = {"weight_decay": 30.0, "epochs": 3}
    shrunk, held = (trained(task, *quick(stages_of(n), **strong)) for n in ("full_finetune", "l2_sp"))
    start = task.network.pretrained  # type: ignore[union-attr]
    kernels = [place for place, name in kinds(task).items() if name == "kernel"]

    def sizes(state: dict[str, np.ndarray]) -> list[float]:
        return [float(np.linalg.norm(state[p]) / np.linalg.norm(start[p])) for p in kernels]

    assert np.median(sizes(shrunk)) < 0.6
    assert 0.95 < np.median(sizes(held)) < 1.05
    free = moved(task, trained(task, *quick(stages_of("l2_sp"), weight_decay=0.0, epochs=3)))
    leashed = moved(task, held)
    assert np.median([leashed[p] for p in kernels]) < 0.5 * np.median([free[p] for p in kernels])


def test_l2_sp_holds_vectors_too(task: CellTask) -> None:
    vectors = [place for place, name in kinds(task).items() if name in ("gamma", "beta")]
    start = task.network.pretrained  # type: ignore[union-attr]
    free, held = (
        trained(task, *quick(stages_of("l2_sp"), batch_norm="trained", weight_decay=decay, epochs=3))
        for decay in (0.0, 30.0)
    )
    ways = [np.median([np.abs(state[p] - start[p]).mean() for p in vectors]) for state in (free, held)]
    assert 0 < ways[1] < 0.5 * ways[0]


def test_mixed_weights_lie_on_the_line(task: CellTask) -> None:
    whole, half = (trained(task, *quick(stages_of("wise_ft", mix=mix))) for mix in (1.0, 0.5))
    probe = trained(task, *quick(stages_of("wise_ft"))[:1])
    start = {**task.network.pretrained, **probe}  # type: ignore[union-attr]
    for place, value in whole.items():
        np.testing.assert_allclose(
            half[place], (start[place] + value) / 2, rtol=1e-5, atol=1e-6, err_msg=place
        )
    assert moved(task, half)


# --- the probe that lp_ft and wise_ft begin with --------------------------------------------------------------


def probe_loss(task: CellTask, state: dict[str, np.ndarray]) -> float:
    """The mean cross-entropy of a head on the features of the training images."""
    x = task.features(task.train)
    mean, variance = state["head_standardise:0"], state["head_standardise:1"]
    logits = (x - mean) / np.sqrt(variance + 1e-5) @ state["head_logits:0"] + state["head_logits:1"]
    logits -= logits.max(axis=1, keepdims=True)
    right = np.take_along_axis(logits, task.train.labels[:, None], axis=1)[:, 0]
    return float((np.log(np.exp(logits).sum(axis=1)) - right).mean())


@pytest.mark.parametrize("name", ["lp_ft", "wise_ft"])
def test_the_probe_converges(task: CellTask, name: str) -> None:
    probe = stages_of(name)[0]
    short, found, long = (
        probe_loss(task, trained(task, replace(probe, steps=steps)))
        for steps in (0, probe.steps, 10 * probe.steps)  # without any, the plan's five epochs
    )
    assert abs(found - long) < 0.1 * (short - long)
    assert short > 1.5 * long  # where full fine-tuning goes on


def test_the_regulariser_of_the_probe_matters(task: CellTask) -> None:
    hp = keras_tuner.HyperParameters()
    get_strategy("lp_ft").space(hp)
    (decay,) = [parameter for parameter in hp.space if parameter.name == "head_weight_decay"]
    weak, strong = (
        trained(task, stages_of("lp_ft", head_weight_decay=value)[0])
        for value in (decay.min_value, decay.max_value)
    )
    sizes = [np.linalg.norm(state["head_logits:0"]) for state in (weak, strong)]
    assert sizes[0] > 2 * sizes[1]
    assert probe_loss(task, strong) > 2 * probe_loss(task, weak)


def test_what_the_probe_has_learnt_is_still_there_after_fine_tuning(task: CellTask) -> None:
    """The three ways to begin give three heads."""
    found = [
        trained(task, *stages_of(name)[:-1], replace(stages_of(name)[-1], steps=0, epochs=1))["head_logits:0"]
        for name in ("plain_finetune", "full_finetune", "lp_ft")
    ]
    assert all(not np.allclose(a, b, rtol=0.05) for i, a in enumerate(found) for b in found[:i])


# --- low rank -------------------------------------------------------------------------------------------------


def test_low_rank_updates_begin_at_zero_and_leave_the_network_alone(task: CellTask) -> None:
    still = task.fit_stages([HEAD, replace(FULL, rank=4, learning_rate=1e-9)])
    assert not moved(task, still.predictor.state)  # type: ignore[attr-defined]
    reference = task.fit_stages([HEAD])
    before, after = (f.predictor.predict(task.train) for f in (reference, still))
    np.testing.assert_allclose(before, after, atol=2e-3)

    task._finished.clear()
    fitted = task.fit_stages([HEAD, replace(FULL, rank=4)])
    state: dict[str, np.ndarray] = fitted.predictor.state  # type: ignore[attr-defined]
    assert not moved(task, state)
    up = [value for place, value in state.items() if place.startswith("lora_") and "_up" in place]
    assert up
    assert all(np.abs(value).max() > 0 for value in up)
    assert fitted.trainable_params < 0.5 * task.network.params  # type: ignore[union-attr]
    assert np.abs(fitted.predictor.predict(task.train) - before).max() > 0.01


def test_low_rank_updates_stay_when_another_stage_follows(task: CellTask) -> None:
    low_rank, still = replace(FULL, rank=4), replace(FULL, name="still", learning_rate=1e-9)
    task._finished.clear()
    reference, updated, followed = (
        task.fit_stages([HEAD, *more]).predictor.predict(task.train)
        for more in ([still], [low_rank], [low_rank, still])
    )
    np.testing.assert_allclose(updated, followed, atol=1e-4)
    assert np.abs(reference - followed).max() > 0.01


def test_half_of_a_low_rank_update_is_half_of_its_product(task: CellTask) -> None:
    whole, half = (trained(task, HEAD, replace(FULL, rank=4, mix=mix)) for mix in (1.0, 0.5))
    updates = {place.rpartition("_")[0] for place in whole if place.startswith("lora_")}
    assert updates
    for name in updates:
        assert name.removeprefix("lora_").isdigit()  # whatever Keras calls the layer in this process
        products = [state[f"{name}_down:0"] @ state[f"{name}_up:0"] for state in (whole, half)]
        np.testing.assert_allclose(products[1], products[0] / 2, rtol=1e-4, atol=1e-7)


# --- on stored features ---------------------------------------------------------------------------------------


def made_up(n: int = 300, width: int = 20, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % classes
    return rng.normal(0, 1, (n, width)) + 1.5 * rng.normal(0, 1, (classes, width))[labels], labels


@pytest.mark.parametrize("present", [[0, 1, 2, 3], [1, 3], [2]])
def test_logistic_regression_is_the_minimum_of_its_loss(present: list[int]) -> None:
    x, y = made_up()
    x, y = x[np.isin(y, present)], y[np.isin(y, present)]
    weights = logistic_regression(x, y, 4, 0.1)
    probabilities = linear(weights)(x)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == y).mean() > 0.9
    assert np.isfinite(probabilities).all()
    if len(present) == 4:
        gradient = x.T @ (probabilities - np.eye(4)[y]) / len(y) + 0.1 * weights[:-1]
        assert np.abs(gradient).max() < 1e-3


def test_neighbours_and_means_are_what_they_say() -> None:
    x, y = made_up()
    hp = SimpleNamespace(get={"neighbours": 1, "sharpness": 10.0}.__getitem__)
    nearest, _ = get_strategy("knn").learn(x, y, 4, hp)  # type: ignore[attr-defined]
    assert (nearest(x).argmax(axis=1) == y).all()  # each is its own nearest neighbour
    means, _ = get_strategy("nearest_mean").learn(x, y, 5, hp)  # type: ignore[attr-defined]
    prototypes = np.stack([normalised(normalised(x[y == c]).mean(axis=0)[None])[0] for c in range(4)])
    np.testing.assert_array_equal(means(x).argmax(axis=1), (normalised(x) @ prototypes.T).argmax(axis=1))
    assert means(x)[:, 4].max() < 1e-6  # a class without an example


def test_the_features_of_all_layers_hold_those_of_the_last(task: CellTask) -> None:
    last, every = (task.features(task.train, layers) for layers in ("last", "all"))
    assert every.shape[1] > 2 * last.shape[1]
    np.testing.assert_allclose(every[:, -last.shape[1] :], last, atol=1e-3)
    assert set(task.prefixes) >= {"top", "every"}


def test_given_hyperparameters_are_not_searched(
    engine: Any, digits: Any, make_cell: Callable[..., Any]
) -> None:
    from bench.protocols.fractions.cell import run_cell

    cell = make_cell(strategy="partial_finetune:unfreeze=0.25", tuning={"algorithm": "random", "trials": 3})
    fields = run_cell(cell, digits, engine, None, lambda text: None).fields
    assert {trial["hyperparameters"]["unfreeze"] for trial in fields["trials"]} == {0.25}
    assert len({trial["hyperparameters"]["learning_rate"] for trial in fields["trials"]}) == 3
    assert fields["hyperparameters"]["unfreeze"] == 0.25


@pytest.mark.usefixtures("similarity")
def test_similarity_falls_above_the_cut_alone(task: CellTask) -> None:
    task._finished.clear()
    part = replace(FULL, cut=0.25)
    assert replace(task, val=task.train).fit_stages([HEAD, part]).similarity == []  # not in a search
    task._finished.clear()
    fitted = task.fit_stages([HEAD, part])
    assert task.network is not None
    cut = task.network.cut(0.25)
    assert cut is not None
    alike = {point["block"]: point["cka"] for point in fitted.similarity}
    blocks = list(alike)
    below = blocks[: blocks.index(cut.name) + 1]
    assert np.allclose([alike[block] for block in below], 1, rtol=0, atol=1e-9)
    assert max(alike[block] for block in blocks[len(below) :]) < 1 - 1e-6
    depths = [point["depth"] for point in fitted.similarity]
    assert depths == sorted(depths)
    assert task.fit_stages([HEAD]).similarity == []  # the backbone stays


def test_measuring_similarity_leaves_the_network_as_it_was(engine: Any, task: CellTask) -> None:
    network = task.network
    assert network is not None
    before = {place: value.copy() for place, value in network.pretrained.items()}
    doubled = {place: 2 * value for place, value in before.items()}
    images = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    same, other = (
        network.similarity(state, lambda rows: [images[rows].astype(np.float32)], len(images))
        for state in (before, doubled)
    )
    assert np.allclose([point["cka"] for point in same], 1)
    assert min(point["cka"] for point in other) < 0.99
    for i, layer in enumerate(network.model.layers):
        for k, variable in enumerate(layer.weights):
            assert np.array_equal(before[f"{i}:{k}"], np.array(variable))


@pytest.mark.usefixtures("similarity")
def test_low_rank_updates_count_in_similarity(task: CellTask) -> None:
    task._finished.clear()
    fitted = task.fit_stages([HEAD, replace(FULL, rank=2, learning_rate=0.3)])
    assert min(point["cka"] for point in fitted.similarity) < 1 - 1e-4
