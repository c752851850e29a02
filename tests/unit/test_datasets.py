"""Datasets: every source, what is refused and how, the cache, and hostile files."""

from __future__ import annotations

import builtins
import csv
import io
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bench.datasets
from bench.datasets import canonical_spec, known_datasets, open_dataset
from bench.datasets.dataset import Dataset
from bench.errors import BenchError, RequestError
from bench.modalities.image.input import ImageInput
from bench.system.files import digest

SIZE = 8


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(path))
    return path


def paint(path: Path | str, shade: int = 0, kind: str | None = None) -> Path:
    """An image file of one shade of gray; red holds the shade."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 12), (shade % 256, 100, shade // 256)).save(path, kind or "PNG")
    return path


def class_folders(root: Path, classes: str = "ab", count: int = 5) -> Path:
    for c, name in enumerate(classes):
        for i in range(count):
            paint(root / name / f"{i}.png", 10 * c + i)
    return root


def refused(spec: str | Path, *says: str) -> None:
    with pytest.raises(RequestError) as info:
        open_dataset(str(spec), ImageInput(SIZE))
    assert info.value.exit_code == 2
    assert info.value.field == "dataset"
    for words in says:
        assert words in str(info.value)


def parts(dataset: Dataset) -> dict[str, tuple[int, str]]:
    """id -> (red of its image, part)."""
    return {
        id: (int(part.data[i, 4, 4, 0]), name)
        for name, part in (("pool", dataset.pool), ("test", dataset.test))
        for i, id in enumerate(part.ids)
    }


# ------------------------------------------------------------------------------------------------- by name


def test_digits() -> None:
    lines: list[str] = []
    dataset = open_dataset("digits", ImageInput(16), progress=lines.append)
    assert (dataset.name, dataset.modality, dataset.traits["flip"]) == ("digits", "image", False)
    assert dataset.pool.data.shape == (1438, 16, 16, 3)
    assert dataset.test.data.shape == (359, 16, 16, 3)
    assert dataset.pool.data.dtype == np.uint8
    assert dataset.pool.data.max() == 255
    assert dataset.class_names == tuple("0123456789")
    assert dataset.pool.ids[0].isdigit()
    assert lines
    assert open_dataset("digits", ImageInput(8)).fingerprint == dataset.fingerprint
    assert open_dataset("digits", ImageInput(16)).pool.ids == dataset.pool.ids


def test_importing_is_light_and_nothing_needs_keras() -> None:
    program = (
        "import sys, bench.datasets as d; assert d.known_datasets(); d.canonical_spec('digits');"
        "bad = {'tensorflow', 'keras', 'pandas', 'pyarrow', 'PIL', 'sklearn'} & set(sys.modules);"
        "assert not bad, bad;"
        "from bench.modalities.image.input import ImageInput;"
        "d.open_dataset('digits', ImageInput(8)); sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    root = str(Path(bench.datasets.__file__).parents[2])
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": root})


def test_canonical_specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    assert canonical_spec("photos") == canonical_spec("photos/") == str(tmp_path / "photos")
    assert canonical_spec("missing/folder/") == str(tmp_path / "missing/folder")
    assert canonical_spec("../list.csv") == str(tmp_path.parent / "list.csv")
    assert canonical_spec("keras:Fashion-MNIST") == "keras:fashion_mnist"
    assert canonical_spec("tfds:beans") == "tfds:beans"
    for spec in (
        "digits",
        *(canonical_spec(name) for name, _ in known_datasets() if name.startswith("keras:")),
    ):
        assert canonical_spec(spec) == spec
    for wrong, near in (
        ("digit", "'digits'"),
        ("keras:mnst", "'keras:mnist'"),
        ("phots", ""),
        ("tfds:", ""),
        ("", ""),
    ):
        with pytest.raises(RequestError, match=f"Did you mean {near}" if near else "must be digits"):
            canonical_spec(wrong)


# ------------------------------------------------------------------------------------------------- folders


def test_folder_of_class_folders(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "photos", "ab", 10)
    paint(root / "a" / "deeper" / "still" / "UPPER.PNG", 77)
    paint(root / "a" / "x.jpeg", 78, "JPEG")
    paint(root / "loose.png")
    paint(root / "a" / ".hidden.png")
    paint(root / ".cache" / "a.png")
    for name in ("README", "a/notes.txt", "a/.DS_Store", "b/Thumbs.db"):
        (root / name).write_text("text")
    dataset = open_dataset(str(root), ImageInput(SIZE))
    assert (dataset.spec, dataset.name, dataset.traits["flip"]) == (str(root), "photos", True)
    assert dataset.class_names == ("a", "b")
    seen = parts(dataset)
    assert len(seen) == 22
    assert seen["a/deeper/still/UPPER.PNG"][0] == 77
    assert sum(part == "test" for _, part in seen.values()) == 4
    assert dataset.pool.labels.tolist() == [int(id.startswith("b")) for id in dataset.pool.ids]
    assert dataset.pool.groups is None
    assert not dataset.left_out
    found = {finding.kind: finding.examples for finding in dataset.findings}
    assert found["loose_images"] == ["loose.png: in no class folder"]
    assert found["other_files"] == ["a/notes.txt: .txt"]
    for array in (dataset.pool.data, dataset.pool.labels):
        assert not array.flags.writeable
    assert isinstance(dataset.pool.data, np.memmap)


def test_folder_with_given_parts(tmp_path: Path) -> None:
    root = tmp_path / "data"
    class_folders(root / "Training")
    class_folders(root / "val")
    class_folders(root / "test", "a", 3)
    paint(root / "other" / "c" / "0.png")
    dataset = open_dataset(str(root), ImageInput(SIZE))
    assert len(dataset.pool.ids) == 20
    assert sorted(dataset.test.ids) == ["test/a/0.png", "test/a/1.png", "test/a/2.png"]
    assert dataset.class_names == ("a", "b")
    found = {finding.kind: finding.examples for finding in dataset.warnings}
    assert found["classes_without_test"] == ["b: 10"]
    assert found["loose_images"] == ["other/c/0.png: in other/, which is no part by its name"]
    paint(root / "test" / "c" / "0.png")
    refused(root, "1 of 3 classes has images in the test part only", "'c' (1)")


def test_folders_whose_classes_are_called_like_parts(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for name in ("valid", "invalid", "test"):
        for i in range(5):
            paint(root / name / f"{i}.png", i)
    assert open_dataset(str(root), ImageInput(SIZE)).class_names == ("invalid", "test", "valid")


def test_folders_that_are_refused(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos")
    refused(tmp_path / "photo", "an existing folder or file", "Did you mean 'photos'?")
    refused(tmp_path / "nowhere" / "at" / "all", "There is no folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no image file")
    paint(tmp_path / "flat" / "0.png")
    refused(tmp_path / "flat", "directly in the folder")
    class_folders(tmp_path / "one", "a")
    refused(tmp_path / "one", "at least two class folders", "'a'")
    class_folders(tmp_path / "text", "a")
    for i in range(5):
        (tmp_path / "text" / "a.jpg" / f"{i}.jpg").parent.mkdir(exist_ok=True)
        (tmp_path / "text" / "a.jpg" / f"{i}.jpg").write_text("no image")
    refused(tmp_path / "text", "'a.jpg'", "0.jpg (not an image")
    class_folders(tmp_path / "hollow")
    (tmp_path / "hollow" / "c").mkdir()
    refused(tmp_path / "hollow", "1 of 3 classes has no image that can be read", "'c' (0)")
    class_folders(tmp_path / "small", "ab", 3)
    refused(tmp_path / "small", "2 of 2 classes have fewer than 4 images", "'a' (3), 'b' (3)")
    class_folders(tmp_path / "untrained" / "test")
    refused(tmp_path / "untrained", "train/ of class folders beside test/")
    (tmp_path / "archive.zip").write_bytes(b"")
    refused(tmp_path / "archive.zip", ".npz")
    with pytest.raises(RequestError, match="resizing"):
        open_dataset(str(tmp_path / "photos"), ImageInput(SIZE, "squash"))


def test_single_bad_images_are_listed_and_left_out(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "photos", "ab", 8)
    (root / "a" / "text.jpg").write_text("no image")
    (root / "a" / "empty.png").write_bytes(b"")
    data = paint(root / "b" / "cut.png", 5).read_bytes()
    (root / "b" / "cut.png").write_bytes(data[: len(data) - 30])
    os.mkfifo(root / "b" / "pipe.jpg")
    outside = paint(tmp_path / "outside" / "0.png").parent
    (root / "b" / "away.png").symlink_to(outside / "0.png")
    (root / "b" / "within.png").symlink_to(root / "a" / "0.png")
    (root / "b" / "nothing.png").symlink_to(root / "a" / "gone.png")
    (root / "b" / "elsewhere").symlink_to(outside)
    (root / "b" / "loop").symlink_to(root)
    dataset = open_dataset(str(root), ImageInput(SIZE))
    reasons = dict(dataset.left_out)
    assert len(parts(dataset)) == 17
    assert "b/within.png" in parts(dataset)
    assert set(reasons) == {
        "a/text.jpg", "a/empty.png", "b/cut.png", "b/pipe.jpg", "b/away.png", "b/nothing.png", "b/elsewhere",
        "b/loop",
    }  # fmt: skip
    assert reasons["a/empty.png"] == "empty file"
    assert reasons["b/away.png"] == reasons["b/elsewhere"] == "symbolic link that leaves the folder"
    texts = {finding.kind: finding.text for finding in dataset.warnings}
    assert texts["unreadable"].startswith("6 of 25 images not readable and left out: ")
    assert texts["links_outside"].startswith("2 of 25 images left out")
    assert open_dataset(str(root), ImageInput(SIZE)).left_out == dataset.left_out


HOSTILE = [
    "<script>alert(1)</script>", "quote\"'`", "new\nline", "=HYPERLINK(1)", "a..", "-rf", "tab\t", "{{7*7}}",
    "%s%n", "\u202egnp", "é", "日本", "x" * 200, " space ", "a;b,c", "\\", "\x1b[31m",
]  # fmt: skip


def test_hostile_names(tmp_path: Path) -> None:
    root = tmp_path / "<b>photos<b>\n"
    expected = 0
    for i, name in enumerate(HOSTILE):
        for folder in ("a", '"><img src=x>'):
            paint(root / folder / f"{name}{i}.png", i)
            expected += 1
    for folder in (os.fsencode(root) + b"/a", os.fsencode(root) + b"/\xff\xfe"):
        os.makedirs(folder, exist_ok=True)
        for i in range(4):
            shutil.copy(root / "a" / f"é{HOSTILE.index('é')}.png", folder + b"/\xe9%d.png" % i)
            expected += 1
    for _ in range(2):
        dataset = open_dataset(str(root), ImageInput(SIZE))
        assert len(parts(dataset)) == expected
        assert dataset.class_names == ('"><img src=x>', "\\xff\\xfe", "a")
        json.dumps([dataset.pool.ids, dataset.name, dataset.class_names]).encode()
        "".join([*dataset.pool.ids, *dataset.test.ids]).encode()
    assert "\\xff\\xfe/\\xe90.png" in parts(dataset)


# ------------------------------------------------------------------------------------------------ manifests


def write_csv(path: Path, rows: list[list[str]], **options: Any) -> Path:
    with path.open("w", newline="", encoding=options.pop("encoding", "utf-8")) as file:
        csv.writer(file, **options).writerows(rows)
    return path


def manifest_rows(folder: Path, labels: tuple[str, ...] = ("007", "NA"), count: int = 6) -> list[list[str]]:
    rows = []
    for c, label in enumerate(labels):
        for i in range(count):
            paint(folder / "images" / f"{c}-{i}.png", 20 * c + i)
            rows.append([f"images/{c}-{i}.png", label])
    return rows


def test_manifest(tmp_path: Path) -> None:
    rows = manifest_rows(tmp_path)
    path = write_csv(tmp_path / "list.csv", [["Path", "note", "label"], *([p, "x", y] for p, y in rows)])
    dataset = open_dataset(str(path), ImageInput(SIZE))
    assert dataset.name == "list"
    assert dataset.class_names == ("007", "NA")
    assert parts(dataset)["images/1-3.png"][0] == 23
    assert len(dataset.test.ids) == 2

    as_tsv = write_csv(tmp_path / "list.tsv", [["path", "label"], *rows], delimiter="\t")
    semicolons = write_csv(
        tmp_path / "semi.csv", [["path", "label"], *rows], delimiter=";", encoding="utf-8-sig"
    )
    for other in (as_tsv, semicolons):
        again = open_dataset(str(other), ImageInput(SIZE))
        assert (again.fingerprint, again.pool.ids) == (dataset.fingerprint, dataset.pool.ids)


def test_parquet_manifest(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = manifest_rows(tmp_path)
    columns = {"label": [y for _, y in rows], "path": [p for p, _ in rows], "width": [1] * len(rows)}
    parquet.write_table(pyarrow.table(columns), tmp_path / "list.parquet")
    write_csv(tmp_path / "list.csv", [["path", "label"], *rows])
    first, second = (
        open_dataset(str(tmp_path / f"list.{kind}"), ImageInput(SIZE)) for kind in ("csv", "parquet")
    )
    assert first.fingerprint == second.fingerprint
    parquet.write_table(pyarrow.table({**columns, "label": [7, None] * 6}), tmp_path / "null.parquet")
    refused(tmp_path / "null.parquet", "Row 2 lacks its label")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nonsense")
    refused(tmp_path / "bad.parquet", "can be read")


def test_manifest_with_parts_and_groups(tmp_path: Path) -> None:
    rows = manifest_rows(tmp_path, count=12)
    header = ["path", "label", "split", "group"]
    given = [[p, y, ("", "Train", "val", "TEST")[i % 4], ""] for i, (p, y) in enumerate(rows)]
    dataset = open_dataset(str(write_csv(tmp_path / "given.csv", [header, *given])), ImageInput(SIZE))
    assert sorted(dataset.test.ids) == sorted(p for p, _, split, _ in given if split == "TEST")
    assert dataset.pool.groups is None

    grouped = [[p, y, "", f"g{i // 2}" if i < 20 else ""] for i, (p, y) in enumerate(rows)]
    dataset = open_dataset(str(write_csv(tmp_path / "grouped.csv", [header, *grouped])), ImageInput(SIZE))
    assert dataset.pool.groups is not None
    assert dataset.test.groups is not None
    assert not set(dataset.pool.groups) & set(dataset.test.groups)
    assert len({*dataset.pool.groups, *dataset.test.groups}) == 14

    straddling = [[p, y, split, f"g{i // 2}"] for i, (p, y, split, _) in enumerate(given)]
    refused(
        write_csv(tmp_path / "both.csv", [header, *straddling]),
        "6 groups of",
        "on both sides",
        "'g1'",
        "3 others",
    )


def test_manifests_that_are_refused(tmp_path: Path) -> None:
    rows = manifest_rows(tmp_path)

    def check(rows: list[list[str]], *says: str) -> None:
        refused(write_csv(tmp_path / "bad.csv", rows), *says)

    check([["file", "label"], *rows], "lacks path", "'file'")
    check([], "lacks path and label")
    check([["path", "label"]], "lists no image")
    check([["path", "label"], *rows, ["images/0-0.png", "NA"]], "Line 14 repeats 'images/0-0.png'")
    check([["path", "label"], *rows, ["x.png", ""]], "Line 14 lacks its label")
    check([["path", "label", "split"], *([*row, "fold3"] for row in rows)], "Line 2 has 'fold3'")
    check([["path", "label"], *rows[:6]], "at least two classes", "007")
    check([["path", "label"], *rows[:6], ["a.png", "b"], ["", "c"]], "Line 9 lacks its path")
    check(
        [["path", "label"], *rows[:6], *([f"{i}.png", "b"] for i in range(4))],
        "1 of 2 classes has no image that can be read",
        "'b' (0)",
        "0.png (file not found)",
    )
    refused(tmp_path / "bat.csv", "existing", "Did you mean 'bad.csv'?")
    (tmp_path / "bad.csv").write_bytes(b"path,label\n\xff.png,\xfe\n\0,x\n" + b'"' * 200_000)
    refused(tmp_path / "bad.csv")


def test_missing_files_of_a_manifest_are_left_out(tmp_path: Path) -> None:
    rows = manifest_rows(tmp_path)
    rows += [["images/none.png", "NA"], ["/etc/hostname", "NA"], ["images", "007"]]
    dataset = open_dataset(
        str(write_csv(tmp_path / "list.csv", [["path", "label"], *rows])), ImageInput(SIZE)
    )
    assert [id for id, _ in dataset.left_out] == ["images/none.png", "/etc/hostname", "images"]


# --------------------------------------------------------------------------------------------------- arrays


def test_array_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([3, 10], 10)
    gray = rng.integers(0, 256, (20, 6, 5), np.uint8)
    np.savez(tmp_path / "a.npz", x=gray, y=y)
    dataset = open_dataset(str(tmp_path / "a.npz"), ImageInput(SIZE))
    assert dataset.class_names == ("3", "10")
    assert sorted([*dataset.pool.ids, *dataset.test.ids]) == [f"{i:05d}" for i in range(20)]
    assert len(dataset.test.ids) == 4

    np.savez_compressed(tmp_path / "b.npz", x=np.asfortranarray(gray), y=y[:, None])
    assert open_dataset(str(tmp_path / "b.npz"), ImageInput(SIZE)).fingerprint == dataset.fingerprint

    scaled = {
        "float1": gray / 255.0, "float255": gray.astype(np.float32), "uint16": gray.astype(np.uint16) * 257,
        "int64": gray.astype(np.int64), "rgb": np.stack([gray] * 3, -1), "gray1": gray[..., None],
        "rgba": np.concatenate([np.stack([gray] * 3, -1), np.full((20, 6, 5, 1), 255, np.uint8)], -1),
    }  # fmt: skip
    for name, x in scaled.items():
        np.savez(tmp_path / f"{name}.npz", x=x, y=y)
        other = open_dataset(str(tmp_path / f"{name}.npz"), ImageInput(SIZE))
        images = {
            id: image
            for part in (other.pool, other.test)
            for id, image in zip(part.ids, part.data, strict=True)
        }
        for id, image in zip(dataset.pool.ids, dataset.pool.data, strict=True):
            assert np.abs(images[id].astype(int) - image).max() <= 1, name

    named = {
        "x_train": gray,
        "y_train": np.repeat(["cat", "dog"], 10),
        "x_test": gray[8:12],
        "y_test": ["cat"] * 2 + ["dog"] * 2,
    }
    np.savez(tmp_path / "c.npz", **named)
    dataset = open_dataset(str(tmp_path / "c.npz"), ImageInput(SIZE))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.test.ids == ("test/00000", "test/00001", "test/00002", "test/00003")
    assert len(dataset.pool.ids) == 20


def test_a_large_array_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.datasets.adapters.arrays.BLOCK_BYTES", 100)
    x = np.arange(20, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(20) % 2)
    assert {
        int(id): red
        for id, (red, _) in parts(open_dataset(str(tmp_path / "a.npz"), ImageInput(SIZE))).items()
    } == {i: i for i in range(20)}


def test_array_files_that_are_refused(tmp_path: Path) -> None:
    x, y = np.zeros((10, 4, 4), np.uint8), np.arange(10) % 2
    path = tmp_path / "bad.npz"

    def check(*says: str, **arrays: Any) -> None:
        np.savez(path, **arrays)
        refused(path, *says)

    check("lacks y", "it holds: x", x=x)
    check("x has 10, y has 9", x=x, y=y[:9])
    check("It is (10, 4)", x=x[:, 0], y=y)
    check("(10, 4, 4, 2)", x=np.zeros((10, 4, 4, 2), np.uint8), y=y)
    check("argmax", x=x, y=np.eye(2)[y])
    check("NaN", x=np.full((10, 4, 4), np.nan), y=y)
    check("-4 to 2", "BLACK", x=x + y[:, None, None] * 6.0 - 4, y=y)
    check("complex", x=x.astype(complex), y=y)
    check("both x_test and y_test", x=x, y=y, x_test=x)
    check("at least one image", x=x[:0], y=y[:0])
    check("whole numbers", x=x, y=y + 0.5)
    check("at least two classes", x=x, y=y * 0)
    check("fewer than 4 images", x=x, y=np.arange(10) // 8)
    np.savez(path, x=x, y=np.array(["a", 1] * 5, object))
    refused(path, "'y' is an array of objects", "pickles")
    data = path.read_bytes()
    for damaged in (b"", b"text", data[:200], pickle.dumps([1])):
        path.write_bytes(damaged)
        refused(path, "numpy.savez")


# -------------------------------------------------------------------------------------------------- fetched

FAKE_KERAS = """
import numpy as np
class datasets:
    class mnist:
        def load_data():
            x = np.arange(20, dtype=np.uint8)[:, None, None] * np.ones((1, 28, 28), np.uint8)
            return (x, np.arange(20) % 2), (x[-4:], np.arange(4) % 2)
    class cifar10:
        def load_data():
            x = np.zeros((20, 32, 32, 3), np.uint8)
            return (x, np.arange(20)[:, None] % 2), (x[:4], np.arange(4)[:, None] % 2)
    class fashion_mnist:
        def load_data():
            raise OSError("URL fetch failure on https://example.org: no network")
