"""Weights & Biases (https://docs.wandb.ai): a run for each cell, in the group of the benchmark."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.system.files import digest
from bench.trackers.base import PROJECT, Entry, Tracker

IMAGES = "images seen"
"""What curves are drawn over."""


class WandB(Tracker):
    """Logs to the project ``WANDB_PROJECT`` or ``transfer-bench``. Without ``WANDB_MODE=online`` or a
    ``WANDB_API_KEY`` it stays on this machine, in ``wandb/`` of the run directory, for ``wandb sync``.
    """

    name = "wandb"
    package = "wandb"

    @property
    def where(self) -> str:
        if self._mode == "offline":
            return f"wandb sync {self.place.directory / 'wandb'}/offline-run-*"
        return f"project {self._project}, group {self.place.id}"

    @property
    def _project(self) -> str:
        return os.environ.get("WANDB_PROJECT", PROJECT)

    @property
    def _mode(self) -> str:
        """Nothing leaves this machine unless somebody has said so."""
        return os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")

    def log(self, entry: Entry) -> bool:
        # A cell that has failed may be run again; then it is another run.
        name = digest([self.place.id, entry.id, entry.tags["status"]])[:16]
        if self._is_there(name):
            return False
        run = self._begun(name, entry.name, "cell", dict(entry.parameters))
        run.define_metric(IMAGES)
        rows: dict[int, dict[str, float]] = {}
        for curve, points in entry.curves.items():
            run.define_metric(curve, step_metric=IMAGES)
            for point in points:
                # Curves of a search and of the refit both begin at no image: rows have to rise.
                rows.setdefault(point.step, {})[curve] = point.value
        for step in sorted(rows):
            run.log({IMAGES: step, **rows[step]})
        run.summary.update({**entry.metrics, **entry.tags, **({"error": entry.error} if entry.error else {})})
        run.finish(exit_code=1 if entry.error else 0)
        return True

    def finish(self, answer: str, files: Sequence[Path]) -> None:
        import wandb

        name = digest([self.place.id, answer])[:16]
        if self._is_there(name):
            return
        run = self._begun(name, self.place.name, "answer", {})
        run.summary.update({"answer": answer})
        found = wandb.Artifact(f"report-{self.place.id}", type="report")
        for file in files:
            found.add_file(str(file))
        run.log_artifact(found)
        run.finish()

    def _is_there(self, name: str) -> bool:
        """Whether a run was begun on this machine before."""
        return any((self.place.directory / "wandb").glob(f"*run-*-{name}"))

    def _begun(self, name: str, title: str, kind: str, parameters: dict[str, Any]) -> Any:
        import wandb

        settings = wandb.Settings(
            silent=True, console="off", x_disable_stats=True, disable_git=True, save_code=False
        )
        return wandb.init(
            project=self._project, group=self.place.id, id=name, name=title, job_type=kind, config=parameters,
            dir=self.place.directory, mode=self._mode, reinit="create_new", settings=settings,
        )  # fmt: skip
