"""The worker: a child process that runs cells, one after the other, as its parent asks.

Jobs come as JSON lines on standard input, answers go as JSON lines to the file descriptor that is the first
argument. When standard input ends the parent is gone, and the worker ends at once, in the middle of
whatever it was doing: it stores nothing itself, so nothing can be left half done.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from bench.system import backend

TRACEBACK_LINES = 12


def main() -> None:
    channel = os.fdopen(int(sys.argv[1]), "w", buffering=1)
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            jobs.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()

    def send(event: str, **content: Any) -> None:
        channel.write(json.dumps({"event": event, **content}, allow_nan=False) + "\n")

    runner: _Runner | None = None
    while True:
        job = jobs.get()
        if runner is None:
            send("tick", text="starting Keras")
            runner = _Runner()
        if job["job"] == "start":
            send("ready")
        elif job["job"] == "fetch":
            from bench.backbones.fetch import fetch

            try:
                send("fetched", **fetch(job["backbone"], job["image_size"], job["download"]))
            except Exception as error:
                send("fetched", failed=f"{type(error).__name__}: {error}")
        elif job["job"] == "latency":
            try:
                send("latency", milliseconds=runner.latency(job))
            except Exception as error:
                send("latency", milliseconds=None, error=f"{type(error).__name__}: {error}")
        elif job["job"] == "rank":
            try:
                send("ranked", **runner.rank(job, lambda text: send("tick", text=text)))
            except Exception as error:
                send("ranked", failed=f"{type(error).__name__}: {error}"[:2000])
        else:
            try:
                send("done", fields=runner.cell(job, lambda text: send("tick", text=text)))
            except Unstored as error:
                send("unstored", message=str(error))


class Unstored(Exception):
    """The predictions of a cell cannot be written."""


class _Runner:
    def __init__(self) -> None:
        threads = int(os.environ["TRANSFER_BENCH_THREADS"])
        backend.load(threads)
        from bench.training.engine import Engine

        self.engine = Engine(threads)
        self.datasets: dict[tuple[str, int, str], Any] = {}
        self.domains: dict[tuple[str, ...], Any] = {}
        self.auxiliaries: dict[tuple[str, ...], Any] = {}

    def dataset(self, spec: str, image_size: int, resizing: str, fingerprint: str) -> Any:
        from bench.datasets import open_dataset

        key = (spec, image_size, resizing)
        if key not in self.datasets:
            self.datasets[key] = open_dataset(*key)
        dataset = self.datasets[key]
        if dataset.fingerprint != fingerprint:
            raise RuntimeError(f"the dataset {spec} has changed since this run was planned")
        return dataset

    def domain(self, cell: Any, dataset: Any) -> Any:
        """The source of a cell as it stands to its dataset; None if it has none."""
        from bench.datasets.companions.source import pair, relation
        from bench.plans.strategies import get_strategy

        if not cell.source_fingerprint:
            return None
        source = self.dataset(cell.source_dataset, cell.image_size, cell.resizing, cell.source_fingerprint)
        classes = relation(get_strategy(cell.strategy), bool(cell.few_shot))
        key = (cell.fingerprint, cell.source_fingerprint, cell.source_groups, classes)
        if key not in self.domains:
            self.domains[key] = pair(source, dataset, cell.source_groups, classes)
        return self.domains[key]

    def auxiliary(self, cell: Any, dataset: Any) -> Any:
        """The auxiliary tasks of a cell."""
        from bench.datasets.companions.auxiliary import of_cell

        marks = (*cell.auxiliary_columns.values(), cell.auxiliary_fingerprint, cell.auxiliary_groups)
        if not any(marks):
            return ()
        key = (cell.fingerprint, *marks)
        if key not in self.auxiliaries:
            other = None
            if cell.auxiliary_fingerprint:
                where = (cell.auxiliary_dataset, cell.image_size, cell.resizing)
                other = self.dataset(*where, cell.auxiliary_fingerprint)
            self.auxiliaries[key] = of_cell(cell, dataset, other)
        return self.auxiliaries[key]

    def cell(self, job: dict[str, Any], tick: Any) -> dict[str, Any]:
        """The fields of the record of a cell; predictions are left in the file that the job names, and in a
        pretraining the weights, and what baselines answer, in the folder that it names."""
        from bench.protocols.few_shot.cell import run_few_shot
        from bench.protocols.fractions.cell import run_cell
        from bench.records import Cell

        try:
            cell = Cell(**job["cell"])
            dataset = self.dataset(cell.dataset, cell.image_size, cell.resizing, cell.fingerprint)
            domain = self.domain(cell, dataset)
            if cell.few_shot:
                outcome = run_few_shot(cell, dataset, self.engine, tick, domain)
            else:
                outcome = run_cell(
                    cell,
                    dataset,
                    self.engine,
                    job["inference_ms"],
                    tick,
                    domain=domain,
                    auxiliary=self.auxiliary(cell, dataset),
                )
            if outcome.episodes is not None:
                self._write_arrays(Path(job["predictions"]), outcome.episodes)
            if outcome.probabilities is not None:
                self._write_predictions(Path(job["predictions"]), outcome.probabilities, dataset.test)
            if outcome.samples is not None:
                self._write_samples(Path(job["predictions"]).with_suffix(".png"), outcome.samples)
            if job["source"] and outcome.fields["status"] == "ok":
                self._write_source(Path(job["source"]), cell, dataset, outcome, tick)
            return outcome.fields
        except Unstored:
            raise
        except Exception as error:
            lines = traceback.format_exc().strip().splitlines()
            problem = {
                "type": type(error).__name__,
                "message": str(error)[:2000] or repr(error),
                "traceback": "\n".join(lines[-TRACEBACK_LINES:]),
            }
            return {"status": "oom" if _is_out_of_memory(error) else "failed", "error": problem}

    def _write_predictions(self, path: Path, probabilities: Any, test: Any) -> None:
        import numpy as np

        content = {"probabilities": probabilities, "labels": test.labels, "ids": np.array(test.ids, np.str_)}
        if test.groups is not None:
            content["groups"] = test.groups
        self._write_arrays(path, content)

    @staticmethod
    def _write_arrays(path: Path, content: dict[str, Any]) -> None:
        import numpy as np

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                np.savez_compressed(file, **content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unstored(error.strerror or str(error)) from error

    @staticmethod
    def _write_samples(path: Path, samples: Any) -> None:
        """Pictures in two rows: what there was, and under it what was made of it."""
        import numpy as np
        from PIL import Image

        rows = [np.concatenate(list(samples[:, i]), axis=1) for i in (0, 1)]
        try:
            with path.open("wb") as file:
                Image.fromarray(np.concatenate(rows)).save(file, "PNG")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unstored(error.strerror or str(error)) from error

    @staticmethod
    def _write_source(folder: Path, cell: Any, dataset: Any, outcome: Any, tick: Any) -> None:
        import numpy as np

        from bench.backbones.own import BASELINES, WEIGHTS
        from bench.commands.pretraining.worker import baselines, save_backbone

        save_backbone(outcome.network, outcome.state, folder / WEIGHTS)
        tick("measuring what needs no training")
        answers = baselines(cell, dataset, outcome.network)
        np.savez(folder / BASELINES, names=list(answers), answers=np.stack(list(answers.values())))

    def rank(self, job: dict[str, Any], tick: Any) -> dict[str, Any]:
        """See ``bench.ranking.worker``."""
        from bench.ranking.worker import rank

        dataset = self.dataset(*(job[name] for name in ("dataset", "image_size", "resizing", "fingerprint")))
        return rank(job, dataset, self.engine, tick)

    def latency(self, job: dict[str, Any]) -> float:
        """Milliseconds of one prediction of a whole network: batch 1, warm.

        The median of 20, three times over, of which the least: what else the machine does for a moment is not
        the network's.
        """
        import numpy as np

        from bench.training.programs.config import HeadConfig, Trained

        network = self.engine.network(job["backbone"], job["weights"], job["image_size"], job["precision"])
        program = network.program(network.cut("input"), HeadConfig(**job["head"]), Trained(), 0.0)
        image = np.zeros((1, job["image_size"], job["image_size"], 3), np.float32)
        times = []
        for _ in range(70):
            start = time.perf_counter()
            program.model.predict_on_batch(image)
            times.append(time.perf_counter() - start)
        return float(np.median(np.reshape(times[10:], (3, 20)), axis=1).min() * 1000)


OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")
OUT_OF_MEMORY_WORDS = ("RESOURCE_EXHAUSTED", "not enough memory", "can't allocate memory", "out of memory")
"""Of JAX, and of PyTorch on a CPU, which raise errors of a general kind."""


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ in OUT_OF_MEMORY:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY_WORDS)
