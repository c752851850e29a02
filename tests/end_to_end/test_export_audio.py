"""``bench export`` of a run on clips: the code gives the model that was measured, which takes raw samples."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

from sounds import word, written

import bench
from bench.backbones.build import build_backbone
from bench.backbones.spec import parse_backbone
from bench.backbones.weights import Weights
from bench.commands.export.export import export
from bench.commands.export.formats import FORMATS, TOLERANCE
from reports.recommend import Constraints

NETWORK = "Conv4:filters=8"
STRATEGIES = ("scratch", "feature_extraction", "partial_finetune", "logistic", "all_layer_probe")
STANDARD = {"hashlib", "math", "os", "shutil", "sys", "tempfile", "pathlib"}
KINDS = {"scratch": "strong"}
"""Augmentation, where it is not ``light``."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bench.Run]:
    folder = tmp_path_factory.mktemp("clips")
    for i in range(60):
        part, label = "test" if i > 39 else "train", ["low", "high"][i % 2]
        time = np.arange(3_200) / 16_000
        tone = 0.3 * np.sin(2 * np.pi * (300, 2_000)[i % 2] * (1 + 0.01 * i) * time)
        (folder / "clips" / part / label).mkdir(parents=True, exist_ok=True)
        written(folder / "clips" / part / label / f"{i}.wav", tone + 0.3 * word(i, 0.2))
    weights = folder / "small.weights.h5"
    spec = parse_backbone(f"{NETWORK},input=log-mel")
    build_backbone(spec, 4_000, Weights("none", "", None)).save_weights(weights)
    plan = {
        "datasets": [str(folder / "clips")], "backbones": [f"{NETWORK},weights={weights}"],
        "fractions": [1.0], "seeds": 1, "epochs": 1,
        "length": 0.03, "clip_seconds": 0.25, "tuning": {"trials": 1},
    }  # fmt: skip
    return {
        kind: bench.run(
            {
                **plan,
                "augmentation": kind,
                "strategies": [s for s in STRATEGIES if KINDS.get(s, "light") == kind],
            },
            folder / kind,
            workers=1,
        )
        for kind in ("light", "strong")
    }


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_code_gives_the_model_that_was_measured(
    runs: dict[str, bench.Run], tmp_path: Path, strategy: str
) -> None:
    run = runs[KINDS.get(strategy, "light")]
    done = export(run.directory, tmp_path / "export", Constraints(strategies=(strategy,)))
    stored = strategy in ("feature_extraction", "partial_finetune", "all_layer_probe")
    assert done.difference < (1e-3 if stored else 1e-5)
    files = {path.name for path in done.folder.iterdir()}
    assert {"model.keras", "train.py", "predict.py", "clips.npz", "card.md"} <= files
    code = (done.folder / "train.py").read_text(encoding="utf-8")
    imported = {
        (node.names[0].name if isinstance(node, ast.Import) else node.module or "").partition(".")[0]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported <= STANDARD | {"keras", "numpy", "tensorflow", "sklearn"}
    assert "image" not in code.replace("set_image_data_format", "")
    ruff = [Path(sys.executable).with_name("ruff"), "check", "--isolated", "--select", "E9,F,B"]
    for file in ("train.py", "predict.py"):
        assert subprocess.run([*ruff, "--ignore", "B905", done.folder / file], check=False).returncode == 0
    if strategy == "logistic":
        clip = written(tmp_path / "a.flac", word(1, 0.3, 8_000), 8_000)
        said = subprocess.run(
            [sys.executable, "predict.py", str(clip)],
            cwd=done.folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert said.stdout.rpartition(": ")[2].strip() == str(clip)
        assert said.stdout.startswith(("low (", "high ("))


@pytest.mark.parametrize("name", ["litert", "onnx"])
def test_other_formats_take_raw_clips(runs: dict[str, bench.Run], tmp_path: Path, name: str) -> None:
    for library in FORMATS[name].libraries:
        pytest.importorskip(library)
    done = export(
        runs["light"].directory,
        tmp_path / "export",
        Constraints(strategies=("feature_extraction",)),
        formats=name,
    )
    _, other = done.formats
    assert other.reason == ""
    assert other.difference <= TOLERANCE
    assert other.agreement == 1
