"""A second modality goes the whole way, from a file to a page, and no file of the harness knows its name."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras_tuner")

from numbers_modality.adapter import Table

from bench.backbones.build import build_backbone
from bench.backbones.fetch import fetch
from bench.backbones.spec import BackboneSpec, parse_backbone
from bench.backbones.weights import Weights
from bench.datasets import specs
from bench.execution.jobs import Place
from bench.modalities import registry
from bench.plans.loading import load_plan
from bench.protocols.worker import run_cell
from bench.records import Record
from bench.runs.directory import run_info
from bench.runs.prepare import prepare
from bench.system import plugins
from bench.training.workplace import Workplace
from reports.html import render

NAMES = ("knn", "feature_extraction", "partial_finetune", "full_finetune", "scratch", "norm_only", "majority")


@pytest.fixture(autouse=True)
def numbers(monkeypatch: pytest.MonkeyPatch, fresh_cache: Path) -> Iterator[None]:
    """The modality, where its examples come from, and a network for them."""
    net = plugins.Plugin("NumbersNet", "numbers_modality.backbone:NumbersNet", "numbers 1.0")
    monkeypatch.setitem(registry.MODALITIES, "numbers", "numbers_modality")
    monkeypatch.setattr(specs, "ADAPTERS", (*specs.ADAPTERS, Table))
    monkeypatch.setattr(
        plugins, "_declared", lambda path: {**{kind: [] for kind in plugins.GROUPS}, "backbones": [net]}
    )
    yield
    registry.modality.cache_clear()


def written(path: Path, seed: int) -> Path:
    """Lines of two classes that a straight line tells apart, but for some noise."""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        for i in range(120):
            csv.writer(file).writerow(["ab"[i % 2], *(rng.normal(i % 2 * 2 - 1, 1.0, 4)).round(4)])
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return written(tmp_path / "two.numbers", 0)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.weights.h5"
    build_backbone(parse_backbone("NumbersNet"), 4, Weights("none", "", None)).save_weights(path)
    return path


def tried_here(spec: BackboneSpec, size: int) -> dict[str, str]:
    """Tries weights in this process: a child of its own would not know the modality."""
    return fetch(spec.text, size)


def test_from_a_file_to_a_page(data: Path, weights: Path, tmp_path: Path) -> None:
    plan = load_plan(
        {
            "datasets": [str(data)], "backbones": [f"NumbersNet:weights={weights}"], "strategies": list(NAMES),
            "fractions": [0.5, 1.0], "seeds": 1, "epochs": 2, "length": 0.05, "tuning": {"trials": 1},
        }
    )  # fmt: skip
    prepared = prepare(plan, ask=tried_here)
    assert {cell.modality for cell in prepared.cells} == {"numbers"}
    assert {str(cell.examples) for cell in prepared.cells} == {"{'scale': 1.0}"}
    assert not [key for cell in prepared.cells for key in cell.identity if "image" in key or key == "flip"]

    place = Place(1, lambda text: None)
    place.kept["workplace"] = Workplace(1)
    records = []
    for cell in prepared.cells:
        path = tmp_path / "predictions" / f"{cell.id}.npz"
        fields: dict[str, Any] = run_cell(place, asdict(cell), 1.0, str(path), "", "")
        assert fields["status"] == "ok", fields
        records.append(Record(cell.id, asdict(cell), **{"provenance": {}, **fields}))
    right = {record.cell["strategy"]: record.metrics["accuracy"] for record in records}
    assert right["majority"] == 0.5
    assert min(right[name] for name in ("knn", "feature_extraction", "full_finetune")) > 0.7

    page = render(records, run_info(prepared, {}), plan.to_toml(), tmp_path).read_text()
    assert "test rows" in page
    text = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert re.findall(r".{40}\bimages?\b.{40}", text) == []


def test_a_source_domain_helps_it_too(data: Path, weights: Path, tmp_path: Path) -> None:
    source = written(tmp_path / "others.numbers", 1)
    plan = load_plan(
        {
            "datasets": [str(data)], "source_dataset": str(source), "backbones": [f"NumbersNet:weights={weights}"],
            "strategies": ["dann", "source_only"], "seeds": 1, "epochs": 1, "length": 0.05, "tuning": {"trials": 1},
        }
    )  # fmt: skip
    place = Place(1, lambda text: None)
    place.kept["workplace"] = Workplace(1)
    for cell in prepare(plan, ask=tried_here).cells:
        assert cell.companions["source"]["name"] == "others"
        fields = run_cell(place, asdict(cell), 1.0, str(tmp_path / f"{cell.id}.npz"), "", "")
        assert fields["status"] == "ok", fields


def test_strategies_of_images_say_that_they_need_them(data: Path, weights: Path, tmp_path: Path) -> None:
    plan = load_plan(
        {
            "datasets": [str(data)],
            "backbones": [f"NumbersNet:weights={weights}"],
            "strategies": ["nearest_pixel"],
        }
    )
    place = Place(1, lambda text: None)
    cell = prepare(plan).cells[0]
    fields = run_cell(place, asdict(cell), None, str(tmp_path / "p.npz"), "", "")
    assert fields["status"] == "skipped"
    assert "it needs images" in fields["error"]["message"]
