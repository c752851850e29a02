"""What lies around the code: one version, the same Pythons everywhere, and an image that has every package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "CITATION.cff").exists():
    pytest.skip("a checkout, not the installed packages", allow_module_level=True)

SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]


def test_the_citation_names_this_version() -> None:
    lines = (ROOT / "CITATION.cff").read_text().splitlines()
    assert {f"version: {PROJECT['version']}", f"license: {PROJECT['license']}"} <= set(lines)


def test_the_workflow_runs_every_python_that_is_declared() -> None:
    declared = [
        line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", line)
    ]
    matrix = re.search(r"python: \[(.+)\]", (ROOT / ".github/workflows/ci.yml").read_text())
    assert matrix is not None
    assert re.findall(r'"(.+?)"', matrix[1]) == declared
    assert PROJECT["requires-python"] == f">={declared[0]}"


def test_the_image_has_all_that_is_installed() -> None:
    allowed = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M))
    packages = {name.rstrip("*") for name in SETTINGS["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages | {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]} == allowed


def test_workflows_call_scripts_that_there_are() -> None:
    called = re.findall(r"bash (\.ci/\w+)", (ROOT / ".github/workflows/ci.yml").read_text())
    assert set(called) == {".ci/run", ".ci/lowest"}
    assert all((ROOT / name).is_file() for name in called)
