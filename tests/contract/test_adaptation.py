"""What goes silently wrong where two domains are trained on together: each has its test here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import strategies
from bench.plans.strategies import get_strategy
from bench.protocols.fractions.cell import LabelSearch as Search
from bench.protocols.fractions.cell import run_cell
from bench.protocols.outcome import Outcome
from bench.training.batches import joined
from bench.training.loop import NotFinite
from bench.training.losses.alignment.base import strength
from bench.training.programs.config import HeadConfig, Trained
from bench.training.programs.program import Program
from bench.training.task import CellTask
from bench.training.translation import STEPS_AN_EPOCH, Networks, Translator
from strategies.adapting import Adapting
from strategies.base import Examples, Fitted, Info, Stage, Strategy, Task
from strategies.lengths import batch_size_of
from strategies.refuse import stage_problems

BODY = Stage("finetune", cut="input", learning_rate=1e-2, epochs=1, data="both")


class Constant:
    """A predictor that needs no training."""

    def predict(self, examples: Examples) -> np.ndarray:
        return np.full((len(examples), 10), 0.1, np.float32)


class CaptureSource(Strategy):
    """Keeps the tasks that it is given, and trains nothing."""

    name = "capture_source"
    summary = "A test."
    needs_source = True
    needs_labels = False
    tasks: ClassVar[list[Any]] = []

    def fit(self, task: Task, hp: Any) -> Fitted:
        self.tasks.append(task)
        return Fitted(Constant())


@pytest.fixture
def tasks(
    engine: Any,
    digits: Any,
    source: Any,
    make_cell: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., list[CellTask]]:
    """The tasks of the search and of the refit of a cell."""
    monkeypatch.setitem(strategies.STRATEGIES, "capture_source", f"{__name__}:CaptureSource")

    def run(domain: Any = source, **changes: Any) -> list[CellTask]:
        CaptureSource.tasks.clear()
        cell = make_cell(strategy="capture_source", **changes)
        outcome: Outcome = run_cell(cell, digits, engine, None, lambda text: None, source=domain)
        assert outcome.fields["status"] == "ok"
        return list(CaptureSource.tasks)

    return run


@pytest.fixture(scope="module")
def network(engine: Any, make_cell: Callable[..., Any]) -> Any:
    cell = make_cell()
    return engine.network(cell.backbone, cell.weights, cell.examples["image_size"])


HEAD_OF = HeadConfig("avg", 0, 0.0, 10)


@pytest.fixture
def paired(source: Any) -> Any:
    """The source, with each image in the group of an image of the target's pool."""
    groups = np.arange(len(source.groups))
    return replace(source, groups=groups, target_groups=np.arange(len(source.target_groups)), rows=groups)


def test_a_search_has_no_source_image_of_a_group_that_validates_and_the_refit_has_all(
    tasks: Callable[..., list[CellTask]], paired: Any
) -> None:
    search, refit = tasks(paired, fraction=0.3)
    assert search.source is not None
    assert refit.source is not None
    assert search.val is not None
    validating = set(search.val.index.tolist()) & set(paired.rows.tolist())
    assert validating
    assert set(search.source.index.tolist()) == set(paired.rows.tolist()) - validating
    assert set(refit.source.index.tolist()) == set(paired.rows.tolist())
    assert search.n_source == refit.n_source == len(paired.rows)


def test_without_labels_the_source_validates_and_the_refit_has_all_of_it(
    tasks: Callable[..., list[CellTask]], source: Any, digits: Any
) -> None:
    search, refit = tasks(fraction=0.0)
    assert search.source is not None
    assert refit.source is not None
    assert search.val is not None
    assert refit.val is None
    assert len(search.train) == len(refit.train) == 0
    held_out, learned = set(search.val.index.tolist()), set(search.source.index.tolist())
    assert not held_out & learned
    assert held_out | learned == set(source.rows.tolist()) == set(refit.source.index.tolist())
    np.testing.assert_array_equal(search.val.images(), source.part.data[search.val.index])
    np.testing.assert_array_equal(search.val.labels, source.part.labels[search.val.index])
    assert len(search.target) == len(digits.pool.ids)


def test_the_target_of_a_search_is_what_may_be_seen_without_labels(
    tasks: Callable[..., list[CellTask]], digits: Any
) -> None:
    search, refit = tasks()
    assert search.val is not None
    seen = set(search.target.index.tolist())
    assert seen == set(range(len(digits.pool.ids))) - set(search.val.index.tolist())
    assert set(refit.target.index.tolist()) == set(range(len(digits.pool.ids)))
    with pytest.raises(PermissionError):
        _ = search.target.labels


