"""What lies in a dataset's folder: files of other names, links, folders without images, runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.datasets.adapters.folder import Folder
from tests.unit.data_samples import opened, picture, refusal, told, tree


@pytest.fixture(autouse=True)
def cache(fresh_cache: Path) -> Path:
    return fresh_cache


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tree(tmp_path / "data", "cats dogs")


# --------------------------------------------------------------------------------- images by another name


@pytest.mark.parametrize(
    "name",
    [
        "x.jfif",
        "x",
        "x.jpg?w=640",
        "x.jpeg_large",
        "x.JPG.1",
        "x.jpe",
        "x.dat",
        "x.JFIF",
        "x.image",
        "x.JPEG~",
    ],
)
def test_images_by_another_name_are_read(root: Path, name: str) -> None:
    for i in range(3):
        picture(root / "cats" / f"{i}{name}", "JPEG")
    dataset = opened(root)
    assert len(dataset.pool.ids) + len(dataset.test.ids) == 15
    assert f"cats/0{name}" in {*dataset.pool.ids, *dataset.test.ids}


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_formats(root: Path, kind: str) -> None:
    picture(root / "cats" / "named.png", kind)
    picture(root / "cats" / "unnamed", kind)
    assert len([id for part in (opened(root).pool, opened(root).test) for id in part.ids]) == 14


DICOM = b"\0" * 128 + b"DICM" + b"\2\0" * 50
UNREAD = {
    "x.dcm": (DICOM, "DICOM"),
    "IM0001": (DICOM, "DICOM"),
    "x.svg": (b'<?xml version="1.0"?>\n<!-- made -->\n<svg xmlns="x"/>', "SVG"),
    "x.psd": (b"8BPS\0\1", "Photoshop"),
    "x.mp4": (b"\0\0\0\x20ftypisom", "video: extract its frames"),
    "x.mov": (b"\0\0\0\x14ftypqt  ", "video"),
    "x.jxl": (b"\xff\x0a123", "JPEG XL"),
    "x.pdf": (b"%PDF-1.7", "PDF"),
    "x.eps": (b"%!PS-Adobe", "PostScript"),
    "x.nii": (b"\0" * 344 + b"n+1\0", "NIfTI"),
    "x.npy": (b"\x93NUMPY\1\0", "NumPy array"),
    "x.exr": (b"\x76\x2f\x31\x01", "high-dynamic-range"),
    "x.zip": (b"PK\x03\x04", "zip archive: unpack it"),
    "x.tar.gz": (b"\x1f\x8b\x08", "archive: unpack it"),
    "x.photo": (b"\0\0\0\x18ftypcrx ", "camera raw"),
    "x.bin": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_pictures_of_other_kinds_are_named(root: Path, name: str) -> None:
    content, kind = UNREAD[name]
    (root / "cats" / name).write_bytes(content)
    level, text = told(root)["files_not_read"]
    assert level == "validity"
    assert kind in text
    only = root.parent / "only"
    (only / "a").mkdir(parents=True)
    (only / "a" / name).write_bytes(content)
    assert kind in refusal(only)


def test_a_class_of_nothing_that_is_read(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", "cats")
    (root / "dogs").mkdir()
    assert "There is one, 'cats'. No image is in dogs/." in refusal(root)
    (root / "dogs" / "x.dcm").write_bytes(DICOM)
    assert "There is one, 'cats'. Not read: DICOM file" in refusal(root)
    small = tree(tmp_path / "small", "cats dogs*2")
    (small / "dogs" / "x.dcm").write_bytes(DICOM)
    assert "'dogs' (2). 1 file not read: DICOM file" in refusal(small)


def test_camera_raw_is_not_read_as_the_tiff_that_it_begins_as(root: Path) -> None:
    picture(root / "cats" / "x.dng", "TIFF")
    assert "camera raw" in told(root)["files_not_read"][1]


def test_a_few_among_many_are_a_note(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", "cats*60 dogs*60")
    (root / "cats" / "x.pdf").write_bytes(b"%PDF-1.7")
    assert told(root)["files_not_read"][0] == "note"
    (root / "birds").mkdir()
    (root / "birds" / "x.pdf").write_bytes(b"%PDF-1.7")
    assert told(root)["files_not_read"][0] == "validity", "a whole class"


def test_what_is_no_picture_stays_a_note(root: Path) -> None:
    for name in ("notes.txt", "boxes.xml", "index.html", "notes.docx", "Makefile"):
        (root / "cats" / name).write_bytes(b"PK\x03\x04" if name.endswith("docx") else b"<html>text")
    found = told(root)
    assert {kind: level for kind, (level, _) in found.items()} == {"other_files": "note"}
    assert "5 files" in found["other_files"][1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-lfs pointer"),
        (b"<!DOCTYPE html><html>404", "web page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC|damaged|truncated"),
        (DICOM, "DICOM"),
    ],
)
def test_what_is_no_image_by_the_name_of_one_says_why(root: Path, content: bytes, reason: str) -> None:
    (root / "cats" / "x.jpg").write_bytes(content)
    assert any(words in dict(opened(root).left_out)["cats/x.jpg"] for words in reason.split("|"))


def test_hidden_images_are_named(root: Path) -> None:
    picture(root / "cats" / ".x.png")
    picture(root / "cats" / "._0.png")  # what a Mac leaves beside each file
    assert told(root)["hidden_images"] == ("note", "1 hidden image not used: their names begin with a dot.")


def test_folders_without_images(root: Path) -> None:
    (root / "birds").mkdir()
    assert "Namely 'birds' (0)." in refusal(root), "its images are missing"
    (root / "birds" / "0.txt").write_text("text")
    assert opened(root).class_names == ("cats", "dogs")
    level, text = told(root)["folders_without_images"]
    assert (level, text) == ("validity", "1 folder without an image, not taken for a class.")
    (root / "birds").rename(root / "annotations")
    assert told(root)["folders_without_images"][0] == "note"


def test_a_part_that_is_empty_is_named(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", "train/cats train/dogs")
    (root / "test").mkdir()
    assert told(root)["folders_without_images"][0] == "validity"


# -------------------------------------------------------------------------------------------------- links


def test_class_folders_that_are_links_within_are_followed(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", "store/cats store/dogs")
    (root / "train").symlink_to("store")
    dataset = opened(root)
    assert dataset.class_names == ("cats", "dogs")
    assert dataset.pool.ids[0].startswith("train/cats/")
    assert "loose_images" not in {finding.kind for finding in dataset.findings}, "all of store/ is used"


def test_a_second_way_to_an_image_of_the_same_class_is_not_taken(root: Path) -> None:
    tree(root, "cats/new")
    before = opened(root)
    (root / "cats/again").symlink_to("new")
    (root / "cats/up").symlink_to("..")
    dataset = opened(root)
    assert {*dataset.pool.ids, *dataset.test.ids} == {*before.pool.ids, *before.test.ids}
    assert dict(dataset.left_out) == {"cats/up": "symbolic link to a folder that it lies in"}


def test_two_classes_of_one_folder_are_what_the_user_made(root: Path) -> None:
    (root / "kittens").symlink_to("cats")
    assert told(root)["identical_across_labels"][0] == "validity"


def test_links_that_leave_are_named_with_what_to_do(tmp_path: Path) -> None:
    disk = tree(tmp_path / "disk", "cats dogs")
    links = tmp_path / "links"
    links.mkdir()
    for name in ("cats", "dogs"):
        (links / name).symlink_to(disk / name)
    said = refusal(links)
    assert "cats/, dogs/ are symbolic links" in said
    assert str(disk) in said
    assert "manifest" in said
    part = tree(tmp_path / "part", "test/cats test/dogs")
    (part / "train").symlink_to(disk)
    assert "train/ is a symbolic link" in refusal(part)
    (links / "cats").unlink()
    tree(links, "cats birds")
    assert dict(opened(links).left_out) == {"dogs": "symbolic link that leaves the folder"}
    assert told(links)["links_outside"][0] == "validity"


@pytest.mark.parametrize(
    ("target", "words"), [("disk/cats/{}.png", "cp -rL"), ("data/gone{}.png", "git annex get")]
)
def test_images_that_are_all_links(tmp_path: Path, target: str, words: str) -> None:
    tree(tmp_path / "disk", "cats")
    for name in "ab":
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(4):
            (tmp_path / "data" / name / f"{i}.png").symlink_to(tmp_path / target.format(i))
    said = refusal(tmp_path / "data")
    assert "None of its 8 image files can be used" in said
    assert words in said


# ----------------------------------------------------------------------------- what programs have written


def run_directory(path: Path, names: str = ".lock plan.toml run.json") -> Path:
    for name in names.split():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("")
    picture(path / "figures" / "curve.png")
    picture(path / "predictions" / "drawn.png")
    return path


WRITTEN: dict[str, Callable[[Path], object]] = {
    "a run": lambda root: run_directory(root / "runs" / "photos-1"),
    "a run at work": lambda root: run_directory(root / "out", ".lock plan.toml"),
    "a run in a class": lambda root: run_directory(root / "cats" / "out"),
    "two runs": lambda root: [run_directory(root / "runs" / name) for name in "ab"],
    "a source": lambda root: run_directory(root / "sources" / "s", "source.json card.md backbone.weights.h5"),
    "an export": lambda root: run_directory(root / "export", "train.py card.md model.keras"),
    "an environment": lambda root: run_directory(root / "venv", "pyvenv.cfg"),
    "an empty run": lambda root: (root / "out").mkdir() or (root / "out" / ".lock").touch(),
}


@pytest.mark.parametrize("what", WRITTEN)
def test_what_programs_write_is_no_part_of_it(root: Path, what: str) -> None:
    before = opened(root)
    stamp = Folder(root).stamp()
    WRITTEN[what](root)
    assert Folder(root).stamp() == stamp, "a second run would read all images again"
    after = opened(root)
    assert after.fingerprint == before.fingerprint
    assert not after.findings


def test_the_cache_within_is_no_part_of_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = opened(root)
    monkeypatch.setenv("TRANSFER_BENCH_CACHE", str(root / "cache"))
    first = opened(root)
    picture(root / "cache" / "datasets" / "x.png")
    assert opened(root).fingerprint == first.fingerprint == before.fingerprint


def test_runs_beside_images_of_the_user_do_not_hide_them(root: Path) -> None:
    run_directory(root / "birds" / "run")
    tree(root, "birds")
    assert opened(root).class_names == ("birds", "cats", "dogs")


def test_a_run_is_no_dataset(root: Path) -> None:
    assert "written by a run" in refusal(run_directory(root / "runs" / "r"))


# ----------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize(
    "mask",
    [
        "cats/{i}_mask.png",
        "cats/{i}_mask_1.png",
        "cats/masks/{i}.png",
        "cats/{i} Segmentation.png",
        "cats/GT/{i}.png",
    ],
)
def test_masks_among_the_pictures_are_named(root: Path, mask: str) -> None:
    for i in range(3):
        picture(root / mask.format(i=i))
    found = told(root)
    assert found["masks"][0] == "validity"
    assert found["masks"][1].startswith("3 of 15 images are masks of others by name")


@pytest.mark.parametrize("name", ["masks", "lung_masks", "ground_truth", "annotations"])
def test_folders_of_images_and_masks_are_no_classes(tmp_path: Path, name: str) -> None:
    found = told(tree(tmp_path / "data", f"sick/images sick/{name} well/images well/{name}"))
    assert found["masks"][1].startswith("12 of 24 images")
    assert "folders_alike" not in found


@pytest.mark.parametrize("folders", ["mask no_mask", "train/mask train/face test/mask", "label/a barcode/a"])
def test_classes_may_be_called_masks(tmp_path: Path, folders: str) -> None:
    assert "masks" not in told(tree(tmp_path / "data", folders))
