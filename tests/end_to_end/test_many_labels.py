"""Any number of labels through the command line: audit, run, page, recommendation, export."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

FLAGS = (
    "--task", "multi_label", "--image-size", 32, "--trials", 0, "--seeds", 1, "--workers", 1, "--length", 0.05,
    "--fractions", "1", "--backbone", "Conv4:filters=8", "--weights", "none",
)  # fmt: skip


def write(folder: Path, count: int = 60) -> Path:
    """Pictures with any of three coloured squares, listed with their labels."""
    rng = np.random.default_rng(0)
    with (folder / "colours.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "labels"])
        for i in range(count):
            image, shown = rng.integers(0, 60, (32, 32, 3), np.uint8), rng.random(3) < 0.5
            for channel in np.flatnonzero(shown):
                image[8:24, 8:24, channel] = 255
            Image.fromarray(image).save(folder / f"{i:02}.png")
            writer.writerow([f"{i:02}.png", ";".join(np.array(["red", "green", "blue"])[shown])])
    return folder / "colours.csv"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, cli: Callable[..., Any]) -> tuple[Path, Any]:
    root = tmp_path_factory.mktemp("many")
    data = write(root)
    result = cli("run", "--dataset", data, *FLAGS, "--strategy", "scratch", "--strategy", "majority", "--out",
                 root / "run", timeout=600)  # fmt: skip
    assert result.rc == 0, result.stderr + result.stdout
    return root, result


def test_it_runs(done: tuple[Path, Any]) -> None:
    root, result = done
    assert "mean average precision" in result.stdout
    results = pd.read_csv(root / "run" / "results.csv")
    assert set(results["status"]) == {"ok"}
    assert results["mean_average_precision"].between(0, 1).all()
    for path in (root / "run" / "predictions").glob("*.npz"):
        with np.load(path) as arrays:
            assert arrays["labels"].shape == arrays["probabilities"].shape == (12, 3)
    (about,) = json.loads((root / "run" / "run.json").read_text())["datasets"].values()
    assert about["class_names"] == ["blue", "green", "red"]
    assert "Average precision by label" in (root / "run" / "report.html").read_text()


def test_it_goes_on_and_can_be_repeated(done: tuple[Path, Any], cli: Callable[..., Any]) -> None:
    again = cli("run", done[0] / "run" / "plan.toml")
    assert again.rc == 0, again.stderr
    assert "Nothing to do" in again.stdout


def test_the_audit(done: tuple[Path, Any], cli: Callable[..., Any]) -> None:
    result = cli("check", done[0] / "colours.csv", "--task", "multi_label", "--image-size", 32)
    assert result.rc == 0, result.stderr
    assert "60 images in 3 labels" in result.stdout
    assert "without any label" in result.stdout


def test_what_cannot_be_had_is_told_with_what_to_type(
    done: tuple[Path, Any], cli: Callable[..., Any]
) -> None:
    data = done[0] / "colours.csv"
    for arguments, said in (
        (
            ("run", "--dataset", data, *FLAGS, "--strategy", "knn"),
            "It learns one class each. These can: scratch",
        ),
        (("rank", data, "--set", "task=multi_label"), "Ranking scores features by one class"),
        (("run", "--dataset", "digits", *FLAGS), "a manifest or an .npz file"),
    ):
        result = cli(*arguments)
        assert result.rc == 2, result.stdout
        assert said in result.stderr
        assert "Traceback" not in result.stderr


def test_export(done: tuple[Path, Any], cli: Callable[..., Any]) -> None:
    root = done[0]
    result = cli("export", root / "run", timeout=600)
    assert result.rc == 0, result.stderr + result.stdout
    folder = root / "run" / "export"
    assert "a probability of each label on its own (batch, 3)" in (folder / "card.md").read_text()
    assert "its test probabilities differ from the measured ones" in result.stdout
    with (folder / "labels.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["path", "blue", "green", "red"]
    import zipfile

    config = json.loads(zipfile.ZipFile(folder / "model.keras").read("config.json"))
    assert config["config"]["layers"][-1]["config"]["activation"] == "sigmoid"