def test_images_that_are_added_to_a_source_are_known_by_their_pixels(
    tasks: Callable[..., list[CellTask]],
) -> None:
    search, _ = tasks()
    assert search.source is not None
    images, labels = search.source.images(), search.source.labels
    more = search.with_source(255 - images, labels)
    assert more.source is not None
    assert search.source.key != more.source.key != search.with_source(254 - images, labels).source.key  # type: ignore[union-attr]
    np.testing.assert_array_equal(more.source.images(), np.concatenate([images, 255 - images]))
    np.testing.assert_array_equal(more.source.labels, np.concatenate([labels, labels]))
    assert len(set(more.source.ids)) == 2 * len(images)


def test_a_batch_of_both_has_as_many_of_each(
    tasks: Callable[..., list[CellTask]], monkeypatch: pytest.MonkeyPatch
) -> None:
    search, _ = tasks(length=1.0)
    assert search.source is not None
    seen: list[tuple[list[np.ndarray], np.ndarray, Any]] = []

    def train_steps(self: Program, inputs: Any, labels: Any, rates: Any, strengths: Any) -> Any:
        seen.append((inputs, labels, strengths))
        return np.zeros(len(rates)), np.zeros(len(rates))

    monkeypatch.setattr(Program, "train_steps", train_steps)
    monkeypatch.setattr(Program, "warm", lambda self, batch: None)
    search.augmentation = replace(search.augmentation, kind="none")
    head = Stage("head", cut="top", learning_rate=1e-2, epochs=1, data="source")
    search.fit_stages([head, replace(BODY, align="dann", align_weight=0.5, epochs=2)])
    size = batch_size_of(BODY, 72, 32, search.n_source)
    aligned = [call for call in seen if call[1].shape[1] == 2 * size]
    assert aligned
    of_source = {image.tobytes() for image in search.source.images()}
    of_target = {image.tobytes() for image in search.target.images()}
    for inputs, labels, _ in aligned:
        assert (labels[0, :size] >= 0).all()
        assert (labels[0, size:] == -1).all()
        images = [image.astype(np.uint8).tobytes() for image in inputs[0][0]]
        half = size - size // 2
        assert all(image in of_source for image in images[:half])
        assert all(image in of_target for image in images[half:])
    strengths = np.concatenate([call[2] for call in aligned])
    assert (np.diff(strengths) > 0).all()
    assert 0 < strengths[0] < 0.1 < strengths[-1] < 0.5


def test_the_strength_is_that_of_the_paper() -> None:
    assert strength(0) == 0
    assert strength(0.1) == pytest.approx(2 / (1 + math.exp(-1)) - 1)
    assert strength(1) == pytest.approx(0.9999, abs=1e-4)


def test_joined_inputs_are_those_of_their_parts() -> None:
    parts = [lambda rows, rng: [rows[:, None] * 1.0], lambda rows, rng: [rows[:, None] * -1.0]]
    batch = joined(parts, [3, 4])
    np.testing.assert_array_equal(batch(np.array([3, 0, 6, 2]), None)[0][:, 0], [0, 0, -3, 2])


# ------------------------------------------------------------------------------------------------ programs


def one_step(network: Any, trained: Trained, strength: float, images: np.ndarray) -> dict[str, np.ndarray]:
    """Weights after a step on eight labelled images and eight of the target."""
    program = network.program(network.cut(0.25), HEAD_OF, trained, 0.1)
    program.reset(network.pretrained, 0, 0.0)
    shape = program.model.inputs[0].shape[1:]
    rng = np.random.default_rng(0)
    tensors = [rng.normal(size=(1, 16, *shape)).astype(np.float32)]
    tensors[0][0, 8:] += images
    labels = np.where(np.arange(16) < 8, np.arange(16) % 10, -1)[None]
    # The classifier begins at zero and sends nothing down: some value, so that a single step shows what it does.
    program.variables["head_logits:0"].assign(
        rng.normal(0, 0.1, program.variables["head_logits:0"].shape).astype(np.float32)
    )
    if "domain_logit:0" in program.variables:
        program.variables["domain_logit:0"].assign(np.ones((64, 1), np.float32))
    before = program.state()
    losses, accuracies = program.train_steps(tensors, labels, np.array([1e-2]), np.array([strength]))
    assert np.isfinite(losses).all()
    assert 0 <= accuracies[0] <= 1
    after = program.state()
    return {place: after[place] - before[place] for place in after}


