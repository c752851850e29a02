"""A test part with another mix of classes, and groups: what the page says of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fake
import numpy as np
import pytest

from bench.commands.export.spelled import TEMPLATES
from bench.modalities.groups import GroupCounts
from bench.modalities.nouns import Noun
from bench.records import Record
from bench.system.templates import markdown, template
from reports.questions import method, overfitting
from reports.results import Results
from reports.sections import Table

POOL, TEST = [300, 100], [20, 80]


def made(tmp_path: Path, by_class: list[float | None] | None, kind: str = "class_mix") -> Results:
    """A run of two classes whose trials are right in these shares of each class, which makes 0.8 in all."""

    def spoil(record: Record) -> None:
        for point in record.curves:
            if point["run"] == "search":
                point["train_accuracy"], point["val_accuracy"] = 0.9, 0.8
        record.trials = [{"trial": 0, "chosen": True, "status": "ok", "val_accuracy": 0.8}]
        if by_class is not None:
            record.trials[0]["val_class_accuracy"] = by_class

    records = fake.records(spoil=spoil, strategies=("scratch", "full_finetune", "majority"))
    info = fake.run_info(records, 2)
    for about in info["datasets"].values():
        about |= {"pool_counts": POOL, "class_counts": np.add(POOL, TEST).tolist()}
        about["findings"] = [{"kind": kind, "text": "Another mix.", "examples": []}]
    return Results(records, info, "", tmp_path)


def said(run: Results) -> list[str]:
    (table,) = overfitting.section(run).parts
    assert isinstance(table, Table)
    return [line for line in table.conclusions if "mix" in line]


def test_what_the_mix_explains(tmp_path: Path) -> None:
    run = made(tmp_path, [0.9, 0.5])
    (shift,) = set(overfitting.mixed_shifts(run).values())
    assert shift == pytest.approx(0.2 * 0.9 + 0.8 * 0.5 - 0.8)
    (line,) = said(run)
    assert "would be 58.0% instead of 80.0%" in line
    assert "The mix alone makes −22 points" in line


def test_a_class_that_nothing_validates_is_left_out(tmp_path: Path) -> None:
    (shift,) = set(overfitting.mixed_shifts(made(tmp_path, [0.9, None])).values())
    assert shift == pytest.approx(0.1)


def test_what_an_older_run_cannot_tell_it_does_not(tmp_path: Path) -> None:
    (line,) = said(made(tmp_path, None))
    assert "cannot be told" in line


def test_nothing_is_said_where_the_mix_is_the_same(tmp_path: Path) -> None:
    run = made(tmp_path, [0.9, 0.5], kind="imbalance")
    assert overfitting.mixed_shifts(run) == {}
    assert said(run) == []


COUNTS = GroupCounts(pool=40, test=10, both=0, n_test=372, largest=60, worth=8.2, made_of="person#")


def lines_of(records: list[Record], info: dict[str, Any], directory: Path) -> list[str]:
    section = method.section(Results(records, info, "", directory))
    return [line for line in section.content["method"] if "Groups" in line]


def test_groups_stand_in_the_method(tmp_path: Path) -> None:
    records = fake.records()
    fake.write_predictions(records, tmp_path)
    info: dict[str, Any] = fake.run_info(records)
    assert lines_of(records, info, tmp_path) == []
    for about in info["datasets"].values():
        about["groups"] = asdict(COUNTS)
    (line,) = lines_of(records, info, tmp_path)
    assert "40 in the pool, 10 in the test set" in line
    assert "worth 8 to 372 independent ones" in line
    assert "For the strategy that leads, it is 3" in line  # each was drawn alone here: nearly 372


def test_groups_stand_on_the_card() -> None:
    lines = COUNTS.sentences(Noun("image", "images"))
    texts = dict.fromkeys(("sentence", "parameters", "latency", "made_with", "fingerprint"), "x")
    text = template(TEMPLATES, "card_image.md.j2").render(
        groups=lines, noun=Noun("image", "images"), dataset="xray", pool="300", test="372", recipe=[], quality=[],
        warnings=[], classes=[("a", "3")], limits=[], image_size=32, resizing_in_words="cut", augmentation="none",
        files=True, flip=False, yaml=defaultdict(str, tags=[]), many_labels=False, formats=[],
        said_of_formats=[], **texts,
    )  # fmt: skip
    assert all(f"- {markdown(line)}\n" in text for line in lines)
