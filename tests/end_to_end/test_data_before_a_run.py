"""What is found before a run: weights of another network, groups that file names give away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from bench.datasets import open_dataset

SETTINGS = ("--image-size", "32", "--fractions", "1", "--seeds", "1", "--trials", "1")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for c, name in enumerate(("NORMAL", "PNEUMONIA")):
        for person in range(8):
            for i in range(4):
                path = tmp_path / "xray" / name / f"person{person + 10 * c}_img_{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(random.integers(0, 256, (20, 20, 3), np.uint8)).save(path)
    return tmp_path / "xray"


def test_groups_of_file_names_from_check_to_the_page(
    cli: Callable[..., Any], people: Path, tmp_path: Path
) -> None:
    plain = cli("run", "--dataset", people, *SETTINGS, "--strategy", "majority", "--out", tmp_path / "plain")
    assert plain.rc == 0, plain.stderr
    assert "--set groups=auto" in plain.stderr + plain.stdout
    assert "repeat a name (person#)" in (tmp_path / "plain/report.html").read_text()
    grouped = ("--dataset", people, *SETTINGS, "--strategy", "majority", "--set", "groups=auto")
    planned = cli("plan", *grouped)
    assert planned.rc == 0, planned.stderr
    assert "Groups, made of what file names repeat (person#)" in planned.stdout
    out = tmp_path / "grouped"
    run = cli("run", *grouped, "--out", out)
    assert run.rc == 0, run.stderr
    (record,) = [json.loads(path.read_text()) for path in (out / "cells").glob("*.json")]
    assert record["cell"]["groups"] == "auto"
    page = (out / "report.html").read_text()
    assert "made of what file names repeat (person#)" in page
    assert "none is in both" in page
    dataset = open_dataset(people, record["cell"]["examples"], groups="auto")
    assert record["cell"]["fingerprint"] == dataset.fingerprint
    assert record["cell_id"] not in {path.stem for path in (tmp_path / "plain/cells").glob("*.json")}
    again = cli("run", out / "plan.toml")
    assert again.rc == 0, again.stderr


def test_weights_of_another_network_are_refused_by_plan_and_run(
    cli: Callable[..., Any], people: Path, weights_file: Path, tmp_path: Path
) -> None:
    def asked(command: str, backbone: str, *more: object) -> Any:
        given = ("--dataset", people, *SETTINGS, "--strategy", "nearest_mean", "--backbone", backbone)
        return cli(command, *given, *more)

    fits = asked("plan", f"MobileNet:alpha=0.25,weights={weights_file}")
    assert fits.rc == 0, fits.stderr
    other = asked("plan", f"MobileNet:alpha=0.5,weights={weights_file}")
    assert other.rc == 2
    assert "It does not fit: it holds 218,544 numbers, the network 829,536" in other.stderr
    with h5py.File(weights_file, "r") as file, h5py.File(tmp_path / "odd.weights.h5", "w") as odd:
        odd["layers/other/vars/0"] = np.zeros(218_544)  # as many numbers, of another network
        assert len(file)
    same = asked(
        "run", f"MobileNet:alpha=0.25,weights={tmp_path / 'odd.weights.h5'}", "--out", tmp_path / "run"
    )
    assert same.rc == 2
    assert "It does not fit" in same.stderr
    assert "Traceback" not in same.stderr + other.stderr
    assert not (tmp_path / "run/cells").exists()