@pytest.mark.parametrize("align", ["mmd", "dann"])
def test_alignment_changes_what_trains_and_with_no_strength_nothing(network: Any, align: str) -> None:
    trained = Trained(align=align)
    moved = [one_step(network, trained, s, np.float32(1.0)) for s in (0.0, 0.0, 5.0)]
    program = network.program(network.cut(0.25), HEAD_OF, trained, 0.1)
    assert any(v is program.model.strength for v in program.model.non_trainable_variables)  # or JAX misses it
    body = [place for place in moved[0] if place[0].isdigit() and np.abs(moved[0][place]).any()]
    assert body
    assert all(np.array_equal(moved[0][place], moved[1][place]) for place in moved[0])
    assert any(not np.array_equal(moved[0][place], moved[2][place]) for place in body)
    if align == "dann":  # which tells domains apart learns whatever the strength
        assert np.abs(moved[0]["domain_logit:0"]).any()
        first, second = (np.sign(moved[i]["domain_hidden:0"]) for i in (0, 2))
        np.testing.assert_array_equal(first, second)


def test_unlabelled_images_do_not_enter_the_classification_loss(network: Any) -> None:
    first, second = (one_step(network, Trained(align="mmd"), 0.0, np.float32(s)) for s in (0.0, 1.0))
    assert all(np.array_equal(first[place], second[place]) for place in first)


def test_what_tells_domains_apart_is_no_part_of_the_classifier(network: Any) -> None:
    plain = network.program(network.cut(0.25), HEAD_OF, Trained(), 0.1)
    aligned = network.program(network.cut(0.25), HEAD_OF, Trained(align="dann"), 0.1)
    assert aligned.trainable_params == plain.trainable_params
    assert {place for place in aligned.variables if place not in plain.variables} == {
        "domain_reverse:0", "domain_hidden:0", "domain_hidden:1", "domain_logit:0", "domain_logit:1"
    }  # fmt: skip


def test_adapted_statistics_are_the_target_s(tasks: Callable[..., list[CellTask]]) -> None:
    _, refit = tasks()
    kinds = {}
    for statistics in ("train", "target"):
        stage = replace(BODY, cut=0.25, data="source", batch_norm="trained", statistics=statistics)
        fitted = refit.fit_stages([stage])
        kinds[statistics] = fitted.predictor.program, fitted.predictor.state  # type: ignore[attr-defined]
    program, state = kinds["target"]
    differ = [place for place in state if not np.array_equal(state[place], kinds["train"][1][place])]
    statistic = {
        place for place, v in program.variables.items() if v.name in ("moving_mean", "moving_variance")
    }
    assert differ
    assert set(differ) <= statistic  # the training was the same
    inputs, _ = refit.inputs(
        BODY if program is None else replace(BODY, cut=0.25), refit.target, augmented=False
    )
    program.reset(kinds["train"][1], 0, 0.0)
    program.reestimate(lambda rows: inputs(rows, None), len(refit.target))
    for place in differ:
        np.testing.assert_allclose(program.state()[place], state[place], rtol=0.05, atol=0.02)


def test_adabn_is_source_only_with_other_statistics(
    engine: Any, digits: Any, source: Any, make_cell: Callable[..., Any]
) -> None:
    without, with_ = (
        run_cell(
            make_cell(strategy=name, fraction=0.0, augmentation="none"),
            digits, engine, None, lambda text: None, source=source,
        )
        for name in ("source_only", "adabn")
    )  # fmt: skip
    for told in ("hyperparameters", "epochs"):
        assert with_.fields[told] == without.fields[told]
    scores = [[trial["score"] for trial in outcome.fields["trials"]] for outcome in (without, with_)]
    assert scores[0] == scores[1]  # nothing is chosen otherwise
    assert without.state is not None
    assert with_.state is not None
    assert without.network is not None
    kinds = {
        f"{i}:{k}": variable.name
        for i, layer in enumerate(without.network.model.layers)
        for k, variable in enumerate(layer.weights)
    }
    moved = {place for place in with_.state if not np.array_equal(with_.state[place], without.state[place])}
    assert moved == {place for place, name in kinds.items() if name in ("moving_mean", "moving_variance")}
    # The first layer that normalises, whose inputs the statistics do not change: what it gives has the same mean
    # and variance in both domains.
    layers = without.network.model.layers
    first = min(int(place.partition(":")[0]) for place in moved)
    below = keras.Model(layers[0].output, layers[first - 1].output)
    own = below.get_weights()
    below.set_weights([with_.state[f"{i}:0"] for i in range(first) if f"{i}:0" in kinds])
    gives = []
    for outcome, images in ((without, source.part.data[source.rows]), (with_, digits.pool.data)):
        seen = below.predict(images.astype(np.float32), batch_size=64, verbose=0)
        state = {kinds[p]: outcome.state[p] for p in kinds if p.startswith(f"{first}:")}
        deviation = np.sqrt(state["moving_variance"] + layers[first].epsilon)
        normalised = (seen - state["moving_mean"]) / deviation
        gives.append((normalised.mean(axis=(0, 1, 2)), normalised.std(axis=(0, 1, 2))))
    below.set_weights(own)  # other tests use the same network
    for of_source, of_target in zip(*gives, strict=True):
        np.testing.assert_allclose(of_target, of_source, rtol=0.03, atol=0.03)


