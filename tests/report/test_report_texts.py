"""A page about texts: its words, its mistakes as text that stays text, and the floor without a network."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import fake
import pytest

from bench.modalities.text.modality import KIND, SHOWN
from bench.modalities.text.rows import rows_of_texts
from bench.records import Record
from reports.html import render

NAMES = ("tf_idf", "feature_extraction", "full_finetune", "majority")
HOSTILE = f"{fake.HOSTILE} data:image/png;base64,AAAA"


def of_texts(record: Record, lift: float = 0.0) -> None:
    record.cell |= {"modality": "text", "examples": {"max_tokens": 128}}
    if record.cell["strategy"] == "tf_idf":
        record.cell |= {"backbone": "", "weights": ""}
        record.metrics["accuracy"] = round((record.metrics["accuracy"] + lift) * 372) / 372


def page(tmp_path: Path, lift: float = 0.0, shown: bool = True) -> str:
    spoil = partial(of_texts, lift=lift)
    records = fake.records(strategies=NAMES, fractions=(0.1, 1.0), spoil=spoil)
    fake.write_predictions(records, tmp_path)
    info = fake.run_info(records)
    for about in info["datasets"].values():
        about |= {"modality": "text", "findings": []}
    info["notes"] = []
    images = (lambda fingerprint, ids: dict.fromkeys(ids, HOSTILE)) if shown else None
    return render(records, info, fake.plan_toml(records), tmp_path, images=images).read_text()


def said(page: str) -> str:
    text = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(text.split())


def test_it_speaks_of_texts(tmp_path: Path) -> None:
    text = said(page(tmp_path, shown=False))
    assert re.findall(r".{40}\b(?:images?|pictures?|pixels?|px)\b.{40}", text) == []
    assert "of new texts correct" in text
    assert "TF-IDF" in text


def test_mistakes_are_texts_and_stay_texts(tmp_path: Path) -> None:
    found = page(tmp_path)
    assert "<q>&lt;script&gt;alert(1)&lt;/script&gt;" in found
    assert "<script>alert" not in found
    assert '<img src="data:' not in found
    assert "alert(1)" not in page(tmp_path / "private", shown=False)


def test_a_long_text_is_shown_by_its_beginning() -> None:
    short, long = (KIND.preview(row) for row in rows_of_texts(["two words", "é" * 500], 1024))
    assert short == "two words"
    assert (len(long), long[-3:]) == (SHOWN, "...")


@pytest.mark.parametrize(
    ("lift", "words"),
    [
        (0.2, "No network is better than TF-IDF, which uses none."),
        (0.02, "No network is clearly better than TF-IDF"),
        (-0.3, ""),
    ],
)
def test_a_floor_that_no_network_beats_is_named_first(tmp_path: Path, lift: float, words: str) -> None:
    text = said(page(tmp_path, lift))
    remedy = "Try weights pretrained on texts like these, in their language."
    if not words:
        assert "No network" not in text
        assert remedy not in text
        return
    assert text.index(words) < text.index("Before you rely on it")
    assert text.count(remedy) >= 2
