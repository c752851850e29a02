"""One-shot learning of Omniglot's characters: alphabets held out, everything else to learn from.

An episode draws 20 (or 5) of the new characters at random across alphabets, and of each alphabet one drawer for
the support images (with five shots, five); other drawers' images are classified. The same within one alphabet
stands beside it. Two runs: small images for what learns from the other alphabets, on Conv4 and from ImageNet's
weights, with these as they are in the same table; and frozen features of larger images, which they were made for.
Prints JSON, and with --table a table.

    python tests/benchmarks/fewshot.py OMNIGLOT OUT [--new Greek Latin Tagalog] [--seeds 3] [--trials 1]
        [--epochs 40] [--episodes 1000] [--image-size 32] [--backbone MobileNet:alpha=0.25] [--large-size 96]
        [--large MobileNet:alpha=0.25 EfficientNetLite0] [--workers 1] [--table]

OMNIGLOT holds a folder for each alphabet, and in it one for each character; a drawing is called ..._DRAWER.png.
Runs in OUT that exist are resumed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import bench
from reports.questions.few_shot.measurements import Measurement, measurements

LEARNING = ("prototypical", "siamese", "siamese:loss=contrastive")
FROZEN = ("feature_extraction", "nearest_mean")


def write_manifests(data: Path, new: Collection[str], out: Path) -> tuple[Path, Path]:
    """Manifests of the new characters and of all others; a label is ``Greek/character01``, a group a drawer."""
    out.mkdir(parents=True, exist_ok=True)
    paths = out / "new.csv", out / "source.csv"
    with paths[0].open("w", newline="") as first, paths[1].open("w", newline="") as second:
        writers = csv.writer(first), csv.writer(second)
        for writer in writers:
            writer.writerow(["path", "label", "group"])
        for path in sorted(data.glob("*/*/*.png")):
            alphabet, character, name = path.parts[-3:]
            drawer = f"{alphabet}-{Path(name).stem.rpartition('_')[2]}"
            row = [os.path.relpath(path, out), f"{alphabet}/{character}", drawer]
            writers[alphabet not in new].writerow(row)
    return paths


def entry(run: str, measurement: Measurement) -> dict[str, Any]:
    names = (
        "strategy",
        "backbone",
        "ways",
        "shots",
        "scope",
        "accuracy",
        "low",
        "high",
        "by_episodes",
        "seeds",
        "episodes",
        "seconds",
    )
    return {"run": run, **{name: getattr(measurement, name) for name in names}}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--new", nargs="+", default=["Greek", "Latin", "Tagalog"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--backbone", default="MobileNet:alpha=0.25")
    parser.add_argument("--large-size", type=int, default=96)
    parser.add_argument("--large", nargs="+", default=["MobileNet:alpha=0.25", "EfficientNetLite0"])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()

    new, source = write_manifests(options.data, options.new, options.out)
    common = {
        "datasets": [str(new)],
        "source_dataset": str(source),
        "protocol": "few-shot",
        "few_shot": {"ways": [5, 20], "shots": [1, 5], "episodes": options.episodes},
        "seeds": options.seeds,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "flip": False,
        "augmentation": "affine",
        "tuning": {"trials": options.trials},
    }
    plans = {
        "small": {
            "strategies": ["nearest_pixel", *FROZEN, *LEARNING],
            "backbones": ["Conv4", options.backbone],
            "image_size": options.image_size,
        },
        "large": {"strategies": list(FROZEN), "backbones": options.large, "image_size": options.large_size},
    }
    found = []
    for name, plan in plans.items():
        run = bench.run({**common, **plan}, options.out / name, workers=options.workers)
        found += [entry(name, m) for m in measurements(run.records, run.directory)]
    print(json.dumps(found, indent=1))
    if options.table:
        print(f"\n{'run':6} {'strategy':28} {'backbone':18} {'task':28} {'accuracy':>22} {'seconds':>8}")
        for row in sorted(found, key=lambda r: (r["scope"], r["ways"], r["shots"], -r["accuracy"])):
            task = f"{row['ways']}-way {row['shots']}-shot {row['scope']}"
            interval = f"{row['accuracy']:.3f} ({row['low']:.3f}-{row['high']:.3f})"
            print(
                f"{row['run']:6} {row['strategy']:28} {row['backbone']:18} {task:28} {interval:>22} "
                f"{row['seconds']:>8.0f}"
            )


if __name__ == "__main__":
    main()