def test_two_domains_that_are_the_same_leave_statistics_as_they_are(network: Any, digits: Any) -> None:
    program = network.program(network.cut("input"), HEAD_OF, Trained(batch_norm=True), 0.1)
    images = digits.pool.data[:128].astype(np.float32)
    domain = (lambda rows: [images[rows]], len(images))
    program.reset(network.pretrained, 0, 0.0)
    before = program.state()
    after = program.between_domains(before, domain, domain)
    for place, value in before.items():
        np.testing.assert_allclose(after[place], value, rtol=1e-5, atol=1e-6, err_msg=place)
    lighter = (lambda rows: [images[rows] / 2], len(images))
    other = program.between_domains(before, domain, lighter)
    assert any(np.abs(other[place] - before[place]).max() > 0.1 for place in before)


@pytest.mark.parametrize("name", ["deep_coral", "dann"])
def test_domains_are_aligned_without_any_label_of_the_target(
    name: str, engine: Any, digits: Any, source: Any, make_cell: Callable[..., Any]
) -> None:
    cell = make_cell(strategy=name, fraction=0.0, tuning={"algorithm": "random", "trials": 1})
    outcome = run_cell(cell, digits, engine, None, lambda text: None, source=source)
    fields = outcome.fields
    assert fields["status"] == "ok", fields.get("error")
    assert (fields["n"], fields["n_source"]) == (0, len(source.rows))
    assert outcome.probabilities is not None
    assert np.isfinite(outcome.probabilities).all()


def test_sizes_of_batches_are_those_of_the_refit_when_images_are_added(
    tasks: Callable[..., list[CellTask]], source: Any
) -> None:
    sizes = []
    for task in tasks(fraction=0.0):
        assert task.source is not None
        more = task.with_source(task.source.images(), task.source.labels)
        sizes.append(more.n_source)
        assert batch_size_of(BODY, 0, 32, more.n_source) == batch_size_of(BODY, 0, 32, sizes[0])
    assert sizes == [2 * len(source.rows)] * 2


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"data": "elsewhere"}, "data"),
        ({"align": "magic"}, "align"),
        ({"align": "mmd", "data": "target"}, "needs two domains"),
        ({"align": "mmd", "cut": "top"}, "nothing trains with cut='top'"),
        ({"align_weight": -1.0}, "align_weight"),
    ],
)
def test_stages_that_make_no_sense_are_refused(changes: dict[str, Any], why: str) -> None:
    assert stage_problems([BODY]) == []
    problems = stage_problems([replace(BODY, **changes)])
    assert len(problems) == 1
    assert why in problems[0]


def test_batch_normalisation_is_asked_for_where_it_is_needed() -> None:
    info = Info("image", ("a", "b"), 0, True, 32, 32, has_source=True, has_batch_norm=False)
    reason = get_strategy("adabn").skip(info)
    assert reason is not None
    assert "batch normalisation" in reason


# --------------------------------------------------------------------------------------------- translation


def test_a_translator_begins_as_it_was_and_comes_out_the_same() -> None:
    networks = Networks(16)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 24, 24, 3), np.uint8)
    dark = rng.uniform(-1, -0.6, (20, 16, 16, 3)).astype(np.float32)
    networks.reset(0)
    networks.warm()
    np.testing.assert_array_equal(networks.translated(images), images)
    bright = rng.uniform(0.2, 0.6, (20, 16, 16, 3)).astype(np.float32)
    results = []
    for seed in (0, 0, 1):
        networks.reset(seed)
        networks.train(bright, dark, 12, seed, lambda text: None)
        results.append(networks.translated(np.full((3, 24, 24, 3), 180, np.uint8)))
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    assert results[0].mean() < 179  # towards the dark


