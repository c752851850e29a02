"""A child process that runs strategies on a small network, twice each, with the Keras backend that it is given.

    python tests/contract/every_strategy.py OUT [STRATEGY...]

``OUT`` is a folder. If it holds ``tiny.weights.h5``, the network begins with these weights; else it writes them.
Probabilities go to ``<backend>.npz`` there, the rest as JSON to standard output.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from bench.execution import keras_backend
from bench.modalities.image.input import ImageInput
from bench.system import backend, machine

SIZE = 32


def main(folder: Path, names: list[str]) -> None:
    os.environ.update(machine.environment(backend.chosen(), 1))
    keras_backend.load(1)
    import numpy as np

    from bench.commands.strategy_check.tiny import TinyEngine, negatives, parity, tiny_cell
    from bench.datasets import open_dataset
    from bench.plans.strategies import get_strategy
    from bench.protocols.fractions.cell import run_cell
    from strategies import STRATEGIES

    dataset = open_dataset("digits", ImageInput(SIZE))
    engine = TinyEngine(SIZE, dataset.pool.data[:256])
    weights = folder / "tiny.weights.h5"
    if weights.exists():
        engine.tiny.model.load_weights(weights)
    else:
        engine.tiny.model.save_weights(weights)
    names = names or [name for name in STRATEGIES if get_strategy(name).learns_from({"image"})]
    found: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    different, failed = [], {}
    for name in [*names, *reversed(names)]:  # the second time other cells have used the networks
        if name in failed:
            continue
        start = time.perf_counter()
        strategy = get_strategy(name)
        cell = tiny_cell(strategy, dataset, SIZE)
        domain = negatives(dataset) if strategy.needs_source else None
        tasks = (parity(dataset),) if strategy.needs_auxiliary else ()
        outcome = run_cell(cell, dataset, engine, None, lambda text: None, source=domain, auxiliary=tasks)
        seconds.setdefault(name, time.perf_counter() - start)
        if outcome.probabilities is None:
            failed[name] = outcome.fields
        elif name not in found:
            found[name] = outcome.probabilities
        elif not np.array_equal(found[name], outcome.probabilities):
            different.append(name)
    np.savez(folder / f"{backend.chosen()}.npz", **found)  # type: ignore[arg-type]
    print(
        json.dumps(
            {
                "device": device(),
                "loaded": [name for name in backend.BACKENDS if name in sys.modules],
                "failed": failed,
                "different": different,
                "seconds": seconds,
                "accuracy": {
                    name: float((p.argmax(axis=1) == dataset.test.labels).mean()) for name, p in found.items()
                },
            }
        )
    )


def device() -> str:
    """What the backend computes on."""
    import keras

    tensor = keras.ops.convert_to_tensor([0.0])
    return str(tensor.devices() if backend.loaded() == "jax" else tensor.device)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
