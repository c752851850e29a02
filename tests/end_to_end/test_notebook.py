"""``docs/notebook.ipynb``: its cells run in order, in a plain Python process that needs no Jupyter."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import bench

NOTEBOOK = Path(bench.__file__).resolve().parents[1] / "docs" / "notebook.ipynb"
if not NOTEBOOK.exists():
    pytest.skip("the docs are not installed with the packages", allow_module_level=True)

CONTENT: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def test_it_is_a_notebook() -> None:
    assert (CONTENT["nbformat"], CONTENT["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in CONTENT["cells"]]
    assert len(set(names)) == len(names)
    for cell in CONTENT["cells"]:
        code = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | code
        assert not cell.get("outputs"), "clear the outputs: they name times and folders of one machine"


def test_it_is_valid() -> None:
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.read(NOTEBOOK, 4))


def test_its_cells_work_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    said = []
    for cell in CONTENT["cells"]:
        if cell["cell_type"] == "code":
            # As at the prompt: what an expression comes to is shown.
            lines = ast.Interactive(ast.parse("".join(cell["source"])).body)
            exec(compile(lines, str(NOTEBOOK), "single"), scope)
            said.append(capsys.readouterr().out)
    loaded, checked, planned, ran, table, recommended, reported = said
    assert "(300, 8, 8)" in loaded
    assert "in 10 classes" in checked
    assert "12 cells" in planned
    assert set(scope["run"].results["status"]) == {"ok"}
    assert "nearest class mean" in ran.lower()
    assert "nearest_mean" in table
    assert "nearest class mean" in recommended.lower()
    assert Path(reported.split("'")[1]).exists()
    assert "nearest class mean" in scope["run"]._repr_html_().lower()
