"""Does domain adaptation help from one vendor's emoji to another's, with no labels of the target and with few?

Each direction is four runs: the strategies that need no label of the target, at fraction 0; the same and those
that use its labels, at few labels; the target alone; and the source alone, tested on its own pictures of the
target's test images: what it loses on the target's is what there is to win. Files of one name are one emoji, so
names count as groups: no emoji of the test part is in the source. Prints JSON, and with --table a table of means.

    python tests/benchmarks/adaptation.py DATA OUT [--seeds 3] [--epochs 20] [--trials 2] [--image-size 64]
        [--fractions 0.1] [--backbone MobileNet:alpha=0.25] [--directions google:twitter twitter:google] [--table]

DATA holds a folder of class folders for each domain. Runs in OUT that exist are resumed.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

import bench
from reports.questions.adaptation import adaptations
from reports.statistics.decisions import decide

ADAPTING = ("source_only", "adabn", "deep_coral", "mmd", "dann", "cycle_gan")
TARGET_ONLY = ("feature_extraction", "full_finetune", "majority")


def measured(run: Any, region: float = 0.01) -> list[dict[str, Any]]:
    """One entry a strategy and label count: accuracy with its interval, and the difference from nothing adapted."""
    results = run.results
    counterparts = json.loads((run.directory / "run.json").read_text())["counterparts"]
    against = {(a.strategy, a.n): a for a in adaptations(results, counterparts, run.directory, region)}
    found = []
    for decision in decide(results, run.directory, region):
        for candidate in decision.candidates:
            mine = against.get((candidate.strategy, decision.n))
            found.append(
                {
                    "strategy": candidate.strategy,
                    "n": decision.n,
                    "seeds": candidate.seeds,
                    "accuracy": candidate.value,
                    "low": candidate.low,
                    "high": candidate.high,
                    "seconds": candidate.seconds,
                    "against": None if mine is None else mine.against,
                    "difference": None if mine is None else mine.comparison.difference,
                    "interval": None if mine is None else [mine.comparison.low, mine.comparison.high],
                    "verdict": None if mine is None else mine.verdict,
                }
            )
    return found


def own_pictures(data: Path, source: str, without_labels: Any, out: Path) -> Path:
    """A manifest of the source whose test part are its pictures of the images that a run has tested on."""
    predictions = next((without_labels.directory / "predictions").glob("*.npz"))
    tested = set(map(str, np.load(predictions)["ids"]))
    path = out / f"{source}-{without_labels.directory.name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for image in sorted((data / source).resolve().glob("*/*")):
            name = f"{image.parent.name}/{image.name}"
            writer.writerow([image, image.parent.name, "test" if name in tested else "train"])
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.1])
    parser.add_argument("--backbone", default="MobileNet:alpha=0.25")
    parser.add_argument("--directions", nargs="+", default=["google:twitter", "twitter:google"])
    parser.add_argument("--strategies", nargs="+", default=list(ADAPTING))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()

    found: dict[str, list[dict[str, Any]]] = {}
    for direction in options.directions:
        source, target = direction.split(":")
        common = {
            "datasets": [str(options.data / target)],
            "backbones": [options.backbone],
            "seeds": options.seeds,
            "epochs": options.epochs,
            "image_size": options.image_size,
            "tuning": {"trials": options.trials},
        }
        adapting = {**common, "source_dataset": str(options.data / source)}
        few = [*options.strategies, "source_and_target", "source_then_target"]
        plans = {
            "none": {**adapting, "strategies": options.strategies, "fractions": [0.0]},
            "few": {**adapting, "strategies": few, "fractions": options.fractions},
            "target_only": {
                **common,
                "strategies": list(TARGET_ONLY),
                "fractions": sorted({*options.fractions, 1.0}),
            },
        }
        runs = {
            name: bench.run(plan, options.out / f"{source}-{target}-{name}", workers=options.workers)
            for name, plan in plans.items()
        }
        found[direction] = [row for run in runs.values() for row in measured(run)]
        own = {
            **common,
            "datasets": [str(own_pictures(options.data, source, runs["none"], options.out))],
            "strategies": ["full_finetune"],
            "fractions": [1.0],
        }
        run = bench.run(own, options.out / f"{source}-{target}-own", workers=options.workers)
        found[direction] += [{**row, "strategy": f"{source} on its own pictures"} for row in measured(run)]
    print(json.dumps(found, indent=1))
    if options.table:
        for direction, rows in found.items():
            print(f"\n{direction:32} {'labels':>7} {'accuracy':>9} {'difference':>52} {'seconds':>8}")
            for row in sorted(rows, key=lambda row: (row["n"], -row["accuracy"])):
                difference = ""
                if row["difference"] is not None:
                    low, high = row["interval"]
                    interval = f"({low:+.3f} to {high:+.3f})"
                    difference = f"{row['difference']:+.3f} {interval} to {row['against']}: {row['verdict']}"
                print(
                    f"{row['strategy']:32} {row['n']:>7.0f} {row['accuracy']:>9.3f} {difference:>52} "
                    f"{row['seconds']:>8.0f}"
                )


if __name__ == "__main__":
    main()
