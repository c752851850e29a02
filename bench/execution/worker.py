"""The worker: a child process that does one job after the other, as its parent asks.

Jobs come as JSON lines on standard input, messages go as JSON lines to the file descriptor that is the first
argument. When standard input ends the parent is gone, and the worker ends at once, in the middle of
whatever it was doing: it stores nothing itself, so nothing can be left half done.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
from pkgutil import resolve_name
from typing import Any

from bench.execution import keras_backend
from bench.execution.jobs import Place, Unstored


def main() -> None:
    channel = os.fdopen(int(sys.argv[1]), "w", buffering=1)
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            jobs.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()

    def send(kind: str, **content: Any) -> None:
        channel.write(json.dumps({"kind": kind, "content": content}, allow_nan=False) + "\n")

    class ToParent(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            send("log", text=record.getMessage())

    logging.getLogger("bench").addHandler(ToParent(logging.WARNING))
    place = Place(int(os.environ["TRANSFER_BENCH_THREADS"]), lambda text: send("tick", text=text))
    job = jobs.get()
    place.tick("starting Keras")
    keras_backend.load(place.threads)
    while True:
        try:
            send("answer", **answer(place, job))
        except Unstored as error:
            send("unstored", reason=str(error))
        except Exception as error:
            send("failed", reason=f"{type(error).__name__}: {error}"[:2000])
        job = jobs.get()


def answer(place: Place, job: dict[str, Any]) -> dict[str, Any]:
    """What the handler of a job gives."""
    found: dict[str, Any] = resolve_name(job["handler"])(place, **job["fields"])
    return found
