"""Runs on folders as people have them: what is not used is said, and a run within its data goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.store import Store
from tests.unit.data_samples import picture, tree

NETWORK = ["--image-size", "32", "--backbone", "Conv4:filters=8,weights=none"]
RUN = [*NETWORK, "--strategy", "majority", "--fractions", "1", "--trials", "1"]


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"TRANSFER_BENCH_CACHE": str(tmp_path_factory.mktemp("cache"))}


def test_a_run_within_its_data(tmp_path: Path, cli: Callable[..., Any], cache: dict[str, str]) -> None:
    root = tree(tmp_path / "photos", "cats dogs", 12)
    for seeds in (1, 2):
        result = cli("run", "--dataset", ".", *RUN, "--seeds", seeds, cwd=root, env=cache, timeout=300)
        assert result.rc == 0, result.stderr
    again = cli("run", "--dataset", ".", *RUN, "--seeds", 2, cwd=root, env=cache, timeout=300)
    assert again.rc == 0, again.stderr
    stored = [record for run in (root / "runs").iterdir() for record in Store(run).records()]
    assert {(record.n, record.n_test) for record in stored} == {(19, 5)}
    inside = cli("run", "--dataset", ".", *RUN, "--out", "cats/run", cwd=root, env=cache, timeout=300)
    assert inside.rc == 0, inside.stderr
    checked = cli("check", ".", "--image-size", 32, "--fractions", 1, cwd=root, env=cache)
    assert "photos: 24 images in 2 classes" in checked.stdout
    before = sorted(root.rglob("*"))
    for out in (".", "dogs"):
        refused = cli("run", "--dataset", ".", *RUN, "--out", out, cwd=root, env=cache)
        assert refused.rc == 2
        assert "part of the dataset" in refused.stderr
    assert sorted(root.rglob("*")) == before


def test_what_is_not_used_is_said_by_run_and_page(
    tmp_path: Path, cli: Callable[..., Any], cache: dict[str, str]
) -> None:
    root = tree(tmp_path / "photos", "train/cats train/dogs test/cats test/dogs extra/cats")
    (root / "train/cats/x.dcm").write_bytes(b"\0" * 128 + b"DICM")
    picture(root / "train/Cats/0.png")
    picture(root / "train/Cats/1.png")
    out = tmp_path / "run"
    result = cli("run", "--dataset", root, *RUN, "--seeds", 1, "--out", out, env=cache, timeout=300)
    assert result.rc == 0, result.stderr
    page = (out / "report.html").read_text()
    for words in ("in extra/, which is no part by its name", "DICOM file", "classes differ only in case"):
        assert words in result.stdout + result.stderr
        assert words in page
