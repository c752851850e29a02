"""How long a network takes for one example, measured alone and remembered."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.execution.executor import Executor
from bench.execution.jobs import MeasureLatency
from bench.modalities.registry import modality, size_of
from bench.plans.protocol import protocol
from bench.records import Cell
from bench.runs.lengths import typical_lengths
from bench.runs.prepare import Prepared
from bench.system import sealed
from bench.system.files import cache_dir, digest, locked


def latencies(
    prepared: Prepared, todo: Sequence[Cell], executor: Executor, info: dict[str, Any]
) -> dict[str, float | None]:
    """Milliseconds an example of each cell's network, measured before anything else runs, and remembered."""
    classes = {d.fingerprint: len(d.class_names) for d in prepared.datasets}
    jobs: dict[str, MeasureLatency] = {}
    of_cell: dict[str, str] = {}
    for cell in todo:
        if not cell.backbone or not protocol(cell.protocol).measures_latency:
            continue
        head = {key: value[0] if isinstance(value, list) else value for key, value in cell.head.items()} | {
            "classes": classes[cell.fingerprint]
        }
        job = MeasureLatency(
            cell.backbone,
            "none",
            cell.modality,
            size_of(cell.examples, cell.modality),
            cell.precision,
            head,
            typical_lengths(cell),
        )
        network = asdict(job)
        del network["modality"]
        if not job.lengths:
            del network["lengths"]
        network[modality(cell.modality).size_key] = network.pop("size")
        what = [network, info["hardware"]["cpu"], info["versions"], cell.backend, cell.threads]
        key = digest(what + [cell.plugins[part] for part in ("backbone",) if part in cell.plugins])
        jobs[key], of_cell[cell.id] = job, key
    known: dict[str, float | None] = {}
    for key, job in jobs.items():
        path = cache_dir() / "latency" / key
        if (kept := sealed.read(path)) is not None:
            known[key] = float(kept)
            continue
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # a cache that cannot be written must not cost a run
                stack.enter_context(locked(cache_dir() / "latency.lock"))  # one measurement at a time
            known[key] = executor.measure_latency(job)
        if known[key] is not None:
            sealed.write(path, repr(known[key]))
    return {cell_id: known.get(key) for cell_id, key in of_cell.items()}
