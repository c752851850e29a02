"""``bench export``: the recommended recipe as a model and as plain Keras code that gives the same model."""

from __future__ import annotations

import ast
import csv
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bench
from bench.commands.export import conversion
from bench.commands.export.card import Exported
from bench.commands.export.export import export
from bench.commands.export.formats import FORMATS
from bench.datasets import open_dataset
from bench.errors import RequestError
from bench.modalities.image.input import ImageInput
from bench.plans.plan import Plan
from bench.plans.strategies import get_strategy
from bench.system.templates import markdown
from reports.recommend import Constraints
from strategies import STRATEGIES

EXPORTABLE = [
    name
    for name in STRATEGIES
    if (s := get_strategy(name)).uses_backbone and not (s.needs_source or s.uses_source or s.needs_auxiliary)
]
"""Strategies that ``train.py`` can spell out."""

HOSTILE = ("quo\"te's", "{{ 7*7 }}\n#", '\\"""\nimport nothing_of_the_kind\n"""')
OF_OTHERS = "every_field:EveryField"
SAMPLE = ("scratch", "logistic", "knn", OF_OTHERS)
"""With partial_finetune on another backbone: every field of a stage, every kind of cut, and stored features."""
NEEDED = {"csv", "hashlib", "math", "os", "shutil", "sys", "tempfile", "pathlib", "keras", "numpy", "PIL"}
SOLVED = ("logistic", "all_layer_probe", "every_field:Sure")
ON_FEATURES = ("knn", "nearest_mean", *SOLVED)
FAMILY = ("train_only", "anchor", "updates", "rate_of", "before", "def learn")
"""Words of train.py that only members of the family need."""


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
def measure(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bench.Run]:
    """Runs one small cell of each strategy on a backbone."""

    def run(backbone: str, strategies: Sequence[str], augmentation: str = "light") -> bench.Run:
        plan: dict[str, Any] = {
            "datasets": [str(photos)], "backbones": [backbone], "strategies": list(strategies),
            "fractions": [1.0], "seeds": 1, "epochs": 1, "length": 0.05, "image_size": 32,
            "augmentation": augmentation, "tuning": {"trials": 1}, "head": {"hidden_units": 8, "dropout": 0.1},
        }  # fmt: skip
        return bench.run(plan, tmp_path_factory.mktemp("run"), workers=1)

    return run


@pytest.fixture(scope="module")
def run(measure: Callable[..., bench.Run], weights_file: Path) -> bench.Run:
    return measure(f"MobileNet:alpha=0.25,weights={weights_file}", SAMPLE)


def exported(run: bench.Run, folder: Path, strategy: str) -> Exported:
    """The export of a strategy's recipe, with all checked that must hold of any."""
    lines: list[str] = []
    done = export(run.directory, folder, Constraints(strategies=(strategy,)), say=lines.append)
    assert isinstance(done, Exported)
    assert done.candidate.strategy == strategy
    assert {"model.keras", "train.py", "card.md", "labels.csv"} <= {p.name for p in done.folder.iterdir()}
    learns_features = strategy in ON_FEATURES
    assert any("epoch 1 of " in line for line in lines) != learns_features

    # The same arithmetic in the same order; only that the harness hands stored features over as float16, and that
    # what is rounded otherwise, as an update is merged or weights are mixed, is magnified by stages that follow.
    stored = strategy in ("feature_extraction", "partial_finetune", "surgical")
    assert done.difference < (1e-3 if stored else 1e-4 if strategy == OF_OTHERS else 1e-6)

    # It needs nothing of ours, and neither its folder's name nor a class can break it.
    code = (done.folder / "train.py").read_text(encoding="utf-8")
    tree = ast.parse(code)
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert imported <= NEEDED | (
        {"sklearn"} if strategy in SOLVED else set() if learns_features else {"tensorflow"}
    )
    constants = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and not isinstance(node.value, (ast.Call, ast.Attribute, ast.Tuple))
    }
    assert set(constants["CLASSES"]) == set(HOSTILE)
    ruff = [Path(sys.executable).with_name("ruff"), "check", "--isolated", "--select", "E9,F,B"]
    checked = subprocess.run([*ruff, "--ignore", "B905", done.folder / "train.py"], check=False)
    assert checked.returncode == 0
    if strategy in ("scratch", "feature_extraction", "partial_finetune", "full_finetune"):
        assert not [word for word in FAMILY if word in code]
    return done


def predictions(model: Path, photos: Path) -> np.ndarray:
    """Of the test images, by a model that is loaded as anybody would."""
    import keras

    test = open_dataset(str(photos), ImageInput(32)).test
    network = keras.saving.load_model(model, compile=False)
    return np.asarray(network.predict_on_batch(np.asarray(test.data, np.float32)))


