"""What does a source of one's own bring, beside random weights and ImageNet's: start, slope and asymptote.

Trains a source on one dataset (``bench pretrain``) and transfers it to another at several label counts, beside
training from scratch and ImageNet's weights, in one run. Prints JSON, and with --table tables, harm included.

    python tests/benchmarks/own_source.py SOURCE TARGET OUT [--backbone MobileNet:alpha=0.25] [--image-size 64]
        [--fractions 0.05 0.2 1] [--seeds 3] [--trials 2] [--epochs 15] [--pretrain-epochs 60] [--workers 1]
        [--table]

The source and the run in OUT are used, and resumed, where they exist.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import bench
from bench.backbones.own import read_source
from bench.system.names import PREFIX
from reports.statistics.benefits import Estimate, benefits
from reports.statistics.decisions import succeeded
from reports.statistics.pairs import Comparison, Measured, compare_pairs

STRATEGIES = ("scratch", "feature_extraction", "full_finetune")


def told(estimate: Estimate) -> list[float]:
    return [estimate.value, estimate.low, estimate.high]


def against_scratch(run: Any, region: float) -> list[dict[str, Any]]:
    """One entry for each strategy and set of weights: the three benefits over labels, and the verdict."""
    return [
        {
            "strategy": b.strategy,
            "weights": b.weights,
            "labels": [b.fewest, b.most],
            "start": told(b.over_labels.start),
            "slope": told(b.over_labels.slope),
            "asymptote": told(b.over_labels.asymptote),
            "verdict": b.verdict,
            "harm_at": [n for n, _ in b.over_labels.negative],
        }
        for b in benefits(run.results, run.curves, run.directory, region)
    ]


def own_against_imagenet(run: Any, region: float) -> list[dict[str, Any]]:
    """One entry for each strategy and label count: the lead of one's own source over ImageNet's weights."""
    ok = succeeded(run.results)
    of_both: list[tuple[str, float, Measured, Measured]] = []
    for (strategy, _), cells in ok.groupby(["strategy", "fraction"]):
        by_weights = {
            str(w): Measured(c.set_index("seed"), run.directory) for w, c in cells.groupby("weights")
        }
        own = [measured for weights, measured in by_weights.items() if weights.startswith(PREFIX)]
        if own and "imagenet" in by_weights:
            n = float(cells["n"].median())
            of_both.append((str(strategy), n, own[0], by_weights["imagenet"]))
    compared: list[Comparison] = compare_pairs([(own, published) for *_, own, published in of_both], region)
    return [
        {
            "strategy": strategy,
            "n": n,
            "own": own.accuracy,
            "imagenet": published.accuracy,
            "difference": [comparison.difference, comparison.low, comparison.high],
            "verdict": comparison.verdict,
        }
        for (strategy, n, own, published), comparison in zip(of_both, compared, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", help="dataset to pretrain on")
    parser.add_argument("target", help="dataset to transfer to")
    parser.add_argument("out", type=Path)
    parser.add_argument("--backbone", default="MobileNet:alpha=0.25")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.05, 0.2, 1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--pretrain-epochs", type=int, default=60)
    parser.add_argument("--region", type=float, default=0.01)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()

    folder = options.out / "source"
    if folder.exists():
        source = read_source(f"{PREFIX}{folder}")
    else:
        settings = {"image_size": options.image_size, "epochs": options.pretrain_epochs}
        source = bench.pretrain(options.source, options.backbone, folder, settings=settings)
    plan = {
        "datasets": [options.target],
        "backbones": [options.backbone],
        "weights": ["none", "imagenet", f"{PREFIX}{folder.resolve()}"],
        "strategies": [*STRATEGIES, "majority"],
        "fractions": options.fractions,
        "seeds": options.seeds,
        "epochs": options.epochs,
        "image_size": options.image_size,
        "tuning": {"trials": options.trials},
    }
    run = bench.run(plan, options.out / "run", workers=options.workers)
    means = succeeded(run.results).groupby(["strategy", "weights", "n"])["accuracy"].mean()
    found = {
        "source": {
            "images": source.data.n,
            "accuracy": [source.accuracy, source.low, source.high],
            "baselines": {baseline.name: baseline.accuracy for baseline in source.baselines},
            "learned": source.learned,
        },
        "accuracy": [
            {"strategy": s, "weights": w, "n": float(n), "accuracy": float(a)}
            for (s, w, n), a in means.items()
        ],
        "against_scratch": against_scratch(run, options.region),
        "own_against_imagenet": own_against_imagenet(run, options.region),
    }
    print(json.dumps(found, indent=1))
    if options.table:
        print_table(found)


def print_table(found: dict[str, Any]) -> None:
    def interval(estimate: list[float]) -> str:
        value, low, high = (100 * number for number in estimate)
        return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"

    def begun_with(weights: str) -> str:
        return "own source" if weights.startswith(PREFIX) else weights

    print(f"\n{'strategy':20} {'weights':12} {'labels':>7} {'accuracy':>9}")
    for row in found["accuracy"]:
        print(
            f"{row['strategy']:20} {begun_with(row['weights']):12} {row['n']:>7.0f} {row['accuracy']:>9.3f}"
        )
    columns = ("start", "slope", "asymptote")
    print(f"\n{'points over scratch':33}" + "".join(f"{column:>26}" for column in columns) + "  says")
    for row in found["against_scratch"]:
        cells = "".join(f"{interval(row[column]):>26}" for column in columns)
        print(f"{row['strategy']:20} {begun_with(row['weights']):12}{cells}  {row['verdict']}")
    print(f"\n{'own source less ImageNet':25} {'labels':>7} {'points':>26}  says")
    for row in found["own_against_imagenet"]:
        print(f"{row['strategy']:25} {row['n']:>7.0f} {interval(row['difference']):>26}  {row['verdict']}")


if __name__ == "__main__":
    main()
