"""Every strategy on a small table of texts: it learns, or says in words why it cannot."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras_tuner")

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

NETWORK = "SmallTransformer:layers=1,width=32"
WORDS = {"praise": "good great fine lovely", "blame": "bad awful poor sad", "question": "what when where who"}
OTHERS = ["the", "a", "one", "cat", "dog", "tree", "house", "in", "on", "at", "of"]
CANNOT = {
    "adabn": "batch normalisation",
    "cycle_gan": "it needs images",
    "nearest_pixel": "it needs images",
}
"""By strategy, what stands in its reason."""
LEARNS = ("tf_idf",)
"""So short a training is enough for these to be better than chance, surely."""


def written(path: Path, begins: str) -> Path:
    """60 texts of three classes, which two words of each tell, with another label beside it."""
    rng = random.Random(0)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label", "topic", "split"])
        for i in range(60):
            label = list(WORDS)[i % 3]
            words = [*rng.sample(WORDS[label].split(), 2), *rng.sample(OTHERS, rng.randint(2, 9))]
            rng.shuffle(words)
            split = "test" if i >= 42 else "train"
            table.writerow([" ".join([begins, *words]), label, "ab"[i // 3 % 2], split])
    return path


def tried_here(spec: BackboneSpec, size: int) -> dict[str, str]:
    """Tries weights in this process, which has Keras at hand."""
    return fetch(spec.text, size)


Run = Callable[[Any], dict[str, Any]]


@pytest.fixture(scope="module")
def run() -> Run:
    place = Place(1, lambda text: None)
    place.kept["workplace"] = Workplace(1)

    def one(cell: Any, folder: Path) -> dict[str, Any]:
        return run_cell(place, asdict(cell), 1.0, str(folder / f"{cell.id}.npz"), "", "")

    return one


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A dataset, another one, and weights."""
    folder = tmp_path_factory.mktemp("texts")
    weights = folder / "small.weights.h5"
    build_backbone(parse_backbone(NETWORK), 64, Weights("none", "", None)).save_weights(weights)
    return {
        "target": str(written(folder / "target.csv", "yes")),
        "source": str(written(folder / "source.csv", "no")),
        "backbone": f"{NETWORK},weights={weights}",
    }


def plan_of(texts: dict[str, str], **more: Any) -> dict[str, Any]:
    return {
        "datasets": [texts["target"]], "backbones": [texts["backbone"]], "max_tokens": 64, "fractions": [1.0],
        "seeds": 1, "epochs": 1, "length": 0.01, "tuning": {"trials": 1}, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def cells(texts: dict[str, str]) -> dict[str, Any]:
    """By strategy."""
    plan = load_plan(
        plan_of(
            texts,
            strategies=list(STRATEGIES),
            source_dataset=texts["source"],
            auxiliary_dataset=texts["source"],
        )
    )
    return {cell.strategy: cell for cell in prepare(plan, ask=tried_here).cells}


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_learns_from_texts_or_says_why_not(
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
        assert fields["costs"]["fit_seconds"] > 0


@pytest.mark.parametrize("name", [name for name in STRATEGIES if get_strategy(name).few_shot])
def test_few_shot_on_texts(name: str, texts: dict[str, str], run: Run, tmp_path: Path) -> None:
    plan = plan_of(texts, strategies=[name], protocol="few-shot")
    del plan["fractions"]
    plan["few_shot"] = {"ways": [2], "shots": [1], "episodes": 10}
    (cell,) = prepare(load_plan(plan), ask=tried_here).cells
    fields = run(cell, tmp_path)
    reasons = {**CANNOT, "prototypical": "no source dataset", "siamese": "no source dataset"}
    assert fields["status"] == ("skipped" if name in reasons else "ok"), fields.get("error")
    assert reasons.get(name, "") in (fields.get("error") or {}).get("message", "")


def test_a_plan_of_texts_that_names_no_strategies_has_their_floor(texts: dict[str, str]) -> None:
    strategies = {cell.strategy for cell in prepare(load_plan(plan_of(texts)), ask=tried_here).cells}
    assert strategies >= {"tf_idf", "majority", "scratch"}
