"""``bench check``: everything that may be wrong with a dataset is made and found, and nothing else is."""

from __future__ import annotations

import io
import json
import struct
import sys
import zlib
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

import bench.execution.local
from bench.cli.app import main
from bench.commands.check import check
from bench.datasets import Dataset, open_dataset, splits
from bench.datasets.division import united
from bench.errors import RequestError
from bench.modalities.image.facts import Facts
from bench.modalities.image.input import ImageInput
from bench.modalities.image.looks import CORRELATION, DISTANCE, difference_hashes, lookalikes
from bench.plans.loading import load_plan
from bench.runs.prepare import prepare

SIZE = 32

Kinds = dict[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def cache(fresh_cache: Path) -> Path:
    return fresh_cache


def photo(seed: int, side: int = 96) -> Image.Image:
    """A picture that looks like no other: soft blobs of colour."""
    blobs = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8)
    return Image.fromarray(blobs).resize((side, side), Image.Resampling.BICUBIC)


def save(path: Path, image: Image.Image, kind: str = "PNG", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, kind, **options)
    return path


def folder(root: Path, classes: str = "ab", count: int = 8, start: int = 0) -> Path:
    for c, name in enumerate(classes):
        for i in range(count):
            save(root / name / f"{i}.png", photo(start + 100 * c + i))
    return root


def checked(dataset: Path | str, **more: Any) -> Kinds:
    """The findings by kind."""
    plan = load_plan({"datasets": [str(dataset)], "image_size": SIZE, "fractions": [1.0], **more})
    result = check(open_dataset(plan.datasets[0], vars(plan)), plan)
    found = {finding["kind"]: finding for finding in result["findings"]}
    assert len(found) == len(result["findings"]), "the same thing is said twice"
    assert json.loads(json.dumps(result)) == result
    return found


def ids(finding: dict[str, Any]) -> list[Any]:
    return [item.get("ids", item.get("id", item.get("class"))) for item in finding["items"]]


# --------------------------------------------------------------------------------------------------- files


