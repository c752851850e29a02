"""``bench export``: the recommended recipe as a model and as plain Keras code that gives the same model."""

from __future__ import annotations

import ast
import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bench
from bench.datasets import open_dataset
from bench.errors import RequestError
from bench.export import Exported, export
from bench.plan import Plan
from reports.recommend import Constraints

HOSTILE = ("quo\"te's", "{{ 7*7 }}\n#", '\\"""\nimport nothing_of_the_kind\n"""')
STRATEGIES = ("scratch", "feature_extraction", "partial_finetune", "full_finetune")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes with the names of a vandal, in files of many kinds."""
    root, rng = tmp_path_factory.mktemp("ph'o\"tos"), np.random.default_rng(0)
    for label, name in enumerate(HOSTILE):
        (root / name).mkdir()
        for i in range(40):
            pixels = rng.integers(0, 90, (50, 40 + i % 7, 3), dtype=np.uint8)
            pixels[..., label] += np.uint8(rng.integers(60, 160))
            image = Image.fromarray(pixels)
            if i % 5 == 0:
                image.putalpha(180)
                image.save(root / name / f"{i}.png")
            elif i % 5 == 1:
                exif = Image.Exif()
                exif[0x0112] = 6
                image.save(root / name / f"{i} 'é\n.jpg", exif=exif)
            elif i % 5 == 2:
                image.convert("L").save(root / name / f"{i}.gif")
            else:
                image.save(root / name / f"{i}.jpg")
    return root


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> bench.Run:
    plan: dict[str, Any] = {
        "datasets": [str(photos)], "backbones": ["EfficientNetLite0", "MobileNet:alpha=0.25,weights=none"],
        "strategies": list(STRATEGIES), "fractions": [1.0], "seeds": 1, "epochs": 1, "image_size": 32,
        "tuning": {"trials": 1}, "head": {"hidden_units": 8, "dropout": 0.1},
    }  # fmt: skip
    return bench.run(plan, tmp_path_factory.mktemp("run"), workers=2)


def _predictions(model: Path, photos: Path) -> np.ndarray:
    import keras

    test = open_dataset(str(photos), 32).test
    network = keras.saving.load_model(model, compile=False)
    return np.asarray(network.predict_on_batch(np.asarray(test.images, np.float32)))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_code_gives_the_model_and_the_model_is_the_one_that_was_measured(
    run: bench.Run, photos: Path, tmp_path: Path, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")  # whose shell says so still gets the measured model
    lines: list[str] = []
    done = export(run.directory, tmp_path / "ex'port", Constraints(strategies=(strategy,)), say=lines.append)
    assert isinstance(done, Exported)
    assert done.candidate.strategy == strategy
    assert {"model.keras", "train.py", "card.md", "labels.csv"} <= {p.name for p in done.folder.iterdir()}
    assert any("epoch 1 of 1" in line for line in lines)

    # The same arithmetic in the same order; only that the harness hands stored features over as float16.
    assert done.difference < (1e-6 if strategy in ("scratch", "full_finetune") else 1e-3)

    # It needs nothing of ours, and neither its folder's name nor a class can break it.
    tree = ast.parse((done.folder / "train.py").read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert imported <= {
        "csv",
        "hashlib",
        "math",
        "os",
        "shutil",
        "sys",
        "tempfile",
        "pathlib",
        "keras",
        "numpy",
        "PIL",
        "tensorflow",
    }
    constants = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and not isinstance(node.value, (ast.Call, ast.Attribute))
    }
    assert set(constants["CLASSES"]) == set(HOSTILE)
    ruff = Path(sys.executable).with_name("ruff")
    command = [
        ruff,
        "check",
        "--isolated",
        "--select",
        "E9,F,B",
        "--ignore",
        "B905",
        done.folder / "train.py",
    ]
    assert subprocess.run(command, check=False).returncode == 0

    # A fresh process makes the same model again.
    again = tmp_path / "again.keras"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "PYTHON"))}
    subprocess.run(
        [sys.executable, done.folder / "train.py", again], cwd="/", env=environment, check=True, timeout=600
    )
    first, second = (_predictions(path, photos) for path in (done.folder / "model.keras", again))
    assert first.shape[1] == 3
    assert np.allclose(first.sum(axis=1), 1, atol=1e-5)
    assert np.abs(first - second).max() < 1e-3


def test_no_test_image_is_learned_from(run: bench.Run, photos: Path, tmp_path: Path) -> None:
    done = export(run.directory, tmp_path / "export", Constraints(strategies=("feature_extraction",)))
    with (done.folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    dataset = open_dataset(str(photos), 32)
    used = {str(Path(row["path"])) for row in rows}
    assert len(rows) == len(used) == len(dataset.pool.ids)
    assert not used & set(dataset.test.ids)
    assert {row["class"] for row in rows} == set(HOSTILE)
    card = (done.folder / "card.md").read_text(encoding="utf-8")
    assert "{{ 7*7 }}" not in card  # escaped, as is all that Markdown would read
    assert "That is too few seeds for an interval" in card


def test_what_cannot_be_exported(run: bench.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(RequestError, match="does not exist yet"):
        export(run.directory, tmp_path / "there")
    with pytest.raises(RequestError, match="partial_finetune"):
        export(run.directory, tmp_path / "new", Constraints(strategies=("partial_finetun",)))
    with pytest.raises(RequestError, match="keeps to them"):
        export(run.directory, tmp_path / "new", Constraints(params=1))
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(RequestError, match="KERAS_BACKEND"):
        export(run.directory, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_arrays_are_handed_over_as_pixels(tmp_path: Path) -> None:
    plan = Plan(
        datasets=["digits"], backbones=["MobileNet:alpha=0.25,weights=none"], strategies=["scratch"],
        fractions=[0.1], seeds=1, epochs=1, image_size=32, augmentation="none",
    )  # fmt: skip
    run = bench.run(plan, tmp_path / "run", workers=1)
    done = export(run.directory)
    assert done.folder == tmp_path / "run" / "export"
    with np.load(done.folder / "images.npz") as file:
        assert len(file["images"]) == len(open_dataset("digits", 32).pool.ids)
    assert "more than were measured" in (done.folder / "card.md").read_text(encoding="utf-8")
