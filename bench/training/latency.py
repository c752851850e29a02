"""How long a whole network takes for one example."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.execution.jobs import Place
from bench.modalities.registry import modality as modality_of
from bench.training.batches import blanks
from bench.training.programs.config import HeadConfig, Trained
from bench.training.workplace import workplace


def measure(
    place: Place,
    backbone: str,
    weights: str,
    modality: str,
    size: int,
    precision: str,
    head: dict[str, Any],
    lengths: Sequence[int] = (),
) -> dict[str, float]:
    """Milliseconds of one prediction: batch 1, warm; of an example of typical length.

    The median of 20, three times over, of which the least: what else the machine does for a moment is not
    the network's.
    """
    network = workplace(place).engine.network(backbone, weights, size, precision)
    program = network.program(network.cut("input"), HeadConfig(**head), Trained(), 0.0)
    example = blanks(modality_of(modality).inputs(size).values(), 1, lengths)
    times = []
    for _ in range(70):
        start = time.perf_counter()
        program.model.predict_on_batch(example if len(example) > 1 else example[0])
        times.append(time.perf_counter() - start)
    return {"milliseconds": float(np.median(np.reshape(times[10:], (3, 20)), axis=1).min() * 1000)}
