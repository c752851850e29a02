"""Two runs side by side."""

from __future__ import annotations

import json
from pathlib import Path

import fake
import numpy as np
import pytest

from bench.records import Record
from reports import compare as c
from reports.tables import results_frame


def store(folder: Path, records: list[Record]) -> None:
    """Predictions under which the same images are hard in all runs."""
    (folder / "predictions").mkdir(parents=True)
    for record in records:
        test = record.n_test or 0
        right = np.arange(test) < round(record.metrics["accuracy"] * test)
        np.savez(folder / "predictions" / f"{record.cell_id}.npz", ids=np.arange(test).astype(str),
                 probabilities=np.eye(2)[right.astype(int)], labels=np.ones(test, int))  # fmt: skip


def test_a_run_against_itself_has_not_changed(tmp_path: Path) -> None:
    records = fake.records()
    store(tmp_path, records)
    frame = results_frame(records)
    changes = c.compare((frame, frame), (tmp_path, tmp_path), ({"seeds": 3}, {"seeds": 3}))
    assert {change.comparison.verdict for change in changes.changes} == {"tied"}
    assert all(change.comparison.difference == 0 for change in changes.changes)
    assert (changes.only_first, changes.only_second, changes.plan) == ((), (), {})
    assert "0 of 15 results differ beyond noise" in c.text(changes)


def test_what_changed_is_told_from_noise(tmp_path: Path) -> None:
    def spoil(record: Record) -> None:
        if record.cell["fraction"] == 1:
            step = {"scratch": -0.2, "feature_extraction": 0.1}.get(record.cell["strategy"], 0.0)
            record.metrics["accuracy"] = max(0.0, record.metrics["accuracy"] + step)

    before, after = fake.records(seeds=5), fake.records(seeds=5, spoil=spoil)
    store(tmp_path / "a", before)
    store(tmp_path / "b", after)
    changes = c.compare(
        (results_frame(before), results_frame(after)), (tmp_path / "a", tmp_path / "b"), ({"epochs": 3}, {})
    )
    found = {(ch.comparison.candidate.strategy, ch.fraction): ch.comparison.verdict for ch in changes.changes}
    assert found["scratch", 1.0] == "worse"
    assert found["feature_extraction", 1.0] == "better"
    assert set(found.values()) == {"worse", "better", "tied"}
    assert changes.plan == {"epochs": (3, None)}
    lines = c.text(changes).splitlines()
    assert "worse" in lines[2]
    assert "better" in lines[3]


def relabel(folder: Path, images: int) -> None:
    """Gives the first test images another label, and turns the answers with them: as many are right as before."""
    for path in (folder / "predictions").iterdir():
        content = dict(np.load(path))
        content["labels"][:images] = 0
        content["probabilities"][:images] = content["probabilities"][:images, ::-1]
        np.savez(path, **content)


def test_other_labels_are_said_first_and_never_paired_by_image(tmp_path: Path) -> None:
    before, after = fake.records(), fake.records(spoil=lambda record: record.metrics.update(log_loss=1.0))
    for record in after:
        record.cell["fingerprint"] = "f" * 16
    infos = fake.run_info(before), fake.run_info(after)
    infos[1]["datasets"]["f" * 16]["n_pool"] = 4000
    store(tmp_path / "a", before)
    store(tmp_path / "b", after)
    frames, folders = (results_frame(before), results_frame(after)), (tmp_path / "a", tmp_path / "b")
    same_labels = c.compare(frames, folders, run_infos=infos)
    assert list(same_labels.data) == ["clothing"]
    assert "the test images and their labels have the same names" in same_labels.data["clothing"]
    relabel(tmp_path / "b", 7)
    changes = c.compare(frames, folders, run_infos=infos)
    assert not any(change.comparison.paired for change in changes.changes)
    first = c.text(changes).splitlines()[0]
    assert first.startswith(
        "Data: clothing: other images or labels (fingerprint 000000000000, now ffffffffffff"
    )
    assert "3,409 in the pool, now 4,000" in first
    assert "7 test images have another label" in first
    assert json.loads(json.dumps(changes.to_json(), allow_nan=False))["data"].keys() == {"clothing"}


def test_classes_are_compared_by_name_and_not_by_number(tmp_path: Path) -> None:
    records = fake.records()
    store(tmp_path / "a", records)
    store(tmp_path / "b", records)
    relabel(tmp_path / "b", 372)
    infos = fake.run_info(records), fake.run_info(records)
    for info, classes in zip(infos, (["hat", "shoe"], ["shoe", "hat"]), strict=True):
        (about,) = info["datasets"].values()
        about["class_names"] = classes
    frame = results_frame(records)
    changes = c.compare((frame, frame), (tmp_path / "a", tmp_path / "b"), run_infos=infos)
    assert changes.data == {}


def test_other_test_images_versions_code_and_hardware_are_listed(tmp_path: Path) -> None:
    records = fake.records()
    infos = fake.run_info(records), fake.run_info(records)
    infos[1]["versions"]["keras"] = "3.16.0"
    infos[1]["git"]["commit"] = "fedcba"
    infos[1]["hardware"]["gpu"] = ["H100"]
    infos[0]["protocol_version"], infos[1]["protocol_version"] = 1, 2
    store(tmp_path / "a", records)
    store(tmp_path / "b", records)
    for path in (tmp_path / "b" / "predictions").iterdir():
        content = dict(np.load(path))
        content["ids"][-5:] = [f"new {i}" for i in range(5)]
        np.savez(path, **content)
    frame = results_frame(records)
    changes = c.compare((frame, frame), (tmp_path / "a", tmp_path / "b"), run_infos=infos)
    assert changes.data == {"clothing": "5 test images are gone and 5 are new"}
    assert changes.made_with == {
        "protocol": (1, 2),
        "code": ("0123456789abcdef", "fedcba"),
        "gpu": ([], ["H100"]),
        "keras": ("3.15.1", "3.16.0"),
    }
    lines = c.text(changes).splitlines()
    assert "Made with: keras: 3.15.1, now 3.16.0" in lines
    assert c.compare((frame, frame), (None, None), run_infos=(infos[0], {})).made_with == {}


def test_what_only_one_has_is_named_and_json_has_all(tmp_path: Path) -> None:
    first = results_frame(fake.records(strategies=("scratch", "majority"), seeds=2))
    second = results_frame(fake.records(strategies=("scratch", "full_finetune"), seeds=2))
    changes = c.compare((first, second), (None, None))
    assert len(changes.only_first) == len(changes.only_second) == 3
    assert "majority class" in changes.only_first[0]
    assert {change.comparison.verdict for change in changes.changes} == {"unknown"}
    content = json.loads(json.dumps(changes.to_json(), allow_nan=False))
    assert len(content["changes"]) == 3
    assert content["changes"][0]["comparison"]["low"] is None
    nothing = c.compare((first, results_frame([])), (None, None))
    assert "nothing" not in c.text(nothing)
    assert "no configuration and label count in common" in c.text(nothing)


@pytest.mark.parametrize("seeds", [3, 6])
def test_the_same_truth_is_rarely_called_a_change(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    wrong = 0
    for _ in range(60):

        def jitter(record: Record) -> None:
            record.metrics["accuracy"] = float(np.clip(0.8 + 0.02 * rng.standard_normal(), 0, 1))

        runs = [results_frame(fake.records(seeds=seeds, points=1, spoil=jitter)) for _ in range(2)]
        changes = c.compare((runs[0], runs[1]), (None, None)).changes
        wrong += any(change.comparison.verdict in ("better", "worse") for change in changes)
    assert wrong <= 6
