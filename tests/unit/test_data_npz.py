"""Arrays of an .npz: all that look like data are used or named, and other packages' names are understood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.datasets import Dataset, open_dataset
from bench.errors import RequestError
from bench.modalities.findings import Finding
from bench.modalities.image.input import ImageInput

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (20, 6, 5), np.uint8)
COLOURS = RNG.integers(0, 256, (20, 6, 5, 3), np.uint8)
Y = np.arange(20) % 2


def opened(path: Path, **arrays: Any) -> Dataset:
    np.savez(path / "data.npz", **arrays)
    return open_dataset(str(path / "data.npz"), ImageInput(8))


def unused(dataset: Dataset) -> Finding:
    (finding,) = [f for f in dataset.findings if f.kind == "unused_arrays"]
    return finding


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev"])
def test_a_validation_part_belongs_to_the_pool(tmp_path: Path, name: str) -> None:
    parts = {f"x_{name}": X[:6], f"y_{name}": Y[:6], "x_test": X[:4], "y_test": Y[:4]}
    dataset = opened(tmp_path, x_train=X, y_train=Y, **parts)
    assert len(dataset.pool.ids) == 26
    assert dataset.pool.ids[20:] == tuple(f"val/{i:05d}" for i in range(6))
    assert dataset.test.ids == tuple(f"test/{i:05d}" for i in range(4))
    assert dataset.pool.labels[20:].tolist() == Y[:6].tolist()
    assert not [f for f in dataset.findings if f.kind == "unused_arrays"]
    without_test = opened(tmp_path, x=X, y=Y, **{f"x_{name}": X[:6], f"y_{name}": Y[:6]})
    assert len(without_test.pool.ids) + len(without_test.test.ids) == 26


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("X", "y"), ("images", "labels"), ("image", "label"), ("data", "target"), ("data", "labels"),
        ("x", "targets"),
        ("X_train", "Y_train"), ("train_images", "train_labels"), ("images_train", "labels_train"),
        ("trainImages", "trainLabels"), ("xtrain", "ytrain"), ("train_x", "train_y"),
        ("train-data", "train-labels"),
        ("arr_0", "arr_1"), ("arr_1", "arr_0"),
    ],
)  # fmt: skip
def test_names_of_other_packages(tmp_path: Path, images: str, labels: str) -> None:
    ours = opened(tmp_path, x=X, y=Y)
    dataset = opened(tmp_path, **{images: X, labels: Y})
    assert dataset.fingerprint == ours.fingerprint
    assert not [f for f in dataset.findings if f.kind == "unused_arrays"]


def test_medmnist(tmp_path: Path) -> None:
    parts = {"train": slice(0, 12), "val": slice(12, 16), "test": slice(16, 20)}
    arrays = {f"{part}_images": COLOURS[rows] for part, rows in parts.items()}
    dataset = opened(
        tmp_path, **arrays, **{f"{part}_labels": Y[rows][:, None] for part, rows in parts.items()}
    )
    assert (len(dataset.pool.ids), len(dataset.test.ids)) == (16, 4)


def test_float_labels_and_class_names(tmp_path: Path) -> None:
    dataset = opened(tmp_path, x=X, y=Y.astype(float)[:, None], class_names=["cat", "dog"])
    assert dataset.class_names == ("cat", "dog")
    assert not [f for f in dataset.findings if f.kind == "unused_arrays"]


def test_class_names_as_bytes(tmp_path: Path) -> None:
    assert opened(tmp_path, x=X, y=Y, class_names=[b"cat", b"dog"]).class_names == ("cat", "dog")


@pytest.mark.parametrize(("y", "names"), [(Y + 1, ["a", "b"]), (Y, ["a"]), (Y - 1, ["a", "b"])])
def test_class_names_that_do_not_fit_are_named(tmp_path: Path, y: np.ndarray, names: list[str]) -> None:
    dataset = opened(tmp_path, x=X, y=y, class_names=names)
    [text] = [f.text for f in dataset.findings if f.kind == "unused_class_names"]
    assert f"labels are {y.min()} to {y.max()}" in text


@pytest.mark.parametrize("name", ["holdout", "eval", "test", "tst"])
def test_words_of_a_test_part(tmp_path: Path, name: str) -> None:
    dataset = opened(
        tmp_path, **{"x_train": X[:12], "y_train": Y[:12], f"x_{name}": X[12:], f"y_{name}": Y[12:]}
    )
    assert (len(dataset.pool.ids), len(dataset.test.ids)) == (12, 8)


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("x_unlabelled", X, "join them"), ("extra", COLOURS, "join them"), ("X", X, "join them"),
        ("labels", Y, "join them"), ("groups", Y, "column group"), ("groups_train", Y, "column group"),
        ("patient_id", Y, "column group"), ("train_idx", Y, "x_train, x_val and x_test"),
        ("folds", Y, "x_train, x_val"),
    ],
)  # fmt: skip
def test_arrays_that_look_like_data_and_are_not_used_touch_validity(
    tmp_path: Path, name: str, array: np.ndarray, says: str
) -> None:
    finding = unused(opened(tmp_path, x=X, y=Y, **{name: array}))
    assert finding.level == "validity"
    assert name in finding.text
    assert says in str(finding)


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("label_names", ["a", "b"], "mean class_names"),
        ("mean", 3.5, "(1,)"),
        ("ids", np.arange(20), "(20,)"),
    ],
)
def test_other_arrays_are_named(tmp_path: Path, name: str, array: Any, says: str) -> None:
    finding = unused(opened(tmp_path, x=X, y=Y, **{name: array}))
    assert (finding.level, name in finding.text, says in str(finding)) == ("note", True, True)


def test_pickled_arrays_beside_the_data_are_named_and_never_read(tmp_path: Path) -> None:
    assert "notes" in unused(opened(tmp_path, x=X, y=Y, notes=np.array([{}, None], object))).text


def test_images_that_stand_there_twice_are_used_once(tmp_path: Path) -> None:
    dataset = opened(tmp_path, x=X, y=Y, x_train=X[:12], y_train=Y[:12], x_test=X[12:], y_test=Y[12:])
    assert (len(dataset.pool.ids), len(dataset.test.ids)) == (12, 8)
    assert unused(dataset).text.endswith("x, y.")


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": COLOURS.transpose(0, 3, 1, 2), "y": Y}, "x.transpose(0, 2, 3, 1)"),
        ({"x": X[:, None], "y": Y}, "x[:, 0]"),
        ({"x": COLOURS.transpose(1, 2, 3, 0), "y": Y}, "x.transpose(3, 0, 1, 2)"),
        ({"x": X.transpose(1, 2, 0), "y": Y}, "np.moveaxis(x, -1, 0)"),
        ({"x": COLOURS[..., :2], "y": Y}, "x[..., 0]"),
        ({"x": np.repeat(COLOURS, 2, axis=-1), "y": Y}, "x[..., :3]"),
        ({"x": np.zeros((20, 784)), "y": Y}, "x.reshape(-1, 28, 28)"),
        ({"x": np.zeros((20, 3072)), "y": Y}, "x.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)"),
        ({"x": np.zeros((20, 17)), "y": Y}, "It is (20, 17)"),
        ({"x": X, "y": np.eye(2)[Y]}, "y.argmax(axis=1)"),
        ({"x": X, "y": np.ones((20, 3), int)}, "y[:, 0]"),
        ({"x": X, "y": Y, "x_val": X}, "both x_val and y_val"),
        ({"X": X, "images": X, "y": Y}, "X and images could both be meant"),
        ({"pixels": X, "kind": Y}, 'x=old["pixels"], y=old["kind"]'),
        ({"arr_0": X, "arr_1": X, "arr_2": Y, "arr_3": Y}, 'x=old["arr_0"], y=old["arr_1"]'),
        ({"train_images": X, "test_images": X, "test_labels": Y}, "both x_train and y_train"),
    ],
)
def test_what_is_refused_has_a_line_to_type(tmp_path: Path, arrays: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError) as info:
        opened(tmp_path, **arrays)
    assert says in str(info.value)
