"""Any number of labels for each example: scores, splits, data, and what is refused."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score

from bench.commands.check import check
from bench.datasets import Dataset, open_dataset
from bench.datasets.labels import labels_in
from bench.datasets.objects import kept
from bench.datasets.splits import split_test, split_validation, subset
from bench.errors import RecordError, RequestError
from bench.modalities.image.input import ImageInput
from bench.plans.loading import load_plan
from bench.plans.plan import Plan
from bench.plans.resolved import resolve
from bench.plans.strategies import get_strategy
from bench.predictions import read_arrays
from bench.records import MULTI_LABEL, Metric
from bench.tasks.multi_label import MultiLabel, label_sets
from bench.tasks.registry import TASKS, task_of
from reports.statistics.credits import credits, heaviest
from reports.statistics.many_credits import precision_credits
from strategies import STRATEGIES
from strategies.refuse import prediction_problem

KIND = MultiLabel()
METRICS: tuple[Metric, ...] = KIND.metrics


def made_up(
    count: int = 200, frequencies: Sequence[float] = (0.4, 0.2, 0.05, 0.02), seed: int = 0
) -> np.ndarray:
    """Labels of these frequencies, each with an example at least."""
    labels = (np.random.default_rng(seed).random((count, len(frequencies))) < frequencies).astype(np.uint8)
    labels[np.arange(len(frequencies)), np.arange(len(frequencies))] = 1
    return labels


def guessed(labels: np.ndarray, seed: int = 1) -> np.ndarray:
    """Probabilities that know something of the labels, with ties."""
    noise = np.random.default_rng(seed).random(labels.shape)
    return np.round(0.3 * labels + 0.7 * noise, 2).astype(np.float32)


# --- scores ---------------------------------------------------------------------------------------------------


def test_scores_are_those_of_scikit_learn() -> None:
    labels = np.column_stack([made_up(), np.zeros(200, np.uint8), np.ones(200, np.uint8)])
    probabilities = guessed(labels)
    found, occur, both = KIND.score(probabilities, labels), [0, 1, 2, 3, 5], [0, 1, 2, 3]
    assert found == pytest.approx(
        {
            "mean_average_precision": average_precision_score(labels[:, occur], probabilities[:, occur]),
            "macro_f1": f1_score(
                labels[:, occur], probabilities[:, occur] >= 0.5, average="macro", zero_division=0
            ),
            "micro_f1": f1_score(labels, probabilities >= 0.5, average="micro"),
            "auroc": roc_auc_score(labels[:, both], probabilities[:, both]),
            "label_accuracy": ((probabilities >= 0.5) == labels).mean(),
            "log_loss": np.mean(
                [
                    log_loss(y, np.clip(p, 1e-7, 1 - 1e-7), labels=[0, 1])
                    for y, p in zip(labels.T, probabilities.T, strict=True)
                ]
            ),
            "ece": found["ece"],
        },
        abs=1e-6,
    )


def test_scores_by_hand() -> None:
    labels = np.array([[1, 0], [0, 0], [1, 1]])
    found = KIND.score(np.array([[0.9, 0.2], [0.8, 0.1], [0.3, 0.6]]), labels)
    # Of the first label the positives are first and third: precisions 1 and 2/3. Of the second, the first.
    assert found["mean_average_precision"] == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
    assert found["label_accuracy"] == pytest.approx(4 / 6)  # 0.8 is a wrong yes, 0.3 a wrong no
    assert found["micro_f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert found["macro_f1"] == pytest.approx((0.5 + 1) / 2)


def test_what_is_not_defined_is_left_out() -> None:
    found = KIND.score(np.full((3, 2), 0.1), np.zeros((3, 2), np.uint8))
    assert {"mean_average_precision", "macro_f1", "auroc"}.isdisjoint(found)
    assert found["label_accuracy"] == 1


@pytest.mark.parametrize("metric", METRICS)
def test_the_mean_of_credits_is_the_metric(metric: Metric) -> None:
    labels = np.column_stack([made_up(), np.zeros(200, np.uint8)])
    probabilities = guessed(labels)
    found = credits(probabilities, labels, metric)
    assert found.mean() == pytest.approx(KIND.score(probabilities, labels)[metric], abs=1e-6)
    assert heaviest(labels, metric) >= 1


def test_credits_of_average_precision_are_its_derivative() -> None:
    labels = made_up(60, (0.3,))[:, 0]
    scores = guessed(labels[:, None])[:, 0].astype(float)
    found, plain, step = precision_credits(scores, labels > 0), np.ones(60), 1e-6
    average = average_precision_score(labels, scores)
    for i in range(60):
        heavier = plain.copy()
        heavier[i] += step
        moved = average_precision_score(labels, scores, sample_weight=heavier) - average
        assert found[i] == pytest.approx(average + 60 * moved / step, abs=1e-3)


def test_kinds_of_labels() -> None:
    assert task_of(np.zeros(3, np.int64)) is TASKS["single_label"]
    assert task_of(np.zeros((3, 2), np.uint8)) is TASKS["multi_label"]
    numbers, names = label_sets(np.array([[1, 0], [0, 0], [1, 1], [1, 0]]), ("cat", "dog"))
    assert [names[i] for i in numbers] == ["cat", "(no label)", "cat;dog", "cat"]
    assert KIND.probabilities(np.array([[0.0, 1000.0, -1000.0]]))[0] == pytest.approx([0.5, 1, 0])


# --- splits ---------------------------------------------------------------------------------------------------


def test_every_part_has_each_label_in_proportion() -> None:
    labels = made_up(1000, (0.4, 0.2, 0.1, 0.03), seed=3)
    test = split_test(labels, None, "data")
    assert test.sum() == 200
    assert np.abs(labels[test].sum(axis=0) - 0.2 * labels.sum(axis=0)).max() < 2
    none = ~labels.any(axis=1)
    assert abs((none & test).sum() - 0.2 * none.sum()) < 2
    for fraction in (0.1, 0.25, 0.5):
        rows = subset(labels, None, fraction, 0, "data")
        assert np.abs(labels[rows].sum(axis=0) - fraction * labels.sum(axis=0)).max() < 2
        train, val = split_validation(labels, None, rows, 0, "data")
        assert sorted([*train, *val]) == rows.tolist()
        assert np.abs(labels[val].sum(axis=0) - 0.2 * labels[rows].sum(axis=0)).max() < 2.5


def test_subsets_are_nested_and_depend_on_the_seed_alone() -> None:
    labels = made_up(300)
    small, large = (set(subset(labels, None, f, 1, "data").tolist()) for f in (0.2, 0.6))
    assert small < large
    assert small == set(subset(labels, None, 0.2, 1, "data").tolist())
    assert small != set(subset(labels, None, 0.2, 2, "data").tolist())


def test_groups_stay_whole_and_rare_labels_are_on_both_sides_if_they_can() -> None:
    labels, groups = made_up(300), np.arange(300) // 3
    test = split_test(labels, groups, "data")
    assert not set(groups[test]) & set(groups[~test])
    assert abs(test.sum() - 60) < 5
    assert (labels[test].any(axis=0) & labels[~test].any(axis=0)).all()
    rows = subset(labels, groups, 0.5, 0, "data")
    assert len(np.unique(groups[rows])) == len(rows) / 3


def test_a_label_with_a_single_example_is_no_reason_to_refuse() -> None:
    labels = made_up(40, (0.5, 0.3, 0.0))
    assert labels[:, 2].sum() == 1
    test = split_test(labels, None, "data")
    assert test.sum() == 8


def test_too_small_a_share_is_refused() -> None:
    with pytest.raises(RequestError, match=r"large enough for 5 examples.*may work is 0\.13"):
        subset(made_up(40), None, 0.05, 0, "data")


# --- data -----------------------------------------------------------------------------------------------------

CELLS = ("cat;dog", "dog", "", "cat | bird", "bird")


def write(
    folder: Path, cells: Sequence[str] = CELLS * 8, column: str = "label", **more: Sequence[str]
) -> Path:
    """A manifest of images that differ, with these cells of labels."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    with (folder / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", column, *more])
        for i, cell in enumerate(cells):
            Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(folder / f"{i:03}.png")
            writer.writerow([f"{i:03}.png", cell, *(values[i] for values in more.values())])
    return folder / "list.csv"


