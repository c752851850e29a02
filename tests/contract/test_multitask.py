"""Losses of several tasks against their definitions, and what a training with auxiliary labels may see."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from keras import ops

import strategies
from bench.datasets.companions.auxiliary import Auxiliary, of_dataset
from bench.protocols.fractions.cell import run_cell
from bench.protocols.outcome import Outcome
from bench.training.losses.multitask import by_uncertainty, cross_entropy, learned_weights, weighted
from bench.training.programs.config import HeadConfig, Trained
from bench.training.programs.program import Program
from bench.training.task import CellTask
from contract.test_alignment import gradient, numerical
from strategies.base import Examples, Fitted, Stage, Strategy, Task
from strategies.lengths import batch_size_of

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 4))
LABELS = np.array([0, 3, -1, 1, -1, 2])
TARGETS = np.where(LABELS[:, None] >= 0, np.eye(4)[LABELS], 0.0)

BODY = Stage("finetune", cut=0.25, learning_rate=3e-3, epochs=2)


def tensor(values: Any) -> Any:
    return ops.convert_to_tensor(np.asarray(values, np.float64), dtype="float64")


# --------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_its_formula_over_known_labels(smoothing: float) -> None:
    known = LABELS >= 0
    logs = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
    smooth = TARGETS * (1 - smoothing) + smoothing / 4
    expected = -(smooth * logs).sum(axis=1)[known].mean()
    loss, present = cross_entropy(tensor(TARGETS), tensor(LOGITS), smoothing)
    assert float(loss) == pytest.approx(expected)
    assert float(present) == 1
    keras_loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    assert float(loss) == pytest.approx(
        float(keras_loss(tensor(TARGETS[known]), tensor(LOGITS[known]))), rel=1e-6
    )


def test_without_a_known_label_there_is_no_loss_and_no_gradient() -> None:
    nothing = tensor(np.zeros((6, 4)))
    loss, present = cross_entropy(nothing, tensor(LOGITS), 0.1)
    assert float(loss) == float(present) == 0
    assert not gradient(lambda x: cross_entropy(nothing, x, 0.1)[0], LOGITS).any()


def test_the_gradient_of_a_label_that_is_not_known_is_zero() -> None:
    found = gradient(lambda x: cross_entropy(tensor(TARGETS), x, 0.1)[0], LOGITS)
    assert not found[LABELS < 0].any()
    assert np.abs(found[LABELS >= 0]).min() > 0
    expected = numerical(lambda x: cross_entropy(tensor(TARGETS), x, 0.1)[0], LOGITS)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def test_weighting_by_uncertainty_is_the_published_formula() -> None:
    losses, sigmas = np.array([0.7, 1.9, 0.2]), np.array([1.3, 0.6, 2.0])
    expected = sum(loss / sigma**2 + math.log(sigma) for loss, sigma in zip(losses, sigmas, strict=True))
    value = by_uncertainty([tensor(x) for x in losses], [1.0, 1.0, 1.0], tensor(np.log(sigmas**2)))
    assert float(value) == pytest.approx(expected)
    without = by_uncertainty([tensor(x) for x in losses], [1.0, 0.0, 1.0], tensor(np.log(sigmas**2)))
    assert float(without) == pytest.approx(expected - losses[1] / sigmas[1] ** 2 - math.log(sigmas[1]))


@pytest.mark.parametrize("present", [(1.0, 1.0), (1.0, 0.0)])
def test_its_gradients_are_the_numerical_ones(present: tuple[float, float]) -> None:
    losses, at = np.array([0.7, 1.9]), np.array([0.4, -0.8])

    def of_variances(s: Any) -> Any:
        return by_uncertainty([tensor(x) for x in losses], present, s)

    def of_losses(x: Any) -> Any:
        return by_uncertainty([x[0], x[1]], present, tensor(at))

    expected = numerical(lambda s: of_variances(tensor(s)), at)
    np.testing.assert_allclose(gradient(of_variances, at), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(gradient(of_losses, losses), np.exp(-at) * present, rtol=1e-9)
    # At its minimum a loss is divided by twice itself.
    best = np.log(2 * losses)
    np.testing.assert_allclose(gradient(of_variances, best), [0, 0], atol=1e-12)
    assert learned_weights(best) == pytest.approx([losses[0] / losses[1]])


def test_given_weights_count_auxiliary_losses_alone() -> None:
    assert float(weighted([tensor(1.0), tensor(2.0), tensor(4.0)], 0.5)) == pytest.approx(1 + 0.5 * 6)


# ------------------------------------------------------------------------------------- what a task may know


class Constant:
    """A predictor that needs no training."""

    def predict(self, examples: Examples) -> np.ndarray:
        return np.full((len(examples), 10), 0.1, np.float32)


class CaptureAuxiliary(Strategy):
    """Keeps the tasks that it is given, and trains nothing."""

    name = "capture_auxiliary"
    summary = "A test."
    needs_auxiliary = True
    tasks: ClassVar[list[Any]] = []

    def fit(self, task: Task, hp: Any) -> Fitted:
        self.tasks.append(task)
        return Fitted(Constant())


@pytest.fixture
def tasks(
    engine: Any, digits: Any, auxiliary: Any, make_cell: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[CellTask]]:
    """The tasks of the search and of the refit of a cell."""
    monkeypatch.setitem(strategies.STRATEGIES, "capture_auxiliary", f"{__name__}:CaptureAuxiliary")

    def run(*learned: Any, dataset: Any = digits, **changes: Any) -> list[CellTask]:
        CaptureAuxiliary.tasks.clear()
        cell = make_cell(strategy="capture_auxiliary", **changes)
        outcome: Outcome = run_cell(
            cell, dataset, engine, None, lambda text: None, auxiliary=learned or (auxiliary,)
        )
        assert outcome.fields["status"] == "ok"
        return list(CaptureAuxiliary.tasks)

    return run


def test_a_search_knows_no_auxiliary_label_of_what_validates(
    tasks: Callable[..., list[CellTask]], digits: Any, auxiliary: Any
) -> None:
    # Every image in a group with one other, so that a group can straddle what validates and the rest of the pool.
    groups = np.arange(len(digits.pool.ids)) // 2
    paired = replace(digits, pool=replace(digits.pool, groups=groups))
    search, refit = tasks(dataset=paired, fraction=0.3)
    (known,), (known_later,) = search.auxiliary, refit.auxiliary
    assert search.val is not None
    np.testing.assert_array_equal(known.of_train, auxiliary.labels[search.train.index])
    np.testing.assert_array_equal(known_later.of_train, auxiliary.labels[refit.train.index])
    assert known.pool is not None
    assert known_later.pool is not None
    np.testing.assert_array_equal(known.pool.labels, auxiliary.labels[known.pool.index])
    assert (known.pool.labels >= 0).all()
    validating = set(groups[search.val.index])
    assert not validating & set(groups[known.pool.index])
    everything = set(np.flatnonzero(auxiliary.labels >= 0))
    assert set(known_later.pool.index) == everything - set(refit.train.index)
    assert set(known.pool.index) == {
        row for row in everything - set(search.train.index) if groups[row] not in validating
    }
    assert known.beside("labelled") is None
    assert known.beside("pool") is known.pool
    labelled = int((auxiliary.labels[refit.train.index] >= 0).sum())
    assert known_later.count("labelled") == labelled
    assert known_later.count("pool") == len(everything)


def test_a_second_dataset_is_there_as_a_whole_but_for_groups_that_validate(
    tasks: Callable[..., list[CellTask]], source: Any, digits: Any
) -> None:
    task = of_dataset(source.dataset, digits)
    assert task.domain is not None
    rows = np.arange(len(task.domain.groups))
    shared = replace(task.domain, groups=rows, target_groups=np.arange(len(digits.pool.ids)), rows=rows)
    search, refit = tasks(replace(task, domain=shared))
    (known,), (known_later,) = search.auxiliary, refit.auxiliary
    assert known.others is not None
    assert known_later.others is not None
    assert search.val is not None
    assert set(known.others.index) == set(rows) - set(search.val.index)
    assert set(known_later.others.index) == set(rows)
    assert (known.of_train == -1).all()
    assert known.pool is None
    assert known.beside("labelled") is known.beside("pool") is known.others
    np.testing.assert_array_equal(known.others.labels, source.dataset.pool.labels[known.others.index])
    everything = replace(shared, groups=np.zeros(len(rows), np.int64))
    everything = replace(everything, target_groups=np.zeros(len(digits.pool.ids), np.int64))
    with pytest.raises(ValueError, match="shares a group with one that validates"):
        tasks(replace(task, domain=everything))


# ------------------------------------------------------------------------------------------------- training


def fitted(task: CellTask, *stages: Stage) -> Fitted:
    task.augmentation = replace(task.augmentation, kind="none")
    return task.fit_stages(list(stages))


def state_of(result: Fitted) -> dict[str, np.ndarray]:
    return result.predictor.state  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("images", ["labelled", "pool"])
def test_with_next_to_no_weight_it_is_its_counterpart(
    tasks: Callable[..., list[CellTask]], images: Any
) -> None:
    search, _ = tasks(length=1.0)
    plain = state_of(fitted(search, BODY))
    beside = state_of(fitted(search, replace(BODY, auxiliary=1e-30, auxiliary_images=images)))
    heavy = state_of(fitted(search, replace(BODY, auxiliary=1.0, auxiliary_images=images)))
    for place, value in plain.items():
        np.testing.assert_allclose(beside[place], value, rtol=1e-3, atol=1e-5)
    body = [place for place in plain if place[0].isdigit()]
    apart = {kind: max(np.abs(state[p] - plain[p]).max() for p in body) for kind, state in
             (("beside", beside), ("heavy", heavy))}  # fmt: skip
    assert apart["heavy"] > 20 * apart["beside"]
    assert apart["heavy"] > 1e-4


def test_batches_hold_the_target_s_images_first_and_the_rest_behind(
    tasks: Callable[..., list[CellTask]],
    auxiliary: Any,
    source: Any,
    digits: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search, _ = tasks(auxiliary, of_dataset(source.dataset, digits))
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def train_steps(self: Program, inputs: Any, labels: Any, rates: Any, strengths: Any) -> Any:
        seen.extend(zip(inputs[0], labels, strict=True))
        assert (strengths == 0.5).all()
        return np.zeros(len(rates)), np.zeros(len(rates))

    monkeypatch.setattr(Program, "train_steps", train_steps)
    monkeypatch.setattr(Program, "warm", lambda self, batch: None)
    stage = replace(BODY, cut="input", auxiliary=0.5, epochs=1)
    size = batch_size_of(stage, 72, 32)
    orders = []
    for images, parts in (("labelled", 2), ("pool", 3)):
        seen.clear()
        fitted(search, replace(stage, auxiliary_images=images))  # type: ignore[arg-type]
        orders.append([x[:size].tobytes() for x, _ in seen])
        for x, labels in seen:
            assert labels.shape == (parts * size, 3)
            assert x.shape[0] == parts * size
            own, parity, other = labels.T
            assert (own[:size] >= 0).all()
            assert (own[size:] == -1).all()
            known = parity[:size] >= 0
            np.testing.assert_array_equal(parity[:size][known], own[:size][known] % 2)
            assert (parity[size : (parts - 1) * size] >= 0).all()
            assert (parity[(parts - 1) * size :] == -1).all()
            assert (other[: (parts - 1) * size] == -1).all()
            assert (other[(parts - 1) * size :] >= 0).all()
    assert orders[0] == orders[1]  # the target's images in one order, whatever stands behind them


HEAD_OF = HeadConfig("avg", 0, 0.0, 10)


@pytest.fixture(scope="module")
def network(engine: Any, make_cell: Callable[..., Any]) -> Any:
    cell = make_cell()
    return engine.network(cell.backbone, cell.weights, cell.examples["image_size"])


def test_what_learns_auxiliary_labels_is_no_part_of_the_classifier(network: Any) -> None:
    plain = network.program(network.cut(0.25), HEAD_OF, Trained(), 0.1)
    learned = Trained(auxiliary=(2, 5), learned=True)
    program = network.program(network.cut(0.25), HEAD_OF, learned, 0.1)
    assert program.trainable_params == plain.trainable_params
    assert {place for place in program.variables if place not in plain.variables} == {
        "auxiliary_logits_0:0", "auxiliary_logits_0:1", "auxiliary_logits_1:0", "auxiliary_logits_1:1",
        "auxiliary_log_variances:0",
    }  # fmt: skip
    assert program.variables["auxiliary_logits_1:0"].shape[-1] == 5


def test_a_change_of_weight_traces_nothing_again(network: Any) -> None:
    stages = [replace(BODY, auxiliary=weight) for weight in (0.1, 1.0)]
    programs = [
        network.program(network.cut(0.25), HEAD_OF, Trained.of(s, auxiliary=(2,)), 0.1) for s in stages
    ]
    assert programs[0] is programs[1]


def test_told_are_loss_and_accuracy_of_the_target(network: Any) -> None:
    program = network.program(network.cut(0.25), HEAD_OF, Trained(auxiliary=(2,)), 0.1)
    program.reset(network.pretrained, 0, 0.0)
    images = np.zeros((1, 8, *program.model.inputs[0].shape[1:]), np.float32)
    labels = np.stack([np.where(np.arange(8) < 4, 3, -1), np.arange(8) % 2], axis=1)[None]
    losses, accuracies = program.train_steps(images[None], labels, np.array([0.0]), np.array([100.0]))
    assert losses[0] == pytest.approx(math.log(10), rel=1e-4)  # the linear layer begins at zero
    assert accuracies[0] in (0.0, 1.0)  # four images that are one
    assert any(v is program.model.strength for v in program.model.non_trainable_variables)  # or JAX misses it


def test_learned_weights_favour_what_can_be_learned(
    tasks: Callable[..., list[CellTask]], digits: Any, auxiliary: Any
) -> None:
    labels = np.random.default_rng(0).integers(0, 2, len(digits.pool.ids))
    coin = Auxiliary("coin", ("heads", "tails"), "11" * 8, labels=labels)
    full = replace(auxiliary, labels=digits.pool.labels % 2)
    _, refit = tasks(full, coin, fraction=1.0, epochs=4, length=1.0)
    stage = Stage("head", cut="top", learning_rate=3e-2, auxiliary="learned")
    result = fitted(refit, stage)
    weights = {key: result.curve[-1][f"weight of {key}"] for key in ("parity", "coin")}
    assert weights["parity"] > weights["coin"]
    assert "weight of parity" not in result.curve[0]
    assert result.auxiliary_labels == 2 * len(digits.pool.ids)


def test_stages_that_learn_what_is_not_there_are_refused(tasks: Callable[..., list[CellTask]]) -> None:
    search, _ = tasks()
    search.auxiliary = ()
    with pytest.raises(ValueError, match="there are none"):
        fitted(search, replace(BODY, auxiliary=0.3))
