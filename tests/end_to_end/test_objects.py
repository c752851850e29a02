"""``docs/howto/python.md`` and the network of ``own-strategy-or-backbone.md``, done as they stand there; and what
Keras makes of a folder, given as data."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import bench

PAGE = Path(bench.__file__).resolve().parents[1] / "docs" / "howto" / "python.md"
BLOCK = re.compile(r"^<!-- run: \S+ -->\n```python\n(.*?)^```$", re.M | re.S)

NETWORK = PAGE.with_name("own-strategy-or-backbone.md")

MODEL = """
import sys, keras
from sklearn.datasets import load_digits

digits = load_digits()
x, y = digits.images[digits.target < 3], digits.target[digits.target < 3]
image = keras.Input((32, 32, 3))
net = image
for filters in (8, 12):
    net = keras.layers.Conv2D(filters, 3, strides=2)(net)
    net = keras.layers.ReLU()(keras.layers.BatchNormalization()(net))
net = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(net))
model = keras.Model(image, net, name="mine")
exec(compile(open(sys.argv[1]).read(), "page", "exec"))
print(run.results[["backbone", "status"]].to_csv(index=False))
print(bench.export(run))
"""

STREAM = """
import sys, keras, numpy as np
from bench.datasets.objects import kept
found = set()
for mode, batch in (("int", 8), ("int", None), ("categorical", 8), ("binary", None)):
    dataset = keras.utils.image_dataset_from_directory(
        sys.argv[1], label_mode=mode, batch_size=batch, image_size=(12, 12), verbose=False)
    found.add(kept(dataset))
print(*found)
texts = keras.utils.text_dataset_from_directory(sys.argv[2], batch_size=4, verbose=False)
print(kept(texts))
"""


def test_the_page_works_as_it_stands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    python: Callable[..., Any],
) -> None:
    if not PAGE.exists():
        pytest.skip("the docs are not installed with the packages")
    monkeypatch.chdir(tmp_path)
    digits = load_digits()
    chosen = digits.target < 3
    names: dict[str, Any] = {"x": digits.images[chosen], "y": digits.target[chosen]}
    first, second = BLOCK.findall(PAGE.read_text())
    exec(compile(first, str(PAGE), "exec"), names)
    run = names["run"]
    assert set(run.results["status"]) == {"ok"}
    assert set(run.results["seed"]) == {0, 1}
    written = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs/mine/cells").iterdir()}
    exec(compile(second, str(PAGE), "exec"), names)
    assert set(names["more"].results["seed"]) == {0, 1, 2}
    assert {name: (tmp_path / "runs/mine/cells" / name).stat().st_mtime_ns for name in written} == written
    out = capsys.readouterr().out
    assert "in 3 classes" in out
    assert "12 cells, 4 trials each" in out
    assert "Use nearest class mean" in str(names["answer"])

    resumed = python("-m", "bench", "run", "runs/mine/plan.toml", cwd=tmp_path)
    assert resumed.rc == 0, resumed.stderr
    assert {name: (tmp_path / "runs/mine/cells" / name).stat().st_mtime_ns for name in written} == written
    assert python("-m", "bench", "report", "runs/mine", cwd=tmp_path).rc == 0


def test_what_keras_reads_from_folders_is_the_same_data_however_it_comes(
    tmp_path: Path, python: Callable[..., Any]
) -> None:
    from PIL import Image

    draws = np.random.default_rng(0)
    for i in range(20):
        kind = "ab"[i % 2]
        for folder in ("images", "texts"):
            (tmp_path / folder / kind).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(draws.integers(0, 256, (12, 16, 3), np.uint8))
        image.save(tmp_path / "images" / kind / f"{i}.png")
        (tmp_path / "texts" / kind / f"{i}.txt").write_text(f"text number {i}")
    result = python("-c", STREAM, tmp_path / "images", tmp_path / "texts")
    assert result.rc == 0, result.stderr
    images, texts = result.stdout.splitlines()
    for path, noun in ((images, "images"), (texts, "texts")):
        answer = bench.check(path, **({"image_size": 12} if noun == "images" else {}))
        assert f"20 {noun} in 2 classes" in str(answer)
        assert [entry["class"] for entry in answer.to_json()["classes"]] == ["a", "b"]


def test_a_network_of_ones_own_runs_and_is_exported(tmp_path: Path, python: Callable[..., Any]) -> None:
    if not PAGE.exists():
        pytest.skip("the docs are not installed with the packages")
    (block,) = re.findall(
        r"^<!-- run: tests/end_to_end/test_objects.py -->\n```python\n(.*?)^```$",
        NETWORK.read_text(),
        re.M | re.S,
    )
    (tmp_path / "page.py").write_text(block)
    result = python("-c", MODEL, "page.py", cwd=tmp_path, timeout=300)
    assert result.rc == 0, result.stderr
    assert "mine: it can be a backbone" in result.stdout
    assert ",ok" in result.stdout
    assert "model.keras, train.py, card.md" in result.stdout
    assert "mine" in (tmp_path / "runs/network/report.html").read_text()