@pytest.fixture
def translators(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What translators are asked for (epochs), are trained on (sizes and epochs) and make; 12 steps at most."""
    seen: dict[str, list[Any]] = {"asked": [], "trained": [], "made": []}
    ask, train, translate = Translator.translation, Networks.train, Networks.translated

    def asked(self: Translator, task: Any) -> Any:
        seen["asked"].append(max(1, round(task.epochs * task.length)))
        return ask(self, task)

    def trained(self: Networks, first: np.ndarray, second: np.ndarray, steps: int, *rest: Any) -> None:
        seen["trained"].append((len(first), len(second), steps // STEPS_AN_EPOCH))
        train(self, first, second, min(steps, 12), *rest)

    def made(self: Networks, images: np.ndarray) -> np.ndarray:
        seen["made"].append(translate(self, images))
        assert not np.array_equal(seen["made"][-1], images)
        return seen["made"][-1]

    monkeypatch.setattr(Translator, "translation", asked)
    monkeypatch.setattr(Networks, "train", trained)
    monkeypatch.setattr(Networks, "translated", made)
    return seen


@pytest.fixture
def cycle_gan(
    engine: Any, digits: Any, source: Any, make_cell: Callable[..., Any]
) -> Callable[..., dict[str, Any]]:
    """Runs a cell of it; gives what its record says."""

    def run(domain: Any = source, **changes: Any) -> dict[str, Any]:
        cell = make_cell(strategy="cycle_gan", **changes)
        return run_cell(cell, digits, engine, None, lambda text: None, source=domain).fields

    return run


def test_a_cell_trains_one_translator_and_not_on_groups_that_validate(
    cycle_gan: Callable[..., Any], digits: Any, paired: Any, translators: dict[str, list[Any]]
) -> None:
    fields = cycle_gan(paired, fraction=0.3, epochs=1)
    assert len(fields["trials"]) == 2
    (trained,) = translators["trained"]
    search, refit = translators["made"]  # of the search's source, once for its trials, and of the refit's
    assert trained == (len(search), len(digits.pool.ids) - fields["n_val"], 1)
    assert len(search) < len(refit) == len(paired.rows)


def test_trials_of_other_lengths_have_translators_of_their_own_and_the_refit_has_the_winner_s(
    cycle_gan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, translators: dict[str, list[Any]]
) -> None:
    scored = Search.scored

    def shorter_is_better(self: Search, task: CellTask, hp: Any) -> Any:
        return scored(self, task, hp)._replace(score=-task.length, losses=np.full(9, task.length))

    monkeypatch.setattr(Search, "scored", shorter_is_better)
    fields = cycle_gan(epochs=30, length=0.1, tuning={"algorithm": "hyperband", "trials": 2})
    epochs = [max(1, round(30 * trial["length"])) for trial in fields["trials"]]
    assert sorted({*epochs}) == [1, 3]
    assert sorted(taken for *_, taken in translators["trained"]) == [1, 3]
    assert translators["asked"] == [*epochs, 1]


@pytest.mark.usefixtures("translators")
def test_what_a_translator_took_is_paid_by_the_first_trial_that_does_not_diverge(
    cycle_gan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, seconds = Adapting.fit, Translator.seconds
    fits: list[Any] = []
    taken: list[float] = []

    def first_diverges(self: Adapting, task: Any, hp: Any) -> Fitted:
        fits.append(task)
        if len(fits) == 1:
            raise NotFinite("a test")
        return fit(self, task, hp)

    def recorded(self: Translator) -> float:
        taken.append(seconds(self))
        return taken[-1]

    monkeypatch.setattr(Adapting, "fit", first_diverges)
    monkeypatch.setattr(Translator, "seconds", recorded)
    fields = cycle_gan(epochs=1)
    assert [trial["status"] for trial in fields["trials"]] == ["diverged", "ok"]
    assert taken[0] > 0
    assert fields["trials"][1]["seconds"] > taken[0]


# ------------------------------------------------------------------------------------------ what is not asked


@pytest.mark.parametrize("align", ["none", "coral"])
def test_labels_of_the_source_that_validate_decide_nothing_while_it_trains(
    tasks: Callable[..., list[CellTask]], align: Any
) -> None:
    search, _ = tasks(fraction=0.0)
    assert search.val is not None
    wrong = replace(search.val, known=(search.val.labels + 1) % 10)
    stage = replace(BODY, data="source", align=align, steps=400)
    right, misled = (
        replace(search, val=val, _finished={}).fit_stages([stage]) for val in (search.val, wrong)
    )
    assert right.curve[-1]["val_loss"] < misled.curve[-1]["val_loss"]
    assert right.steps == misled.steps
    assert right.steps[0] >= 15
    states = [fitted.predictor.state for fitted in (right, misled)]  # type: ignore[attr-defined]
    assert all(np.array_equal(states[0][place], states[1][place]) for place in states[0])
