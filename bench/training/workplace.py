"""What a worker keeps from cell to cell: networks, and datasets that it has opened."""

from __future__ import annotations

from typing import Any

from bench.datasets import Dataset, open_dataset
from bench.execution.jobs import Place
from bench.modalities.base import Input
from bench.records import SINGLE_LABEL
from bench.training.engine import Engine


class Workplace:
    """The networks and the open datasets of a worker.

    Args:
        threads: that its Keras backend computes with.
    """

    def __init__(self, threads: int) -> None:
        self.engine = Engine(threads)
        self._datasets: dict[tuple[str, Input, str, str], Dataset] = {}

    def dataset(
        self,
        spec: str,
        input: Input,
        fingerprint: str | None = None,
        groups: str = "none",
        task: str = SINGLE_LABEL,
    ) -> Dataset:
        """A dataset, opened once.

        Args:
            spec, input: see ``open_dataset``.
            fingerprint: what it was when the run was planned.
            groups, task: see ``open_dataset``.

        Raises:
            RuntimeError: it has changed since.
        """
        key = (spec, input, groups, task)
        if key not in self._datasets:
            self._datasets[key] = open_dataset(spec, input, groups=groups, task=task)
        dataset = self._datasets[key]
        if fingerprint not in (None, dataset.fingerprint):
            raise RuntimeError(f"the dataset {spec} has changed since this run was planned")
        return dataset


def workplace(place: Place) -> Workplace:
    """That of a worker, made on first use."""
    if "workplace" not in place.kept:
        place.kept["workplace"] = Workplace(place.threads)
    found: Workplace = place.kept["workplace"]
    return found


def ready(place: Place) -> dict[str, Any]:
    """Loads what every cell needs."""
    workplace(place)
    return {}