def opened(path: Path | str) -> Dataset:
    return open_dataset(str(path), ImageInput(8), task=MULTI_LABEL)


def of_ids(dataset: Dataset) -> dict[str, str]:
    return {
        id: KIND.said(row, dataset.class_names)
        for part in (dataset.pool, dataset.test)
        for id, row in zip(part.ids, part.labels, strict=True)
    }


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("cat;dog", ["cat", "dog"]),
        (" cat | dog ;", ["cat", "dog"]),
        ("dog;dog", ["dog"]),
        ("", []),
        ("['cat', 'big dog']", ["cat", "big dog"]),
        ("big cat, small", ["big cat, small"]),
    ],
)
def test_labels_of_a_cell(cell: str, labels: list[str]) -> None:
    assert labels_in(cell) == labels


@pytest.mark.parametrize("column", ["label", "labels"])
def test_a_manifest(tmp_path: Path, column: str) -> None:
    dataset = opened(write(tmp_path / "a", column=column))
    assert dataset.class_names == ("bird", "cat", "dog")
    assert dataset.task is TASKS[MULTI_LABEL]
    assert len(dataset.test.ids) == 8
    found = of_ids(dataset)
    assert [found[f"{i:03}.png"] for i in range(5)] == ["cat;dog", "dog", "(no label)", "bird;cat", "bird"]
    assert opened(tmp_path / "a" / "list.csv").fingerprint == dataset.fingerprint  # from the cache


