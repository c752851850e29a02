"""Auxiliary labels: of a column or of a second dataset, and nothing of the target's test images in either."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.datasets import open_dataset
from bench.datasets.companions.auxiliary import (
    Auxiliaries,
    chosen,
    of_column,
    of_dataset,
    opened,
    reopened,
    stamp,
)
from bench.errors import RequestError
from bench.modalities.image.input import ImageInput
from bench.plans.loading import load_plan
from bench.plans.strategies import get_strategy
from bench.records import Cell
from bench.runs.prepare import prepare

CLASSES = ("cat", "dog", "eel")
LEGS = {"cat": "four", "dog": "four", "eel": "none"}
Make = Callable[..., Any]


def image(path: Path, *entropy: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(entropy).integers(0, 256, (12, 12, 3), np.uint8)).save(path)


@pytest.fixture
def animals(tmp_path: Path) -> Make:
    """Makes a manifest with a given test part and further columns; ``change`` may edit each row. Gives its path."""

    def make(
        change: Callable[[dict[str, str], int], None] = lambda row, i: None, name: str = "list.csv"
    ) -> Path:
        rows = []
        for c, label in enumerate(CLASSES):
            for i in range(12):
                path = f"{label}{i}.png"
                image(tmp_path / path, 1, c, i)
                row = {"path": path, "label": label, "split": "test" if i < 3 else "train"}
                row |= {"Legs": LEGS[label], "coin": "heads" if (c + i) % 2 else "tails"}
                change(row, i)
                rows.append(row)
        if name.endswith(".parquet"):
            pyarrow = pytest.importorskip("pyarrow")
            from pyarrow import parquet

            parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / name)
        else:
            with (tmp_path / name).open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        return tmp_path / name

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Make:
    """Makes and opens a folder of class folders."""

    def make(name: str, look: int, classes: tuple[str, ...], files: str = "{}{}.png", count: int = 12) -> Any:
        for c, label in enumerate(classes):
            for i in range(count):
                image(tmp_path / name / label / files.format(label, i), look, c, i)
        return open_dataset(str(tmp_path / name), ImageInput(8))

    return make


# ------------------------------------------------------------------------------------------------ a column


@pytest.mark.parametrize("name", ["list.csv", "list.tsv", "list.parquet"])
def test_a_column_gives_labels_of_the_pool_alone(animals: Make, name: str) -> None:
    dataset = open_dataset(str(animals(name=name)), ImageInput(8))
    task = of_column(dataset, "legs")
    assert task is not None
    assert task.labels is not None
    assert task.class_names == ("four", "none")
    assert len(task.labels) == len(dataset.pool.ids) == 27
    names = [dataset.class_names[label] for label in dataset.pool.labels]
    assert [task.class_names[i] for i in task.labels] == [LEGS[name] for name in names]


def test_what_stands_beside_test_images_changes_nothing(animals: Make) -> None:
    def other_test(row: dict[str, str], i: int) -> None:
        if row["split"] == "test":
            row["Legs"] = f"secret {i}"

    plain = of_column(open_dataset(str(animals()), ImageInput(8)), "legs")
    other = of_column(open_dataset(str(animals(other_test)), ImageInput(8)), "legs")
    assert plain is not None
    assert other is not None
    assert other.class_names == plain.class_names
    assert other.fingerprint == plain.fingerprint
    np.testing.assert_array_equal(other.labels, plain.labels)


def test_another_label_in_the_pool_is_another_task(animals: Make) -> None:
    def change(row: dict[str, str], i: int) -> None:
        row["Legs"] = "none" if row["path"] == "dog7.png" else row["Legs"]

    plain = of_column(open_dataset(str(animals()), ImageInput(8)), "legs")
    assert plain is not None
    told = stamp([plain])
    cell = a_cell(companions={"auxiliary": told})
    dataset = open_dataset(str(animals(change)), ImageInput(8))
    other = of_column(dataset, "legs")
    assert other is not None
    assert other.fingerprint != plain.fingerprint
    with pytest.raises(RequestError, match="have changed"):
        reopened(told, dataset, "any", not_asked)
    assert a_cell(companions={"auxiliary": stamp([other])}).id != cell.id != a_cell().id


def test_rows_without_a_value_have_no_label(animals: Make) -> None:
    def gap(row: dict[str, str], i: int) -> None:
        row["Legs"] = " " if i == 5 else row["Legs"]

    dataset = open_dataset(str(animals(gap)), ImageInput(8))
    task = of_column(dataset, "legs")
    assert task is not None
    assert task.labels is not None
    unknown = [dataset.pool.ids[i] for i in np.flatnonzero(task.labels < 0)]
    assert unknown == ["cat5.png", "dog5.png", "eel5.png"]
    assert Auxiliaries({dataset.fingerprint: (task,)}).notes(dataset) == [
        "3 of 27 images of the pool of list have no legs: they count for their own label alone."
    ]


@pytest.mark.parametrize(
    ("value", "why"), [(lambda i: "same", "it has 1"), (lambda i: "", "none"), (None, "every one once")]
)
def test_a_column_that_is_no_label_is_refused(animals: Make, value: Any, why: str) -> None:
    def change(row: dict[str, str], i: int) -> None:
        row["Legs"] = row["path"] if value is None else value(i)

    with pytest.raises(RequestError, match=why):
        of_column(open_dataset(str(animals(change)), ImageInput(8)), "legs")


def test_a_column_that_there_is_not(animals: Make, folder: Make) -> None:
    dataset = open_dataset(str(animals()), ImageInput(8))
    for name in ("lags", "label", "split"):
        with pytest.raises(RequestError, match="further column"):
            opened([name], "", [dataset], "auto", not_asked)
    with pytest.raises(RequestError, match="Did you mean 'legs'"):
        opened(["lags"], "", [dataset], "auto", not_asked)
    with pytest.raises(RequestError, match="No dataset of this plan is a manifest"):
        opened(["legs"], "", [folder("photos", 2, CLASSES)], "auto", not_asked)


def test_of_several_datasets_one_needs_the_column(animals: Make, folder: Make) -> None:
    first, second = open_dataset(str(animals()), ImageInput(8)), folder("photos", 2, CLASSES)
    found = opened(["legs", "coin"], "", [first, second], "auto", not_asked)
    assert [task.name for task in found.tasks[first.fingerprint]] == ["legs", "coin"]
    assert found.tasks[second.fingerprint] == ()


# ----------------------------------------------------------------------------------------- a second dataset


def test_a_second_dataset_keeps_its_own_classes(animals: Make, folder: Make) -> None:
    target, other = open_dataset(str(animals()), ImageInput(8)), folder("birds", 3, ("owl", "jay"))
    task = of_dataset(other, target)
    assert task.class_names == ("jay", "owl")
    assert task.domain is not None
    assert task.domain.left_out == 0
    np.testing.assert_array_equal(task.domain.part.labels, other.pool.labels)


def test_no_group_of_a_test_image_is_in_the_second_dataset(animals: Make, folder: Make) -> None:
    target = open_dataset(str(animals()), ImageInput(8))
    # The very pixels of a test and of a pool image under other names; the other dataset has two classes.
    other_folder = Path(target.spec).parent / "more"
    for label, c in (("tame", 0), ("wild", 1)):
        for i in range(12):
            image(other_folder / label / f"x{c}-{i}.png", 1, c, i)
    task = of_dataset(open_dataset(str(other_folder), ImageInput(8)), target)
    domain = task.domain
    assert domain is not None
    hidden = {id.rpartition("/")[2] for id in (domain.part.ids[row] for row in domain.rows)}
    assert hidden
    assert not hidden & {f"x{c}-{i}.png" for c in (0, 1) for i in range(3)}
    assert domain.left_out > 0
    validating = np.flatnonzero([id == "cat7.png" for id in target.pool.ids])
    assert {domain.part.ids[row] for row in set(domain.rows) - set(domain.without(validating))} <= {
        "tame/x0-7.png"
    }
    assert Auxiliaries({target.fingerprint: (task,)}).notes(target)[0].startswith(f"{domain.left_out} of")


def test_files_of_one_name_are_one_group_there_too(folder: Make) -> None:
    target, other = folder("target", 1, CLASSES, "i{1}.png"), folder("other", 2, CLASSES, "i{1}.png")
    domain = of_dataset(other, target).domain
    assert domain is not None
    assert domain.grouping == "names"
    assert not {domain.part.ids[row] for row in domain.rows} & set(target.test.ids)
    assert of_dataset(other, target, "none").domain.left_out == 0  # type: ignore[union-attr]


def test_the_target_itself_is_no_second_dataset(folder: Make) -> None:
    target = folder("target", 1, CLASSES)
    with pytest.raises(RequestError, match="another dataset than the target"):
        of_dataset(target, target)


# ---------------------------------------------------------------------------------------------------- plans


def a_plan(**changes: Any) -> Any:
    return load_plan(
        {
            "backbones": ["MobileNet:alpha=0.25,weights=none"],
            "strategies": ["multi_task", "full_finetune"],
            "fractions": [1.0],
            "seeds": 1,
            "image_size": 32,
            **changes,
        }
    )


def not_asked(spec: str) -> Any:
    raise AssertionError(f"{spec} is not to be opened")


def a_cell(**changes: Any) -> Cell:
    fields: dict[str, Any] = dict.fromkeys(
        ("dataset", "dataset_name", "fingerprint", "modality", "backbone", "weights"), ""
    )
    fields |= {
        "strategy": "multi_task",
        "strategy_version": 1,
        "weights_sha256": "",
        "fraction": 1.0,
        "seed": 0,
        "examples": {"image_size": 8},
        "epochs": 1,
        "batch_size": 8,
        "threads": 1,
        "head": {},
        "tuning": {},
    }
    return Cell(**{**fields, **changes})  # fmt: skip


def test_a_cell_without_auxiliary_labels_is_what_it_was() -> None:
    assert not [key for key in a_cell().identity if key.startswith("auxiliary")]
    one = a_cell(companions={"auxiliary": {"columns": {"legs": "0" * 16}}})
    assert one.identity == a_cell().identity | {"auxiliary_columns": {"legs": "0" * 16}}
    other = a_cell(companions={"auxiliary": {"fingerprint": "0" * 16, "groups": "names"}})
    assert len({one.id, other.id, a_cell().id}) == 3


def test_a_plan_without_auxiliary_labels_is_what_it_was() -> None:
    plan = load_plan({"datasets": ["digits"]})
    assert "auxiliary" not in plan.to_toml()
    changed = load_plan({"datasets": ["digits"], "auxiliary": ["legs"]})
    assert changed.hash() != plan.hash()
    assert 'auxiliary = [\n    "legs",\n]' in changed.to_toml()


def test_strategies_side_by_side_learn_what_they_name(animals: Make) -> None:
    strategies = [
        "full_finetune",
        "multi_task",
        "multi_task:auxiliary=legs",
        "multi_task:auxiliary=coin,images=pool",
    ]
    prepared = prepare(a_plan(datasets=[str(animals())], auxiliary=["legs", "coin"], strategies=strategies))
    columns = {
        cell.strategy: list(cell.companions.get("auxiliary", {}).get("columns", {}))
        for cell in prepared.cells
    }
    assert columns == {
        "full_finetune": [],
        "multi_task": ["coin", "legs"],
        "multi_task:auxiliary=legs": ["legs"],
        "multi_task:auxiliary=coin,images=pool": ["coin"],
    }
    (tasks,) = prepared.companions["auxiliary"].tasks.values()
    for cell in prepared.cells[1:]:
        again = reopened(cell.companions["auxiliary"], prepared.datasets[0], "any", not_asked)
        assert {task.fingerprint for task in again} == set(cell.companions["auxiliary"]["columns"].values())
    assert [task.name for task in chosen(tasks, "all")] == ["legs", "coin"]
    assert not prepared.notes


def test_the_order_of_columns_in_a_plan_changes_no_cell(animals: Make) -> None:
    path = str(animals())
    found = [
        {
            cell.id: list(cell.companions.get("auxiliary", {}).get("columns", {}))
            for cell in prepare(a_plan(datasets=[path], auxiliary=order)).cells
        }
        for order in (["legs", "coin"], ["coin", "Legs"])
    ]
    assert found[0] == found[1]


def test_a_second_dataset_is_in_the_cell(animals: Make, folder: Make) -> None:
    other = folder("birds", 3, ("owl", "jay"))
    prepared = prepare(a_plan(datasets=[str(animals())], auxiliary_dataset=other.spec))
    plain, cell = sorted(prepared.cells, key=lambda cell: len(cell.companions))
    assert (plain.strategy, plain.companions) == ("full_finetune", {})
    assert cell.companions["auxiliary"]["name"] == "birds"
    assert cell.companions["auxiliary"]["groups"] == "groups"
    decoded = open_dataset(other.spec, ImageInput(32))
    assert cell.companions["auxiliary"]["fingerprint"] == decoded.fingerprint
    (task,) = reopened(cell.companions["auxiliary"], prepared.datasets[0], "any", lambda spec: decoded)
    assert task.fingerprint == decoded.fingerprint


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"auxiliary": ["legs"], "strategies": ["full_finetune"]}, "These use it: multi_task"),
        ({"auxiliary_dataset": "digits", "strategies": ["majority"]}, "These use it: multi_task"),
        ({"auxiliary_groups": "names"}, "left out without an auxiliary_dataset"),
        ({"auxiliary": ["legs", "legs"]}, "without repetition"),
        ({"auxiliary": ["legs"], "strategies": ["multi_task:auxiliary=lags"]}, "Did you mean 'legs'"),
        ({"strategies": ["multi_task:auxiliary=legs"]}, "auxiliary as one of all"),
    ],
)
def test_requests_that_cannot_be_met(animals: Make, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(RequestError, match=why):
        prepare(a_plan(datasets=[str(animals())], **changes))


def test_what_the_report_will_lack_is_said_before(animals: Make) -> None:
    strategies = ["multi_task:learning_rate=0.003", "full_finetune"]
    prepared = prepare(a_plan(datasets=[str(animals())], auxiliary=["legs"], strategies=strategies))
    assert prepared.notes == (
        "Without full_finetune:learning_rate=0.003 beside it, the report cannot say what auxiliary labels brought "
        "to multi_task:learning_rate=0.003.",
    )


def test_weights_that_can_be_given() -> None:
    assert get_strategy("multi_task:auxiliary_weight=learned").fixed == {"auxiliary_weight": "learned"}
    assert get_strategy("multi_task:auxiliary_weight=0.7").fixed == {"auxiliary_weight": "0.7"}
    for wrong in ("auxiliary_weight=often", "auxiliary_weight=-1", "auxiliary_weight=nan", "images=some"):
        with pytest.raises(RequestError):
            get_strategy(f"multi_task:{wrong}")
