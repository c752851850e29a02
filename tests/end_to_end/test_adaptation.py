"""From dark digits to light ones without a label of these: through the command line and its workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

BACKBONE = "Conv4:filters=8"
FLAGS = ("--epochs", 3, "--length", 0.05, "--image-size", 32, "--trials", 1, "--seeds", 1, "--workers", 1)


def write(folder: Path, invert: bool, count: int) -> None:
    """Digits as files that are called the same whatever their look."""
    from sklearn.datasets import load_digits

    data = load_digits()
    for i in range(count):
        path = folder / str(data.target[i]) / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = (15 * data.images[i]).astype(np.uint8)
        Image.fromarray(255 - pixels if invert else pixels).save(path)


@pytest.fixture(scope="module")
def out(
    tmp_path_factory: pytest.TempPathFactory, small_file: Path, cli: Callable[..., Any]
) -> tuple[Path, Any]:
    root = tmp_path_factory.mktemp("domains")
    write(root / "light", False, 200)
    write(root / "dark", True, 300)
    result = cli(
        "run", "--dataset", root / "light", "--source-dataset", root / "dark", "--fractions", "0",
        "--strategy", "source_only", "--strategy", "mmd", "--backbone", f"{BACKBONE},weights={small_file}",
        "--out", root / "run", *FLAGS, timeout=600,
    )  # fmt: skip
    assert result.rc == 0, result.stderr + result.stdout
    return root, result


def test_it_runs_without_labels_and_says_so(out: tuple[Path, Any]) -> None:
    folder = out[0] / "run"
    results = pd.read_csv(folder / "results.csv")
    assert list(results["status"]) == ["ok", "ok"]
    assert set(results["n"]) == {0}
    assert set(results["source_dataset"]) == {"dark"}
    info = json.loads((folder / "run.json").read_text())
    (target,) = info["source_dataset"]["targets"].values()
    assert target["grouping"] == "names"
    assert set(results["n_source"]) == {info["source_dataset"]["n"] - target["left_out"]}
    assert target["left_out"] > 0
    page = (folder / "report.html").read_text()
    assert "Did adaptation help?" in page
    assert "dark" in page


def test_a_translator_leaves_its_pictures(
    out: tuple[Path, Any], small_file: Path, cli: Callable[..., Any]
) -> None:
    root = out[0]
    result = cli(
        "run", "--dataset", root / "light", "--source-dataset", root / "dark", "--fractions", "0",
        "--strategy", "cycle_gan", "--backbone", f"{BACKBONE},weights={small_file}",
        "--out", root / "translated", *FLAGS[2:], "--epochs", 1, timeout=600,
    )  # fmt: skip
    assert result.rc == 0, result.stderr + result.stdout
    notes = json.loads((root / "translated" / "run.json").read_text())["notes"]
    assert any("Without source_only beside it" in note and "brought to cycle_gan" in note for note in notes)
    (record,) = (root / "translated" / "cells").glob("*.json")
    content = json.loads(record.read_text())
    assert (content["status"], content["n"]) == ("ok", 0)
    picture = root / "translated" / "predictions" / f"{record.stem}.png"
    with Image.open(picture) as image:
        pixels = np.asarray(image)
    assert pixels.shape[0] == 2 * 32
    assert pixels.shape[1] % 32 == 0
    above, below = pixels[:32].astype(int), pixels[32:].astype(int)
    assert above.mean() > 128  # dark on light
    assert np.abs(above - below).max() > 5  # it has drawn something
    assert "and what was made of them for" in (root / "translated" / "report.html").read_text()


def test_its_plan_again_finds_nothing_to_do(out: tuple[Path, Any], cli: Callable[..., Any]) -> None:
    result = cli("run", out[0] / "run" / "plan.toml")
    assert result.rc == 0, result.stderr
    assert "Nothing to do" in result.stdout


def test_no_labels_with_a_strategy_that_needs_some_is_refused(
    out: tuple[Path, Any], cli: Callable[..., Any]
) -> None:
    root = out[0]
    result = cli("plan", "--dataset", root / "light", "--source-dataset", root / "dark", "--fractions", "0,1",
                 "--strategy", "dann", "--strategy", "full_finetune", "--backbone",
                 f"{BACKBONE},weights=none", "--image-size", 32)  # fmt: skip
    assert result.rc == 2
    assert "These need labels: full_finetune." in result.stderr
