"""Values of any type through the command line: what is shown, what is told and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.image_files import saved

RUN = (
    "--strategy", "nearest_pixel", "--backbone", "Conv4:filters=16", "--image-size", 16, "--fractions", 1,
    "--seeds", 1, "--trials", 1, "--workers", 1,
)  # fmt: skip


def drawings(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Gray drawings of 0 to 1, brighter to the right or downwards: (40, 16, 16), and their classes."""
    rng, labels = np.random.default_rng(seed), np.arange(40) % 2
    ramp = np.linspace(0, 0.8, 16)
    x = np.stack([np.broadcast_to(ramp if label else ramp[:, None], (16, 16)) for label in labels])
    return x + rng.uniform(0, 0.2, x.shape), labels


def predictions(out: Path) -> np.ndarray:
    table = pd.read_csv(out / "results.csv")
    assert (table["status"] == "ok").all()
    (path,) = (out / "predictions").glob("*.npz")
    with np.load(path) as file:
        return file["probabilities"]


def test_12_bit_files_and_small_floats_give_the_results_of_8_bits(
    tmp_path: Path, cli: Callable[..., Any]
) -> None:
    x, labels = drawings(0)
    x[0, 0, 0] = 1
    eight = np.rint(x * 255)
    for i, label in enumerate(labels):
        for name, values in (("eight", eight.astype("u1")), ("deep", np.rint(x * 4095).astype("u2"))):
            path = tmp_path / name / "ab"[label] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(saved(values[i], "PNG"))
    found = []
    for name in ("eight", "deep"):
        result = cli(
            "run", "--dataset", tmp_path / name, *RUN, "--out", tmp_path / f"run-{name}", timeout=300
        )
        assert result.rc == 0, result.stderr + result.stdout
        found.append(predictions(tmp_path / f"run-{name}"))
    assert np.abs(found[0] - found[1]).max() < 0.2
    assert (found[0].argmax(axis=1) == found[1].argmax(axis=1)).all()


def test_what_touches_validity_stands_in_the_check_the_run_and_the_page(
    tmp_path: Path, cli: Callable[..., Any]
) -> None:
    x, labels = drawings(1)
    path = tmp_path / "faint.npz"
    np.savez(path, x=np.rint(100 + 30 * x).astype("u1"), y=labels, groups=labels)
    checked = cli("check", path, "--image-size", 16)
    ran = cli("run", "--dataset", path, *RUN, "--out", tmp_path / "run", timeout=300)
    assert ran.rc == 0, ran.stderr + ran.stdout
    for text in (checked.stdout, ran.stdout + ran.stderr, (tmp_path / "run" / "report.html").read_text()):
        assert "The images are faint" in text
        assert "not used: groups" in text


@pytest.mark.parametrize("command", ["check", "run"])
def test_ranges_that_cannot_be_told_are_refused(
    tmp_path: Path, cli: Callable[..., Any], command: str
) -> None:
    x, labels = drawings(2)
    path = tmp_path / "tomography.npz"
    np.savez(path, x=np.rint(x * 4000 - 1000).astype("i2"), y=labels)
    arguments = (
        [path, "--image-size", 16]
        if command == "check"
        else ["--dataset", path, *RUN, "--out", tmp_path / "r"]
    )
    result = cli(command, *arguments)
    assert result.rc == 2, result.stdout + result.stderr
    assert "WHITE - BLACK" in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