"""

FAKE_TFDS = """
import io
from PIL import Image
class features:
    class Image: pass
    class ClassLabel:
        def int2str(self, i): return ["=ant", "bee\\n"][i]
class decode:
    SkipDecoding = object
class core:
    class registered:
        class DatasetNotFoundError(ValueError): pass
class builder:
    def __init__(self, name):
        if name == "bens":
            raise core.registered.DatasetNotFoundError("Dataset not found.\\nDid you mean: bens -> beans ?")
        self.info = self
        self.supervised_keys = ("image", "label") if name == "beans" else None
        self.features = {"image": features.Image(), "label": features.ClassLabel()}
        self.splits = {"train": 12, "validation": 4, "test": 4, "extra": 3}
    def download_and_prepare(self): pass
    def as_dataset(self, split, decoders):
        for i in range(self.splits[split]):
            file = io.BytesIO()
            Image.new("RGB", (9 + i, 9), (i, 0, 0)).save(file, "PNG")
            yield {"image": file.getvalue(), "label": i % 2}
def as_numpy(data): return data
"""


@pytest.fixture
def fake_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for what the child process imports; it is there that the network would be needed."""
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "keras.py").write_text(FAKE_KERAS)
    (folder / "tensorflow_datasets.py").write_text(FAKE_TFDS)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def test_keras_datasets_are_fetched_once(fake_packages: Path, cache: Path) -> None:
    dataset = open_dataset("keras:mnist", ImageInput(SIZE))
    assert (dataset.spec, dataset.name, dataset.traits["flip"]) == ("keras:mnist", "mnist", False)
    assert (len(dataset.pool.ids), len(dataset.test.ids)) == (20, 4)
    colours = open_dataset("keras:cifar10", ImageInput(SIZE))
    assert colours.class_names == ("airplane", "automobile")
    assert colours.traits["flip"]
    (fake_packages / "keras.py").write_text("raise RuntimeError('imported again')")
    assert open_dataset("keras:mnist", ImageInput(SIZE)).fingerprint == dataset.fingerprint
    assert open_dataset("keras:mnist", ImageInput(2 * SIZE)).fingerprint == dataset.fingerprint


