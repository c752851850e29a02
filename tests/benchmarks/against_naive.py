"""The same grid done by the harness and by the loop that people write (``naive.py``): time, accuracy, memory.

Both get the same images in the same subsets, and the same trials, image size and backbone. The loop takes as many
optimizer steps in batches as large as the harness did, without early stopping (``--patience 5``: with it).
Each strategy is a run of its own in a new process from an empty cache; then, with ``--grid``, the whole grid is
one run of the harness. The loop shares nothing between strategies, so what its grid takes is what its runs took
together, start-up counted once. Harness and loop alternate. The loop's folders of symbolic links are made before
the clock starts.

``--decide`` asks when the answer is there: the harness runs ``--until decided`` from an empty cache, and the file
of each cell says when it was stored. The loop has its answer when its whole grid has run: the strategy of highest
mean with the most labels.

    python tests/benchmarks/against_naive.py --data FOLDER [--grid] [--decide] [--out results.json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from replay import recommended

import bench
from bench.datasets import open_dataset
from bench.datasets.splits import split_validation, subset
from bench.modalities.image.input import ImageInput
from bench.plans.lengths import default_stages
from bench.plans.strategies import get_strategy
from strategies.lengths import batch_size_of

HERE = Path(__file__).parent


class Memory(threading.Thread):
    """Watches the memory of a process and of its children: the peak of the sum of their private memory (USS)."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process = psutil.Process(pid)
        self.peak = 0

    def run(self) -> None:
        while True:
            start, total = time.perf_counter(), 0
            try:
                for process in [self.process, *self.process.children(recursive=True)]:
                    try:
                        total += process.memory_full_info().uss
                    except psutil.Error:
                        continue
            except psutil.Error:
                return
            if not total:
                return
            self.peak = max(self.peak, total)
            # Adding up the pages of a large process takes a while: at most a fiftieth of a core goes into it.
            time.sleep(max(0.25, 50 * (time.perf_counter() - start)))


def timed(command: list[str], environment: dict[str, str], log: Path) -> tuple[float, float]:
    """Runs a command; returns seconds and the peak of memory in MiB.

    Raises:
        RuntimeError: it failed; the end of its output is in the message.
    """
    with log.open("w") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)
        memory = Memory(process.pid)
        memory.start()
        code = process.wait()
        seconds = time.perf_counter() - start
    if code:
        raise RuntimeError(f"{command} ended with {code}:\n{log.read_text()[-3000:]}")
    return seconds, memory.peak / 2**20


def make_subsets(folder: Path, data: str, options: argparse.Namespace) -> None:
    """Folders of links to the very images that the harness uses for each fraction and seed."""
    dataset = open_dataset(data, ImageInput(options.image_size))

    def link(ids: list[str], labels: np.ndarray, to: Path) -> None:
        for name in dataset.class_names:
            (to / name).mkdir(parents=True, exist_ok=True)
        for i, (source, label) in enumerate(zip(ids, labels, strict=True)):
            path = Path(data).resolve() / source
            (to / dataset.class_names[label] / f"{i}{path.suffix}").symlink_to(path)

    pool, test = dataset.pool, dataset.test
    link(list(test.ids), test.labels, folder / "test")
    for fraction in options.fractions:
        for seed in range(options.seeds):
            rows = subset(pool.labels, pool.groups, fraction, seed, dataset.fingerprint, dataset.class_names)
            parts = split_validation(pool.labels, pool.groups, rows, seed, dataset.fingerprint)
            for name, part in zip(("train", "val"), parts, strict=True):
                to = folder / f"{fraction}-{seed}" / name
                link([pool.ids[row] for row in part], pool.labels[part], to)


def weights_file(folder: Path, backbone: str, size: int) -> Path:
    """Random weights as a file: the harness skips what would transfer from weights=none; time does not care."""
    path = folder / f"random-{size}.weights.h5"
    code = (
        "import sys, keras\n"
        "from bench.backbones.spec import parse_backbone\n"
        "from bench.backbones.build import build_backbone\n"
        "from bench.backbones.weights import Weights\n"
        "keras.utils.set_random_seed(0)\n"
        "model = build_backbone(parse_backbone(sys.argv[2]), int(sys.argv[3]), Weights('none', '', None))\n"
        "model.save_weights(sys.argv[1])\n"
    )
    if not path.exists():
        child = [sys.executable, "-c", code, path, backbone, str(size)]
        subprocess.run(child, check=True, capture_output=True)
    return path


