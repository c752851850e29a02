"""A page about clips: its words, and its mistakes to look at and listen to."""

from __future__ import annotations

import re
from pathlib import Path

import fake

from bench.records import Record
from reports.html import render

PICTURE, SOUND = "data:image/png;base64,AAAA", "data:audio/mpeg;base64,AAAA"


def of_clips(record: Record) -> None:
    record.cell |= {"modality": "audio", "examples": {"clip_seconds": 1.0, "augmentation": "light"}}


def page(tmp_path: Path, shown: bool = True) -> str:
    records = fake.records(fractions=(0.1, 1.0), spoil=of_clips)
    fake.write_predictions(records, tmp_path)
    info = fake.run_info(records)
    for about in info["datasets"].values():
        about |= {"modality": "audio", "findings": []}
    info["notes"] = []
    show = [
        (lambda _, ids, what=what: dict.fromkeys(ids, what)) if shown else None for what in (PICTURE, SOUND)
    ]
    plan = fake.plan_toml(records)
    return render(records, info, plan, tmp_path, images=show[0], sounds=show[1]).read_text()


def said(page: str) -> str:
    text = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(text.split())


def test_it_speaks_of_clips(tmp_path: Path) -> None:
    text = said(page(tmp_path))
    assert re.findall(r".{40}\b(?:images?|pictures?|pixels?|px)\b.{40}", text) == []
    assert "of new clips correct" in text
    assert "Some of these may be labelled wrongly: listen to them." in text


def test_mistakes_are_seen_and_heard(tmp_path: Path) -> None:
    found = page(tmp_path)
    players = re.findall(rf'<audio controls preload="none" aria-label="Clip [^"]+" src="{SOUND}">', found)
    assert len(players) == found.count(f'<img src="{PICTURE}"') > 0
    assert "media-src data:" in found


def test_private_clips_are_neither_seen_nor_heard(tmp_path: Path) -> None:
    found = page(tmp_path, shown=False)
    assert "data:audio" not in found
    assert "<audio" not in found
    assert PICTURE not in found
