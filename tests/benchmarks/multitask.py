"""Does an auxiliary label help clothing, and does a random one harm?

Makes a manifest of a folder of clothes (train/, validation/, test/ with class folders) with further columns: where
on the body a piece is worn, and a fair die, which is of no use. Runs full fine-tuning and multi-task learning with
each column, with labels of a cell's own images and (--pool) of the whole pool. Prints JSON, and with --table a
table of means.

    python tests/benchmarks/multitask.py DATA OUT [--seeds 3] [--epochs 12] [--trials 2] [--image-size 64]
        [--fractions 0.05 0.2] [--backbone MobileNet:alpha=0.25] [--weights 0.3 1] [--pool] [--table]

Runs in OUT that exist are resumed.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

import bench
from reports.questions.auxiliary import brought

BODY = {
    "dress": "whole", "hat": "head", "longsleeve": "upper", "outwear": "upper", "pants": "lower", "shirt": "upper",
    "shoes": "feet", "shorts": "lower", "skirt": "lower", "t-shirt": "upper",
}  # fmt: skip
SIDES = 5
SPLITS = ("train", "validation", "test")


def write_manifest(data: Path, path: Path) -> None:
    """A manifest of all images of ``data`` with the columns ``body`` and ``die``."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split", "body", "die"])
        for split in SPLITS:
            for image in sorted((data / split).glob("*/*")):
                label = image.parent.name
                writer.writerow([image.resolve(), label, split, BODY[label], rng.integers(SIDES)])


def measured(run: Any, region: float) -> list[dict[str, Any]]:
    """One entry a strategy and label count: accuracy, and the difference from full fine-tuning."""
    counterparts = json.loads((run.directory / "run.json").read_text())["counterparts"]
    found = brought(run.results, run.curves, counterparts, run.directory, region)
    return [
        {
            "strategy": b.strategy,
            "n": b.n,
            "auxiliary_labels": b.labels,
            "accuracy": b.value,
            "without": b.without,
            "difference": b.comparison.difference,
            "interval": [b.comparison.low, b.comparison.high],
            "verdict": b.verdict,
            "weights": dict(b.weights),
            "learned": dict(b.learned),
        }
        for b in found
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.05, 0.2])
    parser.add_argument("--backbone", default="MobileNet:alpha=0.25")
    parser.add_argument(
        "--weights", nargs="+", default=[""], help="Given weights of the auxiliary loss; '' searches"
    )
    parser.add_argument("--pool", action="store_true")
    parser.add_argument("--region", type=float, default=0.01)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()

    options.out.mkdir(parents=True, exist_ok=True)
    # Beside the runs, so that they can be resumed.
    manifest = options.out / "clothing.csv"
    if not manifest.exists():
        write_manifest(options.data, manifest)
    strategies = ["full_finetune"]
    for weight in options.weights:
        for images in ("labelled", "pool") if options.pool else ("labelled",):
            for column in ("body", "die"):
                given = [f"auxiliary={column}", *([f"auxiliary_weight={weight}"] if weight else [])]
                given += ["images=pool"] if images == "pool" else []
                strategies.append(f"multi_task:{','.join(given)}")
    plan = {
        "datasets": [str(manifest)],
        "backbones": [options.backbone],
        "strategies": strategies,
        "auxiliary": ["body", "die"],
        "fractions": options.fractions,
        "seeds": options.seeds,
        "epochs": options.epochs,
        "image_size": options.image_size,
        "tuning": {"trials": options.trials},
    }
    found = measured(bench.run(plan, options.out / "run", workers=options.workers), options.region)
    print(json.dumps(found, indent=1))
    if options.table:
        print(f"\n{'strategy':56} {'labels':>7} {'accuracy':>9} {'without':>8} {'difference':>26}  says")
        for row in sorted(found, key=lambda row: (row["n"], row["strategy"])):
            low, high = row["interval"]
            difference = f"{row['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
            print(
                f"{row['strategy']:56} {row['n']:>7.0f} {row['accuracy']:>9.3f} {row['without']:>8.3f} "
                f"{difference:>26}  {row['verdict']}"
            )


if __name__ == "__main__":
    main()
