"""What grows with the number of cells and of images: seconds of plan, resume and report, and peak memory.

python tests/benchmarks/scale.py [--cells 10 100 1000 10000] [--images 1000 10000 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from against_naive import timed, weights_file

CELLS_A_SEED = 15


def plan_of(cells: int) -> dict[str, Any]:
    """A plan of about as many cells, on digits."""
    return {
        "datasets": ["digits"],
        "backbones": ["MobileNet:weights=none"],
        "image_size": 32,
        "fractions": [0.1, 0.3, 1.0],
        "seeds": max(1, cells // CELLS_A_SEED),
    }


def cells(count: int, folder: Path) -> dict[str, Any]:
    """Seconds of each command on a finished run of ``count`` cells, whose records are made up."""
    import tomli_w

    from bench.plans.loading import load_plan
    from bench.records import Record
    from bench.runs.directory import run_info
    from bench.runs.prepare import prepare
    from bench.store import Store

    prepared = prepare(load_plan(plan_of(count)))
    store = Store(folder / f"run-{count}")
    rng = np.random.default_rng(0)
    for cell in prepared.cells:
        metrics = {
            "accuracy": float(rng.uniform()),
            "log_loss": 1.0,
            "balanced_accuracy": 0.5,
            "macro_f1": 0.5,
        }
        point = {"run": "refit", "stage": "train", "images": 0, "seconds": 0.0}
        curves = [{**point, "epoch": e, "train_loss": 1.0, "train_accuracy": 0.5} for e in range(12)]
        store.write(
            Record(cell.id, asdict(cell), "ok", metrics={**metrics, "ece": 0.1}, curves=curves, n=10, n_train=8,
                   n_val=2, n_test=359, costs={"fit_seconds": 1.0, "tune_seconds": 1.0})
        )  # fmt: skip
    store.write_run(run_info(prepared, {}))
    store.plan_path.write_text(tomli_w.dumps(prepared.plan.model_dump(mode="json")))

    def seconds(*arguments: object) -> float:
        start = time.perf_counter()
        command = [sys.executable, "-m", "bench", *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start

    report = seconds("report", store.directory)
    return {
        "cells": len(prepared.cells),
        "plan_seconds": seconds("plan", store.plan_path),
        "resume_seconds": seconds("run", store.plan_path),
        "report_seconds": report,
    }


def images(count: int, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Peak private memory of feature extraction on made-up images, all processes together."""
    path = folder / f"made-up-{count}.npz"
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, count)
    size = options.image_size
    x = rng.integers(0, 40, (count, size, size, 3), dtype=np.uint8)
    x += (20 * labels).astype(np.uint8)[:, None, None, None]
    np.savez(path, x=x, y=labels)
    del x
    command = [
        sys.executable,
        "-m",
        "bench",
        "run",
        "--dataset",
        str(path),
        "--strategy",
        "feature_extraction",
    ]
    command += [
        "--backbone",
        f"MobileNet:alpha=0.25,weights={weights_file(folder, 'MobileNet:alpha=0.25', size)}",
        "--image-size",
        str(size),
        "--fractions",
        "1",
    ]
    command += ["--seeds", "2", "--trials", "1", "--epochs", "2", "--out", str(folder / f"images-{count}")]
    cache = {"TRANSFER_BENCH_CACHE": str(folder / "cache")}
    seconds, peak = timed(command, cache, folder / "log")
    path.unlink()
    records = [json.loads(file.read_text()) for file in (folder / f"images-{count}" / "cells").iterdir()]
    if {record["status"] for record in records} != {"ok"}:
        raise RuntimeError(f"not every cell was run: {records[0]['status']}, {records[0]['error']}")
    return {"images": count, "seconds": seconds, "peak_mb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="*", default=[10, 100, 1000, 10000])
    parser.add_argument("--images", type=int, nargs="*", default=[1000, 10000, 100000])
    parser.add_argument("--image-size", type=int, default=96)
    options = parser.parse_args()
    result: dict[str, Any] = {"cells": [], "images": []}
    with tempfile.TemporaryDirectory() as name:
        os.environ["TRANSFER_BENCH_CACHE"] = str(Path(name) / "cache")
        for count in options.cells:
            result["cells"].append(cells(count, Path(name)))
            print(json.dumps(result["cells"][-1]), flush=True)
        for count in options.images:
            result["images"].append(images(count, Path(name), options))
            print(json.dumps(result["images"][-1]), flush=True)
    print(json.dumps(result, indent=1))
    for row in result["cells"]:
        print(f"{row['cells']:>7,} cells: plan {row['plan_seconds']:.1f} s, resume {row['resume_seconds']:.1f} s, "
              f"report {row['report_seconds']:.1f} s")  # fmt: skip
    for row in result["images"]:
        print(f"{row['images']:>7,} images: {row['seconds']:.0f} s, {row['peak_mb']:,.0f} MiB at most")


if __name__ == "__main__":
    main()
