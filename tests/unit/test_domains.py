"""Source and target: classes by name, and nothing of the target's test or validation images in the source."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.datasets import open_dataset
from bench.datasets.companions.source import SourceCompanion, SourceDomain, pair
from bench.errors import RequestError
from bench.modalities.image.input import ImageInput
from bench.plans.loading import load_plan
from bench.runs.prepare import prepare

CLASSES = ("cat", "dog", "eel")
Make = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Make:
    """Makes and opens a folder of class folders; the images of another ``look`` have other pixels."""

    def make(
        name: str,
        look: int,
        files: str = "image{}.png",
        classes: tuple[str, ...] = CLASSES,
        count: int = 15,
        opened: bool = True,
    ) -> Any:
        for c, of in enumerate(classes):
            for i in range(count):
                path = tmp_path / name / of / files.format(i)
                path.parent.mkdir(parents=True, exist_ok=True)
                rng = np.random.default_rng([look, c, i])
                Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).save(path)
        return open_dataset(str(tmp_path / name), ImageInput(8)) if opened else None

    return make


@pytest.fixture
def manifest(tmp_path: Path) -> Make:
    """Makes and opens a manifest of images, each with a group; images of one group look different."""

    def make(name: str, look: int, group: Callable[[int, int], str], count: int = 16) -> Any:
        root = tmp_path / name
        root.mkdir()
        with (root / "list.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", "group"])
            for c, of in enumerate(CLASSES):
                for i in range(count):
                    rng = np.random.default_rng([look, c, i])
                    path = f"{name}{c}-{i}.png"
                    Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).save(root / path)
                    writer.writerow([path, of, group(c, i)])
        return open_dataset(str(root / "list.csv"), ImageInput(8))

    return make


def names(ids: Any) -> set[str]:
    return {id.rpartition(".")[0] for id in ids}


def used(domain: SourceDomain) -> set[str]:
    return names(domain.part.ids[row] for row in domain.rows)


def test_files_of_one_name_are_one_group(folder: Make) -> None:
    source, target = folder("source", 1), folder("target", 2)
    domain = pair(source, target)
    assert domain.grouping == "names"
    assert not used(domain) & names(target.test.ids)
    assert used(domain) == names(source.pool.ids) - names(target.test.ids)
    assert domain.left_out == len(names(source.pool.ids) & names(target.test.ids)) > 0
    said = " ".join(SourceCompanion(source, {target.fingerprint: domain}, False, bool).notes(target))
    assert "source_groups" in said
    assert f"{domain.left_out} of {len(source.pool.ids)} images of the source source" in said


def test_what_shares_a_group_with_validation_images_is_left_out_of_a_search(folder: Make) -> None:
    source, target = folder("source", 1), folder("target", 2)
    domain = pair(source, target)
    validation = np.arange(0, len(target.pool.ids), 5)
    left = names(source.pool.ids[row] for row in domain.without(validation))
    assert left == used(domain) - names(target.pool.ids[row] for row in validation)
    assert len(left) < len(used(domain))


def test_names_can_be_told_to_mean_nothing_or_something(folder: Make) -> None:
    source, target = folder("source", 1), folder("target", 2)
    assert pair(source, target, "none").left_out == 0
    other = folder("other", 3, "picture{}.png")
    assert pair(other, target).grouping == "groups"
    assert pair(other, target).left_out == 0
    few = folder("few", 4, count=60)  # a quarter of its names are names of the target
    assert pair(few, target).grouping == "groups"
    assert pair(few, target, "names").left_out > 0


def test_a_split_folder_and_the_ending_are_no_part_of_a_name(tmp_path: Path, folder: Make) -> None:
    source = folder("source", 1, files="image{}.bmp")
    folder("split/train", 2, opened=False)
    folder("split/test", 5, files="test{}.png", count=2, opened=False)
    target = open_dataset(str(tmp_path / "split"), ImageInput(8))
    domain = pair(source, target)
    assert domain.grouping == "names"
    assert len(domain.without(np.arange(len(target.pool.ids)))) == 0
    assert domain.left_out == 0


def test_identical_pixels_are_one_group_whatever_their_names(folder: Make) -> None:
    source, target = folder("source", 2, "copy{}.png"), folder("target", 2)
    domain = pair(source, target, "none")
    tests = {target.test.data[i].tobytes() for i in range(len(target.test.ids))}
    assert domain.left_out > 0
    assert not any(domain.part.data[row].tobytes() in tests for row in domain.rows)


def test_groups_of_the_user_s_count_across_datasets_by_their_text(manifest: Make) -> None:
    source = manifest("s", 1, lambda c, i: f"person {i // 2}")
    target = manifest("t", 2, lambda c, i: f"person {i // 2}")
    domain = pair(source, target)
    assert domain.grouping == "groups"
    assert target.test.group_names is not None
    assert source.pool.group_names is not None
    tested = set(target.test.group_names)
    learned = {source.pool.group_names[row] for row in domain.rows}
    assert tested
    assert learned
    assert not tested & learned
    assert domain.left_out == sum(group in tested for group in source.pool.group_names)


def test_rows_without_a_group_stand_alone(manifest: Make) -> None:
    source = manifest("s", 1, lambda c, i: "" if i else "first")
    target = manifest("t", 2, lambda c, i: "" if i else "first")
    assert pair(source, target).left_out <= 3
    assert source.pool.group_names is not None
    assert "" in source.pool.group_names


def test_groups_lead_on_to_identical_images(manifest: Make, tmp_path: Path) -> None:
    # A source image's group is left out for one of its images that is a test image of the target.
    target = manifest("t", 2, lambda c, i: "")
    source = manifest("s", 2, lambda c, i: f"pair {c} {i // 2}")
    domain = pair(source, target)
    tests = {target.test.data[i].tobytes() for i in range(len(target.test.ids))}
    assert source.pool.group_names is not None
    same = [source.pool.data[i].tobytes() in tests for i in range(len(source.pool.ids))]
    groups = {group for group, hit in zip(source.pool.group_names, same, strict=True) if hit}
    assert groups
    assert not groups & {source.pool.group_names[row] for row in domain.rows}


def test_classes_are_matched_by_name_and_not_by_number(folder: Make, tmp_path: Path) -> None:
    target = folder("target", 2, classes=("10", "2", "3"))
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (30, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "source.npz", x=x, y=np.repeat([2, 3, 10], 10))
    source = open_dataset(str(tmp_path / "source.npz"), ImageInput(8))
    assert source.class_names != target.class_names  # by number, and by the alphabet
    domain = pair(source, target)
    for row, label in enumerate(domain.part.labels):
        assert target.class_names[label] == source.class_names[source.pool.labels[row]]


def test_other_classes_are_named(folder: Make) -> None:
    source, target = folder("source", 1, classes=("cat", "dog", "fox")), folder("target", 2)
    with pytest.raises(
        RequestError, match=r"same class names as target.*lacks 'eel'.*has 'fox' besides"
    ) as error:
        pair(source, target)
    assert error.value.exit_code == 2


def test_the_target_is_no_source_of_itself(folder: Make) -> None:
    target = folder("target", 2)
    with pytest.raises(RequestError, match="another dataset than the target"):
        pair(target, target)


def test_a_class_of_which_nothing_is_left_is_named(folder: Make, tmp_path: Path) -> None:
    folder("target/train", 2, "train{}.png", opened=False)
    folder("target/test", 3, opened=False)
    target = open_dataset(str(tmp_path / "target"), ImageInput(8))
    with pytest.raises(RequestError, match="at least two images of every class"):
        pair(folder("source", 1), target)


def test_what_is_held_out_of_the_source_is_held_out_by_groups(folder: Make) -> None:
    domain = pair(folder("source", 1), folder("target", 2))
    train, val = domain.divided(0)
    assert set(train) | set(val) == set(domain.rows.tolist())
    assert not set(domain.groups[train]) & set(domain.groups[val])
    assert set(domain.part.labels[val]) == set(domain.part.labels[train]) == {0, 1, 2}
    assert len(val) == pytest.approx(0.2 * len(domain.rows), abs=2)
    assert not np.array_equal(domain.divided(1)[1], val)


# ------------------------------------------------------------------------------------------------ in plans


@pytest.fixture
def plan(folder: Make, tmp_path: Path) -> Make:
    """A plan on two folders with the same names."""
    folder("source", 1)
    folder("target", 2)

    def make(**changes: Any) -> Any:
        content = {
            "datasets": [str(tmp_path / "target")],
            "backbones": ["MobileNet:alpha=0.25,weights=none"],
            "source_dataset": str(tmp_path / "source"),
            "strategies": ["source_only", "full_finetune"],
            "fractions": [0.5, 1.0],
            "image_size": 32,
            "seeds": 1,
        }
        return load_plan({**content, **changes})

    return make


def test_only_what_uses_a_source_depends_on_it(plan: Make) -> None:
    prepared = prepare(plan())
    of = {cell.strategy: cell for cell in prepared.cells}
    assert of["source_only"].companions["source"]["name"] == "source"
    assert of["source_only"].companions["source"]["groups"] == "names"
    assert of["full_finetune"].companions == {}
    without = prepare(plan(source_dataset=""))
    ids = {(c.strategy, c.fraction): c.id for c in without.cells}
    for cell in prepared.cells:
        same = ids[cell.strategy, cell.fraction] == cell.id
        assert same == (cell.strategy == "full_finetune")
    assert any("names of the target" in note for note in prepared.notes)
    (source,) = prepared.companions["source"].datasets()
    assert prepared.sizes[source.fingerprint] == len(source.pool.ids)


def test_what_counts_as_one_group_is_part_of_a_cell(plan: Make) -> None:
    auto, names, none = (
        next(c for c in prepare(plan(source_groups=kind)).cells if c.strategy == "source_only")
        for kind in ("auto", "names", "none")
    )
    assert auto.id == names.id != none.id


def test_no_labels_at_all(plan: Make) -> None:
    able = ["source_only", "adabn", "deep_coral", "mmd", "dann", "cycle_gan"]
    cells = prepare(plan(fractions=[0, 1], strategies=able)).cells
    assert {cell.fraction for cell in cells} == {0.0, 1.0}
    with pytest.raises(RequestError, match=r"These need labels: full_finetune, source_then_target") as error:
        prepare(plan(fractions=[0, 1], strategies=[*able, "full_finetune", "source_then_target"]))
    assert error.value.exit_code == 2
    assert error.value.field == "fractions"


def test_what_adapting_is_compared_with_is_said_where_it_is_missing(plan: Make) -> None:
    def missing(fractions: list[float], *strategies: str) -> list[str]:
        notes = prepare(plan(fractions=fractions, strategies=list(strategies))).notes
        return [note for note in notes if note.startswith("Without ")]

    assert missing([0], "source_only", "dann", "adabn") == []
    assert missing([0], "dann", "adabn") == [
        "Without source_only beside it, the report cannot say what adapting with no label of the target brought to "
        "dann, adabn."
    ]
    (note,) = missing([0.5, 1.0], "source_only", "dann:align_weight=1", "adabn", "source_then_target")
    assert note.startswith("Without source_and_target beside it")
    assert note.endswith("with some labels of the target brought to dann:align_weight=1.0.")
    assert missing([0.5], "source_only", "source_and_target", "dann", "adabn") == []


def test_a_source_that_nothing_uses_is_refused(plan: Make) -> None:
    with pytest.raises(RequestError, match=r"These use it: source_only, .*dann"):
        prepare(plan(strategies=["scratch", "majority"]))


def test_a_source_that_is_no_dataset_is_refused(plan: Make) -> None:
    with pytest.raises(RequestError, match="existing folder"):
        prepare(plan(source_dataset="/nowhere/at/all"))
