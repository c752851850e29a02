"""A second kind of example goes from a file to a dataset and a network's inputs, and no file of ours changes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numbers_modality.adapter import Table
from numbers_modality.modality import WIDTH, Numbers, NumbersInput

from bench.datasets import cached_dataset, known_datasets, open_dataset, specs
from bench.datasets.entry import full_findings
from bench.errors import RequestError
from bench.modalities import registry
from bench.modalities.image.input import ImageInput
from bench.modalities.registry import MODALITIES, input_of, modality


@pytest.fixture(autouse=True)
def numbers(monkeypatch: pytest.MonkeyPatch, fresh_cache: Path) -> Iterator[None]:
    """A second modality, and where its examples come from."""
    monkeypatch.setitem(MODALITIES, "numbers", "numbers_modality")
    monkeypatch.setattr(specs, "ADAPTERS", (*specs.ADAPTERS, Table))
    yield
    registry.modality.cache_clear()


def table(path: Path, *more: Sequence[object], count: int = 20) -> Path:
    """``count`` different lines of each of two classes, and some more."""
    lines = [
        [name, *(100 * c + i + k / 8 for k in range(WIDTH))]
        for c, name in enumerate("ab")
        for i in range(count)
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([*lines, *more])
    return path


def test_rows_are_read_and_divided(tmp_path: Path) -> None:
    path, told = table(tmp_path / "t.numbers"), []
    dataset = open_dataset(str(path), NumbersInput(2.0), progress=told.append)
    assert (dataset.name, dataset.modality, dataset.class_names) == ("t", "numbers", ("a", "b"))
    assert (len(dataset.pool.ids), len(dataset.test.ids)) == (32, 8)
    for part in (dataset.pool, dataset.test):
        assert (part.data.dtype, part.data.shape) == (np.float32, (len(part.ids), WIDTH))
        assert np.bincount(part.labels).tolist() == [len(part.ids) // 2] * 2
        lines = np.array([int(id.removeprefix("line ")) for id in part.ids])
        first = 100 * (lines >= 20) + lines % 20
        np.testing.assert_array_equal(part.data, 2 * (first[:, None] + np.arange(WIDTH) / 8))
    assert told == ["t: listing the rows", "t: looking for duplicates"]
    assert dataset.traits == {}
    assert dataset.findings == ()
    assert "FILE.numbers" in dict(known_datasets())


@pytest.mark.parametrize(("size", "enough", "better"), [(32, 64, 96), (48, 64, 96), (75, 128, 192)])
def test_images_that_are_too_small_are_told_with_what_to_type(size: int, enough: int, better: int) -> None:
    assert modality("image").small_maps(["MobileNet", "VGG16"], size) == [
        f"MobileNet, VGG16: at {size} px, the last feature map is only 1 x 1. That can halve the accuracy of "
        f"pretrained features. Try --image-size {enough}. Often {better} is better still."
    ]
    assert modality("numbers").small_maps([], size) == []
    assert modality("numbers").small_maps(["NumbersNet"], size) == []


def test_what_is_cached_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(table(tmp_path / "t.numbers"))
    assert cached_dataset(path, NumbersInput()) is None
    first = open_dataset(path, NumbersInput())
    monkeypatch.setattr(Numbers, "read", None)
    again = open_dataset(path, NumbersInput())
    assert again.entry == first.entry
    np.testing.assert_array_equal(again.pool.data, first.pool.data)
    assert cached_dataset(path, NumbersInput()) is not None
    assert cached_dataset(path, NumbersInput(2.0)) is None
    monkeypatch.setattr(Numbers, "version", 2)
    assert cached_dataset(path, NumbersInput()) is None


def test_the_fingerprint_does_not_depend_on_the_input(tmp_path: Path) -> None:
    path = str(table(tmp_path / "t.numbers"))
    first, second = (open_dataset(path, NumbersInput(scale)) for scale in (1.0, 2.0))
    assert first.fingerprint == second.fingerprint
    assert first.test.ids == second.test.ids


def test_identical_rows_stay_together(tmp_path: Path) -> None:
    copies = [["a", 0.0, 0.125, 0.25, 0.375]] * 4
    dataset = open_dataset(str(table(tmp_path / "t.numbers", *copies)), NumbersInput())
    same = {"line 0", *(f"line {i}" for i in range(40, 44))}
    assert any(same <= set(part.ids) for part in (dataset.pool, dataset.test))
    (found,) = dataset.findings
    assert (
        found.text
        == "4 rows with the same numbers as another of the same class, kept on one side of every split."
    )


def test_the_audit_speaks_of_rows(tmp_path: Path) -> None:
    more = [["a", "x", 1, 2, 3], ["b", 0.0, 0.125, 0.25, 0.375], ["b", 5000, 1, 2, 3]]
    dataset = open_dataset(str(table(tmp_path / "t.numbers", *more)), NumbersInput())
    found, summary = full_findings(dataset)
    assert [finding.text for finding in found] == [
        "1 row under different labels, in 2 identical rows.",
        "1 of 43 rows not readable and left out: 1 not a number.",
        "1 rows with large numbers.",
    ]
    assert dataset.left_out == (("line 40", "not a number"),)
    assert summary == {"largest": 5000.0}
    assert "image" not in json.dumps([finding.text for finding in found])


def test_what_no_benchmark_can_be_made_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="2 of 2 classes have fewer than 4 rows") as error:
        open_dataset(str(table(tmp_path / "t.numbers", count=3)), NumbersInput())
    assert "image" not in str(error.value)


def test_the_input_has_to_be_of_the_examples(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="a dataset of images"):
        open_dataset(str(table(tmp_path / "t.numbers")), ImageInput(8))
    with pytest.raises(RequestError, match="a dataset of rows"):
        open_dataset("digits", NumbersInput())


def test_settings_become_inputs() -> None:
    plan = {"scale": 3.0, "image_size": 32, "resizing": "pad", "augmentation": "light", "flip": "auto"}
    assert input_of(plan, "numbers") == NumbersInput(3.0)
    assert modality("numbers").settings(plan, {}) == {"scale": 3.0}
    assert input_of(plan) == ImageInput(32, "pad")
    for trait in (True, False):
        kept = modality("image").settings(plan, {"flip": trait})
        assert kept == {"image_size": 32, "resizing": "pad", "augmentation": "light", "flip": trait}
    assert modality("image").settings(plan | {"flip": True}, {"flip": False})["flip"] is True


def test_rows_become_what_a_network_takes(tmp_path: Path) -> None:
    dataset = open_dataset(str(table(tmp_path / "t.numbers")), NumbersInput())
    images = open_dataset("digits", ImageInput(8))
    for opened, input in ((dataset, NumbersInput()), (images, ImageInput(8))):
        kind = modality(opened.modality)
        given = kind.reader(None, input.size).tensors(opened.pool.data[:5])
        for tensor, wanted in zip(given, kind.inputs(input.size).values(), strict=True):
            assert (tensor.shape, tensor.dtype) == ((5, *wanted.shape), wanted.dtype)
