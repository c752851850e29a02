"""The few-shot protocol in a worker: what it learns from, what it finds, and embeddings as plain classifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.modalities.image.input import ImageInput

pytest.importorskip("keras")

from bench.datasets import open_dataset
from bench.datasets.companions.source import pair
from bench.protocols.few_shot.cell import run_few_shot
from bench.protocols.fractions.cell import run_cell
from bench.records import Cell
from bench.training.embedding import ClassBatches
from bench.training.examples import PartExamples
from bench.training.losses.metric_losses import BATCH_EXAMPLES

BACKBONE = "Conv4:filters=16"
SIZE = 16
NEW = 4
"""Digits from 6 on are the new classes."""
EPISODES = {"ways": [2, 4], "shots": [1, 5], "episodes": 40, "queries": 5}


@pytest.fixture(scope="module", autouse=True)
def fewer_episodes() -> Iterator[None]:
    """Of held-out classes: each fits a classifier."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.protocols.few_shot.held_out.JUDGED", 20)
        yield


def quiet(text: str) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> tuple[Any, Any]:
    """Digits 6 to 9, and 0 to 5 as their source."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, root = (15 * digits.images).astype(np.uint8), tmp_path_factory.mktemp("digits")
    new = digits.target >= 10 - NEW
    found = []
    for name, chosen in (("new", np.flatnonzero(new)[:160]), ("old", np.flatnonzero(~new)[:300])):
        np.savez(root / f"{name}.npz", x=images[chosen], y=digits.target[chosen])
        found.append(open_dataset(str(root / f"{name}.npz"), ImageInput(SIZE)))
    return found[0], found[1]


@pytest.fixture(scope="module")
def cell(data: tuple[Any, Any]) -> Callable[..., Cell]:
    """Makes a cell of a tenth of the usual length and one trial; arguments change its fields."""
    new, old = data

    def make(strategy: str, **changes: Any) -> Cell:
        fields: dict[str, Any] = {
            "strategy": strategy,
            "strategy_version": 1,
            "dataset": new.spec,
            "dataset_name": new.name,
            "fingerprint": new.fingerprint,
            "modality": new.modality,
            "source_fingerprint": old.fingerprint,
            "backbone": BACKBONE,
            "weights": "none",
            "weights_sha256": "",
            "fraction": 0.0,
            "seed": 0,
            "image_size": SIZE,
            "resizing": "crop",
            "augmentation": "none",
            "flip": False,
            "epochs": 3,
            "length": 0.1,
            "batch_size": 64,
            "threads": 1,
            "head": {"pooling": "avg", "hidden_units": 0, "dropout": 0.0},
            "tuning": {"algorithm": "random", "trials": 1},
            "few_shot": EPISODES,
        }
        return Cell.of({**fields, **changes})

    return make


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Fields of a cell whose backbone comes with weights: random ones, so that strategies that need some run."""
    import keras

    from bench.backbones.build import build_backbone
    from bench.backbones.spec import parse_backbone
    from bench.backbones.weights import Weights
    from bench.system.files import sha256_file

    path = tmp_path_factory.mktemp("weights") / "conv4.weights.h5"
    keras.utils.set_random_seed(1)
    spec = parse_backbone(f"{BACKBONE},weights=none")
    build_backbone(spec, SIZE, Weights("none", "", None)).save_weights(path)
    return {"weights": str(path), "weights_sha256": sha256_file(path)}


def accuracy(outcome: Any, ways: int, shots: int) -> float:
    return next(e["accuracy"] for e in outcome.fields["episodes"] if (e["ways"], e["shots"]) == (ways, shots))


def test_without_a_search_an_embedding_trains_once(
    data: tuple[Any, Any], cell: Callable[..., Any], engine: Any
) -> None:
    domain = pair(data[1], data[0], classes="other")
    defaults = cell("prototypical", tuning={"algorithm": "random", "trials": 0})
    fields = run_few_shot(defaults, data[0], engine, None, quiet, domain).fields
    assert fields["status"] == "ok", fields
    assert fields["trials"] == []
    assert fields["hyperparameters"]
    assert fields["steps"] > 0