@pytest.mark.parametrize("strategy", [name for name in SAMPLE if name != "logistic"])
def test_the_code_gives_the_model_that_was_measured(
    run: bench.Run, tmp_path: Path, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")  # whose shell says so still gets the measured model
    exported(run, tmp_path / "ex'port", strategy)


def test_anybody_gets_the_same_model(run: bench.Run, photos: Path, tmp_path: Path) -> None:
    done = exported(run, tmp_path / "export", "logistic")
    again = tmp_path / "again.keras"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "PYTHON"))}
    subprocess.run(
        [sys.executable, done.folder / "train.py", again], cwd="/", env=environment, check=True, timeout=600
    )
    first, second = (predictions(path, photos) for path in (done.folder / "model.keras", again))
    assert first.shape[1] == 3
    assert np.allclose(first.sum(axis=1), 1, atol=1e-5)
    assert np.abs(first - second).max() < 1e-3


def test_no_test_image_is_learned_from(
    measure: Callable[..., bench.Run], photos: Path, tmp_path: Path
) -> None:
    run = measure("EfficientNetLite0", ["partial_finetune"], "affine")  # with dropout inside
    done = exported(run, tmp_path / "export", "partial_finetune")
    with (done.folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    dataset = open_dataset(str(photos), ImageInput(32))
    used = {str(Path(row["path"])) for row in rows}
    assert len(rows) == len(used) == len(dataset.pool.ids)
    assert not used & set(dataset.test.ids)
    assert {row["class"] for row in rows} == set(HOSTILE)
    card = (done.folder / "card.md").read_text(encoding="utf-8")
    assert "{{ 7*7 }}" not in card  # escaped, as is all that Markdown would read
    assert "That is too few seeds for an interval" in card
    assert "EfficientNetLite0: at 32 px, the last feature map is only 1 x 1." in card


@pytest.fixture(scope="module")
def in_formats(run: bench.Run, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """An export in all formats whose libraries are there."""
    there = [name for name, one in FORMATS.items() if all(map(find_spec, one.libraries))]
    folder = tmp_path_factory.mktemp("formats") / "export"
    return export(run.directory, folder, Constraints(strategies=("knn",)), formats=there)


@pytest.mark.parametrize("name", ["litert", "int8", "onnx", "saved_model"])
def test_other_formats_say_the_same(in_formats: Exported, name: str) -> None:
    for library in FORMATS[name].libraries:
        pytest.importorskip(library)
    done = in_formats
    keras, other = done.formats[0], next(one for one in done.formats if one.name == name)
    assert (keras.name, other.reason) == ("keras", "")
    assert (done.folder / FORMATS[name].file).exists()
    assert (keras.difference, keras.agreement) == (0, 1)
    if name == "int8":
        assert other.megabytes < keras.megabytes / 2
        assert other.change[1] <= other.accuracy - keras.accuracy <= other.change[2]
    else:
        assert other.difference <= conversion.TOLERANCE
        assert other.agreement == 1
    head, card = (
        (done.folder / "card.md").read_text(encoding="utf-8").removeprefix("---\n").split("\n---\n", 1)
    )
    assert f"| {markdown(FORMATS[name].file)} |" in card
    [model] = pytest.importorskip("yaml").safe_load(head)["model-index"]
    assert model["results"][0]["metrics"][0]["value"] == pytest.approx(done.value, abs=1e-4)


def test_what_is_not_the_same_model_is_not_kept(
    run: bench.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "TOLERANCE", -1.0)
    kept = Constraints(strategies=("knn",))
    done = export(run.directory, tmp_path / "export", kept, formats="saved_model")
    assert "differ by up to" in done.formats[1].reason
    assert not (done.folder / "saved_model").exists()
    assert r"There is no saved\_model: its probabilities" in (done.folder / "card.md").read_text(
        encoding="utf-8"
    )


@pytest.fixture(scope="module")
def whole_family(measure: Callable[..., bench.Run]) -> bench.Run:
    return measure("EfficientNetLite0", [*EXPORTABLE, "every_field:Sure"])


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [*EXPORTABLE, "every_field:Sure"])
def test_every_strategy_gives_the_model_that_was_measured(
    whole_family: bench.Run, tmp_path: Path, strategy: str
) -> None:
    exported(whole_family, tmp_path / "export", strategy)


def test_what_cannot_be_exported(run: bench.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(RequestError, match="does not exist yet"):
        export(run.directory, tmp_path / "there")
    with pytest.raises(RequestError, match="logistic"):
        export(run.directory, tmp_path / "new", Constraints(strategies=("logisti",)))
    with pytest.raises(RequestError, match="must be met by some configuration"):
        export(run.directory, tmp_path / "new", Constraints(params=1))
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(RequestError, match="KERAS_BACKEND"):
        export(run.directory, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_arrays_are_handed_over_as_pixels(tmp_path: Path, weights_file: Path) -> None:
    plan = Plan(
        datasets=["digits"], backbones=[f"MobileNet:alpha=0.25,weights={weights_file}"],
        strategies=["nearest_mean"], fractions=[0.1], seeds=1, epochs=1, image_size=32, augmentation="none",
    )  # fmt: skip
    run = bench.run(plan, tmp_path / "run", workers=1)
    done = export(run.directory)
    assert done.folder == tmp_path / "run" / "export"
    with np.load(done.folder / "images.npz") as file:
        assert len(file["images"]) == len(open_dataset("digits", ImageInput(32)).pool.ids)
    assert "more than were measured" in (done.folder / "card.md").read_text(encoding="utf-8")