def test_fetched_datasets_that_were_exchanged_are_fetched_again(fake_packages: Path, cache: Path) -> None:
    prints = {
        spec: open_dataset(spec, ImageInput(SIZE)).fingerprint for spec in ("keras:mnist", "keras:cifar10")
    }
    first, second = (cache / "datasets" / "fetched" / digest(spec) for spec in prints)
    for source, target in ((first, cache / "aside"), (second, first), (cache / "aside", second)):
        source.rename(target)
    assert {spec: open_dataset(spec, ImageInput(2 * SIZE)).fingerprint for spec in prints} == prints
    arrays = first / "data.npz"
    arrays.write_bytes((second / "data.npz").read_bytes())
    (fake_packages / "keras.py").write_text("raise RuntimeError('no network')")
    with pytest.raises(BenchError, match="no network"):
        open_dataset("keras:mnist", ImageInput(3 * SIZE))
    assert arrays.exists()  # not deleted before there is a new one


def test_a_failed_download_says_what_to_do(
    fake_packages: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", "/somewhere")
    with pytest.raises(BenchError) as info:
        open_dataset("keras:fashion_mnist", ImageInput(SIZE))
    for words in ("fashion-mnist/*.gz", "/somewhere/datasets", "URL fetch failure", "load_data()"):
        assert words in str(info.value)
    assert not list((cache / "datasets").rglob(".tmp-*"))


def test_tfds(fake_packages: Path) -> None:
    dataset = open_dataset("tfds:beans", ImageInput(SIZE))
    assert dataset.name == "beans"
    assert dataset.class_names == ("=ant", "bee\n")
    assert (len(dataset.pool.ids), len(dataset.test.ids)) == (16, 4)
    refused("tfds:bens", "Did you mean: bens -> beans")
    refused("tfds:coco", "image classification")
    (fake_packages / "tensorflow_datasets.py").write_text("raise ImportError('no such thing')")
    refused("tfds:other", 'pip install "transfer-bench[tfds]"')


# -------------------------------------------------------------------------------------------- cache, splits


def test_the_cache_follows_the_data(tmp_path: Path, cache: Path) -> None:
    root = class_folders(tmp_path / "photos")
    first = open_dataset(str(root), ImageInput(SIZE))
    [entry] = [p for p in (cache / "datasets").iterdir() if p.is_dir()]
    written = (entry / "pool.npy").stat().st_mtime_ns
    assert open_dataset(str(root), ImageInput(SIZE)).fingerprint == first.fingerprint
    assert (entry / "pool.npy").stat().st_mtime_ns == written

    paint(root / "a" / "new.png", 200)
    second = open_dataset(str(root), ImageInput(SIZE))
    assert second.fingerprint != first.fingerprint
    assert "a/new.png" in parts(second)
    assert not entry.exists()

    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved)
    assert open_dataset(str(moved), ImageInput(SIZE)).fingerprint == second.fingerprint
    assert open_dataset(str(moved), ImageInput(4, "pad")).fingerprint == second.fingerprint
    assert open_dataset(str(moved), ImageInput(4, "pad")).test.ids == second.test.ids
    paint(moved / "a" / "0.png", 201)
    assert open_dataset(str(moved), ImageInput(SIZE)).fingerprint != second.fingerprint


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "no index", "bad index", "other index", "no images", "half index"]
)
def test_a_damaged_cache_is_made_again(tmp_path: Path, cache: Path, damage: str) -> None:
    root = class_folders(tmp_path / "photos")
    first = open_dataset(str(root), ImageInput(SIZE))
    expected = np.array(first.pool.data)
    [entry] = [p for p in (cache / "datasets").iterdir() if p.is_dir()]
    images, index = entry / "pool.npy", entry / "index.json"
    data = images.read_bytes()
    {
        "cut": lambda: images.write_bytes(data[:-1]),
        "empty": lambda: images.write_bytes(b""),
        "no index": index.unlink,
        "bad index": lambda: index.write_text("[]"),
        "other index": lambda: index.write_text("{}"),
        "no images": images.unlink,
        "half index": lambda: index.write_bytes(index.read_bytes()[:-20]),
    }[damage]()
    again = open_dataset(str(root), ImageInput(SIZE))
    assert again.fingerprint == first.fingerprint
    assert (again.pool.data == expected).all()


