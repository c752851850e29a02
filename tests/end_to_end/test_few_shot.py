"""New digits by a few labels each, after learning from other digits: through the command line and its workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, cli: Callable[..., Any]) -> tuple[list[Any], Path, Any]:
    from sklearn.datasets import load_digits

    root, data = tmp_path_factory.mktemp("few-shot"), load_digits()
    images = (15 * data.images[:400]).astype(np.uint8)
    for name, chosen in (("new", data.target[:400] > 5), ("old", data.target[:400] < 6)):
        np.savez(root / f"{name}.npz", x=images[chosen], y=data.target[:400][chosen])
    arguments = [
        "--protocol", "few-shot", "--dataset", root / "new.npz", "--source-dataset", root / "old.npz",
        "--ways", "2,4", "--shots", "1,3", "--episodes", 20, "--strategy", "nearest_pixel",
        "--strategy", "prototypical", "--backbone", "Conv4:filters=16", "--image-size", 16,
        "--epochs", 2, "--length", 0.1, "--trials", 1, "--seeds", 1, "--out", root / "run",
    ]  # fmt: skip
    result = cli("run", *arguments, "--workers", 1, timeout=600)
    assert result.rc == 0, result.stderr + result.stdout
    return arguments, root / "run", result


def test_it_runs_and_reports(ran: tuple[list[Any], Path, Any]) -> None:
    _, out, result = ran
    assert "4-way 1-shot" in result.stdout
    frame = pd.read_csv(out / "few_shot.csv")
    assert set(frame["strategy"]) == {"nearest_pixel", "prototypical"}
    assert set(zip(frame["ways"], frame["shots"], strict=True)) == {(2, 1), (2, 3), (4, 1), (4, 3)}
    assert (frame["accuracy"] > 1 / frame["ways"]).all()
    assert "Accuracy on new classes" in (out / "report.html").read_text()
    for path in (out / "cells").glob("*.json"):
        record = json.loads(path.read_text())
        with np.load(out / "predictions" / f"{path.stem}.npz") as file:
            assert file["accuracies"].shape == (4, 20)
        assert record["status"] == "ok"


def test_it_is_resumed_planned_and_repeated(
    ran: tuple[list[Any], Path, Any], cli: Callable[..., Any]
) -> None:
    arguments, out, _ = ran
    again = cli("run", out / "plan.toml")
    assert "Nothing to do" in again.stdout, again.stderr
    planned = cli("plan", *arguments)
    assert planned.rc == 0, planned.stderr
    assert "4 new classes" in planned.stdout
    assert "few-shot" in planned.stdout
    frame = pd.read_csv(out / "few_shot.csv")
    learned = frame.loc[frame["strategy"] == "prototypical", "cell_id"].iloc[0]
    repeated = cli("run", "--cell", learned, "--from", out, timeout=300)
    assert repeated.rc == 0, repeated.stdout + repeated.stderr
    refused = cli("recommend", out)
    assert refused.rc == 2
    assert "few_shot.csv" in refused.stderr
