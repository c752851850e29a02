"""Manifests as people's programs write them: columns, paths, encodings, parts."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.datasets.adapters.columns import meant
from bench.datasets.companions.auxiliary import of_column
from tests.unit.data_samples import manifest, opened, picture, refusal, told


@pytest.fixture(autouse=True)
def cache(fresh_cache: Path) -> Path:
    return fresh_cache


@pytest.fixture
def rows(tmp_path: Path) -> list[tuple[str, str]]:
    """Twenty images, ten of each class."""
    found = [(f"i/{label}{i}.png", label) for label in ("cat", "dog") for i in range(10)]
    for path, _ in found:
        picture(tmp_path / path)
    return found


Rows = list[tuple[str, str]]
Write = Callable[[str], str]


@pytest.fixture
def list_csv(tmp_path: Path) -> Path:
    return tmp_path / "list.csv"


# -------------------------------------------------------------------------------------- columns not used


@pytest.mark.parametrize(
    ("name", "values", "kind", "level"),
    [
        ("subset", "train test", "unused_split", "validity"),
        ("Fold", "0 1 2 3 4", "unused_split", "validity"),
        ("partition", "a b", "unused_split", "validity"),
        ("is_test", "True False", "unused_split", "validity"),
        ("xyz", "train test", "unused_split", "validity"),
        ("phase", "Training Testing", "unused_split", "validity"),
        ("stage", "I II III", "unused_columns", "note"),
        ("patient_id", "1 1 2 2 3", "unused_group", "validity"),
        ("Subject", "a b", "unused_group", "validity"),
        ("case_ID", "a b", "unused_group", "validity"),
        ("video", "a b", "unused_group", "validity"),
        ("site", "a b", "unused_group", "note"),
        ("class", "x y z", "unused_label", "note"),
        ("target", "0 1 1", "unused_label", "note"),
        ("width", "1 2 3", "unused_columns", "note"),
    ],
)
def test_columns_that_are_not_used(
    rows: Rows, list_csv: Path, name: str, values: str, kind: str, level: str
) -> None:
    given = values.split()
    table = [(*row, given[i % len(given)]) for i, row in enumerate(rows)]
    found = told(manifest(list_csv, table, f"path,label,{name}"))
    assert {k: v for k, (v, _) in found.items()} == {kind: level}
    assert repr(name.lower()) in found[kind][1]
    if kind in ("unused_split", "unused_group"):
        assert f"Did you mean {kind.removeprefix('unused_')!r}?" in found[kind][1]


def test_columns_that_say_the_same_or_nothing_are_no_trouble(rows: Rows, list_csv: Path) -> None:
    table = [(*row, str(int(row[1] == "cat")), f"p{i}") for i, row in enumerate(rows)]
    found = told(manifest(list_csv, table, "path,label,label_id,patient"))
    assert found == {"unused_columns": ("note", "Columns that are not used: 'label_id', 'patient'.")}
    table = [(*row, "train" if i % 3 else "test", "x") for i, row in enumerate(rows)]
    assert set(told(manifest(list_csv, table, "path,label,split,subset"))) <= {"unused_columns"}


def test_columns_by_other_names() -> None:
    names = {
        "Filename": "path",
        "image_path": "path",
        "Class_Name": "label",
        "targets": "label",
        "PatientIDs": "group",
    }
    assert {name: meant(name) for name in names} == names
    assert [meant(name) for name in ("path", "Label", "width", "notes")] == [None] * 4


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (
            "filename,class",
            ["Rename the column 'filename' to 'path'.", "Rename the column 'class' to 'label'."],
        ),
        ("Path,target", ["Rename the column 'target' to 'label'."]),
        ("image,image_label", ["Rename the column 'image' to 'path'."]),
        ("i/cat0.png,cat", ["Its first line is a row already"]),
        ("path,path", ["lacks label"]),
        ("a,b", ["lacks path and label"]),
    ],
)
def test_missing_columns(rows: Rows, list_csv: Path, header: str, says: list[str]) -> None:
    said = refusal(manifest(list_csv, rows, header))
    assert all(words in said for words in says)


def test_several_columns_for_one(rows: Rows, list_csv: Path) -> None:
    three = [(path, path, label) for path, label in rows]
    assert "Rename one of 'image', 'file' to 'path'." in refusal(
        manifest(list_csv, three, "image,file,label")
    )
    assert "There are 2 columns 'label'" in refusal(manifest(list_csv, three, "path,label,label"))


def test_a_column_for_each_class(rows: Rows, list_csv: Path) -> None:
    flags = [(path, str(int(label == "cat")), str(int(label == "dog"))) for path, label in rows]
    assert "idxmax" in refusal(manifest(list_csv, flags, "path,cat,dog"))
    both = [(*row, str(i % 2)) for i, row in enumerate(flags)]
    assert "multi-label" in refusal(manifest(list_csv, both, "path,cat,dog,wet"))


def test_a_parquet_column_for_each_class(rows: Rows, tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {
        "path": [p for p, _ in rows],
        "cat": [y == "cat" for _, y in rows],
        "dog": [y == "dog" for _, y in rows],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "list.parquet")
    assert "idxmax" in refusal(tmp_path / "list.parquet")


def test_cells_that_are_too_many_or_too_few(rows: Rows, list_csv: Path) -> None:
    assert "Line 22 has 3" in refusal(manifest(list_csv, [*rows, ("i/cat", "1.png", "cat")]))
    assert len(opened(manifest(list_csv, [(*row, "", "") for row in rows], "path,label,,")).pool.ids) == 16
    short = [(*row, "test") if i % 3 == 0 else row for i, row in enumerate(rows)]
    path = manifest(list_csv, short, "path,label,split")
    assert len(opened(path).test.ids) == 7
    assert told(path)["rows_without_split"] == ("note", "13 rows without a split, taken for training.")


def test_words_of_parts(rows: Rows, list_csv: Path) -> None:
    words = ["TRAIN", "1_test", "train-0", "Testing ", "dev", "hold-out"]
    table = [(*row, words[i % 6]) for i, row in enumerate(rows)]
    dataset = opened(manifest(list_csv, table, "path,label,split"))
    assert len(dataset.test.ids) == sum(i % 6 in (1, 3, 5) for i in range(20))
    three = [(*row, ("train", "eval", "test", "train")[i % 4]) for i, row in enumerate(rows)]
    dataset = opened(manifest(list_csv, three, "path,label,split"))
    assert (len(dataset.pool.ids), len(dataset.test.ids)) == (15, 5)
    folds = [(*row, str(i % 5)) for i, row in enumerate(rows)]
    said = refusal(manifest(list_csv, folds, "path,label,split"))
    assert "Line 2 has '0'. These look like folds" in said
    assert "testing, eval, holdout" in said
    other = [(*row, "development") for row in rows]
    assert "Line 2 has 'development'" in refusal(manifest(list_csv, other, "path,label,split"))


# ------------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.replace("/", "\\"),
        lambda path: ".\\" + path.replace("/", "\\"),
        lambda path: f" {path}",
        lambda path: f'"{path} "',
    ],
)
def test_paths_that_are_read_as_they_are_meant(rows: Rows, list_csv: Path, write: Write) -> None:
    dataset = opened(manifest(list_csv, [(write(path), label) for path, label in rows]))
    assert not dataset.left_out
    assert all("\\" not in id and id == id.strip() for id in dataset.pool.ids)


def test_a_file_whose_name_holds_a_backslash_is_itself(rows: Rows, list_csv: Path, tmp_path: Path) -> None:
    picture(tmp_path / "i\\cat0.png")
    dataset = opened(manifest(list_csv, [("i\\cat0.png", "cat"), *rows]))
    assert "i\\cat0.png" in {*dataset.pool.ids, *dataset.test.ids}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_paths_in_another_unicode_form(rows: Rows, list_csv: Path, tmp_path: Path, form: str) -> None:
    other = "NFD" if form == "NFC" else "NFC"
    picture(tmp_path / unicodedata.normalize(form, "i/é.png"))
    dataset = opened(manifest(list_csv, [(unicodedata.normalize(other, "i/é.png"), "cat"), *rows]))
    assert not dataset.left_out


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda p: f"C:\\data\\{p}".replace("/", "\\"), "Leave 'C:/data/' out of the paths"),
        (lambda p: f"/content/drive/{p}", "Leave '/content/drive/' out of the paths"),
        (lambda p: p.removeprefix("i/"), "There is 'i/cat0.png'"),
        (lambda p: p.removeprefix("i/").removesuffix(".png"), "There is 'i/cat0.png'"),
        (lambda p: p.removesuffix(".png"), "Add the extension '.png'"),
        (lambda p: p.replace(".png", ".jpg"), "The files end in '.png'"),
        (lambda p: f"https://example.org/{p}", "download"),
        (lambda p: f"D:\\{p[2:]}x", "Windows path"),
        (lambda p: f"x{p[2:-4]}", "Its folder is"),
    ],
)
def test_paths_of_which_none_is_there(rows: Rows, list_csv: Path, write: Write, says: str) -> None:
    assert says in refusal(manifest(list_csv, [(write(path), label) for path, label in rows]))


def test_auxiliary_columns_of_windows_paths(rows: Rows, list_csv: Path) -> None:
    table = [(path.replace("/", "\\"), label, "ab"[i % 2]) for i, (path, label) in enumerate(rows)]
    task = of_column(opened(manifest(list_csv, table, "path,label,mood")), "mood")
    assert task is not None
    assert task.labels is not None
    assert (task.labels >= 0).all()


# ----------------------------------------------------------------------------------------------- encodings


@pytest.mark.parametrize(
    ("encoding", "sep"),
    [
        ("utf-16", "\t"), ("utf-16", ","), ("utf-16-le", ","), ("utf-16-be", ";"), ("utf-32", ","),
        ("utf-8-sig", ","), ("utf-8", "|"), ("utf-8", ";"), ("utf-8", "\t"),
    ],
)  # fmt: skip
def test_unicode_and_delimiters(rows: Rows, list_csv: Path, encoding: str, sep: str) -> None:
    table = [(path, {"cat": "café", "dog": "犬"}[label]) for path, label in rows]
    path = manifest(list_csv, table, encoding=encoding, sep=sep)
    assert opened(path).class_names == ("café", "犬")
    assert ("encoding" in told(path)) == (not encoding.startswith("utf-8"))


@pytest.mark.parametrize(
    ("encoding", "labels"),
    [("latin-1", ("café", "straße")), ("cp1252", ("naïve", "crème")), ("cp1251", ("кошка", "собака"))],
)
def test_legacy_encodings(rows: Rows, list_csv: Path, encoding: str, labels: tuple[str, str]) -> None:
    table = [(path, labels[label == "dog"]) for path, label in rows]
    path = manifest(list_csv, table, encoding=encoding)
    assert set(opened(path).class_names) == set(labels)
    assert told(path)["encoding"][0] == "note"


def test_the_encoding_is_the_one_in_which_files_are_found(rows: Rows, list_csv: Path, tmp_path: Path) -> None:
    picture(tmp_path / "i/Müller é.png")
    for encoding in ("cp1252", "mac_roman", "cp850"):
        dataset = opened(manifest(list_csv, [("i/Müller é.png", "cat"), *rows], encoding=encoding))
        assert not dataset.left_out


def test_names_that_are_no_text_stay_what_they_are(rows: Rows, list_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "i/cat0.png").rename(tmp_path / b"i/\xe9.png".decode("utf-8", "surrogateescape"))
    table = [(b"i/\xe9.png".decode("utf-8", "surrogateescape"), "cat"), *rows[1:]]
    dataset = opened(manifest(list_csv, table, errors="surrogateescape"))
    assert "i/\\xe9.png" in {*dataset.pool.ids, *dataset.test.ids}


def test_what_spreadsheets_add(rows: Rows, list_csv: Path) -> None:
    plain = opened(manifest(list_csv, rows)).fingerprint
    text = list_csv.read_text()
    for other in (
        "sep=;\n" + text.replace(",", ";"),
        "\n\n" + text,
        text.replace("\n", "\r\n"),
        text.replace("path,label", " Path , LABEL "),
        text.replace(",", ", "),
        text + "\n,,\n\n",
        text.replace(",cat", ',"cat"'),
    ):
        list_csv.write_text(other)
        assert opened(list_csv).fingerprint == plain, other[:30]


def test_a_quoted_cell_over_several_lines(rows: Rows, list_csv: Path) -> None:
    table = [(*row, '"two\nlines"') for row in rows]
    assert len(opened(manifest(list_csv, table, "path,label,note")).pool.ids) == 16


@pytest.mark.parametrize(
    ("header", "row", "says"),
    [
        ("path,label,split", "{path},a,True", "Write test for what to test on and train for the rest."),
        ("path,label,split", "{path},a,3", "These look like folds"),
        ("path,label,split", "{path},a,unlabelled", "Leave out the rows without a label."),
        ("Image Index,Finding Labels", "{path},a", "Rename the column 'Finding Labels' to 'label'."),
        ("path,label", "{path},", "Leave out rows without one."),
        ("path,label", "{path},a\n{path},a", "table.drop_duplicates('path')"),
    ],
)
def test_rows_that_are_refused_say_what_to_do(
    rows: Rows, list_csv: Path, header: str, row: str, says: str
) -> None:
    list_csv.write_text(f"{header}\n{row.format(path=rows[0][0])}\n")
    assert says in refusal(list_csv)
