"""``bench pretrain`` through real workers, what a run makes of the source, and a death in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.backbones.own import read_source

BACKBONE = "MobileNet:alpha=0.25"
SMALL = ("--image-size", 32, "--set", "augmentation=none")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, cli: Callable[..., Any]) -> Path:
    """A MobileNet that knows digits."""
    folder = tmp_path_factory.mktemp("sources") / "digits32"
    result = cli(
        "pretrain",
        "digits",
        "--backbone",
        BACKBONE,
        "--out",
        folder,
        "--epochs",
        4,
        "--set",
        "length=0.2",
        *SMALL,
        timeout=600,
    )
    assert result.rc == 0, result.stdout + result.stderr
    assert "Training MobileNet:alpha=0.25 on 1,438 images of digits" in result.stdout
    return folder


@pytest.fixture(scope="module")
def inverted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in black on white: another dataset, of the same shapes."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    path = tmp_path_factory.mktemp("data") / "inverted.npz"
    np.savez(path, x=(255 - x.reshape(-1, 8, 8) * 15.9).astype(np.uint8)[::2], y=y[::2])
    return path


@pytest.fixture(scope="module")
def run(
    source: Path, inverted: Path, tmp_path_factory: pytest.TempPathFactory, cli: Callable[..., Any]
) -> Path:
    """None and the source side by side; the source by a relative path."""
    out = tmp_path_factory.mktemp("run") / "out"
    result = cli(
        "run", "--dataset", inverted, "--backbone", BACKBONE, "--weights", "none", "--weights", "source:digits32",
        "--strategy", "scratch", "--strategy", "feature_extraction", "--fractions", "0.5", "--seeds", 1,
        "--trials", 1, "--epochs", 2, "--length", 0.1, "--out", out, "--workers", 1, *SMALL,
        cwd=source.parent, timeout=600,
    )  # fmt: skip
    assert result.rc == 0, result.stdout + result.stderr
    assert "Warning" not in result.stdout
    return out


def test_a_source_is_trained_and_used(source: Path, run: Path) -> None:
    known = read_source(f"source:{source}")
    assert known.learned
    assert known.accuracy > 0.5
    assert known.record["status"] == "ok"
    assert known.record["provenance"]["versions"]["keras"]

    results = pd.read_csv(run / "results.csv").fillna({"weights": ""})
    by = {(row.strategy, row.weights): row for row in results.itertuples()}
    text = f"source:{source}"
    assert set(by) == {("scratch", ""), ("feature_extraction", "none"), ("feature_extraction", text)}
    assert by["feature_extraction", "none"].status == "skipped"
    # The features of a network that knows white digits tell black ones apart: chance is a tenth.
    assert by["feature_extraction", text].accuracy > 0.3
    assert json.loads((run / "run.json").read_text())["sources"][text]["name"] == "digits32"
    assert f"{BACKBONE},weights={text}" in (run / "plan.toml").read_text()
    page = (run / "report.html").read_text()
    assert "(source: digits32)" in page.replace("\n", " ")


def test_the_target_s_own_images_in_the_source_are_a_warning(source: Path, cli: Callable[..., Any]) -> None:
    result = cli("plan", "--dataset", "digits", "--backbone", f"{BACKBONE},weights=source:{source}",
                 "--strategy", "full_finetune", "--image-size", 32)  # fmt: skip
    assert result.rc == 0, result.stderr
    assert "1,438 of 1,438 images to learn from (100.0%)" in result.stdout
    assert "the source digits32 was trained on" in result.stdout
    assert "test images" not in result.stdout  # its test part is the one that was held out
    assert "(source: digits32)" in result.stdout


@pytest.mark.slow
def test_an_export_carries_the_source_with_it(
    source: Path, run: Path, tmp_path: Path, cli: Callable[..., Any], python: Callable[..., Any]
) -> None:
    result = cli("export", run, "--out", tmp_path / "ex", "--strategy", "feature_extraction", timeout=600)
    assert result.rc == 0, result.stderr
    card = (tmp_path / "ex" / "card.md").read_text()
    assert "the source digits32 (trained on 1,438 images of digits" in card
    assert str(source.parent) not in card + (tmp_path / "ex" / "train.py").read_text()
    assert (tmp_path / "ex" / "backbone.keras").exists()
    model = tmp_path / "ex" / "model.keras"
    first = model.read_bytes()
    again = python(tmp_path / "ex" / "train.py", timeout=600)  # without the source
    assert again.rc == 0, again.stderr
    assert len(model.read_bytes()) == len(first)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_death_in_the_middle_leaves_no_source(
    how: signal.Signals, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    out = tmp_path / "source"
    arguments = ("pretrain", "digits", "--backbone", BACKBONE, "--out", out, *SMALL)
    with start("-u", "-m", "bench", *arguments, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Training"):
                    break
            deadline = time.monotonic() + 30
            while not (tmp_path / ".tmp-source").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            os.kill(process.pid, how)
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert not out.exists()
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "Nothing was written" in stderr
        assert list(tmp_path.iterdir()) == []