def test_one_manifest_as_classes_and_as_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "a", ("cat;dog", "dog", "bird", "cat") * 10)
    classes = open_dataset(str(path), ImageInput(8), audit=True)
    assert len(classes.class_names) == 4
    assert "add --task multi_label" in str(classes.findings)
    assert len(opened(path).class_names) == 3


def test_a_given_test_part_and_groups(tmp_path: Path) -> None:
    split = ["test" if i % 4 == 0 else "train" for i in range(40)]
    dataset = opened(write(tmp_path / "a", split=split))
    assert sorted(dataset.test.ids) == [f"{i:03}.png" for i in range(0, 40, 4)]
    dataset = opened(write(tmp_path / "b", group=[f"g{i // 4}" for i in range(40)]))
    assert not set(dataset.test.group_names or ()) & set(dataset.pool.group_names or ())


def test_arrays(tmp_path: Path) -> None:
    rng, labels = np.random.default_rng(0), made_up(40)
    images = rng.integers(0, 255, (40, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "a.npz", x=images, y=labels, class_names=list("abcd"))
    dataset = opened(tmp_path / "a.npz")
    assert dataset.class_names == tuple("abcd")
    assert of_ids(dataset)["00000"] == KIND.said(labels[0], "abcd")
    with pytest.raises(RequestError, match="add --task multi_label"):
        open_dataset(str(tmp_path / "a.npz"), ImageInput(8))
    python = opened(kept((images, labels), MULTI_LABEL))
    assert python.class_names == tuple("0123")
    with pytest.raises(RequestError, match="task='multi_label'"):
        kept((images, labels))
    texts = kept((["one", "two", "three"], np.array([[1, 0], [1, 1], [0, 0]])), MULTI_LABEL)
    assert texts.endswith(".parquet")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"y": np.arange(40)}, "of shape .N, classes., 0 and 1"),
        ({"y": 2 * made_up(40)}, "It holds other values"),
        ({"y": made_up(40), "class_names": np.array(["a", "b"])}, "4 different class_names"),
    ],
)
def test_arrays_that_are_no_labels(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((40, 8, 8), np.uint8), **arrays)
    with pytest.raises(RequestError, match=said):
        opened(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([""] * 20, "have a label in some row"),
        (["cat", ""] * 10, "There is one label, 'cat'"),
        (["cat;dog", "dog"] * 3, "There are 6 images; at least 10"),
    ],
)
def test_manifests_that_are_refused(tmp_path: Path, cells: list[str], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        opened(write(tmp_path / "a", cells))


def test_several_rows_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    path.write_text(path.read_text() + "000.png,bird\n")
    with pytest.raises(RequestError, match="all labels of a file into one row, such as cat;dog"):
        opened(path)


def test_others_cannot_have_many_labels() -> None:
    with pytest.raises(RequestError, match=r"a manifest or an \.npz file for task multi_label"):
        opened("digits")


def test_what_is_found_in_the_data(tmp_path: Path) -> None:
    cells = ["cat;dog", "dog", "cat", ""] * 12 + ["owl"]
    split = [("train", "test")[i % 6 == 0] for i in range(48)] + ["train"]
    path = write(tmp_path / "a", cells, split=split)
    Image.open(tmp_path / "a" / "000.png").save(tmp_path / "a" / "005.png")  # another set of labels
    result = check(
        opened(path), load_plan({"datasets": [str(path)], "task": MULTI_LABEL, "fractions": [0.2]})
    )
    found = {finding["kind"]: finding["text"] for finding in result["findings"]}
    assert "1 of 3 labels have no test image" in found["labels_without_test"]
    assert "under different labels" in found["identical_across_labels"]
    assert found["without_label"].startswith("12 images of 49 without any label")
    assert "1 of 3 labels have fewer than two" in found["labels_lost"]
    assert (result["task"], result["pool"], result["test"]) == (MULTI_LABEL, 41, 8)
    counts = {entry["class"]: entry["pool"] + entry["test"] for entry in result["classes"]}
    assert counts == {"cat": 24, "dog": 24, "owl": 1}


# --- plans ----------------------------------------------------------------------------------------------------


def plan(**keys: Any) -> Plan:
    return load_plan({"datasets": ["digits"], "task": MULTI_LABEL, **keys})


def test_the_metric_that_decides() -> None:
    assert plan().metric == "mean_average_precision"
    assert plan(metric="micro_f1").metric == "micro_f1"
    assert "task" not in load_plan({"datasets": ["digits"]}).to_toml()
    assert load_plan({"datasets": ["digits"], "metric": "auroc"}).hash() != plan(metric="auroc").hash()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"metric": "accuracy"},
            "mean_average_precision or macro_f1 or micro_f1 or auroc with task multi_label",
        ),
        ({"task": "single_label", "metric": "micro_f1"}, "accuracy or balanced_accuracy"),
        ({"class_weight": "balanced"}, "Each label counts the same in the loss already"),
        ({"protocol": "few-shot"}, "fractions with task multi_label"),
        ({"backbones": ["auto:2"]}, "Ranking scores features by one class"),
    ],
)
def test_what_cannot_be_had(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        plan(**keys)


@pytest.mark.parametrize("name", ["knn", "logistic", "prototypical", "dann", "multi_task", "nearest_pixel"])
def test_strategies_that_need_one_class_say_so(name: str) -> None:
    with pytest.raises(
        RequestError, match=r"It learns one class each\. These can: scratch, feature_extraction"
    ):
        resolve(plan(strategies=["scratch", name]))


def test_all_schedules_on_the_target_can_and_floors_that_cannot_are_left_out() -> None:
    able = {name for name in STRATEGIES if get_strategy(name).many_labels}
    assert {
        "scratch",
        "feature_extraction",
        "full_finetune",
        "lora",
        "gradual_unfreeze",
        "lp_ft",
        "majority",
    } <= able
    assert able.isdisjoint({"source_only", "knn", "siamese", "tf_idf"})
    assert set(resolve(plan()).strategies) <= able


# --- predictions ----------------------------------------------------------------------------------------------


def test_predictions(tmp_path: Path) -> None:
    labels, ids = made_up(10), np.arange(10).astype(str)
    np.savez(tmp_path / "a.npz", probabilities=guessed(labels), labels=labels, ids=ids)
    assert read_arrays(tmp_path / "a.npz")["labels"].shape == (10, 4)
    np.savez(tmp_path / "b.npz", probabilities=guessed(labels), labels=3 * labels, ids=ids)
    with pytest.raises(RecordError, match=r"labels: expected 0 and 1, \(10, 4\)"):
        read_arrays(tmp_path / "b.npz")
    assert not prediction_problem(guessed(labels), 10, 4, one_each=False)
    assert "add up to 1" in prediction_problem(guessed(labels), 10, 4)
    assert "above 1" in prediction_problem(2 * guessed(labels), 10, 4, one_each=False)
