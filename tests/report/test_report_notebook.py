"""What a Run shows in a notebook, and the settings of a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fake
import pytest
from test_report_html import Page

import bench
from bench.datasets import open_dataset
from bench.errors import RequestError
from bench.modalities.image.input import ImageInput
from bench.plans.loading import change_report, load_plan
from bench.plans.plan import Report
from bench.records import Record
from bench.store import Store
from reports.html import render
from reports.results import Previews


def _stored(directory: Path, found: list[Record], plan: str = "") -> bench.Run:
    (directory / "cells").mkdir(parents=True)
    store = Store(directory)
    fake.write_predictions(found, directory)
    for record in found:
        store.write(record)
    store.write_plan(plan or fake.plan_toml(found))
    store.write_run(fake.run_info(found))
    return bench.load(directory)


def test_a_run_shows_its_answer_and_names_stay_text(tmp_path: Path) -> None:
    run = _stored(tmp_path / "run", fake.records(datasets=(fake.HOSTILE,)))
    shown = run._repr_html_()
    page = tmp_path / "page.html"
    page.write_text(shown, encoding="utf-8")
    parsed = Page(page)
    assert not parsed.all("script")
    assert len(parsed.all("table")) == 1
    assert "leads with" in parsed.text or "Use" in parsed.text
    assert "report.html" in parsed.text


def test_a_notebook_warns_and_knows_the_price(tmp_path: Path) -> None:
    def spoil(record: Record) -> None:
        if record.cell["strategy"] == "full_finetune":
            fake.fail(record)

    records = fake.records(spoil=spoil, seeds=2)
    plan = fake.plan_toml(records) + "\n[report]\nprice_per_hour = 2\n"
    shown = _stored(tmp_path / "run", records, plan)._repr_html_()
    assert "<strong>Problem:</strong> 6 cells have no result: 6 failed." in shown
    assert "with the same pixels as a training image" in shown
    assert "at 2 an hour" in shown
    assert shown.index("Problem:") < shown.index("Caution:") < shown.index("<table>")
    assert "seen in 4 augmented views" not in shown  # a note is no warning


def test_recommend_is_that_of_the_command_line(tmp_path: Path) -> None:
    run = _stored(tmp_path / "run", fake.records())
    assert run.recommend().decision.leader.strategy == "full_finetune"
    assert run.recommend(seconds=100).decision.recommended.strategy == "feature_extraction"
    with pytest.raises(RequestError, match="must be met by some configuration"):
        run.recommend(params=1)


def test_the_region_decides_what_counts_as_a_tie(tmp_path: Path) -> None:
    records = fake.records()
    run = _stored(tmp_path / "run", records)
    assert run.settings == Report()
    narrow, wide = (run.report(change_report(run.settings, {"region": r})).read_text() for r in (0.01, 0.2))
    assert "Use full fine-tuning for now: 80." in narrow
    assert "Use feature extraction: 7" in wide
    assert "within ±20.0 points counts as none" in wide


def test_settings_come_from_the_plan_and_can_be_overridden(tmp_path: Path, monkeypatch: Any) -> None:
    plan = (
        fake.plan_toml(fake.records()) + "\n[report]\nregion = 0.03\nprice_per_hour = 2\nthumbnails = false\n"
    )
    run = _stored(tmp_path / "run", fake.records(), plan)
    assert run.settings == Report(region=0.03, price_per_hour=2.0, thumbnails=False)
    seen: list[tuple[float, float, Previews | None]] = []

    def noted(*arguments: Any) -> Path:
        seen.append(arguments[4:7])
        return render(*arguments)

    monkeypatch.setattr("reports.html.render", noted)
    assert "at 2 an hour" in run.report().read_text()
    run.report(change_report(run.settings, {"price_per_hour": 0.5, "thumbnails": True}))
    assert seen[0] == (0.03, 2.0, None)
    assert seen[1][:2] == (0.03, 0.5)
    assert seen[1][2] is not None


@pytest.mark.parametrize("key", ["region", "price_per_hour"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_settings_that_make_no_sense(key: str, value: float) -> None:
    with pytest.raises(RequestError, match=f"report.{key}"):
        change_report(Report(), {key: value})


def test_report_settings_do_not_make_another_run(tmp_path: Path) -> None:
    plan: dict[str, Any] = {
        "datasets": ["digits"], "strategies": ["majority"], "fractions": [1.0], "seeds": 1, "image_size": 32
    }  # fmt: skip
    bench.run(plan, tmp_path / "run", workers=1)
    changed = {**plan, "report": {"region": 0.02}, "limits": {"cell_seconds": 77}}
    run = bench.run(changed, tmp_path / "run", workers=1)
    assert run.settings.region == 0.02
    assert "within ±2.0 points counts as none" in (tmp_path / "run" / "report.html").read_text()
    assert (
        load_plan(tmp_path / "run" / "plan.toml").limits.cell_seconds == 3600
    )  # that of a run, not of the plan
    again = bench.run(plan, tmp_path / "run", workers=1)  # says nothing of the report: it stays as it is
    assert again.settings.region == 0.02


def test_images_come_from_the_cache_and_from_nowhere_else(tmp_path: Path, fresh_cache: Path) -> None:
    dataset = open_dataset("digits", ImageInput(32))
    records = fake.records()
    for record in records:
        record.cell |= {"dataset": "digits", "fingerprint": dataset.fingerprint}
        record.cell["examples"] |= {"image_size": 32, "resizing": "crop"}
    run = bench.Run(tmp_path, records)
    ids = [dataset.test.ids[3], "no such image"]
    found = run._previews(dataset.fingerprint, ids)
    assert list(found) == ids[:1]
    assert found[ids[0]] == dataset.kind.preview(dataset.test.data[3])
    for record in records:
        record.cell["examples"]["image_size"] = 48  # not in the cache
    assert run._previews(dataset.fingerprint, ids) == {}
    assert len(list((fresh_cache / "datasets").glob("*/index.json"))) == 1
    for record in records:
        record.cell["dataset"] = str(tmp_path / "gone")
    assert run._previews(dataset.fingerprint, ids) == {}


def test_label_curves_are_drawn_where_there_are_enough_counts(tmp_path: Path) -> None:
    records = fake.records(fractions=(0.05, 0.1, 0.3, 1.0), seeds=3)
    fake.write_predictions(records, tmp_path)
    page = render(records, fake.run_info(records), "", tmp_path).read_text()
    assert "Learning curves over labels" in page
    header, first, *_ = (tmp_path / "figures" / "labels.csv").read_text().splitlines()
    assert header == "dataset,backbone,weights,strategy,n,accuracy,low,high,measured"
    n, accuracy, low, high, measured = map(float, first.split(",")[-5:])
    assert low <= accuracy <= high
    assert abs(measured - accuracy) < 0.1
    assert json.dumps(n)
