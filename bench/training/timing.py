"""How long a few batches of a network take: what forecasts are reckoned from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from bench.backbones.cuts import block_of
from bench.execution.jobs import Place
from bench.modalities.registry import modality as modality_of
from bench.training.batches import blanks
from bench.training.engine import Network
from bench.training.prefixes import BATCH, STORED_TYPE
from bench.training.programs.config import HeadConfig, Trained
from bench.training.programs.graph import features_of
from bench.training.programs.program import Program
from bench.training.workplace import workplace

REPEATED = 3
"""Batches that are timed of each kind; the median counts."""
VALUE = 10
"""What a layer takes for each value that it gives, where a multiplication takes 1. So on EfficientNetLite0 and
MobileNet: steps above half of the blocks then take the share of a whole one that they should, within a fifth."""


def measure(
    place: Place,
    backbone: str,
    modality: str,
    size: int,
    precision: str,
    pooling: str,
    batches: Sequence[int],
    lengths: Sequence[int] = (),
) -> dict[str, Any]:
    """The fields of ``bench.runs.reckoning.Timing``.

    One training step is traced, that of the whole network with frozen batch normalisation: this is what takes
    longest here. What other parts take is reckoned from it.
    """
    place.tick("building")
    network = workplace(place).engine.network(backbone, "none", size, precision)
    tensors = modality_of(modality).inputs(size).values()
    example = blanks(tensors, BATCH, lengths)
    below = network.prefixes(None, pooling)
    forward_tracing, forward = _first_and_median(lambda: below.compute(*example))
    place.tick("a training step")
    building, program = _timed(lambda: _whole(network, pooling))
    tracing, _ = _timed(lambda: program.warm(batches[0]))
    steps = []
    for batch in batches:
        program.warm(batch)
        step = _step(program, blanks(tensors, batch, lengths[1:]))
        step()  # where axes are ragged, a length is traced that is another than that of warming up
        steps.append((batch, _first_and_median(step)[1]))
    start = network.pretrained
    return {
        "building": building,
        "forward_tracing": forward_tracing - forward,
        "tracing": tracing,
        "forward": forward / BATCH,
        "steps": steps,
        "resetting": _first_and_median(lambda: program.reset(start, 0, 0.0))[1],
        "batch_norm": network.traits["has_batch_norm"],
        "width": int(features_of(network.model.outputs).shape[-1]),
        "shares": _shares(network),
        "row_bytes": [_row_bytes(cut.tensors, lengths) for cut in reversed(network.cuts)],
    }


def _whole(network: Network, pooling: str) -> Program:
    return network.program(network.cut("input"), HeadConfig(pooling, 0, 0.0, 2), Trained(), 0.0)


def _step(program: Program, example: list[np.ndarray]) -> Callable[[], Any]:
    labels, rates = np.zeros((1, len(example[0]), 1), np.int64), np.zeros(1)
    return lambda: program.train_steps([tensor[None] for tensor in example], labels, rates)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _first_and_median(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of the first time, and the median of the next few."""
    first, *rest = (_timed(work)[0] for _ in range(1 + REPEATED))
    return first, float(np.median(rest))


def _shares(network: Network) -> list[float]:
    """What share of the work of a pass lies above each cut, from the top downward: 0 first, 1 last."""
    blocks = block_of(network.cuts)
    work = np.zeros(len(network.cuts))
    for layer in network.model.layers:
        work[blocks.get(layer.name, 0)] += _work(layer)
    work[0] = 0  # of the input itself
    above = np.cumsum(work[::-1])
    return [0.0, *(float(share) for share in (above / above[-1])[:-1])]


def _work(layer: keras.layers.Layer) -> float:
    """How much a layer computes for one example, in multiplications."""
    given = layer.output[0] if isinstance(layer.output, (list, tuple)) else layer.output
    shape = [side or 1 for side in given.shape[1:]]
    multiplies = not isinstance(layer, keras.layers.Embedding)  # which looks rows up
    kernels = sum(float(np.prod(w.shape)) for w in layer.weights if multiplies and len(w.shape) > 1)
    return kernels * float(np.prod(shape[:-1])) + VALUE * float(np.prod(shape))


def _row_bytes(tensors: Sequence[keras.KerasTensor], lengths: Sequence[int]) -> int:
    length = lengths[0] if lengths else 1
    numbers = sum(int(np.prod([side or length for side in tensor.shape[1:]])) for tensor in tensors)
    return numbers * STORED_TYPE.itemsize
