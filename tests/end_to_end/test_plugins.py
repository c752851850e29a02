"""A package with plug-ins, installed and used; and the walk-through of the docs, done as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bench

ROOT = Path(bench.__file__).resolve().parents[1]
TESTS = Path(__file__).resolve().parents[1]
PIP = (
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--no-index",
    "--no-deps",
    "--no-build-isolation",
)
SMALL = (
    "--fractions", 1, "--seeds", 1, "--epochs", 3, "--length", 0.1, "--trials", 2, "--image-size", 32,
    "--workers", 1,
)  # fmt: skip
NAMES = (
    "--dataset",
    "plugin:stripes",
    "--backbone",
    "SmallNet",
    "--strategy",
    "upper_half",
    "--strategy",
    "majority",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package, built by pip and installed into a folder; beside it one that is broken."""
    folder = tmp_path_factory.mktemp("plugins")
    source, target = folder / "source", folder / "installed"
    shutil.copytree(TESTS / "example_plugin", source)
    command = [sys.executable, *PIP, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    about = target / "broken-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 0.1\n")
    groups = [
        f"[transfer_bench.{kind}]\nbroken = no_such_module:Broken\n"
        for kind in ("strategies", "backbones", "datasets")
    ]
    (about / "entry_points.txt").write_text("\n".join(groups))
    return target


@pytest.fixture(scope="module")
def with_plugins(cli: Callable[..., Any], installed: Path) -> Callable[..., Any]:
    """The command line, with both packages."""
    path = os.pathsep.join([str(ROOT), str(installed)])
    return lambda *arguments, **options: cli(*arguments, env={"PYTHONPATH": path}, **options)


@pytest.fixture(scope="module")
def run(with_plugins: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the example's strategy on its backbone and dataset."""
    out = tmp_path_factory.mktemp("run") / "run"
    result = with_plugins("run", *NAMES, *SMALL, "--out", out)
    assert result.rc == 0, result.stderr
    return out


def test_they_are_listed_and_the_broken_one_with_its_reason(with_plugins: Callable[..., Any]) -> None:
    for what, line in (
        ("strategies", "upper_half           Head first, then the upper half of the network."),
        ("backbones", "SmallNet"),
        ("datasets", "plugin:stripes         Drawings of stripes"),
    ):
        result = with_plugins("ls", what)
        assert (result.rc, result.stderr) == (0, "")
        assert line in result.stdout
        assert "From transfer-bench-example 1.2.0" in result.stdout
        assert re.search(r"^(plugin:)?broken +BROKEN: broken 0.1: ModuleNotFoundError", result.stdout, re.M)
    assert with_plugins("--help").rc == 0
    result = with_plugins("plan", "--dataset", "digits", "--backbone", "SmallNet", "--strategy", "broken")
    assert result.rc == 2
    assert "broken 0.1: ModuleNotFoundError" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_run_uses_them_like_any_other(run: Path, with_plugins: Callable[..., Any]) -> None:
    records = {record.cell["strategy"]: record for record in bench.load(run).records}
    assert {record.status for record in records.values()} == {"ok"}
    cell = records["upper_half"].cell
    assert (cell["backbone"], cell["weights"], cell["dataset"]) == (
        "SmallNet",
        "pretrained",
        "plugin:stripes",
    )
    assert all(
        cell["plugins"][part].startswith("transfer-bench-example 1.2.0 source")
        for part in ("strategy", "backbone")
    )
    assert records["majority"].cell["plugins"] == {}
    assert records["upper_half"].metrics["accuracy"] > 0.9
    html = (run / "report.html").read_text()
    assert "upper half" in html
    assert "transfer-bench-example 1.2.0 source" in html
    result = with_plugins("recommend", run)
    assert "upper half" in result.stdout
    assert with_plugins("run", run / "plan.toml").rc == 0  # all is there: nothing runs


def test_another_version_is_another_run(
    run: Path, installed: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(installed, other)
    (about,) = other.glob("transfer_bench_example-*.dist-info")
    metadata = (about / "METADATA").read_text()
    (about / "METADATA").write_text(metadata.replace("Version: 1.2.0", "Version: 1.3.0"))
    about.rename(about.with_name("transfer_bench_example-1.3.0.dist-info"))
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(other)])}
    (cell,) = (r.cell_id for r in bench.load(run).records if r.cell["strategy"] == "upper_half")
    for arguments, words in (
        (("run", run / "plan.toml"), "a run with the same plugins as when it began"),
        (("run", "--cell", cell, "--from", run), "Here it is transfer-bench-example 1.3.0"),
        (("export", run), "Here it is transfer-bench-example 1.3.0"),
    ):
        result = cli(*arguments, env=path)
        assert result.rc == 2
        assert words in result.stderr
    assert cli("report", run, env=path).rc == 0  # of what was measured then


@pytest.mark.slow
def test_the_recipe_of_a_plugin_is_exported(run: Path, with_plugins: Callable[..., Any]) -> None:
    result = with_plugins("export", run, "--strategy", "upper_half")
    assert result.rc == 0, result.stderr
    assert "upper half on SmallNet" in result.stdout
    assert (run / "export" / "model.keras").exists()


# ------------------------------------------------------------------------------------- the walk-through


def walk_through() -> list[tuple[str, str]]:
    """The code blocks of its page that are run here: language and content."""
    path = ROOT / "docs" / "howto" / "own-strategy-or-backbone.md"
    if not path.exists():
        pytest.skip("the docs are not installed with the packages")
    mine = r"^<!-- run: tests/end_to_end/test_plugins.py -->\n```(\w+)\n(.*?)^```$"
    return re.findall(mine, path.read_text(), re.M | re.S)


def test_the_walk_through_works_as_it_stands(tmp_path: Path) -> None:
    tools, target = tmp_path / "tools", tmp_path / "installed"
    tools.mkdir()
    python = f'"{sys.executable}"'
    pip = " ".join([python, *PIP, "--target", f'"{target}"'])
    for name, command in (("python", f'exec {python} "$@"'), ("pip", f'shift; exec {pip} "$@"')):
        (tools / name).write_text(f"#!/bin/sh\n{command}\n")
        (tools / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{target}",
        "COLUMNS": "200",
    }
    folder = tmp_path / "work"
    folder.mkdir()
    blocks = walk_through()
    said = []
    for language, content in blocks:
        if language == "sh":
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", content],
                cwd=folder, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{content}\n{done.stdout}\n{done.stderr}"
            said.append(done.stdout)
        else:  # a file, whose name stands in its first line
            name = content.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(content)
    assert [language for language, _ in blocks].count("sh") >= 3
    assert "last_block:LastBlock: nothing wrong" in said[0]
    results = bench.load(folder / "runs" / "first").results
    assert set(results["strategy"]) == {"last_block:LastBlock", "feature_extraction"}
    assert set(results["status"]) == {"ok"}
    assert "LastBlock" in (folder / "runs" / "first" / "report.html").read_text()
    assert re.search(r"^last_block +The head, then the last block", said[-1], re.M)
