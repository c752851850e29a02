"""Images a second in the harness against a bare compiled Keras training step: how much of the machine is used.

The bare step runs ``train_on_batch`` on one constant batch, in one process a core with one thread each and in one
process with all threads; the better of the two is the limit of this machine. The harness runs one real cell a
core at the same time (a search of one trial and the refit), with its own clocks around training steps, input,
validation and the re-estimation of statistics.

    python tests/benchmarks/efficiency.py --data FOLDER [--backbone B] [--strategies scratch full_finetune]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.execution import keras_backend
from bench.modalities.image.input import ImageInput
from bench.system import machine

BATCH = 32
STEPS = 60


def environment(threads: int) -> dict[str, str]:
    names = ("TRANSFER_BENCH_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads)), "TF_CPP_MIN_LOG_LEVEL": "3"}


def together(kind: str, strategy: str, count: int, threads: int, options: argparse.Namespace) -> list[Any]:
    """Runs ``count`` children at once; their answers."""
    command = [sys.executable, __file__, "--data", options.data, "--backbone", options.backbone]
    command += [
        "--image-size",
        str(options.image_size),
        "--epochs",
        str(options.epochs),
        "--child",
        kind,
        strategy,
    ]
    children = [
        subprocess.Popen([*command, str(seed)], env=environment(threads), stdout=subprocess.PIPE, text=True)
        for seed in range(count)
    ]
    return [json.loads(child.communicate()[0].splitlines()[-1]) for child in children]


def bare(options: argparse.Namespace, strategy: str) -> dict[str, float]:
    """Images a second of the compiled step; batch normalisation trains from scratch only, as in the harness."""
    import keras
    import numpy as np

    from bench.backbones.build import build_backbone
    from bench.backbones.spec import parse_backbone
    from bench.backbones.weights import Weights

    backbone = build_backbone(parse_backbone(options.backbone), options.image_size, Weights("none", "", None))
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = strategy == "scratch"
    x = keras.layers.GlobalAveragePooling2D()(backbone.output)
    model = keras.Model(backbone.input, keras.layers.Dense(10)(x))
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-4),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    images = np.random.default_rng(0).uniform(0, 255, (BATCH, options.image_size, options.image_size, 3))
    images, labels = images.astype(np.float32), np.eye(10, dtype=np.float32)[np.arange(BATCH) % 10]
    for _ in range(5):
        model.train_on_batch(images, labels)
    start = time.perf_counter()
    for _ in range(STEPS):
        model.train_on_batch(images, labels)
    return {"images_a_second": BATCH * STEPS / (time.perf_counter() - start)}


def cell(options: argparse.Namespace, strategy: str, seed: int) -> dict[str, float]:
    """Seconds of a real cell by what they went into."""
    from bench.datasets import open_dataset
    from bench.plans.loading import load_plan
    from bench.runs.prepare import prepare

    plan = {"datasets": [options.data], "backbones": [options.backbone], "strategies": [strategy],
            "seeds": seed + 1, "image_size": options.image_size, "fractions": [1.0], "epochs": options.epochs,
            "tuning": {"trials": 1}}  # fmt: skip
    prepared = prepare(load_plan(plan))
    keras_backend.load(1)
    from bench.protocols.fractions.cell import run_cell
    from bench.training.engine import Engine
    from bench.training.examples import PartExamples
    from bench.training.programs.program import Program

    spent: dict[str, float] = defaultdict(float)
    images = 0

    @contextmanager
    def clock(name: str) -> Iterator[None]:
        before = sum(spent.values())
        start = time.perf_counter()
        yield
        # What other clocks counted inside is theirs.
        spent[name] += time.perf_counter() - start - (sum(spent.values()) - before)

    def timed(owner: Any, method: str, name: str) -> None:
        whole = getattr(owner, method)

        def with_clock(*arguments: Any, **named: Any) -> Any:
            with clock(name):
                return whole(*arguments, **named)

        setattr(owner, method, with_clock)

    def inputs(*arguments: Any) -> Callable[..., Any]:
        batch = whole_inputs(*arguments)

        def counted(index: Any, rng: Any) -> Any:
            nonlocal images
            with clock("input" if rng is not None else "input of evaluations"):
                images += len(index) if rng is not None else 0
                return batch(index, rng)

        return counted

    timed(Program, "warm", "compiling")
    timed(Program, "train_steps", "training steps")
    timed(Program, "reestimate", "re-estimation")
    timed(Program, "probabilities", "validation and test")
    whole_inputs, PartExamples.inputs = PartExamples.inputs, inputs
    chosen = next(c for c in prepared.cells if c.seed == seed)
    dataset = open_dataset(options.data, ImageInput(options.image_size))
    engine = Engine()
    engine.network(chosen.backbone, chosen.weights, chosen.examples["image_size"])
    start = time.perf_counter()
    run_cell(chosen, dataset, engine, None, lambda text: None)
    total = time.perf_counter() - start
    return {"images": images, "seconds": total, **spent, "other": total - sum(spent.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--backbone", default="MobileNet:alpha=0.25")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--strategies", nargs="+", default=["scratch"])
    parser.add_argument("--child", nargs=3, metavar=("KIND", "STRATEGY", "SEED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, strategy, seed = options.child
        print(json.dumps(bare(options, strategy) if kind == "bare" else cell(options, strategy, int(seed))))
        return

    cores = machine.cores()
    rows = []
    for strategy in options.strategies:
        # Before and after, for the machine may not be the same all the time.
        limits = []
        cells: list[dict[str, float]] = []
        for turn in range(2):
            many = sum(a["images_a_second"] for a in together("bare", strategy, cores, 1, options))
            limits += [many, together("bare", strategy, 1, cores, options)[0]["images_a_second"]]
            if not turn:
                cells = together("cell", strategy, cores, 1, options)
        limit = max(limits)
        total = {key: sum(cell[key] for cell in cells) for key in cells[0]}
        steps = sum(c["images"] / c["training steps"] for c in cells)
        fed = sum(c["images"] / (c["training steps"] + c["input"]) for c in cells)
        compiled = sum(c["images"] / (c["seconds"] - c["compiling"]) for c in cells)
        rows.append(
            {
                "strategy": strategy,
                "limit_images_a_second": limit,
                "limits": limits,
                "training_steps": steps / limit,
                "training_steps_and_input": fed / limit,
                "whole_cell": sum(c["images"] / c["seconds"] for c in cells) / limit,
                "whole_cell_without_compiling": compiled / limit,
                "share_of_seconds": {k: v / total["seconds"] for k, v in total.items() if k != "images"},
            }
        )
    print(json.dumps({"cores": cores, "backbone": options.backbone, "rows": rows}, indent=1))
    for row in rows:
        print(f"{row['strategy']}: limit {row['limit_images_a_second']:.0f} images/s; training steps at "
              f"{row['training_steps']:.2f} of it ({row['training_steps_and_input']:.2f} with input), "
              f"whole cell at {row['whole_cell']:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