@pytest.mark.parametrize("strategy", ["prototypical", "siamese", "siamese:loss=contrastive", "nearest_pixel"])
def test_new_classes_are_told_apart(
    strategy: str, data: tuple[Any, Any], cell: Callable[..., Any], engine: Any
) -> None:
    domain = pair(data[1], data[0], classes="other")
    outcome = run_few_shot(cell(strategy), data[0], engine, None, quiet, domain)
    fields = outcome.fields
    assert fields["status"] == "ok"
    assert outcome.probabilities is None
    assert outcome.arrays is not None
    arrays = outcome.arrays
    assert arrays["accuracies"].shape == (4, 40)
    assert arrays["class_accuracies"].shape == arrays["class_weights"].shape == (4, NEW)
    by_class = (arrays["class_accuracies"] * arrays["class_weights"]).sum(axis=1)
    for entry, values, mean in zip(fields["episodes"], arrays["accuracies"], by_class, strict=True):
        assert entry["accuracy"] == pytest.approx(values.mean(), abs=1e-6)
        assert entry["accuracy"] == pytest.approx(mean, abs=1e-6)
    assert accuracy(outcome, 4, 1) > 0.45  # chance: a quarter
    assert accuracy(outcome, 4, 5) > accuracy(outcome, 4, 1)
    assert accuracy(outcome, 2, 1) > accuracy(outcome, 4, 1)
    assert fields["metrics"]["verification_auc"] > 0.6
    assert fields["n_test"] == 160


def test_the_same_cell_gives_the_same_numbers(
    data: tuple[Any, Any], cell: Callable[..., Any], engine: Any
) -> None:
    domain = pair(data[1], data[0], classes="other")
    one, two = (
        run_few_shot(cell("prototypical", length=0.01), data[0], engine, None, quiet, domain)
        for _ in range(2)
    )
    assert np.array_equal(one.arrays["accuracies"], two.arrays["accuracies"])
    other = run_few_shot(cell("prototypical", length=0.01, seed=1), data[0], engine, None, quiet, domain)
    assert not np.array_equal(one.arrays["accuracies"], other.arrays["accuracies"])


@pytest.mark.parametrize("strategy", ["feature_extraction", "nearest_mean"])
def test_frozen_features_are_tuned_on_the_source_alone(
    strategy: str,
    data: tuple[Any, Any],
    cell: Callable[..., Any],
    engine: Any,
    pretrained: dict[str, str],
) -> None:
    new, old = data
    changes: dict[str, Any] = {**pretrained, "tuning": {"algorithm": "random", "trials": 2}}
    domain = pair(old, new, classes="other")
    outcome = run_few_shot(cell(strategy, **changes), new, engine, None, quiet, domain)
    assert outcome.fields["status"] == "ok"
    assert outcome.fields["costs"]["trainable_params"] == 0
    assert accuracy(outcome, 4, 5) > 0.3
    assert all(trial["seconds"] > 0 for trial in outcome.fields["trials"])  # judging takes time
    assert len(outcome.fields["trials"]) == (2 if strategy == "feature_extraction" else 1)
    alone = run_few_shot(cell(strategy, **changes, source_fingerprint=""), new, engine, None, quiet, None)
    assert alone.fields["status"] == "ok"
    assert alone.fields["trials"] == []


@pytest.mark.parametrize("strategy", ["prototypical", "siamese"])
def test_without_a_source_there_is_nothing_to_learn_from(
    strategy: str, data: tuple[Any, Any], cell: Callable[..., Any], engine: Any
) -> None:
    outcome = run_few_shot(cell(strategy, source_fingerprint=""), data[0], engine, None, quiet)
    assert outcome.fields["status"] == "skipped"
    assert "--source-dataset" in outcome.fields["error"]["message"]


