"""``docs/notebook.ipynb``, cell by cell, in a plain Python process: what it shows is what a reader gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bench

NOTEBOOK = Path(bench.__file__).resolve().parents[1] / "docs" / "notebook.ipynb"

CELLS = """
import ast, json, sys
names = {}
for source in json.loads(open(sys.argv[1]).read()):
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    shown = eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None
    print("---", repr(shown))
"""


def test_the_notebook_is_one_without_outputs() -> None:
    if not NOTEBOOK.exists():
        pytest.skip("an installed copy has no docs")
    found = json.loads(NOTEBOOK.read_text())
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in found["cells"]}) == len(found["cells"])
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in found["cells"])


def test_the_notebook_works_as_it_stands(tmp_path: Path, python: Callable[..., Any]) -> None:
    if not NOTEBOOK.exists():
        pytest.skip("an installed copy has no docs")
    cells = [c for c in json.loads(NOTEBOOK.read_text())["cells"] if c["cell_type"] == "code"]
    (tmp_path / "cells.json").write_text(json.dumps(["".join(cell["source"]) for cell in cells]))
    result = python("-c", CELLS, tmp_path / "cells.json", cwd=tmp_path, timeout=600)
    assert result.rc == 0, result.stderr
    shown = result.stdout.split("--- ")[1:]
    assert len(shown) == len(cells)
    assert "1,797 images in 10 classes" in shown[1]
    assert "18 cells" in shown[2]
    assert "of new images correct" in shown[3]
    assert (tmp_path / "runs" / "notebook" / "report.html").exists()
    assert shown[-1].strip() == "(None, 10)"
