"""Where cells run: what every executor offers, and how one is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pkgutil import resolve_name
from typing import Any, Protocol, Self

from bench.backbones.spec import BackboneSpec
from bench.errors import RequestError
from bench.execution.jobs import Event, MeasureLatency, Rank, TimeBatches
from bench.execution.queue import Queue
from bench.records import Record
from bench.store import Store
from bench.system.machine import default_workers

EXECUTORS = {
    "local": "bench.execution.local:LocalExecutor",
    "ray": "bench.execution.ray:RayExecutor",
}
"""Name to ``module:class``."""


class Executor(Protocol):
    """Runs cells somewhere else; a context that ends what it has started."""

    workers: int
    backend: str
    provenance: dict[str, Any]

    def run(self, queue: Queue, latencies: dict[str, float | None]) -> Iterator[Record]:
        """Runs the cells that a queue gives and yields each one's record as it ends. What the queue gives next may
        depend on the records that were yielded."""

    def measure_latency(self, job: MeasureLatency) -> float | None:
        """Milliseconds an example, with nothing else running; None if it failed."""

    def time_batches(self, jobs: Sequence[TimeBatches]) -> list[dict[str, Any] | None]:
        """What a few batches take, by job, with as much beside them as in a run; None if it failed."""

    def rank(self, jobs: Sequence[Rank]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Scores backbones: the place of a job and what came of it, as it ends."""

    def fetch(self, spec: BackboneSpec, size: int, download: bool = True) -> dict[str, Any]:
        """Finds or downloads ImageNet weights."""

    def close(self) -> None:
        """Ends what it has started."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


def executor(
    kind: str,
    address: str | None,
    workers: int | None,
    store: Store,
    threads: int,
    backend: str,
    cell_seconds: float,
    notify: Callable[[Event], None] = lambda event: None,
) -> Executor:
    """The executor of a name.

    Args:
        kind: a key of ``EXECUTORS``.
        address: of a Ray cluster; None: one on this machine alone.
        workers: cells at a time; None: one a core, or what the cluster has room for.
        store: where workers leave predictions.
        threads, backend, cell_seconds: of the plan.
        notify: called with events.

    Raises:
        RequestError: there is none of this name, or an address that it has no use for.
    """
    if kind not in EXECUTORS:
        raise RequestError("executor", kind, " or ".join(EXECUTORS))
    if address is not None and kind != "ray":
        raise RequestError("ray_address", address, "left out without --executor ray")
    if kind == "ray":
        own: dict[str, Any] = {"address": address, "workers": workers or 0}
    else:
        own = {"workers": workers or default_workers()}
    made: Executor = resolve_name(EXECUTORS[kind])(
        store=store, threads=threads, backend=backend, cell_seconds=cell_seconds, notify=notify, **own
    )
    return made
