"""What a pretraining leaves: weights that load to the trained network, and baselines that answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.backbones.build import build_backbone
from bench.backbones.own import BEFORE, MAJORITY, PIXELS
from bench.backbones.spec import parse_backbone
from bench.backbones.weights import Weights
from bench.commands.pretraining.worker import baselines, save_backbone
from bench.protocols.fractions.cell import run_cell
from bench.system.files import sha256_file


def test_the_trained_backbone_is_what_is_written(
    engine: Any, make_cell: Any, digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell(
        strategy="scratch", weights="", weights_sha256="", tuning={"algorithm": "random", "trials": 1}
    )
    outcome = run_cell(cell, digits, engine, None, lambda text: None)
    assert outcome.network is not None
    assert outcome.state is not None
    first, second = (tmp_path / f"{name}.weights.h5" for name in ("first", "second"))
    for path in (first, second):
        save_backbone(outcome.network, outcome.state, path)
    assert sha256_file(first) == sha256_file(second)  # the same weights are the same file

    spec = parse_backbone(f"MobileNet:alpha=0.25,weights={first}")
    model = build_backbone(spec, 32, Weights("file", sha256_file(first), str(first)))
    images = np.asarray(digits.test.data[:64], np.float32)
    pooled = np.asarray(model.predict_on_batch(images)).mean(axis=(1, 2))
    # With its head on top it gives the cell's own predictions: statistics of batch normalisation are in it, too.
    state = outcome.state
    standardised = (pooled - state["head_standardise:0"]) / np.sqrt(state["head_standardise:1"] + 1e-5)
    scores = standardised @ state["head_logits:0"] + state["head_logits:1"]
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    assert outcome.probabilities is not None
    expected = outcome.probabilities[:64]
    np.testing.assert_allclose(shifted / shifted.sum(axis=1, keepdims=True), expected, atol=1e-4)

    answers = baselines(cell, digits, outcome.network)
    right = {name: float((answer == digits.test.labels).mean()) for name, answer in answers.items()}
    assert set(right) == {MAJORITY, PIXELS, BEFORE}
    assert len(set(answers[MAJORITY].tolist())) == 1
    assert right[PIXELS] > 0.9  # digits are easy for a linear model
    assert right[MAJORITY] < right[BEFORE] < right[PIXELS]

    # What began with weights is compared with these: here with those that it has been trained to.
    monkeypatch.setitem(vars(outcome.network), "pretrained", {**outcome.network.pretrained, **state})
    began = baselines(replace(cell, weights="source:/x"), digits, outcome.network)
    assert (began[MAJORITY] == answers[MAJORITY]).all()
    assert (began[BEFORE] != answers[BEFORE]).any()
