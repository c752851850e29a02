"""All strategies on every Keras backend that is installed, on whatever device each finds: does it hold up there?

On a small network that begins with the same weights everywhere, every strategy runs twice on each backend. Shown
are whether the two times gave the same bits, how far the answers are from those of the first backend, and seconds
(the first time, compiling included). ``--speed`` adds training steps of a real backbone. On a GPU, look for
``different`` and ``failed``.

    python tests/benchmarks/backends.py [--backends tensorflow torch jax] [--strategies S...] [--speed]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.execution import keras_backend
from bench.system import backend, machine

CHILD = Path(__file__).resolve().parents[1] / "contract" / "every_strategy.py"
BATCH = 32


def child(name: str, *command: object) -> dict[str, Any]:
    """The JSON that a child with a backend prints last."""
    environment = machine.environment(name, 1)
    result = subprocess.run(
        [sys.executable, *map(str, command)], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    content: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return content


def speed(text: str, image_size: int) -> dict[str, float]:
    """Milliseconds of processor time (on a GPU: of wall time) that things take with a backbone, one thread."""
    keras_backend.load(1)
    from bench.training.engine import Engine
    from bench.training.programs.config import HeadConfig, Trained
    from bench.training.programs.fused import STEPS_A_CALL

    clock = time.perf_counter if machine.gpus() else time.process_time
    network = Engine().network(text, "none", image_size)
    head = HeadConfig("avg", 0, 0.0, 10)
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (64, image_size, image_size, 3)).astype(np.float32)
    labels = rng.integers(0, 10, (STEPS_A_CALL, BATCH))

    def milliseconds(call: Callable[[], object], times: int) -> float:
        call()
        start = clock()
        for _ in range(times):
            call()
        return (clock() - start) / times * 1000

    began = clock()
    whole = network.program(network.cut("input"), head, Trained(True), 0.1)
    whole.warm(BATCH)
    whole.reset(network.random(0), 0, 0.0)
    found = {"compile": (clock() - began) * 1000}
    one, rate = images[None, :BATCH], np.array([1e-3])
    found["full step"] = milliseconds(lambda: whole.train_steps([one], labels[:1], rate), 12)
    found["predict 64"] = milliseconds(lambda: whole.model.predict_on_batch(images), 6)
    found["predict 1"] = milliseconds(lambda: whole.model.predict_on_batch(images[:1]), 30)
    top = network.program(None, head, Trained(), 0.1)
    top.warm(BATCH)
    top.reset({}, 0, 0.0)
    features = rng.normal(size=(STEPS_A_CALL, BATCH, *top.model.input_shape[1:])).astype(np.float32)
    rates = np.full(STEPS_A_CALL, 1e-3)
    found["head step"] = milliseconds(lambda: top.train_steps([features], labels, rates), 6) / STEPS_A_CALL
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", nargs="+", choices=backend.BACKENDS, metavar="B")
    parser.add_argument("--strategies", nargs="+", default=[], metavar="S")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--backbone", default="MobileNet:alpha=0.25")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(speed(options.backbone, options.image_size)))
        return
    names = options.backends or [name for name in backend.BACKENDS if backend.is_installed(name)]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("TRANSFER_BENCH_CACHE", folder)
        for name in names:
            found = results[name] = child(name, CHILD, folder, *options.strategies)
            with np.load(f"{folder}/{names[0]}.npz") as first, np.load(f"{folder}/{name}.npz") as mine:
                found["distance"] = {s: float(np.abs(mine[s] - first[s]).mean()) for s in mine if s in first}
            if options.speed:
                command = ("--child", "--backbone", options.backbone, "--image-size", options.image_size)
                found["milliseconds"] = child(name, __file__, *command)
    print(json.dumps(results, indent=1))
    for name, found in results.items():
        print(
            f"\n{name} on {found['device']}: failed {list(found['failed'])}, different {found['different']}"
        )
        print(f"{'strategy':22} {'accuracy':>8} {'distance from ' + names[0]:>24} {'seconds':>8}")
        for strategy, accuracy in found["accuracy"].items():
            distance, seconds = found["distance"].get(strategy, float("nan")), found["seconds"][strategy]
            print(f"{strategy:22} {accuracy:8.3f} {distance:24.1e} {seconds:8.1f}")
        for what, took in found.get("milliseconds", {}).items():
            print(f"{what:22} {took:8.2f} ms")


if __name__ == "__main__":
    main()