def test_nothing_of_the_new_classes_is_learned_from(
    data: tuple[Any, Any], cell: Callable[..., Any], engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bench.training.embedding as module

    seen: list[Any] = []
    whole = module.fit_embedding

    def spy(task: Any, *rest: Any) -> Any:
        seen.append(task)
        return whole(task, *rest)

    monkeypatch.setattr(module, "fit_embedding", spy)
    domain = pair(data[1], data[0], classes="other")
    run_few_shot(cell("prototypical", length=0.01), data[0], engine, None, quiet, domain)
    search, refit = seen
    assert refit.val is None
    for task in seen:
        assert not len(task.unlabelled)
        for examples in filter(None, (task.train, task.val)):
            assert examples.data is domain.part.data
    assert not set(search.train.labels) & set(search.val.labels)  # held-out classes
    assert set(refit.train.labels) == set(search.train.labels) | set(search.val.labels)


def test_search_and_refit_are_annealed_to_the_end_whatever_episodes_say(
    data: tuple[Any, Any], cell: Callable[..., Any], engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bench.training.embedding as module
    from bench.training.programs.program import Program

    rates: list[float] = []
    plain, scores = Program.train_steps, iter(range(0, -100, -1))

    def spy(self: Any, inputs: Any, labels: Any, of_steps: np.ndarray, *rest: Any) -> Any:
        rates.extend(of_steps[of_steps > 0].tolist())
        return plain(self, inputs, labels, of_steps, *rest)

    # Each point of the curve is worse than the one before.
    monkeypatch.setattr(module, "_validated", lambda *task: (float(next(scores)), {"val_accuracy": 0.5}))
    monkeypatch.setattr(Program, "train_steps", spy)
    domain = pair(data[1], data[0], "none", "other")
    fields = run_few_shot(cell("prototypical"), data[0], engine, None, quiet, domain).fields
    (trial,) = fields["trials"]
    of_search, of_refit = rates[: trial["steps"]], rates[trial["steps"] :]
    assert len(of_refit) == fields["steps"]
    for taken in (of_search, of_refit):
        assert len(taken) > 20
        assert taken[-1] < 0.05 * max(taken)
    last = {point["run"]: point["epoch"] for point in fields["curves"]}
    assert last["search"] == trial["epochs"] == fields["epochs"]


def test_what_tuning_could_not_have_is_said(
    data: tuple[Any, Any], cell: Callable[..., Any], engine: Any, pretrained: dict[str, str]
) -> None:
    domain = pair(data[1], data[0], classes="other")
    outcome = run_few_shot(cell("nearest_mean", **pretrained), data[0], engine, None, quiet, domain)
    (warning,) = outcome.fields["warnings"]  # two classes are held out, and four ways were asked for
    assert "for episodes of 4-way 1-shot, 4-way 5-shot; tuning used 2-way 1-shot, 2-way 5-shot" in warning


@pytest.mark.parametrize("with_source", [True, False])
@pytest.mark.parametrize("strategy", ["prototypical", "siamese"])
def test_as_plain_classifiers_of_all_labels(
    strategy: str, with_source: bool, data: tuple[Any, Any], cell: Callable[..., Any], engine: Any
) -> None:
    new, old = data
    domain = pair(old, new, classes="any") if with_source else None
    whole = cell(
        strategy, fraction=1.0, few_shot={}, source_fingerprint=old.fingerprint if with_source else ""
    )
    outcome = run_cell(whole, new, engine, 1.0, quiet, source=domain)
    assert outcome.fields["status"] == "ok"
    assert outcome.probabilities is not None
    assert np.allclose(outcome.probabilities.sum(axis=1), 1, atol=1e-5)
    assert outcome.fields["metrics"]["accuracy"] > 0.6
    assert outcome.fields["n_train"] + outcome.fields["n_val"] == len(new.pool.ids)


def test_statistics_are_those_of_the_images_that_are_told_apart(
    data: tuple[Any, Any], cell: Callable[..., Any], engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.training.programs.program import Program

    seen: list[np.ndarray] = []

    def spy(self: Any, batch: Callable[[np.ndarray], list[np.ndarray]], count: int) -> None:
        seen.append(batch(np.arange(count))[0])

    monkeypatch.setattr(Program, "reestimate", spy)
    new, old = data
    whole = cell("prototypical", fraction=1.0, few_shot={}, length=0.01)
    run_cell(whole, new, engine, 1.0, quiet, source=pair(old, new, classes="any"))
    pool = {image.tobytes() for image in np.asarray(new.pool.data).astype(np.float32)}
    assert len(seen[-1]) == len(new.pool.ids)
    assert {image.tobytes() for images in seen for image in images} <= pool


@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_distances_are_of_one_size_before_the_first_step(
    factor: float,
    data: tuple[Any, Any],
    cell: Callable[..., Any],
    engine: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import bench.training.embedding as module
    from bench.training.engine import Network

    found: list[float] = []
    whole, drawn = module.fit_embedding, Network.random

    def louder(self: Any, seed: int) -> dict[str, np.ndarray]:
        """With the scale and offset of the last normalisation, and so the features, times ``factor``."""
        state = drawn(self, seed)
        last = max(int(place.split(":")[0]) for place in state)
        return state | {f"{last}:{k}": factor * state[f"{last}:{k}"] for k in (0, 1)}

    def hardly_trained(task: Any, stage: Any, *rest: Any) -> Any:
        embedding = whole(task, replace(stage, learning_rate=1e-12), *rest)
        features = embedding.embed(task.train).astype(np.float64)
        found.append(float(np.square(features[:, None] - features).sum(axis=2).mean()))
        return embedding

    monkeypatch.setattr(Network, "random", louder)
    monkeypatch.setattr(module, "fit_embedding", hardly_trained)
    whole_pool = cell("prototypical", fraction=1.0, few_shot={}, length=0.01, source_fingerprint="")
    run_cell(whole_pool, data[0], engine, 1.0, quiet)
    assert found == pytest.approx([module.TYPICAL_DISTANCE] * 2, rel=0.05)


def test_nearest_pixels_are_as_large_as_what_they_keep(
    data: tuple[Any, Any], cell: Callable[..., Any], engine: Any
) -> None:
    whole = cell("nearest_pixel", fraction=1.0, source_fingerprint="", few_shot={}, backbone="")
    costs = run_cell(whole, data[0], engine, None, quiet).fields["costs"]
    assert costs["params"] == len(data[0].pool.ids) * SIZE**2
    assert costs["inference_ms_per_image"] is None


def test_with_an_image_a_class_and_no_source_it_is_skipped(
    data: tuple[Any, Any], cell: Callable[..., Any], engine: Any
) -> None:
    few = cell("siamese", fraction=0.07, source_fingerprint="", few_shot={})
    outcome = run_cell(few, data[0], engine, 1.0, quiet)
    assert outcome.fields["status"] == "skipped"
    assert "two training images" in outcome.fields["error"]["message"]


def test_a_batch_has_as_many_images_of_each_class_and_turns_whole_classes() -> None:
    size, each = 6, 5
    images = np.zeros((3 * each + 1, size, size, 3), np.uint8)
    for i in range(len(images)):
        images[i, 0, :] = i + 1  # a row at the top: turned, it stands elsewhere
    labels = np.append(np.arange(3).repeat(each), 3)  # the last class has a single image
    names = [str(i) for i in range(len(labels))]
    examples = PartExamples(images, names, "key", np.arange(len(labels)), labels)
    batches = ClassBatches(examples, turns=4, size=1000)
    assert batches.ways == 12
    batch = batches.next(lambda x, rng: x, np.random.default_rng(0))
    batch = batch.reshape(BATCH_EXAMPLES, 12, size, size, 3)[..., 0]
    found = set()
    for c in range(12):
        places, values = set(), set()
        for image in batch[:, c]:
            sides = {"top": image[0], "left": image[:, 0], "bottom": image[-1], "right": image[:, -1]}
            (where,) = [side for side, pixels in sides.items() if (pixels > 0).all()]
            places.add(where)
            values.add(int(image.max()) - 1)
        assert len(places) == 1
        assert len(values) == BATCH_EXAMPLES
        (of,) = {int(labels[value]) for value in values}
        found.add((of, *places))
    assert len(found) == 12
    assert {of for of, _ in found} == {0, 1, 2}
    with pytest.raises(ValueError, match="two images of each of two classes"):
        ClassBatches(PartExamples(images, names, "key", np.array([0, 15]), np.array([0, 3])), 1, 8)
    with pytest.raises(ValueError, match="quarters"):
        ClassBatches(examples, 5, 8)
