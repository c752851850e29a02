"""Why these backbones: what the page makes of the ranking that a run keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake
import pytest

from reports.html import render
from reports.questions.ranking import ranking_tables


def entry(
    backbone: str, probe: float, top1: float | None = None, leep: float | None = None
) -> dict[str, Any]:
    scores = {"probe": probe, "knn": probe - 0.05, "nearest_mean": 0.5, "logme": 0.1, "h_score": 2.0,
              "leep": leep, "nce": leep}  # fmt: skip
    return {"backbone": backbone, "scores": scores, "params": 220_000, "imagenet_top1": top1}


def content(*backbones: dict[str, Any], chosen: list[str], **changes: Any) -> dict[str, Any]:
    columns = ("probe", "knn", "nearest_mean", "logme", "h_score", "leep", "nce", "imagenet_top1", "params")
    ranking = {
        "name": "clothing", "images": 3409, "pool": 6000, "backbones": list(backbones),
        "left_out": [["VGG16", "not here"], ["VGG19", "not here"], ["Xception", "too small"]],
        "why": "the probe decides", "columns": {column: f"what {column} means" for column in columns}, **changes,
    }  # fmt: skip
    return {"asked": {"backbones": ["auto:1"]}, "chosen": chosen, "rankings": [ranking]}


FIRST, SECOND = entry("EfficientNetLite0", 0.8, 75.1), entry("MobileNet:alpha=0.25", 0.75)


def test_what_was_taken_what_was_left_out_and_why() -> None:
    (section,) = ranking_tables(content(FIRST, SECOND, chosen=["EfficientNetLite0"]))
    text = " ".join(section.conclusions)
    for words in (
        "auto:1 chose EfficientNetLite0",
        "3,409 of 6,000 labelled images",
        "the probe decides",
        "MobileNet:alpha=0.25 (place 2, 5 points behind the first)",
        "Not ranked, not here: VGG16 and VGG19.",
        "Not ranked, too small: Xception.",
    ):
        assert words in text
    assert section.columns == ["backbone", "in this run", "predicted probe", "nearest neighbours", "nearest mean",
                               "LogME", "H-score", "ImageNet", "parameters"]  # fmt: skip
    assert section.rows[0][:3] == ["EfficientNetLite0", "yes", "80.0%"]
    assert section.rows[0][-2:] == ["75.1%", "220 k"]
    assert section.rows[1][1] == "no"
    assert section.rows[1][-2] == "–"
    assert all(len(row) == len(section.columns) for row in section.rows)


def test_fewer_than_were_asked_for_are_told() -> None:
    made = content(FIRST, chosen=["EfficientNetLite0", "MobileNet:weights=none"])
    made["asked"]["backbones"] = ["auto:5", "MobileNet:weights=none"]
    (section,) = ranking_tables(made)
    assert section.conclusions[1] == "Only 1 of 5 could be ranked: EfficientNetLite0."
    (enough,) = ranking_tables(content(FIRST, chosen=["EfficientNetLite0"]))
    assert "could be ranked" not in " ".join(enough.conclusions)


def test_a_score_that_some_have_is_shown() -> None:
    (section,) = ranking_tables(content(entry("A", 0.8, leep=-1.25), SECOND, chosen=["A"]))
    assert [row[section.columns.index("LEEP")] for row in section.rows] == ["-1.250", "–"]


def test_files_are_named_without_their_folders() -> None:
    named = "MobileNet:weights=/home/someone/x.weights.h5"
    (section,) = ranking_tables(content(entry(named, 0.8), chosen=[named]))
    assert section.rows[0][0] == "MobileNet (weights: x.weights.h5)"
    assert "/home" not in " ".join(section.conclusions)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"rankings": 3},
        {"rankings": [{}], "chosen": [], "asked": {}},
        content(entry("A", 0.8), chosen=["A"], why=None) | {"asked": None},
        content({"backbone": "A"}, chosen=["A"]),
        content({**FIRST, "scores": {}}, chosen=["A"]),
        content({**FIRST, "imagenet_top1": "high"}, chosen=["A"]),
    ],
)
def test_what_is_no_ranking_is_left_out(wrong: dict[str, Any], tmp_path: Path) -> None:
    assert ranking_tables(wrong) == []


def test_names_stay_text_on_the_page(tmp_path: Path) -> None:
    records = fake.records(seeds=1, strategies=("majority",), fractions=(1.0,))
    hostile = content(entry(fake.HOSTILE, 0.8), chosen=[fake.HOSTILE], name=fake.HOSTILE, why=fake.HOSTILE,
                      left_out=[[fake.HOSTILE, fake.HOSTILE]])  # fmt: skip
    page = render(records, fake.run_info(records), "", tmp_path, ranking=hostile).read_text(encoding="utf-8")
    assert 'id="backbones"' in page
    assert "<script>alert" not in page
    assert "\x1b" not in page
    plain = render(records, fake.run_info(records), "", tmp_path).read_text(encoding="utf-8")
    assert "Why these backbones?" not in plain