def test_nothing_is_found_in_a_clean_folder(tmp_path: Path) -> None:
    assert checked(folder(tmp_path / "photos")) == {}


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_every_kind_of_bad_file(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos")
    (root / "a/empty.jpg").write_bytes(b"")
    (root / "a/page.jpg").write_text("<html><body>404</body></html>")
    for kind, name in (("JPEG", "cut.jpg"), ("PNG", "cut.png")):
        path = save(root / "a" / name, photo(900), kind)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (root / "b/bomb.png").write_bytes(bomb(60_000, 60_000))
    outside = save(tmp_path / "outside.png", photo(901))
    (root / "b/away.png").symlink_to(outside)
    (root / "b/up.png").symlink_to("../../outside.png")
    (root / "b/nothing.png").symlink_to(root / "b/gone.png")
    save(root / "loose.png", photo(902))
    (root / "b/notes.txt").write_text("text")
    found = checked(root)
    assert set(found) == {"unreadable", "too_many_pixels", "links_outside", "loose_images", "other_files"}
    assert set(ids(found["unreadable"])) == {
        "a/empty.jpg", "a/page.jpg", "a/cut.jpg", "a/cut.png", "b/nothing.png",
    }  # fmt: skip
    reasons = {item["id"]: item["reason"] for item in found["unreadable"]["items"]}
    assert reasons["a/cut.jpg"] == reasons["a/cut.png"] == "truncated"
    assert found["unreadable"]["text"].startswith("5 of 24 images not readable")
    assert ids(found["too_many_pixels"]) == ["b/bomb.png"]
    assert "60,000 x 60,000" in found["too_many_pixels"]["items"][0]["reason"]
    assert ids(found["links_outside"]) == ["b/away.png", "b/up.png"]
    assert ids(found["loose_images"]) == ["loose.png"]
    assert ids(found["other_files"]) == ["b/notes.txt"]
    assert [k for k, finding in found.items() if finding["level"] == "note"] == ["other_files"]


def test_odd_but_usable_files(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos")
    save(root / "a/really_png.jpg", photo(900))
    save(root / "a/really_jpeg.PNG", photo(901), "JPEG")
    save(root / "a/fine.jpeg", photo(902), "JPEG")
    save(root / "a/fine.tif", photo(903), "TIFF")
    save(root / "b/film.gif", photo(904), "GIF", save_all=True, append_images=[photo(905)])
    save(root / "b/gray.png", photo(906).convert("L"))
    save(root / "b/wide.png", photo(907).resize((200, 40)))
    save(root / "b/small.png", photo(908, 20))
    found = checked(root)
    assert {finding["level"] for finding in found.values()} == {"note"}
    assert set(found) == {"mislabelled_extension", "animated", "mixed_sizes", "mixed_modes", "small_images"}
    assert found["mislabelled_extension"]["items"] == [
        {"id": "a/really_jpeg.PNG", "reason": "is JPEG"},
        {"id": "a/really_png.jpg", "reason": "is PNG"},
    ]
    assert ids(found["animated"]) == ["b/film.gif"]
    assert "20 to 200 px wide, 20 to 96 px high" in found["mixed_sizes"]["text"]
    assert "1 of 24 images" in found["small_images"]["text"]
    assert "RGB: 22, P: 1, L: 1" in found["mixed_modes"]["text"]


def test_the_pixel_limit_can_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path / "photos")
    save(root / "a/large.png", photo(900, 100))
    monkeypatch.setenv("TRANSFER_BENCH_MAX_PIXELS", "9999")
    assert ids(checked(root)["too_many_pixels"]) == ["a/large.png"]
    monkeypatch.setenv("TRANSFER_BENCH_MAX_PIXELS", "10000")
    assert "too_many_pixels" not in checked(root)
    monkeypatch.setenv("TRANSFER_BENCH_MAX_PIXELS", "lots")
    with pytest.raises(RequestError, match="TRANSFER_BENCH_MAX_PIXELS"):
        checked(root)


# ----------------------------------------------------------------------------------------- identical images


def with_comment(jpeg: bytes) -> bytes:
    return jpeg[:2] + b"\xff\xfe\x00\x09comment" + jpeg[2:]


def together(dataset: Dataset) -> set[frozenset[str]]:
    """The images that splits keep together."""
    sets: dict[int, set[str]] = {}
    for part in (dataset.pool, dataset.test):
        for id, group in zip(part.ids, part.groups if part.groups is not None else (), strict=True):
            sets.setdefault(int(group), set()).add(id)
    return {frozenset(members) for members in sets.values() if len(members) > 1}


def test_identical_is_what_has_the_same_pixels_at_every_image_size(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", count=6)
    jpeg = save(root / "a/jpeg.jpg", photo(900, 600), "JPEG").read_bytes()
    (root / "a/copy.jpg").write_bytes(jpeg)
    (root / "a/comment.jpg").write_bytes(with_comment(jpeg))
    save(root / "a/recoded.png", Image.open(root / "a/jpeg.jpg"))
    save(root / "a/quality.jpg", photo(900, 600), "JPEG", quality=60)  # nearly the same, not identical
    save(root / "b/lossless.bmp", Image.open(root / "b/0.png"), "BMP")
    # The same at an eighth of the size, where only the mean of a block of pixels is left.
    plain = np.full((600, 600, 3), 128, np.uint8)
    checks = plain + 20 * (np.indices((600, 600)).sum(0) % 2)[..., None].astype(np.uint8) - 10
    for name, pixels in (("plain", plain), ("checks", checks)):
        save(root / "b" / f"{name}.jpg", Image.fromarray(pixels), "JPEG", quality=100)
    save(root / "b/plain.png", Image.open(root / "b/plain.jpg"))
    expected = {
        frozenset({"b/plain.jpg", "b/plain.png"}),
        frozenset({"a/jpeg.jpg", "a/copy.jpg", "a/comment.jpg", "a/recoded.png"}),
        frozenset({"b/0.png", "b/lossless.bmp"}),
    }
    datasets = [open_dataset(str(root), ImageInput(size)) for size in (8, 32, 96, 500)]
    assert [together(dataset) for dataset in datasets] == [expected] * 4
    assert len({dataset.fingerprint for dataset in datasets}) == 1
    found = checked(root)
    assert {frozenset(item["ids"]) for item in found["identical_within"]["items"]} == expected
    assert found["identical_within"]["level"] == "note"
    assert "5 images with the same pixels" in found["identical_within"]["text"]


def test_identical_images_across_given_parts(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    folder(root / "train", count=10)
    folder(root / "test", count=5, start=50)
    before = open_dataset(str(root), ImageInput(SIZE))
    save(root / "test/a/leak.bmp", photo(3), "BMP")
    save(root / "test/b/other_label.png", photo(4))
    found = checked(root)
    leaks = found["identical_across_splits"]
    assert leaks["level"] == "validity"
    assert leaks["text"].startswith("2 of 12 test images (16.7%)")
    assert ids(leaks) == [["test/a/leak.bmp", "train/a/3.png"], ["test/b/other_label.png", "train/a/4.png"]]
    assert leaks["items"][1]["labels"] == ["b", "a"]
    assert ids(found["identical_across_labels"]) == [["test/b/other_label.png", "train/a/4.png"]]
    assert set(found) == {"identical_across_splits", "identical_across_labels"}
    after = open_dataset(str(root), ImageInput(SIZE))
    assert after.pool.ids == before.pool.ids
    assert set(after.test.ids) - set(before.test.ids) == {"test/a/leak.bmp", "test/b/other_label.png"}


def test_identical_images_are_on_one_side_of_every_split_made_here(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", count=20)
    for i in range(8):
        save(root / "a" / f"copy{i}.bmp", photo(i), "BMP")
        save(root / "b" / f"of_a{i}.png", photo(i + 8))
    dataset = open_dataset(str(root), ImageInput(SIZE))
    sets = together(dataset)
    assert len(sets) == 16
    assert all(members <= set(dataset.pool.ids) or members <= set(dataset.test.ids) for members in sets)
    found = checked(root)
    assert set(found) == {"identical_within", "identical_across_labels"}
    assert len(found["identical_across_labels"]["items"]) == len(found["identical_within"]["items"]) == 8


def test_a_class_of_one_picture_is_not_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos")
    for i in range(8):
        save(root / "c" / f"{i}.png", photo(900))
    save(root / "a/copy.bmp", photo(0), "BMP")
    found = checked(root)
    assert ids(found["identical_not_kept_together"]) == ["c"]
    assert "identical_across_splits" in found
    assert together(open_dataset(str(root), ImageInput(SIZE))) == {frozenset({"a/0.png", "a/copy.bmp"})}


def test_groups_and_identical_images_together(tmp_path: Path) -> None:
    for c in range(2):
        for i in range(12):
            save(tmp_path / f"{c}-{i}.png", photo(100 * c + i))
    save(tmp_path / "0-12.bmp", photo(0), "BMP")
    lines = [f"0-{i}.png,0,g{i // 2}" for i in range(12)] + [f"1-{i}.png,1,h{i // 2}" for i in range(12)]
    manifest = tmp_path / "list.csv"
    manifest.write_text("\n".join(["path,label,group", *lines, "0-12.bmp,0,g5"]))
    sets = together(open_dataset(str(manifest), ImageInput(SIZE)))
    assert frozenset({"0-0.png", "0-1.png", "0-12.bmp", "0-10.png", "0-11.png"}) in sets
    assert len(sets) == 11


def test_rows_of_arrays(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 40, 40), np.uint8)
    x[10] = x[9]
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(20) // 10)
    assert ids(checked(tmp_path / "data.npz")["identical_across_labels"]) == [["00009", "00010"]]


few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def labelled_copies(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Labels, groups, and for each image the number of its picture; most stand alone."""
    total = draw(st.integers(30, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = rng.integers(0, draw(st.integers(2, 5)), total)
    same = np.arange(total)
    copies = rng.choice(total, draw(st.integers(0, total // 3)), replace=False)
    same[copies] = rng.integers(0, total, len(copies))
    groups = rng.integers(0, total, total) if draw(st.booleans()) else None
    return labels, groups, np.unique(same, return_inverse=True)[1]


@few
@given(labelled_copies(), st.integers(0, 5), st.floats(0.2, 1))
def test_no_split_divides_copies_or_groups(
    data: tuple[np.ndarray, np.ndarray | None, np.ndarray], seed: int, fraction: float
) -> None:
    labels, groups, same = data
    merged = united(groups, same)
    for a, b in combinations(range(len(labels)), 2):
        if same[a] == same[b] or (groups is not None and groups[a] == groups[b]):
            assert merged[a] == merged[b]
    if groups is None:
        assert len(np.unique(merged)) == len(np.unique(same))
    try:
        test = splits.split_test(labels, merged, "key")
        pool, of_pool = labels[~test], merged[~test]
        rows = splits.subset(pool, of_pool, fraction, seed, "key")
        train, validation = splits.split_validation(pool, of_pool, rows, seed, "key")
    except RequestError:
        assume(False)
    rest = np.setdiff1d(np.arange(len(pool)), rows)
    parts = [set(part) for part in (merged[test], of_pool[train], of_pool[validation], of_pool[rest])]
    assert not any(a & b for a, b in combinations(parts, 2))


@few
@given(labelled_copies(), st.floats(0.3, 1))
def test_a_fraction_that_is_let_pass_works(
    data: tuple[np.ndarray, np.ndarray | None, np.ndarray], fraction: float
) -> None:
    labels, groups, same = data
    merged = united(groups, same)
    for seed in range(3 if splits._is_certain(labels, merged, fraction) else 0):
        rows = splits.subset(labels, merged, fraction, seed, "key")
        splits.split_validation(labels, merged, rows, seed, "key")


# ------------------------------------------------------------------------------------------ near duplicates

CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "encoded": lambda image: reencoded(image, 40),
    "smaller": lambda image: image.resize((60, 60), Image.Resampling.LANCZOS),
    "larger": lambda image: image.resize((150, 170), Image.Resampling.BICUBIC),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "harder": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
}


def reencoded(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def test_near_duplicates_across_given_parts_and_labels(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    folder(root / "train", count=20)
    folder(root / "test", count=5, start=50)
    for i, (name, change) in enumerate(CHANGES.items()):
        save(root / "test/a" / f"{name}.png", change(photo(i)))
    save(root / "train/b/wrong.png", CHANGES["encoded"](photo(19)))
    found = checked(root)
    near = found["near_across_splits"]
    assert near["level"] == "validity"
    assert near["text"].startswith("5 of 15 test images (33.3%)")
    assert sorted(ids(near)) == sorted(
        [f"test/a/{name}.png", f"train/a/{i}.png"] for i, name in enumerate(CHANGES)
    )
    assert ids(found["near_across_labels"]) == [["train/a/19.png", "train/b/wrong.png"]]
    assert set(found) == {"near_across_splits", "near_across_labels", "mixed_sizes"}


def test_what_is_identical_is_not_called_near_as_well(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    folder(root / "train", count=10)
    folder(root / "test", count=5, start=50)
    save(root / "test/a/same.png", photo(0))
    save(root / "train/a/near.png", CHANGES["encoded"](photo(0)))
    assert set(checked(root)) == {"identical_across_splits"}


def facts(thumbnail: np.ndarray) -> Facts:
    return Facts(64, 64, "RGB", "PNG", False, False, b"", thumbnail)


def test_lookalikes_are_those_that_comparing_all_would_find() -> None:
    rng = np.random.default_rng(0)
    thumbnails = rng.integers(0, 256, (200, 16, 16, 3)).astype(float)
    copies = thumbnails * rng.uniform(0.7, 1, (200, 1, 1, 1)) + rng.normal(0, 4, thumbnails.shape)
    copies[::4] = rng.integers(0, 256, (50, 16, 16, 3))
    everything = np.clip(np.concatenate([thumbnails, copies]), 0, 255).astype(np.uint8)
    kinds = np.arange(400) // 200
    words = difference_hashes(everything).view(np.uint64)
    flat = everything.reshape(400, -1, 3) - everything.reshape(400, -1, 3).mean(axis=1, keepdims=True)
    flat = flat.reshape(400, -1) / np.linalg.norm(flat.reshape(400, -1), axis=1, keepdims=True)
    near = np.bitwise_count(words[:, None] ^ words).sum(axis=2) <= DISTANCE
    alike = near & (flat @ flat.T >= CORRELATION) & (kinds[:, None] != kinds)
    assert alike.any(axis=1).sum() > 250
    partner = lookalikes([facts(thumbnail) for thumbnail in everything], kinds)
    assert ((partner >= 0) == alike.any(axis=1)).all()
    assert alike[partner >= 0, partner[partner >= 0]].all()


def test_many_images_that_look_alike() -> None:
    one = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    alike = [facts(one)] * 20_000
    assert (lookalikes(alike, np.arange(20_000) % 5) >= 0).all()
    plain = [facts(np.full_like(one, shade % 256)) for shade in range(2_000)]
    assert (lookalikes(plain, np.arange(2_000) % 5) == -1).all()


# ---------------------------------------------------------------------------------------- classes, fractions


def test_classes_and_fractions(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", "a", 40)
    folder(root, "b", 5, 500)
    found = checked(root, fractions=[0.1, 1.0])
    assert set(found) == {"imbalance", "fraction_too_small"}
    assert "5 to 40 images" in found["imbalance"]["text"]
    assert found["fraction_too_small"]["level"] == "refused"
    assert "The smallest fraction that works is" in found["fraction_too_small"]["text"]
    assert found["fraction_too_small"]["items"] == [{"class": "b", "images": 4}]


def test_a_plan_without_fractions_takes_as_many_from_the_smallest_that_works_on(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", "a", 20)
    folder(root, "b", 20, 500)
    plan = load_plan({"datasets": [str(root)], "image_size": SIZE})
    assert check(open_dataset(plan.datasets[0], vars(plan)), plan)["fractions"] == [0.13, 0.26, 0.51, 1.0]
    prepared = prepare(load_plan({"datasets": [str(root)], "backbones": ["Conv4"], "weights": ["none"]}))
    assert prepared.plan.fractions == [0.13, 0.26, 0.51, 1.0]
    assert {cell.fraction for cell in prepared.cells} == set(prepared.plan.fractions)
    assert any("With less than 13% of the labels" in note for note in prepared.notes)


def test_classes_without_a_test_image(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    folder(root / "train")
    folder(root / "test", "a", 3, 50)
    assert ids(checked(root)["classes_without_test"]) == ["b"]


# ---------------------------------------------------------------------------------------------- command line


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return run


def test_text(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", "abcdefghijklmnop", 6)
    code, out, _ = command("check", root, "--fractions", "1", "--image-size", SIZE, "--resizing", "pad")
    assert code == 0
    assert "photos: 96 images in 16 classes, pool of 77, test set of 19" in out
    assert "No problem was found." in out
    assert "... 4 more" in out
    for i in range(6):
        save(root / "a" / f"copy{i}.bmp", photo(i), "BMP")
    (root / "b/empty.png").write_bytes(b"")
    code, out, _ = command("check", root, "--fractions", "1", "--image-size", SIZE)
    assert code == 0
    assert out.index("1 of 103 images not readable") < out.index("6 images with the same pixels")
    assert "b/empty.png: empty file" in out
    assert "a/0.png (a) and a/copy0.bmp (a)" in out
    assert "and 3 more (--json lists all)" in out


def test_json_has_everything(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", count=40)
    for i in range(30):
        (root / "a" / f"bad{i:02d}.png").write_text("no image")
    code, out, error = command("check", root, "--json", "--image-size", SIZE, "--verbose")
    assert code == 0
    assert "80 of" not in out
    assert "looking for duplicates" in error
    result = json.loads(out)
    assert result["name"] == "photos"
    assert result["fractions"] == [0.1, 0.25, 0.5, 1.0]
    assert result["images"]["width"] == [96, 96, 96]
    assert result["classes"] == [{"class": name, "pool": 32, "test": 8} for name in "ab"]
    (finding,) = result["findings"]
    assert finding["kind"] == "unreadable"
    assert [item["id"] for item in finding["items"]] == [f"a/bad{i:02d}.png" for i in range(30)]
    assert json.loads(command("check", root, "--json", "--image-size", SIZE, "--verbose")[1]) == result


HOSTILE = [
    "<script>alert(1)</script>", "quote\"'`", "new\nline", "=HYPERLINK(1)", "-rf", "tab\t", "%s%n", "{{7*7}}",
    "\u202egnp", "日本", "x" * 200, "\x1b[31m", "\x9b31m", "a/../../b".replace("/", "\u2215"),
]  # fmt: skip


def test_hostile_names(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    root = tmp_path / "\x1b[31mphotos\n"
    for c, label in enumerate(("\x1b]0;title\x07", "b\nb" + "y" * 150)):
        for i, name in enumerate(HOSTILE):
            save(root / label / f"{name}.png", photo(100 * c + i))
            save(root / label / f"copy of {name}.png", photo(100 * (c and i % 2) + i))
            (root / label / f"{name}.jpg").write_text("no image")
    code, out, error = command("check", root, "--fractions", "0.01,1", "--image-size", SIZE)
    assert code == 1  # a hundredth of the images is too few
    assert "different labels" in out
    for text in (out, error):
        assert all(c.isprintable() for c in text.replace("\n", ""))
    assert "\\x1b]0;title" in out
    assert max(map(len, out.splitlines())) < 1000
    out = command("check", root, "--json")[1]
    assert out.isascii()
    (unreadable,) = [f for f in json.loads(out)["findings"] if f["kind"] == "unreadable"]
    assert f"b\nb{'y' * 150}/new\nline.jpg" in ids(unreadable)
    for label in root.iterdir():
        for name in HOSTILE:
            (label / f"{name}.png").write_text("no image")
            (label / f"copy of {name}.png").unlink()
    code, out, error = command("check", root)
    assert (code, out) == (2, "")
    assert all(c.isprintable() for c in error.replace("\n", ""))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nowhere/"], "nowhere"), (["digits", "--fractions", "2"], "fractions"),
        (["digits", "--resizing", "squash"], "squash"), (["digits", "--image-size", "0"], "--image-size"),
    ],
)  # fmt: skip
def test_what_is_refused(
    command: Callable[..., tuple[int, str, str]], arguments: list[str], named: str
) -> None:
    code, out, error = command("check", *arguments)
    assert (code, out) == (2, "")
    assert named in error


def test_groups_that_straddle_given_parts_are_refused(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    rows = ["path,label,split,group"]
    for i in range(12):
        save(tmp_path / f"{i}.png", photo(i))
        rows.append(f"{i}.png,{i % 2},{'test' if i < 4 else 'train'},g{i % 6}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    code, out, _ = command("check", "list.csv")
    assert code == 1
    assert "4 groups of 6 lie on both sides of the given split" in out
    assert "g0: 2" in out


def test_a_run_tells_what_touches_validity_and_its_report_puts_it_first(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "photos"
    folder(root / "train")
    folder(root / "test", count=4, start=50)
    save(root / "test/a/<b>leak.bmp", photo(3), "BMP")
    save(root / "train/b/note.jpg", photo(900))
    monkeypatch.setattr(bench.execution.local, "_Worker", None)
    monkeypatch.setattr(bench.execution.local.LocalExecutor, "run", lambda *arguments: iter(()))
    arguments = ("--image-size", SIZE, "--strategy", "majority", "--fractions", "1", "--seeds", "1")
    code, out, _ = command("run", "--dataset", root, *arguments, "--out", "run")
    assert code == 1, "its only cell was not run"
    (line,) = [line for line in out.splitlines() if line.startswith("Warning: ")]
    assert "photos: 1 of 9 test images (11.1%) with the same pixels" in line
    assert "test/a/<b>leak.bmp (a) and train/a/3.png (a)" in line
    (dataset,) = json.loads((tmp_path / "run/run.json").read_text())["datasets"].values()
    assert [finding["kind"] for finding in dataset["findings"]] == ["identical_across_splits"]
    page = (tmp_path / "run/report.html").read_text()
    first = page[page.index('<ul class="alerts">') :]
    assert "1 of 9 test images" in first[: first.index("</li>")]
    assert "&lt;b&gt;leak.bmp" in first
    assert "<b>leak" not in page
