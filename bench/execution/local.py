"""Child processes on this machine: they are started, watched, ended and replaced here.

The parent never imports Keras, so nothing that a cell does can take it down.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from bench.backbones.spec import BackboneSpec
from bench.errors import BenchError
from bench.execution.jobs import Event, Fetch, Job, MeasureLatency, Message, Rank, Ready, RunCell, TimeBatches
from bench.execution.queue import Queue
from bench.modalities.registry import modality
from bench.records import AGAIN, FINAL, Cell, Record
from bench.store import Store
from bench.system import machine

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
CRASH_SIGNALS = {
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGILL,
    signal.SIGFPE,
    signal.SIGTRAP,
    signal.SIGSYS,
}
STDERR_TAIL = 2000
OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "Cannot allocate memory", "failed to allocate", "out of memory")
"""What is said, by Python, C++ and the system, before a process ends that has too little memory."""
WORKER = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); import bench.execution.worker as w; w.main()"
)
"""The child imports what the parent would import: no more (the current folder), no less (a checkout)."""


@dataclass
class LocalExecutor:
    """Runs cells in ``workers`` long-lived child processes, which end with the ``with`` statement that it is for.

    Args:
        store: where workers leave predictions; records are handed out, not stored here.
        workers: how many cells run at a time; no number in a record depends on it.
        threads: training threads of a worker, as the plan says.
        backend: Keras backend.
        cell_seconds: a cell that takes longer is ended, with its whole process group: ``timeout``.
        memory_bound_mb: a worker that holds more after a cell is replaced; default: its share of four fifths of
            all memory.
        provenance: goes into every record.
        notify: called with events.
        after: what a worker calls after a cell that is ok, as ``module:function``, and the folder that it is given.
    """

    store: Store
    workers: int
    threads: int
    backend: str
    cell_seconds: float
    provenance: dict[str, Any] = field(default_factory=dict)
    memory_bound_mb: float | None = None
    notify: Callable[[Event], None] = lambda event: None
    after: tuple[str, Path] | None = None
    pool: dict[int, _Worker] = field(default_factory=dict, init=False)

    def run(self, queue: Queue, latencies: dict[str, float | None]) -> Iterator[Record]:
        """Runs the cells that ``queue`` gives and yields each one's record as it ends.

        Args:
            queue: what to run; asked again after each record.
            latencies: milliseconds an example by cell id, from ``measure_latency``.

        Raises:
            StoreError: the disk is full.
        """
        self.store.directory.mkdir(parents=True, exist_ok=True)  # workers make it no more: it may be moved
        attempts: Counter[str] = Counter()
        halved: set[str] = set()
        busy: dict[int, Cell] = {}
        self._start_some(len(queue))
        while queue or busy:
            for number in [number for number in self.pool if number not in busy]:
                cell = queue.take(number)
                if cell is None:
                    break
                busy[number] = cell
                attempts[cell.id] += 1
                self.notify(Event("started", number, "", cell))
                small = cell if cell.id not in halved else replace(cell, batch_size=cell.batch_size // 2)
                self._begin(number, self._job(small, cell.id, latencies))
            for number, message in self._wait(busy):
                if not message.ends:
                    self.notify(Event("tick", number, message.content["text"], busy.get(number)))
                    continue
                cell = busy.pop(number)
                self.notify(Event("ended", number, "", cell))
                record = self._ended(cell, number, message, cell.id in halved)
                if record.status == "oom" and cell.id not in halved and cell.batch_size > 1:
                    halved.add(cell.id)
                    note = f"out of memory; it runs once more, with batches of {cell.batch_size // 2}"
                elif record.status in AGAIN and attempts[cell.id] < 2:
                    note = f"{record.status}; it runs once more"
                else:
                    yield record
                    continue
                self.notify(Event("note", number, note, cell))
                queue.put_back(cell)

    def _job(self, cell: Cell, id: str, latencies: dict[str, float | None]) -> RunCell:
        path = self.store.temporary_predictions_path(id)
        after, folder = self.after or ("", "")
        return RunCell(asdict(cell), latencies.get(id), str(path), after, str(folder))

    def _ended(self, cell: Cell, number: int, message: Message, is_small: bool) -> Record:
        """The record of a cell with which a worker is done, one way or another."""
        if message.kind == "unstored":
            raise self.store.cannot_write(message.content["reason"])
        fields = message.content
        if message.kind == "failed":
            fields = {"status": "failed", "error": {"type": "worker", "message": fields["reason"]}}
        record = self._record(cell, self.pool[number], fields)
        if is_small:
            many = modality(cell.modality).noun.many
            record.batch_size = cell.batch_size // 2
            record.warnings.append(
                f"Memory was not enough for batches of {cell.batch_size} {many}: this is a second run, with "
                f"batches of {record.batch_size}."
            )
        # What ran out of memory may hold on to what it has got.
        if message.kind == "gone" or record.status == "oom" or self._is_too_large(self.pool[number]):
            self._replace(number)
        return record

    def measure_latency(self, job: MeasureLatency) -> float | None:
        """Latency of a whole network, in milliseconds an example, with nothing else running; None if it failed."""
        if not self.pool:
            self.start()
        self.notify(Event("tick", 0, f"measuring the latency of {job.backbone}"))
        return self._ask({0}, job).content.get("milliseconds")

    def rank(self, jobs: Sequence[Rank]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Scores backbones, ``workers`` at a time.

        Yields:
            The place of a job and what came of it, as it ends: what ``bench.ranking.worker.rank`` returns, or
            ``failed`` with a reason.
        """
        for place, message in self._each(jobs, "ranking: "):
            reason = _reason(message)
            yield place, {"failed": reason} if reason else message.content

    def time_batches(self, jobs: Sequence[TimeBatches]) -> list[dict[str, Any] | None]:
        """What a few batches take, by job, while all workers time some, as they will train; None if it failed."""
        found: list[dict[str, Any] | None] = [None] * len(jobs)
        copies = math.ceil(min(self.workers, machine.cores()) / len(jobs)) if jobs else 0
        for place, message in self._each([*jobs] * copies, "timing batches of "):
            found[place % len(jobs)] = None if _reason(message) else message.content
        return found

    def _each(self, jobs: Sequence[Rank | TimeBatches], doing: str) -> Iterator[tuple[int, Message]]:
        """Has jobs about backbones done, ``workers`` at a time: the place of each and its last message."""
        waiting = deque(enumerate(jobs))
        busy: dict[int, int] = {}
        self._start_some(len(jobs))
        while waiting or busy:
            for number in [number for number in self.pool if number not in busy]:
                if not waiting:
                    break
                busy[number], job = waiting.popleft()
                self.notify(Event("tick", number, f"{doing}{job.backbone}"))
                self._begin(number, job)
            for number, message in self._wait(busy):
                if not message.ends:
                    text = f"{doing}{jobs[busy[number]].backbone}, {message.content['text']}"
                    self.notify(Event("tick", number, text))
                    continue
                place = busy.pop(number)
                if message.kind == "gone" or self._is_too_large(self.pool[number]):
                    self._replace(number)
                yield place, message

    def fetch(self, spec: BackboneSpec, size: int, download: bool = True) -> dict[str, Any]:
        """See ``bench.backbones.weights.Ask``; without ``download`` a file that is not there is an ``error``.

        Raises:
            BenchError: Keras failed with something other than that the weights are not there.
        """
        if not self.pool:
            self.start()
        message = self._ask({0}, Fetch(spec.text, size, download))
        if reason := _reason(message):
            raise BenchError(f"weights: asking Keras for the weights of {spec.text} failed: {reason}")
        return message.content

    def start(self) -> None:
        """Starts all workers at once and waits until they have loaded Keras."""
        self.pool = {number: self._start(number) for number in range(self.workers)}
        self._ask(set(self.pool), Ready())

    def _start_some(self, most: int) -> None:
        """Starts workers that are not there yet, as many as can be used."""
        for number in range(min(self.workers, most)):
            if number not in self.pool:
                self.pool[number] = self._start(number)

    def _begin(self, number: int, job: Job) -> None:
        """Hands a job to a worker; one that has died meanwhile is replaced first."""
        if self.pool[number].process.poll() is not None:
            self._replace(number)
        self.pool[number].begin(job)

    def _ask(self, numbers: set[int], job: Job) -> Message:
        """Has workers do a job that is no cell; returns the last answer. Who does not survive it is replaced."""
        waiting: dict[int, None] = dict.fromkeys(numbers)
        message = Message("answer", {})
        for number in waiting:
            self.pool[number].begin(job)
        while waiting:
            for number, message in self._wait(waiting):
                if not message.ends:
                    self.notify(Event("tick", number, message.content["text"]))
                    continue
                del waiting[number]
                if message.kind == "gone":
                    self._replace(number)
        return message

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all workers."""
        while self.pool:
            self.pool.popitem()[1].end()

    def _wait(self, busy: dict[int, Any]) -> Iterator[tuple[int, Message]]:
        """What the busy workers said within a poll; a worker that is gone or too slow says ``gone``."""
        selector = selectors.DefaultSelector()
        for number in busy:
            selector.register(self.pool[number].channel, selectors.EVENT_READ, number)
        ready = {key.data for key, _ in selector.select(POLL_SECONDS)}
        selector.close()
        for number in list(busy):
            worker = self.pool[number]
            worker.watch_memory()
            answered = False
            dead = worker.process.poll() is not None  # asked before reading: what it said last is not missed
            if number in ready or dead:
                for message in worker.read():
                    yield number, message
                    answered = message.ends
                if not answered and (dead or not worker.channel_open):
                    yield number, Message("gone", worker.obituary())
                    answered = True
            if not answered and time.monotonic() - worker.began > self.cell_seconds:
                worker.end()
                reason = f"took longer than {self.cell_seconds:g} s (limits.cell_seconds) and was ended"
                fields = {"status": "timeout", "error": {"type": "timeout", "message": reason}}
                yield number, Message("gone", fields)

    def _record(self, cell: Cell, worker: _Worker, fields: dict[str, Any]) -> Record:
        # A cell that uses no network says nothing of memory: what its worker holds is of earlier cells.
        measures = bool(cell.backbone) or fields["status"] not in FINAL
        costs = {
            "wall_seconds": time.monotonic() - worker.began,
            "peak_memory_mb": worker.peak_mb if measures else None,
        }
        fields = {**fields, "costs": {**fields.get("costs", {}), **costs}}
        return Record(cell_id=cell.id, cell=asdict(cell), provenance=self.provenance, **fields)

    def _is_too_large(self, worker: _Worker) -> bool:
        bound = self.memory_bound_mb
        if bound is None:
            bound = 0.8 * machine.total_memory() / 2**20 / self.workers
        return worker.memory_mb() > bound

    def _start(self, number: int) -> _Worker:
        return _Worker(number, self.threads, self.backend)

    def _replace(self, number: int) -> None:
        self.pool[number].end()
        self.pool[number] = self._start(number)


@cache
def _log(text: str) -> None:
    """Once, however many workers say so."""
    log.warning("%s", text)


def _reason(message: Message) -> str:
    """Why a job came to nothing; empty if it did not."""
    if message.kind == "gone":
        return str(message.content["error"]["message"])
    return str(message.content["reason"]) if message.kind == "failed" else ""


class _Worker:
    """One child process, and the pipe on which it answers."""

    def __init__(self, number: int, threads: int, backend: str) -> None:
        self.number = number
        self.began = time.monotonic()
        self.peak_mb = 0.0
        self.channel_open = True
        self._buffer = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the worker)
        reading, writing = os.pipe()
        environment = machine.environment(backend, threads) | {"TRANSFER_BENCH_THREADS": str(threads)}
        if gpus := machine.gpus():
            environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", WORKER, str(writing), json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=self._stderr,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
            env=environment,
            start_new_session=True,  # a group of its own: it can be ended whole, and Ctrl-C is ours alone
        )
        os.close(writing)
        os.set_blocking(reading, False)
        self.channel = reading
        self._process_info = psutil.Process(self.process.pid)

    def begin(self, job: Job) -> None:
        self.began = time.monotonic()
        self.peak_mb = 0.0
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # found dead at the next poll
            self.process.stdin.write(json.dumps(job.wire()).encode() + b"\n")
            self.process.stdin.flush()

    def read(self) -> list[Message]:
        """The whole messages that have arrived; what is for the log is in it."""
        with contextlib.suppress(BlockingIOError):
            while True:
                chunk = os.read(self.channel, 1 << 16)
                if not chunk:
                    self.channel_open = False
                    self.process.wait()
                    break
                self._buffer += chunk
        *lines, self._buffer = self._buffer.split(b"\n")
        messages = [Message(**json.loads(line)) for line in lines]
        for message in messages:
            if message.kind == "log":
                _log(message.content["text"])
        return [message for message in messages if message.kind != "log"]

    def memory_mb(self) -> float:
        """Resident memory, in MiB; 0 if the process is gone."""
        try:
            return float(self._process_info.memory_info().rss / 2**20)
        except psutil.Error:
            return 0.0

    def watch_memory(self) -> None:
        self.peak_mb = max(self.peak_mb, self.memory_mb())

    def obituary(self) -> dict[str, Any]:
        """The record fields of a cell whose worker ended in the middle of it."""
        code = self.process.returncode
        self._stderr.seek(0)
        tail = self._stderr.read().decode(errors="replace")[-STDERR_TAIL:].strip()
        if code == -signal.SIGKILL:
            free = machine.available_memory() / 2**20
            message = (
                f"the worker was killed (SIGKILL) while holding {self.peak_mb:.0f} MiB, with {free:.0f} MiB free "
                "now; this is often the kernel running out of memory: try fewer --workers or a smaller batch_size"
            )
            return {"status": "killed", "error": {"type": "SIGKILL", "message": message}}
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if any(words in tail for words in OUT_OF_MEMORY):
            message = f"the worker ended by {name}: it ran out of memory while holding {self.peak_mb:.0f} MiB"
            return {"status": "oom", "error": {"type": "MemoryError", "message": message, "traceback": tail}}
        status = "crashed" if code > 0 or -code in CRASH_SIGNALS else "killed"
        message = f"the worker ended by {name}"
        return {"status": status, "error": {"type": name, "message": message, "traceback": tail}}

    def end(self) -> None:
        """Ends the process and everything it started."""
        if self.channel is None:
            return
        with contextlib.suppress(
            ProcessLookupError, PermissionError
        ):  # the latter: macOS, of one that has ended
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        os.close(self.channel)
        self._stderr.close()
        self.channel = None  # type: ignore[assignment]
