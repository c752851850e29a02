"""MLflow (https://mlflow.org): a run for the whole benchmark, with a nested run for each cell."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.trackers.base import PROJECT, Entry, Place, Tracker

IS_RUN, IS_CELL = "transfer_bench.benchmark", "transfer_bench.cell"
"""Tags by which runs of a benchmark, and of its cells, are found again."""
MOST_METRICS, MOST_PARAMETERS = 1000, 100
"""That a server takes at once."""
TO_BE_SEEN = 1.0
"""Seconds until a run that another shard was making is seen here, too."""
LONGEST = 500
"""Characters of a parameter, or of a tag."""


class MLflow(Tracker):
    """Logs to ``MLFLOW_TRACKING_URI``, into the experiment ``MLFLOW_EXPERIMENT_NAME`` or ``transfer-bench``."""

    name = "mlflow"
    package = "mlflow"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        # Of a server that does not answer: MLflow's own are seven times two minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        from mlflow import MlflowClient

        self._client = MlflowClient()
        self._kept: tuple[str, str] | None = None

    @property
    def where(self) -> str:
        experiment, run = self._parent
        return f"{self._client.tracking_uri}, experiment {experiment}, run {run}"

    def log(self, entry: Entry) -> bool:
        from mlflow.entities import Metric, Param

        experiment, parent = self._parent
        for known in self._found(experiment, IS_CELL, entry.id, parent):
            if known.info.status == ("FAILED" if entry.error else "FINISHED"):
                return False
            self._client.delete_run(
                known.info.run_id
            )  # a program was killed there, or the cell was run again
        tags = {"mlflow.parentRunId": parent, IS_CELL: entry.id}
        tags |= {f"transfer_bench.{name}": value[:LONGEST] for name, value in entry.tags.items()}
        tags |= {"mlflow.note.content": entry.error[:LONGEST]} if entry.error else {}
        began, ended = (int(1000 * seconds) for seconds in (entry.ended - entry.took, entry.ended))
        run = self._client.create_run(experiment, began, tags, entry.name).info.run_id
        metrics = [Metric(name, value, ended, 0) for name, value in entry.metrics.items()]
        for name, points in entry.curves.items():
            metrics += [Metric(name, point.value, int(1000 * point.seconds), point.step) for point in points]
        parameters = [Param(name, str(value)[:LONGEST]) for name, value in entry.parameters.items()]
        for some in _in_parts(parameters, MOST_PARAMETERS):
            self._client.log_batch(run, params=some)
        for some in _in_parts(metrics, MOST_METRICS):
            self._client.log_batch(run, metrics=some)
        self._client.set_terminated(run, "FAILED" if entry.error else "FINISHED", ended)
        return True

    def finish(self, answer: str, files: Sequence[Path]) -> None:
        _, parent = self._parent
        self._client.set_tag(parent, "mlflow.note.content", answer)
        for file in files:
            self._client.log_artifact(parent, str(file))
        self._client.set_terminated(parent, "FINISHED")

    @property
    def _parent(self) -> tuple[str, str]:
        """The ids of the experiment and of the run that cells are nested in."""
        if self._kept is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
            known = self._client.get_experiment_by_name(name)
            experiment = known.experiment_id if known else self._client.create_experiment(name)
            found = self._found(experiment, IS_RUN, self.place.id)
            self._kept = experiment, found[0].info.run_id if found else self._made(experiment)
        return self._kept

    def _made(self, experiment: str) -> str:
        """The id of a new run for the benchmark: the same for shards that begin at the same moment."""
        tags = {IS_RUN: self.place.id}
        own: str = self._client.create_run(experiment, tags=tags, run_name=self.place.name).info.run_id
        time.sleep(TO_BE_SEEN)
        ids = (run.info.run_id for run in self._found(experiment, IS_RUN, self.place.id))
        if (kept := min(ids, default=own)) != own:
            self._client.delete_run(own)
        return kept

    def _found(self, experiment: str, tag: str, value: str, parent: str = "") -> list[Any]:
        """The runs with a tag, of those that belong to a parent if one is given."""
        query = f"tags.`{tag}` = '{value}'"
        query += f" and tags.`mlflow.parentRunId` = '{parent}'" if parent else ""
        return list(self._client.search_runs([experiment], query))


def _in_parts(values: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), most):
        yield values[start : start + most]
