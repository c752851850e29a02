"""What starts fast stays fast: listing, planning and reporting load no Keras and start no child."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench.plans.loading import QUICKSTART
from bench.records import Cell, Record
from bench.store import Store
from bench.system import cache
from tests.unit.timings import keep_timings

HEAVY = ("tensorflow", "keras", "keras_tuner", "torch", "jax")

WATCHED = """
import json, sys
children = []
sys.addaudithook(lambda event, args: children.append(event) if event in (
    "subprocess.Popen", "os.fork", "os.posix_spawn", "os.system") else None)
sys.argv = ["bench", *json.loads(sys.argv[1])]
code = 0
try:
    from bench.cli.app import main
    main()
except SystemExit as end:
    code = end.code or 0
print("\\n" + json.dumps({"code": code, "children": children, "modules": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def watched(python: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Runs a command; tells what it imported and whether it started children."""

    def run(*arguments: object, **options: Any) -> dict[str, Any]:
        result = python("-c", WATCHED, json.dumps([str(a) for a in arguments]), **options)
        assert result.rc == 0, result.stderr
        *output, last = result.stdout.splitlines()
        found = json.loads(last)
        assert found["code"] == 0, result.stderr
        return {**found, "output": "\n".join(output)}

    return run


def loaded(found: dict[str, Any], *names: str) -> list[str]:
    return [name for name in names if name in found["modules"]]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"], ["--version"], ["run", "--help"], ["plan", "--help"], ["check", "--help"], ["report", "--help"],
        ["rank", "--help"], ["pretrain", "--help"], ["check-strategy", "--help"],
        ["ls", "strategies"], ["ls", "backbones"], ["ls", "datasets"],
    ],
)  # fmt: skip
def test_help_and_lists_load_nothing_heavy(
    watched: Callable[..., dict[str, Any]], arguments: list[str]
) -> None:
    found = watched(*arguments)
    assert loaded(found, *HEAVY, "pandas", "matplotlib", "sklearn") == []
    assert found["children"] == []
    assert found["output"]


def test_lists_are_complete(watched: Callable[..., dict[str, Any]]) -> None:
    from bench.backbones.registry import BACKBONES
    from strategies import STRATEGIES

    datasets = ("digits", "keras:cifar10", "tfds:", ".csv", ".parquet", ".npz")
    for what, names in (("strategies", STRATEGIES), ("backbones", BACKBONES), ("datasets", datasets)):
        listed = watched("ls", what)["output"]
        assert [name for name in names if name not in listed] == []


def test_plan_of_the_quickstart(watched: Callable[..., dict[str, Any]]) -> None:
    keep_timings(QUICKSTART)
    cache.clear(["datasets"])
    for _ in range(2):  # the first time the digits are decoded, the second time they are cached
        found = watched("plan")
        assert loaded(found, *HEAVY, "matplotlib") == []
        assert found["children"] == []
    assert loaded(found, "sklearn", "pandas") == []
    assert "EfficientNetLite0" in found["output"]
    assert "Up to 200 cells" in found["output"]
    assert "after 4 min at the latest" in found["output"]


def test_plan_writes_nothing(watched: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    keep_timings({"datasets": ["digits"], "backbones": ["MobileNet:weights=none"]})
    watched("plan", "--dataset", "digits", "--backbone", "MobileNet:weights=none", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    """A run of two cells, made up."""
    store = Store(tmp_path / "run")
    for seed in range(2):
        cell = Cell(
            strategy="majority", strategy_version=1, dataset="digits", dataset_name="digits",
            fingerprint="0" * 16, modality="image", backbone="", weights="", weights_sha256="", fraction=0.1,
            seed=seed,
            examples={"image_size": 32, "resizing": "stretch", "augmentation": "none", "flip": False},
            epochs=1,
            batch_size=32, threads=1, head={"pooling": "avg", "hidden_units": 0, "dropout": 0.0},
            tuning={"algorithm": "random", "trials": 1},
        )  # fmt: skip
        metrics = dict.fromkeys(
            ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"), 0.1 + seed / 10
        )
        costs: dict[str, float | None] = dict.fromkeys(
            ("tune_seconds", "fit_seconds", "prefix_seconds", "wall_seconds", "inference_ms_per_image", "params",
             "trainable_params", "peak_memory_mb"), 0.5)  # fmt: skip
        trial = {
            "trial": 0, "status": "ok", "hyperparameters": {}, "score": -1.0, "val_accuracy": 0.1,
            "val_log_loss": 1.0, "epochs": 0, "seconds": 0.1,
        }  # fmt: skip
        store.write(
            Record(
                cell_id=cell.id,
                cell=asdict(cell),
                status="ok",
                n=144,
                n_train=115,
                n_val=29,
                n_test=359,
                metrics=metrics,
                costs=costs,
                epochs=0,
                trials=[trial],
            )
        )
    return store.directory


def test_report_of_a_run_directory(watched: Callable[..., dict[str, Any]], run_directory: Path) -> None:
    found = watched("report", run_directory)
    assert loaded(found, *HEAVY) == []
    assert found["children"] == []
    assert str(run_directory / "report.html") in found["output"]
    assert (run_directory / "report.html").stat().st_size > 1000
    assert len((run_directory / "results.csv").read_text().splitlines()) == 3


def test_import_bench_is_lazy(python: Callable[..., Any]) -> None:
    code = "import json, sys, bench; print(json.dumps(sorted(sys.modules)))"
    result = python("-W", "error", "-c", code)
    assert result.rc == 0, result.stderr
    modules = json.loads(result.stdout)
    assert not {*HEAVY, "pandas", "numpy", "pydantic", "typer"} & set(modules)


def test_the_python_names_of_the_contract(python: Callable[..., Any], run_directory: Path) -> None:
    code = (
        "import sys, json, bench\n"
        "run = bench.load(sys.argv[1])\n"
        "assert len(run.results) == 2 and callable(bench.run) and callable(bench.load_plan)\n"
        "wanted = {'cell_id', 'stage', 'epoch', 'seconds', 'metric', 'value'}\n"
        "assert wanted <= set(run.curves.columns), list(run.curves.columns)\n"
        "assert bench.load_plan({'datasets': ['digits']}).seeds == 3\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    result = python("-c", code, run_directory)
    assert result.rc == 0, result.stderr
    assert not set(HEAVY) & set(json.loads(result.stdout))


def test_an_unknown_name_of_the_package() -> None:
    import bench

    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = bench.nothing_of_that_name
