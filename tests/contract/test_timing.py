"""What a worker times for a forecast."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from bench.execution.jobs import Place, TimeBatches
from bench.execution.worker import answer
from bench.runs.reckoning import Timing
from bench.training.engine import Engine


@pytest.mark.parametrize(("backbone", "size", "normalises"), [("Conv4", 28, True), ("VGG16", 32, False)])
def test_a_few_batches_say_what_all_parts_take(backbone: str, size: int, normalises: bool) -> None:
    job = TimeBatches(backbone, "image", size, "float32", "avg", (2, 4) if backbone == "Conv4" else (2,))
    found = Timing(**answer(Place(1, lambda text: None), job.wire()))
    assert asdict(found).keys() == Timing.__dataclass_fields__.keys()
    assert found.batch_norm is normalises
    times = [found.building, found.forward_tracing, found.tracing, found.forward, found.resetting]
    assert all(seconds > 0 for seconds in times)
    assert [size for size, _ in found.steps] == list(job.batches)
    assert found.step(2) > 0
    network = Engine(1).network(backbone, "none", size)
    assert len(found.shares) == len(found.row_bytes) == len(network.cuts)
    assert found.shares[0] == 0
    assert found.shares[-1] == pytest.approx(1)
    assert (np.diff(found.shares) > 0).all()
    half = network.cut(0.5)
    assert half is not None
    assert found.above(0.5) == len(network.cuts) - 1 - network.cuts.index(half)
    assert found.row_bytes[found.above(0.5)] == sum(2 * int(np.prod(t.shape[1:])) for t in half.tensors)
