"""How long a network takes for one example, measured alone and remembered."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from bench.records import FRACTIONS, Cell
from bench.runs.prepare import Prepared
from bench.system.files import cache_dir, digest, locked, write_atomic


def _latencies(
    prepared: Prepared, todo: Sequence[Cell], executor: Any, info: dict[str, Any]
) -> dict[str, float | None]:
    """Milliseconds an image of each cell's network, measured before anything else runs, and remembered."""
    classes = {d.fingerprint: len(d.class_names) for d in prepared.datasets}
    jobs: dict[str, dict[str, Any]] = {}
    of_cell: dict[str, str] = {}
    for cell in todo:
        if not cell.backbone or cell.protocol != FRACTIONS:  # an episode's classifier is no part of a network
            continue
        head = {key: value[0] if isinstance(value, list) else value for key, value in cell.head.items()} | {
            "classes": classes[cell.fingerprint]
        }
        job = {
            "backbone": cell.backbone,
            "weights": "none",
            "image_size": cell.input["image_size"],
            "precision": cell.precision,
            "head": head,
        }
        what = [job, info["hardware"]["cpu"], info["versions"], cell.backend, cell.threads]
        key = digest(what + [cell.plugins[part] for part in ("backbone",) if part in cell.plugins])
        jobs[key], of_cell[cell.id] = job, key
    known: dict[str, float | None] = {}
    for key, job in jobs.items():
        path = cache_dir() / "latency" / key
        with contextlib.suppress(OSError, ValueError):
            known[key] = float(path.read_text())
            continue
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # a cache that cannot be written must not cost a run
                stack.enter_context(locked(cache_dir() / "latency.lock"))  # one measurement at a time
            known[key] = executor.measure_latency(job)
        if known[key] is not None:
            with contextlib.suppress(OSError):
                write_atomic(path, repr(known[key]))
    return {cell_id: known.get(key) for cell_id, key in of_cell.items()}
