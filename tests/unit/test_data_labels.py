"""Labels that are the same to a person, several in one, and those that are no classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.datasets.labels import key_of, twins
from tests.unit.data_samples import manifest, opened, picture, refusal, told, tree


@pytest.fixture(autouse=True)
def cache(fresh_cache: Path) -> Path:
    return fresh_cache


def labelled(folder: Path, labels: list[str], count: int = 8) -> Path:
    """A manifest with ``count`` images of each label."""
    rows = [(f"i/{c}-{i}.png", f'"{label}"') for c, label in enumerate(labels) for i in range(count)]
    for path, _ in rows:
        picture(folder / path)
    return manifest(folder / "list.csv", rows)


TWINS = [
    ("cat", "Cat"), ("CAT", "cat"), ("cat", "cat\u200b"), ("1", "1.0"), ("1", "01"), ("007", "7"), ("1.0", "1.00"),
    ("no tumor", "no_tumor"), ("NoTumor", "no-tumor"), ("no tumor", "notumor"), ("cat a", "cat\xa0a"), ("１", "1"),
    ("True", "TRUE"), ("ﬁg", "fig"), ("straße", "STRASSE"), ("class 1", "class_01"), ("+1", "1"), ("a  b", "a b"),
    ("İ", "i̇"), ("Type-2", "type 2"), ("m", "M"), ("❤", "❤\ufe0f"),
]  # fmt: skip
DIFFERENT = [
    ("cat", "cats"), ("1", "11"), ("1", "-1"), ("1", "10"), ("1.5", "15"), ("1.0", "10"), ("1-2", "12"),
    ("C", "C++"),
    ("v1.1", "v1.10"), ("1.0.2", "1.2"), ("a.b", "ab"), ("0.5", "5"), ("tumor", "no tumor"), ("café", "cafe"),
    ("class 1", "class 10"), ("1 2", "12"), ("A+", "A-"), ("1,0", "10"),
]  # fmt: skip


@pytest.mark.parametrize("pair", TWINS)
def test_the_same_to_a_person(pair: tuple[str, str]) -> None:
    assert key_of(pair[0]) == key_of(pair[1])
    assert twins(pair) == [sorted(pair)]


@pytest.mark.parametrize("pair", DIFFERENT)
def test_not_the_same(pair: tuple[str, str]) -> None:
    assert twins(pair) == []


def test_letters_of_an_alphabet_are_no_twins() -> None:
    letters = "abcdefghijABCDEFGHIJ"
    assert twins(list(letters)) == []
    assert twins([*letters, "cat", "Cat"]) == [["Cat", "cat"]]


def test_pieces_of_chess_are_no_twins() -> None:
    assert twins([*"prnbqkPRNBQK", "empty"]) == []


def test_yes_is_yes_where_there_is_nothing_but_yes_and_no() -> None:
    assert twins(["yes", "no", "Y", "N"]) == [["Y", "yes"], ["N", "no"]]
    assert twins(["True", "1", "0", "false"]) == [["1", "True"], ["0", "false"]]
    assert twins(["1", "0"]) == twins(["yes", "1", "2"]) == twins(["n", "y", "x", "no"]) == []


def test_twins_are_told(tmp_path: Path) -> None:
    level, text = told(labelled(tmp_path, ["cat", "Cat", "dog", "1", "1.0"]))["twin_classes"]
    assert level == "validity"
    assert text.startswith("4 classes differ only in case, spaces")
    assert "'Cat' and 'cat'" in text
    assert "twin_classes" not in told(labelled(tmp_path / "sound", ["cat", "dog"]))


def test_twins_of_folders_and_arrays(tmp_path: Path) -> None:
    import numpy as np

    assert "twin_classes" in told(tree(tmp_path / "folders", "cats Cats dogs"))
    x = np.random.default_rng(0).integers(0, 256, (24, 9, 9, 3), np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=np.array(["cat", "Cat ", "dog"] * 8))
    assert "twin_classes" in told(tmp_path / "a.npz")


def test_spaces_around_and_unicode_forms_are_one_class(tmp_path: Path) -> None:
    assert opened(labelled(tmp_path / "a", ["cat", " cat ", "dog"])).class_names == ("cat", "dog")
    assert opened(labelled(tmp_path / "b", ["caf\xe9", "cafe\u0301", "bar"])).class_names == (
        "bar",
        "caf\xe9",
    )
    flat = tree(tmp_path / "flat", "caf\xe9 cafe\u0301 bar")
    dataset = opened(flat)
    assert dataset.class_names == ("bar", "caf\xe9")
    assert len(dataset.pool.ids) + len(dataset.test.ids) == 18


def test_parts_that_spell_a_class_differently(tmp_path: Path) -> None:
    dataset = opened(tree(tmp_path / "shops", "train/caf\xe9 train/bar test/cafe\u0301 test/bar"))
    assert dataset.class_names == ("bar", "caf\xe9")
    assert len(dataset.test.ids) == 12
    assert "'Cats' and 'cats'" in refusal(
        tree(tmp_path / "case", "train/cats train/dogs test/Cats test/dogs")
    )


def test_twins_of_groups(tmp_path: Path) -> None:
    path = labelled(tmp_path, ["cat", "dog"], 12)
    names = ["P1", "p1 ", "P 2", "P2", "x", "y"]
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join([f"{lines[0]},group", *(f"{row},{names[i % 6]}" for i, row in enumerate(lines[1:]))])
    )
    level, text = told(path)["twin_groups"]
    assert level == "validity"
    assert text.startswith("4 groups differ only")


# --------------------------------------------------------------------------------- several labels in one

SEVERAL = {
    "bars": ["cat", "cat|wet", "cat|dark|wet", "dog", "dog|wet"],
    "one more than once": ["cat", "cat|wet", "dog"],
    "semicolons": ["cat", "cat;wet", "dog;wet"],
    "commas": ["cat", "cat, wet", "cat, dark, wet", "dog, wet", "dog, dark", "wet"],
    "lists": ["['cat']", "['cat', 'wet']", "['dog', 'wet']"],
    "json": ['[""cat""]', '[""cat"", ""wet""]', '[""dog""]'],
    "numpy": ["[1 0]", "[0 1]", "[1 1]"],
    "indices": ["1", "1,2", "2,3", "1,2,3", "3"],
    "tags": ["clear primary", "haze primary", "clear primary water", "haze primary road", "haze",
             "clear road water primary"],
    "pluses": ["cat", "cat+wet", "cat+dark+wet", "dog", "dog+wet", "dog+dark+wet"],
    "slashes": ["cat", "cat/wet", "cat/dark/wet", "dog", "dog/wet", "dog/dark/wet"],
}  # fmt: skip
ONE = {
    "cards": [f"{rank} of {suit}" for rank in ("ace", "two", "three", "king") for suit in ("clubs", "hearts")]
    + ["joker"],
    "states": ["fresh apple", "fresh pear", "rotten apple", "rotten pear", "apple", "pear"],
    "age groups": ["(0, 2)", "(4, 6)", "(8, 12)", "(8, 23)", "(25, 32)"],
    "attributes": ["red shirt", "blue shirt", "red hat", "blue hat"],
    "negation": ["tumor", "no tumor"],
    "places": ["Portland, OR", "Salem, OR", "Seattle, WA", "Tacoma, WA"],
    "pairs": ["bags & cases", "shoes", "hats & caps"],
    "superclasses": ["Greek/alpha", "Greek/beta", "Latin/alpha", "Latin/beta"],
    "garments": ["t-shirt", "shirt", "polo shirt", "dress"],
    "emoji": ["face", "smiling face", "cat", "smiling cat face"],
    "ranges": ["(0, 10]", "(10, 20]", "(20, 30]"],
    "a tree": ["Tops|Shirt", "Tops|Blouse", "Shoes|Boots"],
    "bar once": ["a|b", "c", "d"],
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_labels_in_one(tmp_path: Path, kind: str) -> None:
    level, text = told(labelled(tmp_path, SEVERAL[kind]))["several_labels"]
    assert level == "validity"
    assert "multi-label" in text
    assert "add --task multi_label" in text


@pytest.mark.parametrize("kind", ONE)
def test_one_label_of_several_words(tmp_path: Path, kind: str) -> None:
    assert "several_labels" not in told(labelled(tmp_path, ONE[kind]))


def test_a_refusal_names_the_cause(tmp_path: Path) -> None:
    assert "4 of 6 classes look like several labels (multi-label), divided by '|': 4 labels" in refusal(
        labelled(tmp_path / "a", ["cat", "cat|wet", "cat|dark|wet", "dog", "dog|wet", "dog|dark|wet"], 2)
    )
    ids = refusal(labelled(tmp_path / "b", [f"IMG_{i}" for i in range(30)], 1))
    assert "30 classes for 30 examples, 30 of them with one" in ids
    numbers = refusal(labelled(tmp_path / "c", [f"{i}.{i}7" for i in range(30)], 1))
    assert "30 classes have decimals, like a quantity that is to be predicted (regression)" in numbers
    assert "Namely 'a' (2), 'b' (2)." in refusal(labelled(tmp_path / "d", ["a", "b"], 2))


def test_numbers_with_decimals_are_told_though_they_may_run(tmp_path: Path) -> None:
    assert "labels_like_numbers" in told(labelled(tmp_path, [f"{i}.5" for i in range(12)], 4))
    assert "labels_like_numbers" not in told(labelled(tmp_path / "x", ["1.0", "2.0", "3.5"], 4))


def test_classes_of_nothing(tmp_path: Path) -> None:
    assert told(labelled(tmp_path, ["cat", "dog", "nan"]))["class_of_nothing"][0] == "note"


def test_groups_of_nothing(tmp_path: Path) -> None:
    rows = [(f"{i}.png", "ab"[i % 2], "nan" if i % 4 < 2 else f"p{i}") for i in range(24)]
    for path, *_ in rows:
        picture(tmp_path / path)
    found = told(manifest(tmp_path / "list.csv", rows, "path,label,group"))
    assert "'nan'" in found["group_of_nothing"][1]
    rows = [(path, label, "nan") for path, label, _ in rows]
    assert "leave the cells empty" in refusal(manifest(tmp_path / "all.csv", rows, "path,label,group"))


@pytest.mark.parametrize(("labels", "nothing"), [(["-1", "0", "1"], True), (["-1", "1"], False)])
def test_minus_one_beside_numbers_from_zero(tmp_path: Path, labels: list[str], nothing: bool) -> None:
    assert ("class_of_nothing" in told(labelled(tmp_path, labels))) == nothing