def harness_command(folder: Path, out: Path, strategies: list[str], options: argparse.Namespace) -> list[str]:
    """Runs the harness; how many seeds is left to say."""
    command = [sys.executable, "-m", "bench", "run", "--fresh", "--dataset", options.data, "--out", str(out)]
    backbone = options.backbone + ("" if options.alpha is None else f":alpha={options.alpha:g}")
    if options.weights == "none":
        weights = weights_file(folder, backbone, options.image_size)
        backbone += f"{':' if ':' not in backbone else ','}weights={weights}"
    command += ["--backbone", backbone, "--image-size", str(options.image_size)]
    command += ["--fractions", ",".join(map(str, options.fractions)), "--length", str(options.length)]
    command += ["--trials", str(options.trials), "--epochs", str(options.epochs)]
    command += ["--set", f"batch_size={options.batch_size}"]
    for strategy in strategies:
        command += ["--strategy", strategy]
    return command


def harness(folder: Path, strategies: list[str], options: argparse.Namespace, cache: Path) -> dict[str, Any]:
    """One run of the harness."""
    out = folder / f"harness-{'-'.join(strategies)}-{time.monotonic_ns()}"
    command = [*harness_command(folder, out, strategies, options), "--seeds", str(options.seeds)]
    seconds, memory = timed(command, {"TRANSFER_BENCH_CACHE": str(cache)}, folder / "harness.log")
    results = pd.read_csv(out / "results.csv")
    assert (results.status == "ok").all(), results.loc[results.status != "ok", ["cell_id", "error"]]
    return {
        "seconds": seconds,
        "peak_mb": memory,
        "cells": _cells(results),
        "lengths": _lengths(results, options.batch_size),
    }


def _lengths(results: pd.DataFrame, most: int) -> dict[str, dict[str, list[int]]]:
    """Optimizer steps and batch size of the last stage, by strategy and fraction."""
    found: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for (name, fraction), cells in results.groupby(["strategy", "fraction"]):
        stage = default_stages(get_strategy(name))[-1]
        batch = batch_size_of(stage, int(cells.n.iloc[0]), most)
        found[name][str(fraction)] = [round(cells.steps.mean()), batch]
    return found


