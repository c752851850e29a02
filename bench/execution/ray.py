"""A Ray cluster: each task takes a batch of cells and runs them in a child process, as on one machine.

Ray decides where a task runs and with which processors and GPUs. What becomes of a cell is told apart by the same
code as locally. Records and predictions come back as they arise, so nodes need not share the run directory; they
do need this package, the data at the same path, and a cache folder of their own.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.backbones.spec import BackboneSpec
from bench.errors import BenchError, RequestError
from bench.execution.jobs import Event, MeasureLatency, Rank, TimeBatches
from bench.execution.local import LocalExecutor
from bench.execution.queue import Queue
from bench.records import Cell, Record
from bench.store import Store
from bench.system import provenance

MOST_LOSSES = 3
"""A cell that was in the middle when its node was lost so often is given up."""
CONNECT_SECONDS = 10
PASSED_ON = ("TRANSFER_BENCH_", "KERAS_HOME", "PYTHONPATH")
"""Environment variables (or their beginnings) that the nodes get from this process."""


@dataclass
class RayExecutor:
    """Runs cells on a Ray cluster; see ``LocalExecutor`` for what is not explained here.

    Args:
        workers: batches at a time; default: as many as the cluster has processors (GPUs, if it has any) for.
        address: of a running cluster (``auto``, ``HOST:PORT``, ``ray://HOST:PORT``); None: a cluster that this
            process is connected to already, else a new one on this machine.
    """

    store: Store
    threads: int
    backend: str
    cell_seconds: float
    workers: int = 0
    address: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    notify: Callable[[Event], None] = lambda event: None
    _started: bool = field(default=False, init=False)

    def __enter__(self) -> RayExecutor:
        try:
            import ray
        except ImportError:
            raise RequestError(
                "executor", "ray", "an executor that is installed", "Run: pip install 'transfer-bench[ray]'"
            ) from None

        if not ray.is_initialized():
            environment = {k: v for k, v in os.environ.items() if k.startswith(PASSED_ON)}
            try:
                host, _, port = (self.address or "").removeprefix("ray://").rpartition(":")
                if port.isdecimal():  # Ray itself would go on trying for minutes
                    socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
                ray.init(
                    self.address or "local",
                    runtime_env={"env_vars": environment},
                    include_dashboard=False if self.address is None else None,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except (OSError, ValueError, RuntimeError, OverflowError) as error:
                raise RequestError(
                    "ray_address",
                    self.address,
                    "the address of a Ray cluster that can be reached",
                    f"The attempt ended with: {str(error).splitlines()[0]}.",
                ) from None
            self._started = True
        resources = ray.cluster_resources()
        self._gpus = 1 if resources.get("GPU") else 0
        slots = resources["GPU"] if self._gpus else resources.get("CPU", 1) // self.threads
        self.workers = self.workers or max(1, int(slots))
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the cluster; it ends if it was started here."""
        import ray

        if self._started:
            ray.shutdown()
            self._started = False

    def run(self, queue: Queue, latencies: dict[str, float | None]) -> Iterator[Record]:
        """Runs the cells that ``queue`` gives and yields each one's record as it ends. A batch whose node is lost
        goes on elsewhere.

        Raises:
            StoreError: predictions could not be written.
        """
        import ray
        from ray.exceptions import RayError

        waiting: deque[list[Cell]] = deque()
        size = queue.batch_size(self.workers)
        free = list(range(self.workers))
        running: dict[Any, tuple[int, list[Cell]]] = {}
        losses: Counter[str] = Counter()
        while waiting or queue or running:
            while free and (waiting or queue):
                slot = free.pop()
                batch = waiting.popleft() if waiting else _batch(queue, slot, size)
                of_batch = {cell.id: latencies.get(cell.id) for cell in batch}
                options = self._options()
                stream = self._task(_run_batch, streaming=True).remote(
                    [asdict(cell) for cell in batch], of_batch, options
                )
                running[stream] = (slot, batch)
                self.notify(Event("started", slot, "", batch[0]))
            (stream, *_), _ = ray.wait(list(running), num_returns=1)
            slot, batch = running[stream]
            try:
                content, files = ray.get(next(stream))
            except (StopIteration, RayError) as error:
                del running[stream]
                free.append(slot)
                if not batch:
                    continue
                lost = batch[0]
                losses[lost.id] += 1
                if losses[lost.id] < MOST_LOSSES:
                    self.notify(Event("note", slot, "its node was lost; it runs again", lost))
                else:
                    reason = f"its Ray task was lost {MOST_LOSSES} times: {type(error).__name__}: {error}"
                    problem = {"type": "lost", "message": reason[:2000]}
                    yield Record(lost.id, asdict(lost), "killed", error=problem, provenance=self.provenance)
                    batch = batch[1:]
                if batch:
                    waiting.appendleft(batch)
                continue
            record = Record(**content)
            for ending, data in files.items():
                self.store.keep_file(record.cell_id, ending, data)
            batch[:] = [cell for cell in batch if cell.id != record.cell_id]
            yield record
            if batch:
                self.notify(Event("started", slot, "", batch[0]))

    def measure_latency(self, job: MeasureLatency) -> float | None:
        """Latency of a whole network on a node of the cluster, in milliseconds an example; None if it failed."""
        import ray

        self.notify(Event("tick", 0, f"measuring the latency of {job.backbone}"))
        answer: float | None = ray.get(self._task(_measure_latency).remote(job, self._options()))
        return answer

    def time_batches(self, jobs: Sequence[TimeBatches]) -> list[dict[str, Any] | None]:
        """What a few batches take on a node of the cluster, by job; None if it failed."""
        import ray

        times = self._task(_time_batches)
        found: list[dict[str, Any] | None] = ray.get([times.remote(job, self._options()) for job in jobs])
        return found

    def fetch(self, spec: BackboneSpec, size: int, download: bool = True) -> dict[str, Any]:
        """See ``bench.backbones.weights.Ask``; asked on this machine."""
        with _local(Path(tempfile.gettempdir()), self._options()) as executor:
            return executor.fetch(spec, size, download)

    def rank(self, jobs: Sequence[Rank]) -> Iterator[tuple[int, dict[str, Any]]]:
        """See ``LocalExecutor.rank``; on this machine, whose cache keeps what comes of it."""
        with _local(Path(tempfile.gettempdir()), self._options()) as executor:
            yield from executor.rank(jobs)

    def _options(self) -> dict[str, Any]:
        return {"threads": self.threads, "backend": self.backend, "cell_seconds": self.cell_seconds}

    def _task(self, function: Callable[..., Any], streaming: bool = False) -> Any:
        import ray

        # No retries by Ray: it would run a batch again from its start.
        options: dict[str, Any] = {"num_cpus": self.threads, "num_gpus": self._gpus, "max_retries": 0}
        if streaming:
            options["num_returns"] = "streaming"
        return ray.remote(function).options(**options)


def _batch(queue: Queue, slot: int, size: int) -> list[Cell]:
    """The next cells for a slot; those that share a network stay together."""
    batch: list[Cell] = []
    while queue and len(batch) < size and (cell := queue.take(slot)) is not None:
        batch.append(cell)
    return batch


def _local(folder: Path, options: dict[str, Any]) -> LocalExecutor:
    return LocalExecutor(store=Store(folder), workers=1, **options)


def _run_batch(
    cells: list[dict[str, Any]], latencies: dict[str, float | None], options: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
    """On a node: the fields of each cell's record, and the files beside it by their endings."""
    with tempfile.TemporaryDirectory() as folder, _local(Path(folder), options) as executor:
        executor.provenance = provenance.of_here()
        for record in executor.run(Queue([Cell.of(cell) for cell in cells]), latencies):
            yield record.to_json(), executor.store.take_files(record.cell_id)


def _measure_latency(job: MeasureLatency, options: dict[str, Any]) -> float | None:
    with _local(Path(tempfile.gettempdir()), options) as executor:
        try:
            return executor.measure_latency(job)
        except BenchError:
            return None


def _time_batches(job: TimeBatches, options: dict[str, Any]) -> dict[str, Any] | None:
    with _local(Path(tempfile.gettempdir()), options) as executor:
        return executor.time_batches([job])[0]
