"""One real run through the command line, from a plan to a report, and what must hold of it afterwards."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bench
from bench.plans.loading import load_plan
from bench.plans.plan import DEFAULT_STRATEGIES
from bench.store import Store
from bench.tasks.single_label import score

COLUMNS = [
    "cell_id", "status", "dataset", "backbone", "weights", "strategy", "fraction", "n", "n_train", "n_val",
    "n_test", "seed", "accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece", "trials", "epochs",
    "tune_seconds", "fit_seconds", "prefix_seconds", "wall_seconds", "inference_ms_per_image", "params",
    "trainable_params", "peak_memory_mb", "hyperparameters", "error",
]  # fmt: skip
"""Those of the contract."""

SAME = [
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "log_loss",
    "ece",
    "hyperparameters",
    "epochs",
    "steps",
    "status",
    "n",
]
"""What depends on nothing but the plan."""


@pytest.fixture(scope="module")
def arguments(small_file: Path) -> list[str]:
    """A plan as flags: ten cells."""
    return [
        "--dataset", "digits", "--backbone", f"Conv4:filters=8,weights={small_file}", "--image-size", "32",
        "--fractions", "0.05,0.1", "--seeds", "1", "--trials", "2", "--epochs", "2", "--length", "0.05",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(
    arguments: list[str], python: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """The run directory of a finished run on two workers, and what the command said."""
    out = tmp_path_factory.mktemp("end-to-end") / "run"
    # -X importtime holds for this process and not for its workers.
    result = python(
        "-X", "importtime", "-m", "bench", "run", *arguments, "--workers", "2", "--out", out, timeout=900
    )
    return out, result


@pytest.fixture(scope="module")
def out(finished: tuple[Path, Any]) -> Path:
    return finished[0]


@pytest.fixture(scope="module")
def table(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "results.csv", float_precision="round_trip")


def test_it_ends_well_and_the_parent_loads_no_keras(finished: tuple[Path, Any]) -> None:
    out, result = finished
    assert result.rc == 0, result.stdout
    imported = set(re.findall(r"\|\s+([\w.]+)$", result.stderr, re.MULTILINE))
    assert "bench.runs.run" in imported
    assert not {"tensorflow", "keras", "keras_tuner", "torch", "jax"} & imported
    assert "Traceback" not in result.stderr + result.stdout
    assert str(out) in result.stdout
    assert f"{out / 'report.html'}\nTo go on:" in result.stdout
    for number in range(1, 11):
        assert f"{number:>2}/10]" in result.stdout
    assert all(strategy in result.stdout for strategy in DEFAULT_STRATEGIES)


def test_the_directory_is_complete(out: Path) -> None:
    info = json.loads((out / "run.json").read_text())
    records = Store(out).records()
    assert len(records) == 10
    assert {record.status for record in records} == {"ok"}
    assert Counter(record.cell["strategy"] for record in records) == dict.fromkeys(DEFAULT_STRATEGIES, 2)
    assert {path.stem for path in (out / "cells").iterdir()} == set(info["cells"])
    assert {path.stem for path in (out / "predictions").iterdir()} == set(info["cells"])
    assert {path.name for path in out.iterdir()} == {
        "plan.toml", "run.json", "cells", "predictions", "results.csv", "report.html", "figures", ".lock",
    }  # fmt: skip
    assert load_plan(out / "plan.toml").seeds == 1
    figures = list((out / "figures").glob("*.png"))
    assert figures
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000 for path in figures)
    assert {"tensorflow", "keras", "python"} <= set(info["versions"])
    assert all(record.provenance["versions"] == info["versions"] for record in records)


def test_the_report_is_one_file_without_network(out: Path) -> None:
    html = (out / "report.html").read_text(encoding="utf-8")
    assert not re.search(
        r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", html.replace('href="https://arxiv.org', "")
    )
    assert not re.search(r"<link|@import|url\(\s*['\"]?http", html)
    assert all(strategy in html for strategy in DEFAULT_STRATEGIES)


def test_results_csv_has_a_row_a_cell_with_raw_numbers(out: Path, table: pd.DataFrame) -> None:
    assert [column for column in COLUMNS if column not in table.columns] == []
    records = {record.cell_id: record for record in Store(out).records()}
    assert set(table.cell_id) == set(records)
    for row in table.to_dict("records"):
        record = records[row["cell_id"]]
        assert {key: row[key] for key in record.metrics} == record.metrics  # to the last digit
        assert json.loads(row["hyperparameters"]) == record.hyperparameters
        assert (row["n"], row["n_train"] + row["n_val"]) == (record.n, record.n)
        assert row["n"] == round(row["fraction"] * 1438)
        assert row["trials"] == len(record.trials) == (1 if row["strategy"] == "majority" else 2)
        assert row["fit_seconds"] + row["tune_seconds"] >= row["total_seconds"] >= row["prefix_seconds"] >= 0
        assert row["wall_seconds"] > 0
        if row["strategy"] == "majority":
            assert math.isnan(row["peak_memory_mb"])
        else:
            assert row["peak_memory_mb"] > 50
            assert row["inference_ms_per_image"] > 0
            assert row["params"] >= row["trainable_params"] > 0
    per_strategy = table.set_index(["strategy", "fraction"]).trainable_params
    assert per_strategy["scratch", 0.1] > per_strategy["partial_finetune", 0.1]
    assert per_strategy["partial_finetune", 0.1] > per_strategy["feature_extraction", 0.1]


def test_the_metrics_follow_from_the_predictions(out: Path) -> None:
    store = Store(out)
    labels = None
    for record in store.records():
        predictions = store.predictions(record.cell_id)
        probabilities = predictions["probabilities"]
        assert probabilities.dtype == np.float32
        assert probabilities.shape == (359, 10)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert score(probabilities, predictions["labels"]) == pytest.approx(record.metrics)
        assert len(set(predictions["ids"].tolist())) == 359
        if labels is not None:  # one test set for all cells
            np.testing.assert_array_equal(predictions["labels"], labels)
        labels = predictions["labels"]


def state_of(out: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(out)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in out.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_its_own_plan_again_finds_nothing_to_do(out: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    before = state_of(out)
    result = cli("run", out / "plan.toml", cwd=tmp_path)
    assert result.rc == 0, result.stderr
    assert "Nothing to do" in result.stdout
    assert str(out / "report.html") in result.stdout
    assert state_of(out) == before
    assert list(tmp_path.iterdir()) == []


def test_the_same_flags_again_find_nothing_to_do(
    out: Path, cli: Callable[..., Any], arguments: list[str]
) -> None:
    before = state_of(out)
    result = cli("run", *arguments, "--out", out, "--workers", "1", "--set", "limits.cell_seconds=9")
    assert result.rc == 0, result.stderr
    assert state_of(out) == before


def test_a_run_grows_by_a_flag_and_a_new_one_takes_its_cells_over(
    out: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    grown = tmp_path / "grown"
    shutil.copytree(out, grown)
    before = {name: content for name, content in state_of(grown).items() if name.startswith("cells")}
    result = cli("run", "--out", grown, "--seeds", 2, "--strategy", "majority", "--workers", "1", timeout=600)
    assert result.rc == 0, result.stderr
    assert "The run grows: 2 seeds instead of 1." in result.stdout
    assert "10 cells to run on 1 worker (10 of 20 are finished already)" in result.stdout
    assert before.items() <= state_of(grown).items()
    assert load_plan(grown / "plan.toml").strategies == list(DEFAULT_STRATEGIES)
    assert json.loads((grown / "run.json").read_text())["looks"] == [1, 2]
    assert f"python -m bench run {grown / 'plan.toml'} --until decided" in result.stdout

    plan, taken = tmp_path / "plan.toml", tmp_path / "taken"
    shutil.copy(grown / "plan.toml", plan)
    result = cli("run", plan, "--out", taken)
    assert result.rc == 0, result.stderr
    assert f"Took 20 finished cells from {grown}." in result.stdout
    pd.testing.assert_frame_equal(bench.load(taken).results, bench.load(grown).results)


def test_another_plan_in_this_directory_is_refused(
    out: Path, cli: Callable[..., Any], arguments: list[str]
) -> None:
    before = state_of(out)
    result = cli("run", *arguments, "--out", out, "--epochs", "3")
    assert result.rc == 2
    assert "epochs" in result.stderr
    assert "Traceback" not in result.stderr
    assert state_of(out) == before


def test_report_makes_the_same_again(out: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    for name in ("report.html", "results.csv", "figures"):
        path = copy / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    result = cli("report", copy)
    assert result.rc == 0, result.stderr
    assert result.stdout.strip() == str(copy / "report.html")
    assert (copy / "results.csv").read_bytes() == (out / "results.csv").read_bytes()
    names = [sorted(path.name for path in (folder / "figures").iterdir()) for folder in (copy, out)]
    assert names[0] == names[1]


def test_a_damaged_and_a_missing_record_are_run_again(
    out: Path, cli: Callable[..., Any], arguments: list[str], tmp_path: Path, table: pd.DataFrame
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    first, second = table[table.strategy == "majority"].cell_id
    path = copy / "cells" / f"{first}.json"
    path.write_bytes(path.read_bytes()[:-20])
    (copy / "cells" / f"{second}.json").unlink()
    before = state_of(copy)
    result = cli("run", *arguments, "--out", copy, "--workers", "1")
    assert result.rc == 0, result.stderr
    assert f"{first}.json: damaged" in result.stdout
    assert "2 cells to run" in result.stdout
    again = pd.read_csv(copy / "results.csv", float_precision="round_trip")
    pd.testing.assert_frame_equal(again[SAME], table[SAME])
    kept = [name for name in before if name.startswith("cells") and first not in name]
    assert {name: before[name] for name in kept} == {name: state_of(copy)[name] for name in kept}


def test_the_python_interface(out: Path, table: pd.DataFrame) -> None:
    run = bench.load(out)
    assert run.directory == out
    assert dict(zip(run.results.cell_id, run.results.accuracy, strict=True)) == dict(
        zip(table.cell_id, table.accuracy, strict=True)
    )
    assert [column for column in COLUMNS if column not in run.results.columns] == []
    curves = run.curves
    assert {"cell_id", "stage", "epoch", "seconds", "metric", "value"} <= set(curves.columns)
    with_curves = set(table.cell_id[table.strategy != "majority"])
    assert set(curves.cell_id) == with_curves
    assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy"} <= set(curves.metric)
    assert all(map(math.isfinite, curves.value))
    assert (curves[curves.metric == "val_loss"].groupby(["cell_id", "stage"]).epoch.min() == 0).all()
    assert set(curves[curves.cell_id.isin(table.cell_id[table.strategy == "full_finetune"])].stage) == {
        "head", "finetune",
    }  # fmt: skip


@pytest.mark.slow
def test_one_worker_without_a_cache_gives_the_same_numbers_as_two(
    arguments: list[str], cli: Callable[..., Any], table: pd.DataFrame, tmp_path: Path
) -> None:
    alone = tmp_path / "run"
    environment = {"TRANSFER_BENCH_CACHE": str(tmp_path / "cache")}
    result = cli("run", *arguments, "--workers", "1", "--out", alone, env=environment, timeout=1200)
    assert result.rc == 0, result.stdout
    other = pd.read_csv(alone / "results.csv", float_precision="round_trip").set_index("cell_id")
    pd.testing.assert_frame_equal(other[SAME], table.set_index("cell_id")[SAME])


@pytest.mark.slow
def test_photographs_and_real_weights(
    shared: Callable[[str], Path], cli: Callable[..., Any], tmp_path: Path
) -> None:
    clothing = shared("datasets/clothing")
    shutil.copytree(shared("keras_home"), tmp_path / "keras")  # Keras writes a file beside its weights
    for folder in [tmp_path / "keras", *(path for path in (tmp_path / "keras").rglob("*") if path.is_dir())]:
        folder.chmod(0o755)
    result = cli(
        "run", "--dataset", clothing, "--backbone", "MobileNet:alpha=0.25", "--image-size", "96",
        "--strategy", "feature_extraction", "--strategy", "majority", "--fractions", "0.1", "--seeds", "1",
        "--trials", "2", "--epochs", "8", "--out", tmp_path / "run",
        env={"KERAS_HOME": str(tmp_path / "keras")}, timeout=1200,
    )  # fmt: skip
    assert result.rc == 0, result.stdout + result.stderr
    results = bench.load(tmp_path / "run").results.set_index("strategy")
    assert results.n_test.eq(372).all()
    assert results.n.eq(341).all()
    assert results.accuracy["feature_extraction"] > results.accuracy["majority"] + 0.2