def naive(
    folder: Path, strategies: list[str], options: argparse.Namespace, ours: dict[str, Any]
) -> dict[str, Any]:
    """One run of the hand-written loop, with as many steps in as large batches as the harness took (``ours``)."""
    command = [sys.executable, str(HERE / "naive.py"), "--subsets", str(folder / "subsets")]
    command += ["--strategies", *strategies, "--backbone", options.backbone]
    command += [] if options.alpha is None else ["--alpha", str(options.alpha)]
    command += ["--weights", options.weights]
    command += ["--lengths", json.dumps(ours["lengths"]), "--patience", str(options.patience)]
    for name in ("image_size", "trials", "epochs", "batch_size"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    log = folder / "naive.log"
    seconds, memory = timed(command, {"TF_CPP_MIN_LOG_LEVEL": "3"}, log)
    start, *rows = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return {"seconds": seconds, "peak_mb": memory, "cells": _cells(pd.DataFrame(rows)), **start}


def together(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The loop's runs as one."""
    return {
        "seconds": sum(run["seconds"] for run in runs) - sum(run["start_up_seconds"] for run in runs[1:]),
        "peak_mb": max(run["peak_mb"] for run in runs),
        "cells": [cell for run in runs for cell in run["cells"]],
    }


def _cells(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return frame[["strategy", "fraction", "seed", "accuracy"]].to_dict("records")


def compare(name: str, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """One row of the result: harness ``a`` against loop ``b``."""
    frames = [pd.DataFrame(side["cells"]).groupby("fraction").accuracy.mean() for side in (a, b)]
    return {
        "run": name,
        "times_faster": b["seconds"] / a["seconds"],
        "seconds": [a["seconds"], b["seconds"]],
        "peak_mb": [a["peak_mb"], b["peak_mb"]],
        "accuracy_by_fraction": [{str(k): round(v, 4) for k, v in frame.items()} for frame in frames],
        "mean_accuracy": [float(frame.mean()) for frame in frames],
    }


def decide(folder: Path, options: argparse.Namespace, grid: dict[str, Any]) -> dict[str, Any]:
    """When the harness recommends what it recommends in the end, and what the loop's ``grid`` does, to stay."""
    out = folder / "harness-decide"
    command = [*harness_command(folder, out, options.strategies, options), "--until", "decided"]
    began = time.time()
    seconds, _ = timed(
        command, {"TRANSFER_BENCH_CACHE": str(folder / "cache-decide")}, folder / "harness.log"
    )
    records = {record.cell_id: record for record in bench.load(out).records}
    stored = sorted((out / "cells").glob("*.json"), key=lambda path: path.stat().st_mtime)
    times = [path.stat().st_mtime - began for path in stored if path.stem in records]
    done = [records[path.stem] for path in stored if path.stem in records]
    answers = [recommended(done[: k + 1], out) for k in range(len(done))]
    most = pd.DataFrame(grid["cells"]).query("fraction == fraction.max()")
    theirs = str(most.groupby("strategy").accuracy.mean().idxmax())
    ours = answers[-1][0] if answers and answers[-1] else ""
    return {
        "run": "until decided",
        "seconds": [seconds, grid["seconds"]],
        "cells": len(done),
        "recommended": [ours, theirs],
        "seconds_until_ours_stands": _stands(times, answers, ours),
        "seconds_until_theirs_stands": _stands(times, answers, theirs),
        "times_faster": grid["seconds"] / _stands(times, answers, ours),
    }


def _stands(times: list[float], answers: list[Any], strategy: str) -> float:
    """From when on a strategy is recommended, to stay; ``inf``: never."""
    since = float("inf")
    for when, answer in zip(times, answers, strict=True):
        is_it = bool(answer) and answer[0] == strategy
        since = min(since, when) if is_it else float("inf")
    return since


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder of images with train, validation and test")
    parser.add_argument("--backbone", default="MobileNet", choices=["MobileNet", "MobileNetV2", "ResNet50V2"])
    parser.add_argument("--alpha", type=float)
    parser.add_argument("--weights", default="imagenet", choices=["imagenet", "none"])
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument(
        "--fractions", type=lambda t: [float(f) for f in t.split(",")], default=[0.1, 0.33, 1.0]
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--patience", type=int, default=0, help="of the loop's early stopping; 0: none")
    parser.add_argument(
        "--strategies",
        nargs="+",
        default=["feature_extraction", "partial_finetune", "full_finetune", "scratch"],
    )
    parser.add_argument("--grid", action="store_true", help="the whole grid as one run as well")
    parser.add_argument("--decide", action="store_true", help="also until the answer is clear")
    parser.add_argument("--only-decide", action="store_true", help="nothing else; the loop runs as one grid")
    parser.add_argument("--length", type=float, default=1.0, help="share of the usual length of training")
    parser.add_argument("--out", type=Path, help="where to write the JSON as well")
    options = parser.parse_args()

    rows: list[dict[str, Any]] = []
    loops: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_subsets(folder / "subsets", options.data, options)

        def note(row: dict[str, Any]) -> None:
            rows.append(row)
            result = {"arguments": {k: str(v) for k, v in vars(options).items()}, "rows": rows}
            if options.out:
                options.out.write_text(json.dumps(result, indent=1))
            print(json.dumps(row), flush=True)

        if options.only_decide:
            short = argparse.Namespace(**{**vars(options), "seeds": 1, "trials": 0})
            lengths = harness(folder, options.strategies, short, folder / "cache-lengths")
            note(decide(folder, options, naive(folder, options.strategies, options, lengths)))
            return

        for strategy in options.strategies:
            cache = folder / f"cache-{strategy}"
            ours = harness(folder, [strategy], options, cache)
            theirs = naive(folder, [strategy], options, ours)
            loops.append(theirs)
            note(compare(strategy, ours, theirs))
            if strategy == "feature_extraction":
                again = harness(folder, [strategy], options, cache)
                note(compare("feature_extraction, features stored", again, theirs))
        if options.grid:
            ours = harness(folder, options.strategies, options, folder / "cache-grid")
            note(compare("whole grid", ours, together(loops)))

        if options.decide:
            note(decide(folder, options, together(loops)))

    rows = [row for row in rows if "accuracy_by_fraction" in row]
    print(f"{'run':38} {'harness':>9} {'loop':>9} {'times':>7} {'accuracy, harness and loop':>28}")
    for row in rows:
        seconds, accuracy = row["seconds"], row["mean_accuracy"]
        print(
            f"{row['run']:38} {seconds[0]:>7.0f} s {seconds[1]:>7.0f} s {row['times_faster']:>6.1f}x"
            f" {accuracy[0]:>18.3f} {accuracy[1]:>9.3f}"
        )


if __name__ == "__main__":
    main()
