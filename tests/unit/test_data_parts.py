"""Words for parts, and folders that are parts, classes, or neither: understood or refused, never misread."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.datasets.parts import is_fold, is_plain, part_of
from tests.unit.data_samples import opened, refusal, told, tree


@pytest.fixture(autouse=True)
def cache(fresh_cache: Path) -> Path:
    return fresh_cache


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (
            "train",
            "Training|train_set|seg_train|train2017|images_train|TrainData|trainset|TRAIN|train-0|trn|tr|train_val",
        ),
        ("validation", "val|Valid|validation|xray-val|dev|VALIDATION SET|val2017|valset|chest_valid"),
        (
            "test",
            "Test Set|images_test|TestData|testset|Testing|1_test|holdout|hold-out|held_out|eval|evaluation|tst|te",
        ),
        (
            None,
            "cats|invalid|protest|contest|latest|development|testimony|trainers|valley|test_train|0|other|t|",
        ),
    ],
)
def test_words(part: str | None, names: str) -> None:
    assert {name: part_of(name) for name in names.split("|")} == dict.fromkeys(names.split("|"), part)


def test_plain_names_say_nothing_but_the_part() -> None:
    assert all(map(is_plain, ("test", "Test Set", "train2017", "images_test", "TrainData")))
    assert not any(map(is_plain, ("test_tube", "train_station", "seg_test", "cats")))
    assert all(map(is_fold, ("fold1", "Fold 3", "split_2", "cv-1", "3 fold", "kfold0")))
    assert not any(map(is_fold, ("folder", "1", "class1", "blindfold", "unfold2")))


UNDERSTOOD = {
    # folders: (classes, pool, test)
    "Training/a Training/b Testing/a*3 Testing/b*3": ("ab", 12, 6),
    "training/a training/b hold-out/a*3 hold-out/b*3": ("ab", 12, 6),
    "train2017/a train2017/b val2017/a val2017/b test2017/a*3": ("ab", 24, 3),
    "TrainData/a TrainData/b TestData/a*3 TestData/b*3": ("ab", 12, 6),
    "trainset/a trainset/b testset/a*3 testset/b*3": ("ab", 12, 6),
    "xray-train/a xray-train/b xray-val/a xray-val/b xray-test/a*3": ("ab", 24, 3),
    "seg_train/seg_train/a seg_train/seg_train/b seg_test/seg_test/a*3 seg_test/seg_test/b*3": ("ab", 12, 6),
    "train/images/a train/images/b test/images/a*3": ("ab", 12, 3),
    "train/a/x train/b/x test/a/x*3": ("ab", 12, 3),  # one class in the test part, with a folder in it
    "train/a train/b dev/a dev/b eval/a*3": ("ab", 24, 3),
    "train/a train/b evaluation/a*3": ("ab", 12, 3),
    "train/a train/b eval/a eval/b test/a*3": ("ab", 24, 3),
    "a/train a/test*3 b/train b/test*3": ("ab", 12, 6),
    "valid invalid test": (("invalid", "test", "valid"), 14, 4),
    "test control": (("control", "test"), 10, 2),
    "train bus car": (("bus", "car", "train"), 14, 4),
    "test_tube train_station apple": (("apple", "test_tube", "train_station"), 14, 4),
    "test_tube/x train_station/y apple/z": (("apple", "test_tube", "train_station"), 14, 4),
    "test_positive test_negative": (("test_negative", "test_positive"), 10, 2),
    "a/x a/y b": ("ab", 14, 4),
    "train_station/x airport/y harbour/z": (("airport", "harbour", "train_station"), 14, 4),
}


@pytest.mark.parametrize("folders", UNDERSTOOD)
def test_what_is_understood(tmp_path: Path, folders: str) -> None:
    classes, pool, test = UNDERSTOOD[folders]
    dataset = opened(tree(tmp_path / "data", folders))
    assert (dataset.class_names, len(dataset.pool.ids), len(dataset.test.ids)) == (tuple(classes), pool, test)


REFUSED = {
    "archive/train/a archive/train/b archive/test/a archive/test/b": ["Give the folder within", "/archive"],
    "x/images/a x/images/b": ["Give the folder within", "/x/images"],
    "labelled/a labelled/b unlabelled": ["Give the folder within", "/labelled"],
    "d/train/a d/train/b": ["Give the folder within", "/d"],
    "train test": ["hold images directly", "manifest"],
    "train test extra": ["hold images directly"],
    "test": ["test/ holds images directly"],
    "train/train test1/test1": ["nothing says their classes"],
    "train/images val/images": ["nothing says their classes"],
    "images masks": ["nothing says their classes"],
    "images/a images/b masks/a masks/b": ["nothing says their classes"],
    "images_001 images_002": ["pieces of one dataset"],
    "fold1/a fold1/b fold2/a fold2/b": ["pieces of one dataset"],
    "Testing/a Testing/b holdout/a holdout/b": [
        "a folder train/ of class folders beside Testing/ and holdout/"
    ],
    "development/a development/b evaluation/a evaluation/b": ["development/ may be it", "Call it train/"],
    "a b test/a test/b": ["Move the other folders into train/"],
    "a b test": ["test/ may be either"],
    "a b val": ["val/ may be either"],
    "a/train a/test b": ["a/ has some, b/ not", "train/a/"],
    "a/train a/test b/train b/test b/other": ["b/other/"],
    "a/2019/train a/2019/test b/x": ["a/2019 holds test/ and train/", "train/a/"],
    "train/a/train train/a/test train/b": ["train/a holds test/ and train/"],
    "d1/train/a d1/train/b d1/test/a d2/train/a d2/test/a": [
        "Parts of class folders are in d1/ and d2/",
        "/d1",
    ],
    "archive/train/a archive/train/b archive/test/a other/x": [
        "Parts of class folders are in archive/",
        "/archive",
    ],
    "train/steam train/electric bus/x car/y": ["train/ may be either"],
    "no yes brain/no brain/yes": ["Both brain/ and what lies beside it hold no/ and yes/", "/brain"],
    "train/a train/b train/small/a train/small/b": [
        "Both train/small/ and what lies beside it hold a/ and b/"
    ],
    "train_station/x airport/y": ["train_station/ may be either"],
    "a": ["There is one, 'a'"],
}


@pytest.mark.parametrize("folders", REFUSED)
def test_what_is_refused(tmp_path: Path, folders: str) -> None:
    said = refusal(tree(tmp_path / "data", folders))
    for words in REFUSED[folders]:
        assert words in said


def test_what_lies_beside_parts_is_named(tmp_path: Path) -> None:
    for folders, why in {
        "train/a train/b test": "6 in test/, but in no class folder there",
        "train/a train/b test/a*3 pred": "6 in pred/, which is no part by its name",
        "train/a train/b test/a*3 train": "6 in train/, but in no class folder there",
        "train/a train/b extra/a extra/b*3": "9 in extra/, which is no part by its name",
        "train/a train/b train/unlabelled": "6 without a label by the name of its folder",
    }.items():
        level, text = told(tree(tmp_path / str(len(folders)) / why[:9], folders))["loose_images"]
        assert level == "validity"
        assert why in text


def test_a_few_loose_images_among_many_are_a_note(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", "a*60 b*60")
    tree(root, ".*1")
    assert told(root)["loose_images"][0] == "note"


def test_class_folders_with_the_same_folders(tmp_path: Path) -> None:
    level, text = told(tree(tmp_path / "domains", "amazon/bike amazon/mug webcam/bike webcam/mug"))[
        "folders_alike"
    ]
    assert level == "validity"
    assert "bike, mug" in text
    assert str(tmp_path / "domains/amazon") in text
    numbered = tree(
        tmp_path / "alphabets", "greek/character01 greek/character02 latin/character01 latin/character02"
    )
    assert "folders_alike" not in told(numbered)
    assert "folders_alike" not in told(tree(tmp_path / "plain", "cats/old cats/young dogs"))


def test_parts_that_are_less_plain_are_told(tmp_path: Path) -> None:
    assert "parts_by_name" in told(tree(tmp_path / "x", "seg_train/a seg_train/b seg_test/a"))
    assert "parts_by_name" in told(tree(tmp_path / "y", "train/a train/b test/a holdout/b"))
    assert "parts_by_name" not in told(tree(tmp_path / "z", "Training/a Training/b Testing/a Testing/b"))
    assert "parts_below" in told(tree(tmp_path / "w", "a/train a/test b/train b/test"))
    assert "train/" in told(tree(tmp_path / "v", "train bus"))["classes_like_parts"][1]


@pytest.mark.parametrize(
    "folders",
    [
        "train/n01/images train/n02/images val/images test/images",
        "alphabet_train/alphabet_train/n01 alphabet_train/alphabet_train/n02 alphabet_test/alphabet_test*12",
        "train/n01 train/n02 test/images test/masks",
        "train/data/n01 train/data/n02 test/data*12",
    ],
)
def test_a_part_without_classes_makes_none_of_its_own(tmp_path: Path, folders: str) -> None:
    found = told(tree(tmp_path / "data", folders))
    level, text = found["loose_images"]
    assert level == "validity"
    assert "12 of 24 images not used" in text
    assert "but in no class folder there" in text
    assert opened(tmp_path / "data").class_names == ("n01", "n02")


def test_the_names_of_containers_may_be_classes(tmp_path: Path) -> None:
    dataset = opened(tree(tmp_path / "data", "train/mask train/no_mask test/mask*3"))
    assert (dataset.class_names, len(dataset.test.ids)) == (("mask", "no_mask"), 3)


@pytest.mark.parametrize(
    ("names", "alike"),
    [("01_palm 02_fist 03_thumb", True), ("left right", True), ("1 2 3", False), ("s1 s2 s3", False)],
)
def test_names_that_repeat_in_each_folder(tmp_path: Path, names: str, alike: bool) -> None:
    folders = " ".join(f"{person}/{name}" for person in ("anna", "ben") for name in names.split())
    assert ("folders_alike" in told(tree(tmp_path / "data", folders))) == alike


def test_folders_below_classes_may_be_the_classes(tmp_path: Path) -> None:
    level, text = told(tree(tmp_path / "data", "lung/benign lung/cancer colon/polyp colon/normal"))[
        "folders_below_classes"
    ]
    assert level == "note"
    assert "colon/ holds normal/ and polyp/" in text
    assert "folders_below_classes" not in told(tree(tmp_path / "films", "a/v1 a/v2 b/v3 b/v4"))
    assert "folders_below_classes" not in told(tree(tmp_path / "some", "a/x a/y b"))