def test_what_a_killed_process_left_is_swept(tmp_path: Path, cache: Path) -> None:
    root = class_folders(tmp_path / "photos")
    open_dataset(str(root), ImageInput(SIZE))
    [entry] = [p for p in (cache / "datasets").iterdir() if p.is_dir()]
    entry.rename(entry.with_name(f".tmp-{entry.name}"))
    open_dataset(str(root), ImageInput(SIZE))
    assert [p.name for p in (cache / "datasets").iterdir() if p.is_dir()] == [entry.name]


def _open_in_child(spec: str) -> str:
    return open_dataset(spec, ImageInput(SIZE)).fingerprint


def test_several_processes_at_once(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "photos", "abc", 30)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert len(set(pool.map(_open_in_child, [str(root)] * 6))) == 1


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = class_folders(tmp_path / "photos")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(BenchError, match="TRANSFER_BENCH_CACHE"):
        open_dataset(str(root), ImageInput(SIZE))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_a_message(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = class_folders(tmp_path / "photos")
    real_open = Path.open

    def full(self: Path, *arguments: Any, **options: Any) -> Any:
        return real_open(Path("/dev/full") if self.name == "decoded" else self, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(BenchError, match="No space left"):
        open_dataset(str(root), ImageInput(SIZE))
    monkeypatch.undo()
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(cache))
    assert not [p for p in (cache / "datasets").iterdir() if p.is_dir()]


def test_an_unchanged_folder_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = class_folders(tmp_path / "photos", "abc", 20)
    first = open_dataset(str(root), ImageInput(SIZE))
    real_open, opened = builtins.open, []

    def watched(file: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(str(file))
        return real_open(file, *arguments, **options)

    for module in (builtins, io):
        monkeypatch.setattr(module, "open", watched)
    again = open_dataset(str(root), ImageInput(SIZE))
    assert again.fingerprint == first.fingerprint
    assert opened
    assert not [file for file in opened if file.startswith(str(root))]
    paint(root / "a" / "0.png", 90)
    open_dataset(str(root), ImageInput(SIZE))
    assert [file for file in opened if file.startswith(str(root))]


def test_the_test_part_is_drawn_once(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "photos", "abc", 20)
    dataset = open_dataset(str(root), ImageInput(SIZE))
    assert len(dataset.test.ids) == 12
    assert np.bincount(dataset.test.labels).tolist() == [4, 4, 4]
    assert not set(dataset.test.ids) & set(dataset.pool.ids)
    assert open_dataset(str(root), ImageInput(2 * SIZE)).test.ids == dataset.test.ids
