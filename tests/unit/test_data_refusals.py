"""A dataset that no run can use: all that is refused about it is told at once, beside every other finding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.cli.app import main
from bench.commands.check import check
from bench.datasets import open_dataset
from bench.errors import RequestError
from bench.plans.loading import load_plan

SIZE = 16

Kinds = dict[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def cache(fresh_cache: Path) -> Path:
    return fresh_cache


def paint(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    blobs = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    Image.fromarray(blobs).resize((40, 40), Image.Resampling.BICUBIC).save(path)
    return path


def folder(root: Path, counts: dict[str, int]) -> Path:
    for c, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            paint(root / name / f"{i}.png", 1000 * c + i)
    return root


def checked(dataset: Path, **more: Any) -> Kinds:
    plan = load_plan({"datasets": [dataset], "image_size": SIZE, "fractions": [1.0], **more})
    result = check(open_dataset(plan.datasets[0], vars(plan), audit=True), plan)
    return {finding["kind"]: finding for finding in result["findings"]}


def refused(dataset: Path) -> str:
    plan = load_plan({"datasets": [dataset], "image_size": SIZE})
    with pytest.raises(RequestError) as caught:
        open_dataset(plan.datasets[0], vars(plan))
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_how_many_classes_are_too_small_and_which_is_told(tmp_path: Path) -> None:
    root = folder(tmp_path / "faces", {f"id{i:02d}": 1 if i < 12 else 5 for i in range(30)})
    found = checked(root)["classes_too_small"]
    assert found["level"] == "refused"
    assert found["text"].startswith("12 of 30 classes have fewer than 4 images")
    assert found["items"] == [{"class": f"id{i:02d}", "images": 1} for i in range(12)]
    assert "'id00' (1), 'id01' (1), 'id02' (1) and 9 others" in refused(root)


def test_one_image_a_class_is_recognised_for_what_it_is(tmp_path: Path) -> None:
    text = checked(folder(tmp_path / "signs", {f"{i}": 1 for i in range(9)}))["classes_too_small"]["text"]
    assert "9 of 9 classes" in text
    assert "9 have a single image" in text
    assert "few-shot" in text
    few = checked(folder(tmp_path / "some", {"a": 1, "b": 5, "c": 5}))["classes_too_small"]["text"]
    assert "few-shot" not in few


def test_small_and_empty_classes_hide_nothing_else(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", {"cat": 12, "dog": 12, "tiny": 2, "hollow": 0, "broken": 0})
    (root / "broken/0.png").write_text("no image")
    (root / "cat/copy.png").write_bytes((root / "cat/0.png").read_bytes())
    (root / "dog/of_a_cat.png").write_bytes((root / "cat/1.png").read_bytes())
    (root / "tiny/of_a_dog.png").write_bytes((root / "dog/1.png").read_bytes())
    found = checked(root)
    refusals = {kind: f for kind, f in found.items() if f["level"] == "refused"}
    assert set(refusals) == {"empty_classes", "classes_too_small"}
    assert [item["class"] for item in refusals["empty_classes"]["items"]] == ["broken", "hollow"]
    assert [item["id"] for item in found["unreadable"]["items"]] == ["broken/0.png"]
    assert len(found["identical_across_labels"]["items"]) == 2
    assert "identical_within" in found
    assert next(iter(found)) in refusals
    message = refused(root)
    assert "2 of 5 classes have no image" in message
    assert "1 of 5 classes has fewer than 4 images" in message
    assert "broken/0.png" not in message.partition("Left out")[0]


def test_a_given_test_part_is_told_of_as_a_whole(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    folder(root / "train", {"a": 8, "b": 8, "single": 1})
    folder(root / "test", {"a": 3, "b": 3, "only": 2, "single": 3})
    (root / "test/a/copy.png").write_bytes((root / "train/a/5.png").read_bytes())
    found = checked(root)
    assert found["classes_only_in_test"]["items"] == [{"class": "only", "images": 2}]
    assert found["classes_too_small"]["items"] == [{"class": "single", "images": 1}]
    assert "identical_across_splits" in found


def test_groups_on_both_sides_or_too_few(tmp_path: Path) -> None:
    rows = []
    for i in range(16):
        paint(tmp_path / f"{i}.png", i)
        rows.append(f"{i}.png,{'ab'[i % 2]}")

    def manifest(name: str, header: str, more: Callable[[int], str]) -> Path:
        path = tmp_path / name
        path.write_text("\n".join([f"path,label,{header}", *(f"{r},{more(i)}" for i, r in enumerate(rows))]))
        return path

    torn = manifest("torn.csv", "split,group", lambda i: f"{'test' if i < 4 else 'train'},g{i % 8}")
    found = checked(torn)["groups_on_both_sides"]
    assert found["text"].startswith("4 groups of 8 lie on both sides")
    assert [item["class"] for item in found["items"]] == ["g0", "g1", "g2", "g3"]
    few = manifest("few.csv", "group", lambda i: f"g{i % 2}")
    assert "Every class needs one group for the test" in checked(few)["groups_not_divisible"]["text"]
    assert "Every class needs one group for the test" in refused(few)


def test_a_fraction_too_small_says_of_how_many_classes(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", {"a": 40, "b": 5, "c": 5})
    found = checked(root, fractions=[0.1])["fraction_too_small"]
    assert found["level"] == "refused"
    assert "2 of 3 classes get fewer" in found["text"]


def test_what_cannot_be_read_at_all_is_refused(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(5):
            (tmp_path / name / f"{i}.png").write_text("no image")
    plan = load_plan({"datasets": [tmp_path], "image_size": SIZE})
    with pytest.raises(RequestError, match="2 of 2 classes have no image that can be read"):
        open_dataset(plan.datasets[0], vars(plan), audit=True)


@pytest.mark.parametrize(("counts", "code"), [({"a": 8, "b": 8}, 0), ({"a": 8, "b": 8, "c": 1}, 1)])
def test_exit_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    counts: dict[str, int], code: int,
) -> None:  # fmt: skip
    root = folder(tmp_path / "photos", counts)
    arguments = ["check", str(root), "--fractions", "1", "--image-size", str(SIZE)]
    for _ in range(2):  # decoded, and from the cache
        monkeypatch.setattr("sys.argv", ["bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == code
    assert ("A run would refuse" in capsys.readouterr().out) == bool(code)
