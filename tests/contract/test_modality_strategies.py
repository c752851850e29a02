"""Every strategy on a few short texts and clips: it learns, or says in words why it cannot."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
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
from bench.modalities.registry import MODALITIES
from bench.modalities.registry import modality as kind
from bench.plans.loading import load_plan
from bench.plans.strategies import get_strategy
from bench.protocols.worker import run_cell
from bench.runs.prepare import prepare
from bench.training.workplace import Workplace
from strategies import STRATEGIES

WORDS = {"praise": "good great fine lovely", "blame": "bad awful poor sad", "question": "what when where who"}
OTHERS = ["the", "a", "one", "cat", "dog", "tree", "house", "in", "on", "at", "of"]
SECONDS, RATE = 0.2, 16_000


def texts(folder: Path, other: bool) -> Path:
    """60 texts of three classes, which two words of each tell, with another label beside it."""
    path, rng = folder / f"{other}.csv", random.Random(0)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label", "topic", "split"])
        for i in range(60):
            label = list(WORDS)[i % 3]
            words = [*rng.sample(WORDS[label].split(), 2), *rng.sample(OTHERS, rng.randint(2, 9))]
            rng.shuffle(words)
            split = "test" if i >= 42 else "train"
            table.writerow([" ".join(["no" if other else "yes", *words]), label, "ab"[i // 3 % 2], split])
    return path


def clips(folder: Path, other: bool) -> Path:
    """60 clips of three classes, which a tone tells, as an array."""
    path, pitch = folder / f"{other}.npz", 400 if other else 300
    time, rows = np.arange(round(SECONDS * RATE)) / RATE, []
    for i in range(60):
        tone = np.sin(2 * np.pi * pitch * 3 ** (i % 3) * (1 + 0.002 * i) * time)
        rows.append(np.rint(12_000 * (tone + 0.5 * word(i, SECONDS))).astype(np.int16))
    labels, data = np.arange(60) % 3, np.stack(rows)
    np.savez(path, x_train=data[:42], y_train=labels[:42], x_test=data[42:], y_test=labels[42:], rate=RATE)
    return path


@dataclass(frozen=True)
class Case:
    """A modality, small.

    Attributes:
        written: writes a dataset, or another one, into a folder.
        network: a backbone.
        built: the same as it takes the examples, and their size.
        options: of the plan.
        cannot: by strategy, what stands in its reason.
        learns: so short a training is enough for this strategy to be better than chance, surely.
    """

    written: Callable[[Path, bool], Path]
    network: str
    built: tuple[str, int]
    options: Mapping[str, Any]
    cannot: Mapping[str, str]
    learns: str


TRANSFORMER, CONV = "SmallTransformer:layers=1,width=32", "Conv4:filters=4"
CASES = {
    "text": Case(
        texts, TRANSFORMER, (TRANSFORMER, 64), {"max_tokens": 64},
        {"adabn": "batch normalisation", "cycle_gan": "it needs images", "nearest_pixel": "it needs images"},
        "tf_idf",
    ),
    "audio": Case(
        clips, CONV, (f"{CONV},input=log-mel", round(SECONDS * RATE)), {"clip_seconds": SECONDS},
        {
            "cycle_gan": "it needs images", "nearest_pixel": "it needs images", "tf_idf": "it needs texts",
            "lora": "no dense layers or 1 x 1 convolutions",
        },
        "logistic",
    ),
}  # fmt: skip
"""Images are those of ``test_strategies``."""


def tried_here(spec: BackboneSpec, size: int) -> dict[str, str]:
    """Tries weights in this process, which has Keras at hand."""
    return fetch(spec.text, size)


@pytest.fixture(scope="module", params=list(CASES))
def modality(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def content(modality: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A plan with a dataset, another one, and weights."""
    folder, case = tmp_path_factory.mktemp(modality), CASES[modality]
    weights, (text, size) = folder / "small.weights.h5", case.built
    build_backbone(parse_backbone(text), size, Weights("none", "", None)).save_weights(weights)
    return {
        "datasets": [str(case.written(folder, False))], "source_dataset": str(case.written(folder, True)),
        "backbones": [f"{case.network},weights={weights}"], "fractions": [1.0], "seeds": 1, "epochs": 1,
        "length": 0.01, "tuning": {"trials": 1}, **case.options,
    }  # fmt: skip


@pytest.fixture(scope="module")
def cells(content: dict[str, Any]) -> dict[str, Any]:
    """By strategy."""
    others = {"auxiliary_dataset": content["source_dataset"]}
    plan = load_plan({**content, "strategies": list(STRATEGIES), **others})
    return {cell.strategy: cell for cell in prepare(plan, ask=tried_here).cells}


Run = Callable[[Any, Path], dict[str, Any]]


@pytest.fixture(scope="module")
def run(modality: str) -> Run:
    place = Place(1, lambda text: None)
    place.kept["workplace"] = Workplace(1)

    def one(cell: Any, folder: Path) -> dict[str, Any]:
        return run_cell(place, asdict(cell), 1.0, str(folder / f"{cell.id}.npz"), "", "")

    return one


def test_every_modality_is_tried() -> None:
    assert {*CASES, "image"} == set(MODALITIES)


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_learns_or_says_why_not(
    name: str, modality: str, cells: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    fields, case = run(cells[name], tmp_path), CASES[modality]
    if name in case.cannot:
        assert fields["status"] == "skipped"
        assert case.cannot[name] in fields["error"]["message"]
        return
    assert fields["status"] == "ok", fields.get("error")
    with np.load(tmp_path / f"{cells[name].id}.npz") as file:
        probabilities = file["probabilities"]
    assert probabilities.shape == (18, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    if name == case.learns:
        assert fields["metrics"]["accuracy"] > 0.6
        assert fields["costs"]["fit_seconds"] > 0


@pytest.mark.parametrize("name", [name for name in STRATEGIES if get_strategy(name).few_shot])
def test_few_shot(name: str, modality: str, content: dict[str, Any], run: Run, tmp_path: Path) -> None:
    plan = {**content, "strategies": [name], "protocol": "few-shot", "source_dataset": ""}
    del plan["fractions"]
    plan["few_shot"] = {"ways": [2], "shots": [1], "episodes": 10}
    (cell,) = prepare(load_plan(plan), ask=tried_here).cells
    fields = run(cell, tmp_path)
    reasons = {**CASES[modality].cannot, "prototypical": "no source dataset", "siamese": "no source dataset"}
    assert fields["status"] == ("skipped" if name in reasons else "ok"), fields.get("error")
    assert reasons.get(name, "") in (fields.get("error") or {}).get("message", "")


def test_a_plan_that_names_no_strategies_has_the_floors_of_its_modality(
    modality: str, content: dict[str, Any]
) -> None:
    plan = load_plan({**content, "source_dataset": ""})
    strategies = {cell.strategy for cell in prepare(plan, ask=tried_here).cells}
    assert strategies >= {*kind(modality).floors, "majority", "scratch"}
