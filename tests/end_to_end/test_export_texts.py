"""``bench export`` of a run on texts: the code gives the model that was measured, and takes raw texts."""

from __future__ import annotations

import ast
import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bench
from bench.backbones.build import build_backbone
from bench.backbones.spec import parse_backbone
from bench.backbones.weights import Weights
from bench.commands.export.export import export
from bench.commands.export.formats import FORMATS, TOLERANCE
from reports.recommend import Constraints

NETWORK = "SmallTransformer:layers=2,width=32"
STRATEGIES = ("scratch", "feature_extraction", "partial_finetune", "logistic", "all_layer_probe")
STANDARD = {"csv", "hashlib", "math", "os", "re", "shutil", "sys", "tempfile", "zlib", "pathlib"}
PLACES = ("café", "=sum", "@home", "-", "'+quoted", 'a "b"\nc')


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> bench.Run:
    folder, rng = tmp_path_factory.mktemp("texts"), np.random.default_rng(0)
    weights = folder / "small.weights.h5"
    build_backbone(parse_backbone(NETWORK), 64, Weights("none", "", None)).save_weights(weights)
    with (folder / "texts.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label", "split"])
        for i in range(90):
            words = " ".join(["good", "bad"][i % 2] for _ in range(int(rng.integers(1, 20))))
            table.writerow(
                [f"{PLACES[i % 6]} {words} {i}", ["=yes", "no"][i % 2], "test" if i > 59 else "train"]
            )
    plan = {
        "datasets": [str(folder / "texts.csv")], "backbones": [f"{NETWORK},weights={weights}"],
        "strategies": list(STRATEGIES), "fractions": [1.0], "seeds": 1, "epochs": 1, "length": 0.03,
        "max_tokens": 64, "tuning": {"trials": 1},
    }  # fmt: skip
    return bench.run(plan, folder / "run", workers=1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_code_gives_the_model_that_was_measured(run: bench.Run, tmp_path: Path, strategy: str) -> None:
    done = export(run.directory, tmp_path / "export", Constraints(strategies=(strategy,)))
    stored = strategy in ("feature_extraction", "partial_finetune", "all_layer_probe")
    assert done.difference < (1e-3 if stored else 1e-5)
    files = {path.name for path in done.folder.iterdir()}
    assert {"model.keras", "train.py", "predict.py", "texts.csv", "card.md"} <= files
    code = (done.folder / "train.py").read_text(encoding="utf-8")
    imported = {
        (node.names[0].name if isinstance(node, ast.Import) else node.module or "").partition(".")[0]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported <= STANDARD | {"keras", "numpy", "tensorflow", "sklearn"}
    assert "image" not in code.replace("set_image_data_format", "")
    ruff = [Path(sys.executable).with_name("ruff"), "check", "--isolated", "--select", "E9,F,B"]
    checked = subprocess.run([*ruff, "--ignore", "B905", done.folder / "train.py"], check=False)
    assert checked.returncode == 0
    if strategy == "logistic":
        said = subprocess.run(
            [sys.executable, "predict.py", "good good", "<b>bad</b>"],
            cwd=done.folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert [line.rpartition(": ")[2] for line in said.stdout.splitlines()] == ["good good", "<b>bad</b>"]


@pytest.mark.parametrize("name", ["litert", "onnx"])
def test_other_formats_take_raw_texts(run: bench.Run, tmp_path: Path, name: str) -> None:
    for library in FORMATS[name].libraries:
        pytest.importorskip(library)
    done = export(
        run.directory, tmp_path / "export", Constraints(strategies=("feature_extraction",)), formats=name
    )
    _, other = done.formats
    assert other.reason == ""
    assert other.difference <= TOLERANCE
    assert other.agreement == 1
