"""What the harness refuses of a strategy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.plans.strategies import get_strategy
from strategies.base import Info, Stage
from strategies.refuse import prediction_problem, stage_problems

HEAD = Stage("head", cut="top", learning_rate=3e-2)
BODY = Stage("body", cut=0.5, learning_rate=3e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""}, {"cut": 0.0}, {"cut": 1}, {"cut": "middle"}, {"cut": None}, {"learning_rate": 0.0},
        {"learning_rate": float("nan")}, {"learning_rate": "fast"}, {"weight_decay": -1e-3}, {"epochs": 0},
        {"epochs": 2.5}, {"weights": "imagenet"}, {"batch_norm": True}, {"warmup": 1.0}, {"blocks": -1},
        {"blocks": True}, {"only": "kernels"}, {"rate_decay": 0}, {"decay_to": "source"}, {"mix": 1.1},
        {"rank": 1.5}, {"steps": -1}, {"steps": 1.5}, {"steps": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_out_of_its_range(change: dict[str, Any]) -> None:
    (name, value), (problem,) = *change.items(), stage_problems([replace(BODY, **change)])
    assert problem.startswith(f"Stage {change.get('name', 'body')!r}: {name} must be ")
    assert problem.endswith(f" (got {value!r}).")


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        (None, "must give a list of at least one Stage"),
        ([], "must give a list of at least one Stage"),
        ([HEAD, "body"], "got 'body' in it"),
        ([HEAD, replace(BODY, name="head")], "Two stages are called 'head'"),
        ([BODY, replace(BODY, name="all", cut="input", weights="random")], "only the first stage says where"),
        ([replace(BODY, weights="random")], "layers below a cut are pretrained"),
        ([BODY, HEAD], "cut='top' lies above that of the stage before it"),
        ([HEAD, replace(BODY, name="all", cut="input"), BODY], "cut=0.5 lies above that of the stage before"),
        ([replace(HEAD, blocks=1)], "blocks is about the backbone"),
        ([replace(HEAD, rank=4)], "rank is about the backbone"),
        ([replace(BODY, rank=4, only="norm")], "so only would do nothing"),
    ],
)
def test_what_means_nothing(stages: Any, words: str) -> None:
    (problem,) = stage_problems(stages)
    assert words in problem


@pytest.mark.parametrize(
    "stages",
    [
        [HEAD], [HEAD, BODY], (HEAD, replace(BODY, cut="input", rank=4)), [replace(BODY, blocks=2, only="norm")],
        [replace(BODY, learning_rate=np.float32(0.01), warmup=0.0, mix=0, epochs=1)],
        [replace(BODY, cut="input", weights="random", batch_norm="trained")],
        [HEAD, BODY, replace(BODY, name="same"), replace(BODY, name="all", cut="input")],
    ],
)  # fmt: skip
def test_what_can_be_trained(stages: Any) -> None:
    assert stage_problems(stages) == []


UNIFORM = np.full((3, 4), 0.25, np.float32)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (UNIFORM.tolist(), "got list"),
        (UNIFORM.astype(int), "got int64"),
        (UNIFORM[:2], "shape (2, 4)"),
        (UNIFORM.T, "shape (4, 3)"),
        (UNIFORM * 2, "got 2 for"),
        (UNIFORM * [[1], [1], [0.5]], "got 0.5 for"),
        (UNIFORM - np.array([0.5, -0.5, 0, 0]), "got -0.25"),
    ],
)
def test_predictions_that_are_none(answer: Any, words: str) -> None:
    assert words in prediction_problem(answer, 3, 4)


def test_predictions_that_are_some() -> None:
    assert prediction_problem(UNIFORM, 3, 4) == ""
    assert prediction_problem(UNIFORM * np.nan, 3, 4) == ""  # diverged, which is told elsewhere


@pytest.mark.parametrize("name", ["nearest_pixel", "cycle_gan"])
def test_a_strategy_for_images_is_skipped_for_anything_else(name: str) -> None:
    info = Info("image", ("a", "b"), 100, True, 32, 32, has_source=True)
    assert get_strategy(name).skip(info) is None
    assert get_strategy(name).skip(replace(info, modality="text")) == "it needs images"
    assert get_strategy("majority").skip(replace(info, modality="text")) is None
