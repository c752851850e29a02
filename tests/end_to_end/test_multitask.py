"""Auxiliary labels through the command line and its workers, from a manifest's columns and a second dataset."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

BACKBONE = "Conv4:filters=8"
FLAGS = (
    "--epochs", 2, "--length", 0.05, "--image-size", 32, "--trials", 1, "--seeds", 1, "--workers", 1,
    "--fractions", "0.5",
)  # fmt: skip


def write(folder: Path) -> Path:
    """Digits with their parity and half of a coin's throws beside them, and more digits as a second dataset."""
    from sklearn.datasets import load_digits

    data = load_digits()
    rng = np.random.default_rng(0)
    rows = []
    for i in range(300):
        path = folder / ("images" if i < 200 else f"more/{data.target[i] // 5}") / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((15 * data.images[i]).astype(np.uint8)).save(path)
        coin = ("heads", "tails", "", "")[rng.integers(4)]
        rows.append([path.relative_to(folder), data.target[i], data.target[i] % 2, coin])
    with (folder / "digits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "Parity", "coin"])
        writer.writerows(rows[:200])
    return folder


@pytest.fixture(scope="module")
def out(
    tmp_path_factory: pytest.TempPathFactory, small_file: Path, cli: Callable[..., Any]
) -> tuple[Path, Any]:
    root = write(tmp_path_factory.mktemp("multitask"))
    result = cli(
        "run", "--dataset", root / "digits.csv", "--auxiliary", "Parity", "--auxiliary", "coin",
        "--auxiliary-dataset", root / "more", "--strategy", "full_finetune",
        "--strategy", "multi_task:auxiliary=parity", "--strategy", "multi_task:auxiliary=coin,images=pool",
        "--strategy", "multi_task:auxiliary_weight=learned", "--backbone", f"{BACKBONE},weights={small_file}",
        "--out", root / "run", *FLAGS, timeout=600,
    )  # fmt: skip
    assert result.rc == 0, result.stderr + result.stdout
    return root, result


def test_it_runs_and_the_report_compares(out: tuple[Path, Any]) -> None:
    folder = out[0] / "run"
    results = pd.read_csv(folder / "results.csv").set_index("strategy")
    assert set(results["status"]) == {"ok"}
    assert dict(results["auxiliary"].fillna("")) == {
        "full_finetune": "",
        "multi_task:auxiliary=parity": "parity",
        "multi_task:auxiliary=coin,images=pool": "coin",
        "multi_task:auxiliary_weight=learned": "coin, parity, more",
    }
    info = json.loads((folder / "run.json").read_text())
    (tasks,) = info["auxiliary"].values()
    known = {task["name"]: task["known"] for task in tasks}
    assert list(known) == ["parity", "coin", "more"]
    n = results["n"].iloc[0]
    counts = results["n_auxiliary"]
    assert counts["multi_task:auxiliary=parity"] == n
    assert counts["multi_task:auxiliary=coin,images=pool"] == known["coin"]
    assert known["more"] + n < counts["multi_task:auxiliary_weight=learned"] < known["more"] + 2 * n
    page = (folder / "report.html").read_text()
    assert "Did auxiliary labels help?" in page
    assert "not compared below three seeds" in re.sub(r"<[^>]+>", "", page)


def test_its_plan_again_finds_nothing_to_do(out: tuple[Path, Any], cli: Callable[..., Any]) -> None:
    result = cli("run", out[0] / "run" / "plan.toml")
    assert result.rc == 0, result.stderr
    assert "Nothing to do" in result.stdout


def test_export_says_that_it_cannot_spell_it_out(out: tuple[Path, Any], cli: Callable[..., Any]) -> None:
    result = cli("export", out[0] / "run", "--strategy", "multi_task:auxiliary=parity")
    assert result.rc == 2
    assert "auxiliary" in result.stderr
    assert "train.py" in result.stderr


def test_a_column_that_has_changed_is_not_taken_for_the_old_one(
    out: tuple[Path, Any], cli: Callable[..., Any]
) -> None:
    path = out[0] / "digits.csv"
    text = path.read_text()
    try:
        path.write_text(text.replace(",1,heads", ",0,heads"))
        assert path.read_text() != text
        result = cli("run", out[0] / "run" / "plan.toml")
        assert result.rc == 2
        assert "auxiliary_columns" in result.stderr
    finally:
        path.write_text(text)
