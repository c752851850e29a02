"""Weights & Biases (https://docs.wandb.ai): a run for each cell, in the group of the benchmark."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.system.files import digest
from bench.trackers.base import PROJECT, Entry, Tracker

FOLDER = "wandb"
"""Of a run directory."""
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
            return f"wandb sync {self.place.directory / FOLDER}/offline-run-*"
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
        with self._run(name, entry.name, "cell", dict(entry.parameters), bool(entry.error)) as run:
            run.define_metric(IMAGES)
            for curve in entry.curves:
                run.define_metric(curve, step_metric=IMAGES)
            for step, row in _rows(entry):
                run.log({IMAGES: step, **row})
            error = {"error": entry.error} if entry.error else {}
            run.summary.update({**entry.metrics, **entry.tags, **error})
        return True

    def finish(self, answer: str, files: Sequence[Path]) -> None:
        name = digest([self.place.id, answer])[:16]
        if self._is_there(name):
            return
        with self._run(name, self.place.name, "answer", {}) as run:
            run.summary.update({"answer": answer})
            for file in files:  # an artifact would wait for its upload in the home directory
                run.save(shutil.copy(file, run.dir), base_path=run.dir, policy="end")

    def _is_there(self, name: str) -> bool:
        """Whether a run was logged on this machine before, as a whole."""
        return any(self.folder(FOLDER).glob(f"*run-*-{name}"))

    @contextmanager
    def _run(
        self, name: str, title: str, kind: str, parameters: dict[str, Any], failed: bool = False
    ) -> Iterator[Any]:
        """Gives a run to log to. Its files get their place once they are whole."""
        import wandb

        folder = self.folder(FOLDER)
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as place:
            run = wandb.init(
                project=self._project, group=self.place.id, id=name, name=title, job_type=kind, config=parameters,
                dir=place, mode=self._mode, reinit="create_new", settings=_settings(),
            )  # fmt: skip
            try:
                yield run
            finally:
                run.finish(exit_code=int(failed))
            for made in Path(place, "wandb").glob(f"*run-*-{name}"):
                made.rename(folder / made.name)


def _settings() -> Any:
    """Those of a client that is silent and tells nothing of this machine, its user, its packages or its paths."""
    import wandb

    return wandb.Settings(
        silent=True, console="off", save_code=False, disable_code=True, disable_git=True, disable_job_creation=True,
        x_disable_meta=True, x_disable_machine_info=True, x_disable_stats=True, x_save_requirements=False,
    )  # fmt: skip


def _rows(entry: Entry) -> list[tuple[int, dict[str, float]]]:
    """The curves by images seen, which rise. A stage begins where the one before ends, in a row of its own."""
    rows: dict[tuple[int, int], dict[str, float]] = {}
    for curve, points in entry.curves.items():
        seen = Counter[int]()
        for point in points:
            rows.setdefault((point.step, seen[point.step]), {})[curve] = point.value
            seen[point.step] += 1
    return [(step, rows[step, again]) for step, again in sorted(rows)]
