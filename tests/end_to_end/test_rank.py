"""``rank`` and ``auto:K`` through real workers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.plans.loading import load_plan
from bench.store import Store

ARGUMENTS = [
    "digits", "--only", "--backbone", "MobileNet:alpha=0.25,weights=none", "--backbone", "EfficientNetLite0",
    "--image-size", "32", "--images", "300", "--json",
]  # fmt: skip
WATCHED = """
import sys
sys.addaudithook(lambda event, args: event in ("subprocess.Popen", "os.fork", "os.posix_spawn") and sys.exit(9))
sys.argv = ["bench", *sys.argv[1:]]
from bench.cli.app import main
main()
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A machine on which Keras has no weights, and a cache of its own."""
    folder = tmp_path_factory.mktemp("rank")
    return {"KERAS_HOME": str(folder / "keras"), "TRANSFER_BENCH_CACHE": str(folder / "cache")}


@pytest.fixture(scope="module")
def ranked(python: Callable[..., Any], environment: dict[str, str]) -> Any:
    return python("-X", "importtime", "-m", "bench", "rank", *ARGUMENTS, env=environment, timeout=600)


def test_pretrained_stands_above_random_and_the_parent_loads_no_keras(ranked: Any) -> None:
    assert ranked.rc == 0, ranked.stderr
    imported = set(re.findall(r"\|\s+([\w.]+)$", ranked.stderr, re.MULTILINE))
    assert "bench.ranking.rank" in imported
    assert not {"tensorflow", "keras", "torch", "jax"} & imported
    content = json.loads(ranked.stdout)
    first, second = content["backbones"]
    assert (first["backbone"], second["backbone"]) == (
        "EfficientNetLite0",
        "MobileNet:alpha=0.25,weights=none",
    )
    assert first["scores"]["probe"] > second["scores"]["probe"] + 0.1
    assert all(value is not None for value in first["scores"].values())
    assert content["images"] == 300
    assert content["left_out"] == []


def test_again_it_starts_no_process_and_says_the_same(
    ranked: Any, python: Callable[..., Any], environment: dict[str, str]
) -> None:
    again = python("-c", WATCHED, "rank", *ARGUMENTS, env=environment)
    assert again.rc == 0, again.stderr
    assert again.stdout == ranked.stdout


@pytest.mark.usefixtures("ranked")
def test_a_run_takes_the_best(cli: Callable[..., Any], environment: dict[str, str], tmp_path: Path) -> None:
    result = cli(
        "run", "--dataset", "digits", "--backbones", "auto:1", "--image-size", "32", "--strategy", "majority",
        "--fractions", "0.05", "--seeds", "1", "--set", "ranking.images=300", "--set", "ranking.download=0",
        "--workers", "1", "--out", tmp_path / "run", env=environment, timeout=600,
    )  # fmt: skip
    assert result.rc == 0, result.stdout + result.stderr
    assert "auto:1 takes EfficientNetLite0" in result.stdout
    store = Store(tmp_path / "run")
    assert load_plan(store.plan_path).backbones == ["EfficientNetLite0"]
    content = store.read_ranking()
    assert content["asked"]["backbones"] == ["auto:1"]
    assert "ResNet50" in dict(content["rankings"][0]["left_out"])
    assert "Why these backbones?" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
