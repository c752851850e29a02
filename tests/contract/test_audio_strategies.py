"""Every strategy on a few short clips: it learns, or says in words why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras_tuner")

from sounds import word

from bench.backbones.build import build_backbone
from bench.backbones.fetch import fetch
from bench.backbones.spec import BackboneSpec, parse_backbone
from bench.backbones.weights import Weights
from bench.execution.jobs import Place
from bench.plans.loading import load_plan
from bench.plans.strategies import get_strategy
from bench.protocols.worker import run_cell
from bench.runs.prepare import prepare
from bench.training.workplace import Workplace
from strategies import STRATEGIES

NETWORK = "Conv4:filters=4"
SECONDS, RATE = 0.2, 16_000
CANNOT = {
    "cycle_gan": "it needs images",
    "nearest_pixel": "it needs images",
    "tf_idf": "it needs texts",
    "lora": "no dense layers or 1 x 1 convolutions",
}
"""By strategy, what stands in its reason."""
LEARNS = ("logistic",)
"""So short a training is enough for these to be better than chance, surely."""


def written(path: Path, pitch: int) -> Path:
    """60 clips of three classes, which a tone tells, as an array."""
    time, rows = np.arange(round(SECONDS * RATE)) / RATE, []
    for i in range(60):
        tone = np.sin(2 * np.pi * pitch * 3 ** (i % 3) * (1 + 0.002 * i) * time)
        rows.append(np.rint(12_000 * (tone + 0.5 * word(i, SECONDS))).astype(np.int16))
    labels, split = np.arange(60) % 3, np.where(np.arange(60) < 42, "train", "test")
    data = np.stack(rows)
    np.savez(
        path,
        x_train=data[split == "train"], y_train=labels[split == "train"],
        x_test=data[split == "test"], y_test=labels[split == "test"], rate=RATE,
    )  # fmt: skip
    return path


def tried_here(spec: BackboneSpec, size: int) -> dict[str, str]:
    """Tries weights in this process, which has Keras at hand."""
    return fetch(spec.text, size)


Run = Callable[[Any, Path], dict[str, Any]]


@pytest.fixture(scope="module")
def run() -> Run:
    place = Place(1, lambda text: None)
    place.kept["workplace"] = Workplace(1)

    def one(cell: Any, folder: Path) -> dict[str, Any]:
        return run_cell(place, asdict(cell), 1.0, str(folder / f"{cell.id}.npz"), "", "")

    return one


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A dataset, another one, and weights."""
    folder = tmp_path_factory.mktemp("clips")
    weights = folder / "small.weights.h5"
    spec = parse_backbone(f"{NETWORK},input=log-mel")
    build_backbone(spec, round(SECONDS * RATE), Weights("none", "", None)).save_weights(weights)
    return {
        "target": str(written(folder / "target.npz", 300)),
        "source": str(written(folder / "source.npz", 400)),
        "backbone": f"{NETWORK},weights={weights}",
    }


def plan_of(clips: dict[str, str], **more: Any) -> dict[str, Any]:
    return {
        "datasets": [clips["target"]], "backbones": [clips["backbone"]], "clip_seconds": SECONDS,
        "fractions": [1.0], "seeds": 1, "epochs": 1, "length": 0.01, "tuning": {"trials": 1}, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def cells(clips: dict[str, str]) -> dict[str, Any]:
    """By strategy."""
    others = {"source_dataset": clips["source"], "auxiliary_dataset": clips["source"]}
    plan = load_plan(plan_of(clips, strategies=list(STRATEGIES), **others))
    return {cell.strategy: cell for cell in prepare(plan, ask=tried_here).cells}


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_learns_from_clips_or_says_why_not(
    name: str, cells: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    fields = run(cells[name], tmp_path)
    if name in CANNOT:
        assert fields["status"] == "skipped"
        assert CANNOT[name] in fields["error"]["message"]
        return
    assert fields["status"] == "ok", fields.get("error")
    with np.load(tmp_path / f"{cells[name].id}.npz") as file:
        probabilities = file["probabilities"]
    assert probabilities.shape == (18, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    if name in LEARNS:
        assert fields["metrics"]["accuracy"] > 0.6


@pytest.mark.parametrize("name", [name for name in STRATEGIES if get_strategy(name).few_shot])
def test_few_shot_on_clips(name: str, clips: dict[str, str], run: Run, tmp_path: Path) -> None:
    plan = plan_of(clips, strategies=[name], protocol="few-shot")
    del plan["fractions"]
    plan["few_shot"] = {"ways": [2], "shots": [1], "episodes": 10}
    (cell,) = prepare(load_plan(plan), ask=tried_here).cells
    fields = run(cell, tmp_path)
    reasons = {**CANNOT, "prototypical": "no source dataset", "siamese": "no source dataset"}
    assert fields["status"] == ("skipped" if name in reasons else "ok"), fields.get("error")
    assert reasons.get(name, "") in (fields.get("error") or {}).get("message", "")
