"""A run directory and what is in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.datasets import cached_dataset
from bench.errors import BenchError, RequestError
from bench.plans.loading import load_plan
from bench.plans.plan import Report as ReportSettings
from bench.plans.plan_file import read_text
from bench.plans.protocol import protocol
from bench.predictions import damaged
from bench.records import FINAL, Record
from bench.store import Store

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from bench.modalities.base import Modality
    from bench.modalities.nouns import Noun
    from reports.recommend import Recommendation
    from reports.results import Results


@dataclass(repr=False)
class Run:
    """A run directory and what is in it.

    Attributes:
        directory: where it lies.
        records: one a cell that has been run, in order of cell ids.
        warnings: what was noticed while loading it.
        missing: cells of the plan that have no record (yet).
        elsewhere: how many of them belong to shards that this run was not asked for.
    """

    directory: Path
    records: list[Record] = field(repr=False)
    warnings: list[str] = field(default_factory=list)
    missing: int = 0
    elsewhere: int = 0

    @cached_property
    def results(self) -> pd.DataFrame:
        """One row a cell; the columns of results.csv."""
        from reports.tables import results_frame

        return results_frame(self.records)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Learning curves in long form: cell_id, run, stage, epoch, images, seconds, metric, value."""
        from reports.tables import curves_frame

        return curves_frame(self.records)

    def __str__(self) -> str:
        said = " ".join(f"{dataset}{headline}" for dataset, headline in self.headlines())
        return said or f"No result yet, in {self.directory}."

    def __repr__(self) -> str:
        return f"{self}\nRun in {self.directory}, {len(self.records):,} cells."

    def _repr_html_(self) -> str:
        """The answer with warnings and its summary, for notebooks."""
        from reports.notebook import fragment

        settings, (info, plan_toml) = self.settings, self._provenance()
        return fragment(
            self.records, self.directory, settings.region, settings.price_per_hour, info, plan_toml
        )

    def _provenance(self) -> tuple[dict[str, Any], str]:
        """The contents of run.json, with this run's warnings among its notes, and of plan.toml."""
        store = Store(self.directory)
        info = store.read_run()
        info["notes"] = [*info.get("notes", []), *self.warnings, *self.damaged_predictions]
        return info, read_text(store.plan_path) if store.plan_path.exists() else ""

    @cached_property
    def settings(self) -> ReportSettings:
        """The section ``report`` of its plan; the defaults where there is none.

        Raises:
            RequestError: the plan has a mistake. No guess is made: it may say that examples are private.
        """
        path = Store(self.directory).plan_path
        return load_plan(path).report if os.path.lexists(path) else ReportSettings()

    def report(self, settings: ReportSettings | None = None) -> Path:
        """Writes report.html, figures/ and results.csv from the records. Returns the path of the page.

        Args:
            settings: instead of those of the plan.

        Raises:
            StoreError: the directory cannot be written.
        """
        from reports.html import render

        settings = settings or self.settings
        store = Store(self.directory)
        info, plan_toml = self._provenance()
        previews, sounds = (self._previews, self._sounds) if settings.thumbnails else (None, None)
        with store.writing():
            return render(
                self.records,
                info,
                plan_toml,
                self.directory,
                settings.region,
                settings.price_per_hour,
                previews,
                store.read_ranking(),
                sounds,
            )

    def recommend(
        self,
        labels: float | None = None,
        seconds: float | None = None,
        latency_ms: float | None = None,
        params: float | None = None,
        dataset: str | None = None,
    ) -> Recommendation:
        """The configuration to take under constraints, see ``reports.recommend.recommend``.

        Args:
            labels: labelled examples that there will be. Default: the most that were measured.
            seconds: at most, to tune and train one seed.
            latency_ms: at most, of one example.
            params: at most, of the network.
            dataset: its name, if the run has several.

        Raises:
            RequestError: no configuration keeps to them, or they cannot be answered.
        """
        from reports.recommend import Constraints, recommend

        self.check_fractions("recommend")
        constraints = Constraints(labels, seconds, latency_ms, params)
        return recommend(self.results, self.directory, constraints, dataset, self.settings.region, self.noun)

    def headlines(self) -> list[tuple[str, str]]:
        """The headline and the line of the answer for each dataset, after its name if there are several."""
        from reports.pages import page_of

        run = self._as_results()
        answers = page_of(run).answers(run)
        said = [f"{answer.headline.removesuffix('.')}. {answer.line}" for answer in answers]
        return [
            (f"{a.dataset}: " if len(answers) > 1 else "", text)
            for a, text in zip(answers, said, strict=True)
        ]

    def ends(self) -> list[str]:
        """Why a run that was cut short has ended, see ``reports.questions.course``."""
        from reports.questions.course import ends

        return ends(self._as_results())

    def next_steps(self) -> list[tuple[str, str]]:
        """Commands to go on with, and what each is for."""
        from reports.pages import page_of

        run = self._as_results()
        return page_of(run).next_steps(run)

    def _as_results(self) -> Results:
        """What the questions of the report are asked of."""
        from reports.results import Results

        info, plan_toml = self._provenance()
        return Results(self.records, info, plan_toml, self.directory, self.settings.region)

    @property
    def cautions(self) -> list[str]:
        """Warnings to read before a recommendation of this run is followed, beyond its intervals, as sentences."""
        from reports.phrases import small_maps

        return [*small_maps(self.records), *self.warnings, *self.damaged_predictions]

    @cached_property
    def damaged_predictions(self) -> list[str]:
        """What is wrong with predictions, which are left out then; sentences."""
        store = Store(self.directory)
        return damaged(store.predictions_path(record.cell_id) for record in self.records)

    @property
    def noun(self) -> Noun:
        """The name of an example of this run."""
        from reports.results import noun_of

        return noun_of(self.records)

    def check_fractions(self, command: str) -> None:
        """Refuses what only a protocol that shares labels out can answer.

        Raises:
            RequestError: this is a run of another one.
        """
        for name in {record.cell["protocol"] for record in self.records}:
            if not protocol(name).shares_labels:
                raise RequestError(
                    "DIR",
                    str(self.directory),
                    "a run of the protocol fractions",
                    f"{command} compares strategies by their labels, and this run is of the protocol "
                    f"{name}. See its "
                    f"report.html and {protocol(name).table}.",
                )

    def _previews(self, fingerprint: str, ids: Sequence[str]) -> dict[str, str]:
        return self._shown(fingerprint, ids, lambda kind, row: kind.preview(row))

    def _sounds(self, fingerprint: str, ids: Sequence[str]) -> dict[str, str]:
        return self._shown(fingerprint, ids, lambda kind, row: kind.sound(row))

    def _shown(
        self, fingerprint: str, ids: Sequence[str], show: Callable[[Modality, np.ndarray], str]
    ) -> dict[str, str]:
        """Those of these test examples that are in the cache; nothing is decoded for a report."""
        cell = next(record.cell for record in self.records if record.cell["fingerprint"] == fingerprint)
        try:
            dataset = cached_dataset(cell["dataset"], cell["examples"], cell["groups"], cell["task"])
        except BenchError:
            return {}
        if dataset is None or dataset.fingerprint != fingerprint:
            return {}
        rows = {name: row for row, name in enumerate(dataset.test.ids)}
        return {name: show(dataset.kind, dataset.test.data[rows[name]]) for name in ids if name in rows}

    @property
    def exit_code(self) -> int:
        """0 if every cell that was asked for has a record and every record is ok or skipped, else 1."""
        there = self.missing == self.elsewhere
        return 0 if there and all(record.status in FINAL for record in self.records) else 1


def load(out: str | Path) -> Run:
    """Opens a run directory.

    Raises:
        RequestError: there is no run in it.
        RecordError: a record is of a newer version.
    """
    store = Store(Path(out))
    if not (store.directory / "cells").is_dir() and not store.plan_path.exists():
        raise RequestError(
            "DIR", str(out), "a run directory", "It has neither a plan.toml nor a folder cells."
        )
    planned = store.read_run().get("cells")
    records = store.records(planned)
    missing = len(set(planned or ()) - {record.cell_id for record in records})
    return Run(store.directory, records, store.warnings, missing)
