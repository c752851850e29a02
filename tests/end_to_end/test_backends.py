"""A whole run on another Keras backend, from the command line to the exported model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.store import Store
from bench.system import backend

PLAN = (
    "--dataset", "digits", "--fractions", "1", "--seeds", "1", "--trials", "1", "--epochs", "2", "--length", "0.2",
    "--image-size", "32", "--workers", "1", "--strategy", "feature_extraction", "--strategy", "full_finetune",
)  # fmt: skip


def probabilities(out: Path) -> dict[str, np.ndarray]:
    store = Store(out)
    return {r.cell["strategy"]: store.predictions(r.cell_id)["probabilities"] for r in store.records()}


@pytest.mark.skipif(not backend.is_installed("torch"), reason="torch is not installed")
def test_a_run_on_torch(cli: Callable[..., Any], tmp_path: Path) -> None:
    torch, out = {"KERAS_BACKEND": "torch"}, tmp_path / "out"
    for folder in (out, tmp_path / "again"):
        result = cli("run", *PLAN, "--out", folder, "--fresh", env=torch, timeout=1800)
        assert result.rc == 0, result.stdout + result.stderr
    first, again = probabilities(out), probabilities(tmp_path / "again")
    for name in ("feature_extraction", "full_finetune"):
        np.testing.assert_array_equal(first[name], again[name])

    records = Store(out).records()
    assert {record.cell["backend"] for record in records} == {"torch"}
    assert all("torch" in record.provenance["versions"] for record in records)
    assert json.loads((out / "run.json").read_text())["backend"] == "torch"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "float32 on torch" in page
    assert "the same numbers to the last bit" in page

    # What its directory says counts, whatever the shell does not say.
    assert cli("run", out / "plan.toml").rc == 0
    chosen = ("--strategy", "full_finetune")
    refused = cli("export", out, *chosen, env={"KERAS_BACKEND": "tensorflow"})
    assert (refused.rc, "torch, with which the run was made" in refused.stderr) == (2, True)
    result = cli("export", out, *chosen, timeout=1800)
    assert result.rc == 0, result.stdout + result.stderr
    assert "import tensorflow" not in (out / "export" / "train.py").read_text()
    assert "It agrees with the model that was measured" in (out / "export" / "card.md").read_text()
