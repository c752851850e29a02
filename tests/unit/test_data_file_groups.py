"""What repeats in file names: persons, videos, bursts and copies are seen; numbers that count are not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.commands.check import check
from bench.datasets import Dataset, open_dataset
from bench.datasets.file_groups import grouped, patterns
from bench.plans.loading import load_plan

Names = tuple[list[str], list[int], list[str]]


def made(form: str, classes: Sequence[str] = ("a", "b"), **values: Sequence[Any]) -> Names:
    """Every combination of values in every class; ``{n}`` is the class."""
    ids, labels = [], []
    for c, name in enumerate(classes):
        for chosen in product(*values.values()):
            ids.append(f"{name}/" + form.format(n=name, c=c, **dict(zip(values, chosen, strict=True))))
            labels.append(c)
    return ids, labels, list(classes)


TIMES = [f"{h:02d}{m:02d}" for h in (9, 15) for m in range(0, 60, 7)]

SEEN = {
    "person": (made("person{p}_img_{i}.jpeg", p=range(8), i=range(5)), 8),
    "patient folders": (made("patient{p:05d}/study{s}/view{v}.jpg", p=range(7), s=(1, 2), v=range(2)), 7),
    "folder of patients": (made("patients/{p}/{i}.png", p=range(1, 12), i=range(4)), 11),
    "camel case": (made("imgPatient{p}View{i}.png", p=range(9), i=range(4)), 9),
    "letters": (made("subject{p}_{i}.png", p="ABCDE", i=range(4)), 5),
    "initials": (made("S{p:02d}_{i}.png", p=range(9), i=range(4)), 9),
    "sub-01": (made("sub-{p:02d}/anat/sub-{p:02d}_slice{i}.png", p=range(8), i=range(5)), 8),
    "barcodes": (made("TCGA-{p}A-0{p}B{p}-01Z_{x}_{y}.png", p=range(1, 7), x=range(3), y=range(3)), 6),
    "frames": (made("video{v}/frame_{i:04d}.jpg", v=range(3), i=range(30)), 3),
    "tracks": (made("{t:05d}_{i:05d}.ppm", t=range(7), i=range(30)), 14),
    "views": (made("P{p:03d}-{s}.png", p=range(7), s=("L-CC", "R-CC", "L-MLO")), 7),
    "eyes": (made("{p}_{s}.jpeg", p=range(100, 140), s=("left", "right")), 80),
    "scans": (made("IM-{t:04d}-{i:04d}.jpeg", t=range(40), i=(1, 2)), 80),
    "hashes": (made("dQw4w9Wg{t}cQ_{i:04d}.jpg", t=range(6), i=range(20)), 12),
    "bursts": (made("IMG_20240101_{t}0{i}.jpg", t=TIMES, i=range(3)), 2 * len(TIMES)),
    "counted bursts": (made("IMG_20240101_{t}00_{i:03d}.jpg", t=TIMES, i=range(3)), 2 * len(TIMES)),
    "augmented": (made("leaf{t}_aug{i}.jpg", t=range(30), i=range(4)), 60),
    "exports": (made("x{t}_jpg.rf.{i}aaaaaaaaaaaaaaaa012345.jpg", t=range(30), i=range(3)), 60),
    "copies": (made("x{t}{s}.jpg", t=range(30), s=("", "_copy")), 60),
    "duplicates": (made("IMG_{i}{s}.jpg", i=range(50), s=("", " (2)", " (3)")), 100),
}

SILENT = {
    "camera": made("IMG_{i:04d}.jpg", i=range(400)),
    "kaggle": made("{n}.{i}.jpg", i=range(100)),
    "renamed": made("{n} ({i}).jpg", i=range(100)),
    "numbers": made("{i:05d}.png", i=range(100)),
    "synsets": made("n0144{c}_{i}.JPEG", i=range(100)),
    "species": made("Black_Footed_{n}_{i:04d}_{j}.jpg", i=range(60), j=(796,)),
    "uuids": made("{i:08x}-12ab-34cd-5678-{i:012x}.jpg", i=range(1, 80)),
    "phone": made("IMG_20240101_{t}00.jpg", t=TIMES),
    "messenger": made("IMG-20240101-WA{i:04d}.jpg", i=range(60)),
    "days": made("2024010{d}_{i:04d}.jpg", d=range(1, 8), i=range(40)),
    "folds": made("fold{f}_{i:04d}.jpg", f=range(6), i=range(20)),
    "kinds": made("character{k:02d}/{m:04d}_{i:02d}.png", k=range(9), m=(3,), i=range(20)),
    "drawers": made("{c:04d}_{i:02d}.png", classes=[f"c{k}" for k in range(9)], i=range(20)),
    "one person a class": made("person{c}_{i}.png", i=range(40)),
    "code points": made("1f{k:03x}-200d-{i:04x}-fe0f.png", k=range(40, 50), i=range(9750, 9760)),
    "rows of arrays": ([f"{i:05d}" for i in range(90)], [i % 2 for i in range(90)], ["a", "b"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
def test_what_repeats_is_seen(name: str) -> None:
    (ids, labels, class_names), number = SEEN[name]
    found = patterns(ids, labels, class_names)
    assert found
    assert len(np.unique(grouped(found, len(ids))[0])) == number


@pytest.mark.parametrize("name", SILENT)
def test_what_only_counts_is_not(name: str) -> None:
    assert patterns(*SILENT[name]) == []


def test_random_names_repeat_nothing() -> None:
    letters = list("abcdefghijkmnopqrstuvwxyzABCDEFPS0123456789")
    names = ["a/" + "".join(np.random.default_rng(i).choice(letters, 12)) + ".jpg" for i in range(1000)]
    assert patterns(names, [0] * 1000, ["a"]) == []


def test_what_repeats_in_several_ways_is_one_group() -> None:
    ids = ["a/person1_x.jpg", "a/person1_y.jpg", "a/person2_x.jpg", "a/person2_x_copy.jpg", "a/z.jpg"]
    groups, names = grouped(patterns(ids, [0] * 5, ["a"]), 5)
    assert groups.tolist() == [0, 0, 1, 1, 2]
    assert names == ["person 1", "person 2", ""]


# ---------------------------------------------------------------------------------------------- in a dataset


@pytest.fixture(autouse=True)
def cache(fresh_cache: Path) -> Path:
    return fresh_cache


def painted(root: Path, names: Names) -> Path:
    for i, id in enumerate(names[0]):
        path = root / id
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (5, 5, 3), np.uint8)
        Image.fromarray(pixels).resize((20, 20)).save(path, "PNG")
    return root


def opened(root: Path, groups: str = "none") -> tuple[Dataset, dict[str, Any]]:
    plan = load_plan({"datasets": [root], "image_size": 16, "fractions": [1.0], "groups": groups})
    dataset = open_dataset(plan.datasets[0], vars(plan), audit=True, groups=plan.groups)
    return dataset, check(dataset, plan)


PEOPLE = made("person{p}_img_{i}.jpeg", p=range(9), i=range(4))


def test_they_are_pointed_out_with_the_remedy(tmp_path: Path) -> None:
    dataset, result = opened(painted(tmp_path / "xray", PEOPLE))
    (finding,) = [f for f in result["findings"] if f["kind"] == "names_across_splits"]
    assert finding["level"] == "validity"
    assert "person#" in finding["text"]
    assert "--set groups=auto" in finding["text"]
    assert "column 'group'" in finding["text"]
    test = set(dataset.test.ids)
    assert all(item["ids"][0] in test and not set(item["ids"]) <= test for item in finding["items"])
    assert result["groups"] is None


def test_groups_auto_keeps_them_together_and_is_another_dataset(tmp_path: Path) -> None:
    root = painted(tmp_path / "xray", PEOPLE)
    plain, _ = opened(root)
    dataset, result = opened(root, "auto")
    assert dataset.fingerprint != plain.fingerprint
    assert plain.pool.groups is None
    assert "names_across_splits" not in {finding["kind"] for finding in result["findings"]}
    assert result["groups"]["made_of"] == "person#"
    assert (result["groups"]["pool"] + result["groups"]["test"], result["groups"]["both"]) == (9, 0)
    people = [{id.partition("_")[0][2:] for id in part.ids} for part in (dataset.pool, dataset.test)]
    assert not people[0] & people[1]
    assert set(dataset.pool.group_names or ()) <= {f"person {p}" for p in range(9)}


def test_given_groups_hold(tmp_path: Path) -> None:
    painted(tmp_path, PEOPLE)
    rows = [f"{id},{id[0]},{i // 8}" for i, id in enumerate(PEOPLE[0])]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,group", *rows]))
    plain, result = opened(tmp_path / "list.csv")
    dataset, other = opened(tmp_path / "list.csv", "auto")
    assert dataset.fingerprint == plain.fingerprint
    assert result["groups"] == other["groups"]
    assert result["groups"]["made_of"] == ""
    assert "names_across_splits" not in {finding["kind"] for finding in result["findings"]}


def test_where_nothing_repeats_groups_auto_says_so(tmp_path: Path) -> None:
    dataset, result = opened(painted(tmp_path / "photos", made("IMG_{i}.jpg", i=range(8))), "auto")
    assert result["findings"][0]["kind"] == "names_without_groups"
    assert result["findings"][0]["level"] == "validity"
    assert dataset.pool.group_names is None


def test_a_given_split_that_tears_them_apart_is_named_or_with_groups_refused(tmp_path: Path) -> None:
    root = tmp_path / "xray"
    for part, people in (("train", range(9)), ("test", range(3, 6))):
        painted(root / part, made("person{p}_" + part + "_{i}.jpeg", p=people, i=range(4)))
    kinds = {f["kind"]: f["level"] for f in opened(root)[1]["findings"]}
    assert kinds["names_across_splits"] == "validity"
    kinds = {f["kind"]: f["level"] for f in opened(root, "auto")[1]["findings"]}
    assert kinds["groups_on_both_sides"] == "refused"


def test_a_refused_dataset_has_its_names_looked_at_too(tmp_path: Path) -> None:
    root = painted(tmp_path / "xray", PEOPLE)
    painted(root, made("x{i}.png", classes=["rare"], i=range(2)))
    kinds = {f["kind"] for f in opened(root)[1]["findings"]}
    assert {"classes_too_small", "names_across_splits"} <= kinds
