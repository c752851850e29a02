"""Pages that are done as they stand there: their files are written, their commands run in order.

The tutorial, ``tutorial.md``, is done word for word. ``imbalanced-and-medical.md`` and ``faces.md`` run on a few
examples, with networks and lengths that take seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import bench

ROOT = Path(bench.__file__).resolve().parents[1]
DOCS = ROOT / "docs"
STEP = re.compile(r"^<!-- (file|run): (\S+) -->\n```\w+\n(.*?)^```$", re.M | re.S)
SMEARS = 40

if not DOCS.exists():
    pytest.skip("the docs are not installed with the packages", allow_module_level=True)


def followed(page: str, folder: Path, *changes: tuple[str, str]) -> list[str]:
    """What the commands of a page print, in order.

    Args:
        page: in ``docs``.
        folder: where they run; what the page takes for granted is there.
        changes: texts that stand in it, and what is taken in their place.
    """
    tools = folder / "tools"
    tools.mkdir(parents=True)
    (tools / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tools / "python").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    text = (DOCS / page).read_text()
    for old, new in changes:
        assert old in text, f"{page} no longer has {old!r}"
        text = text.replace(old, new)
    said = []
    for kind, name, content in STEP.findall(text):
        if kind == "file":
            (folder / name).write_text(content)
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", content],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{content}\n{done.stdout}\n{done.stderr}"
        said.append(done.stdout)
    return said


@pytest.mark.slow
def test_the_tutorial_works_as_it_stands(tmp_path: Path) -> None:
    said = followed("tutorial.md", tmp_path)
    results = bench.load(tmp_path / "runs" / "photos").results
    assert set(results["status"]) == {"ok"}
    assert results["seed"].nunique() == 3
    assert "Use " in said[2]
    assert {path.name for path in (tmp_path / "runs" / "photos" / "export").iterdir()} >= {
        "model.keras",
        "card.md",
        "train.py",
    }
    assert said[-1].strip() == "class 3"


def test_the_smears_of_the_medical_page_are_groups_and_warned_of_without(
    shared: Callable[[str], Path], tmp_path: Path
) -> None:
    _copy_of_some_smears(shared("datasets/cells"), tmp_path / "cells")
    (said,) = followed(
        "howto/imbalanced-and-medical.md",
        tmp_path,
        ('backbones = ["MobileNet:alpha=0.25"]', 'backbones = ["Conv4:filters=8"]'),
        (
            '"feature_extraction", "logistic", "all_layer_probe", "partial_finetune", "full_finetune"',
            '"scratch", "nearest_pixel"',
        ),
        ("[0.1, 0.3, 1.0]", "[1.0]"),
        ("seeds = 3", "seeds = 1"),
        ("image_size = 64", "image_size = 16"),
        ("length = 0.3", "length = 0.02"),
    )
    assert "repeat a name (#...)" in said
    smears, mixed = (bench.load(tmp_path / "runs" / name) for name in ("smears", "mixed"))
    for run in (smears, mixed):
        assert set(run.results["status"]) == {"ok"}
        assert set(run.results["metric"]) == {"balanced_accuracy"}
        assert run.results["balanced_accuracy"].between(0, 1).all()
    page = (smears.directory / "report.html").read_text()
    assert "none is in both" in page
    assert "Lines are 95% CIs over groups of test images" in page
    assert "repeat a name (#...)" not in page
    assert "repeat a name (#...)" in (mixed.directory / "report.html").read_text()


def _copy_of_some_smears(source: Path, target: Path) -> None:
    """Those with most cells, without kinds that they have too few of, and their manifest."""
    cells = pd.read_csv(source / "manifest.csv")
    cells = cells[cells["group"].isin(cells["group"].value_counts().index[:SMEARS])]
    cells = cells[cells.groupby("label")["group"].transform("nunique") >= 8]
    for path in cells["path"]:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / path, target / path)
    cells.to_csv(target / "manifest.csv", index=False)


def test_the_page_of_faces_measures_pairs_of_new_persons(
    shared: Callable[[str], Path], tmp_path: Path
) -> None:
    """Drawings of one character stand for pictures of one person."""
    for character in sorted(shared("datasets/omniglot").glob("Greek/*")) + sorted(
        shared("datasets/omniglot").glob("Latin/*")
    ):
        person = tmp_path / "faces" / f"{character.parent.name} {character.name}"
        person.mkdir(parents=True)
        for drawing in sorted(character.iterdir())[:6]:
            shutil.copy(drawing, person)
    followed("howto/faces.md", tmp_path, ("--trials 1 ", "--trials 1 --length 0.05 --episodes 20 --seeds 1 "))
    new, others = (set(pd.read_csv(tmp_path / f"{name}.csv")["label"]) for name in ("new", "others"))
    assert len(new) > 10
    assert not new & others
    run = tmp_path / "runs" / "faces"
    table = pd.read_csv(run / "few_shot.csv").groupby("strategy").first()
    assert table["verification_eer"].between(0, 0.5).all()
    trained = table.loc[["prototypical", "siamese"]]
    assert (trained["verification_false_accepts"] + trained["verification_false_rejects"] < 1).all()
    page = (run / "report.html").read_text()
    assert "Same class or not" in page
    assert "ROC curve" in page
