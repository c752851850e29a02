"""The tutorial, ``docs/tutorial.md``, done as it stands there: its files are written, its commands run in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bench

ROOT = Path(bench.__file__).resolve().parents[1]
STEP = re.compile(r"^<!-- (file|run): (\S+) -->\n```\w+\n(.*?)^```$", re.M | re.S)


@pytest.mark.slow
def test_the_tutorial_works_as_it_stands(tmp_path: Path) -> None:
    page = ROOT / "docs" / "tutorial.md"
    if not page.exists():
        pytest.skip("the docs are not installed with the packages")
    tools, folder = tmp_path / "tools", tmp_path / "work"
    tools.mkdir()
    folder.mkdir()
    (tools / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tools / "python").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    said = []
    for kind, name, content in STEP.findall(page.read_text()):
        if kind == "file":
            (folder / name).write_text(content)
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", content],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{content}\n{done.stdout}\n{done.stderr}"
        said.append(done.stdout)
    results = bench.load(folder / "runs" / "photos").results
    assert set(results["status"]) == {"ok"}
    assert results["seed"].nunique() == 3
    assert "Use " in said[2]
    assert {path.name for path in (folder / "runs" / "photos" / "export").iterdir()} >= {
        "model.keras",
        "card.md",
        "train.py",
    }
    assert said[-1].strip() == "class 3"
