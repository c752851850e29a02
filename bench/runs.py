"""From a plan to a finished run directory: prepare, run what is missing, store, report."""

from __future__ import annotations

import contextlib
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import backend, cache, plugins, provenance
from bench.auxiliary import ALL, Auxiliary, auxiliaries, chosen, with_auxiliary
from bench.auxiliary import description as auxiliary_description
from bench.backbones import BackboneSpec, check_size, parse_backbone, titled
from bench.backbones.sources import LEARNED_NOTHING, PREFIX, WeightSource, read_source
from bench.backbones.weights import Ask, Weights, resolve_weights
from bench.datasets import Dataset, cached_dataset, canonical_spec, open_dataset
from bench.datasets.source import shown
from bench.datasets.splits import check_fraction
from bench.domains import SourceDomain, description, pair, relation
from bench.episodes import check_episodes, findings_of_new, held_out
from bench.errors import BenchError, RequestError, did_you_mean, told_of
from bench.files import cache_dir, digest, locked, write_atomic
from bench.forecast import Forecast
from bench.leakage import with_leakage
from bench.plan import AUTO, NUMBERLESS, Plan, load_plan, read_stored_plan
from bench.plan import Report as ReportSettings
from bench.records import AGAIN, FINAL, PROTOCOL_VERSION, SCHEMA_VERSION, Cell, Record
from bench.store import Shard, Store
from strategies import STRATEGIES, get_strategy, spelled
from strategies.fixed import declared

if TYPE_CHECKING:
    import pandas as pd

    from bench.execution.local import Event, LocalExecutor
    from bench.execution.ray import RayExecutor
    from reports.recommend import Recommendation
    from strategies.base import Strategy

    Executor = LocalExecutor | RayExecutor

WORKER_MEMORY_MB = 2500
"""What a worker is reckoned with when the default number of workers is chosen."""
RETRYABLE = ("failed", "oom", "timeout", "killed", "crashed")


@dataclass(frozen=True)
class Prepared:
    """A plan that has been checked against its data: every mistake that can be known beforehand is known."""

    plan: Plan
    cells: tuple[Cell, ...]
    datasets: tuple[Dataset, ...]
    notes: tuple[str, ...] = ()
    sources: tuple[WeightSource, ...] = ()
    domains: Mapping[str, SourceDomain] = field(default_factory=dict)
    """The source dataset as it stands to each dataset, by fingerprint; empty if there is none."""
    auxiliary: Mapping[str, tuple[Auxiliary, ...]] = field(default_factory=dict)
    """The auxiliary tasks of each dataset, by its fingerprint."""

    @property
    def source_dataset(self) -> Dataset | None:
        return next((domain.dataset for domain in self.domains.values()), None)

    @property
    def sizes(self) -> dict[str, int]:
        """Images to learn from by fingerprint, those of the source dataset too."""
        found = {dataset.fingerprint: len(dataset.pool.ids) for dataset in self.datasets}
        return found | {domain.dataset.fingerprint: len(domain.groups) for domain in self.domains.values()}

    @property
    def warnings(self) -> list[str]:
        """What speaks against the datasets and the sources, a sentence each."""
        beside = {t.name: t.domain.dataset for tasks in self.auxiliary.values() for t in tasks if t.domain}
        data = [*self.datasets, *filter(None, [self.source_dataset]), *beside.values()]
        of_data = [f"{dataset.name}: {found}" for dataset in data for found in dataset.warnings]
        return of_data + [LEARNED_NOTHING.format(s.name) for s in self.sources if not s.learned]


def prepare(plan: Plan, say: Callable[[str], None] = lambda text: None, ask: Ask | None = None) -> Prepared:
    """Checks a plan, opens its datasets (decoding them the first time) and lists its cells.

    Args:
        plan: what to run; all of its backbones are named.
        say: called with what is being done, when that takes long.
        ask: asks Keras for weights; default: a child process.

    Raises:
        RequestError: a strategy, backbone, dataset, weight file, size or fraction cannot be used.
    """
    plan = canonical(plan)
    strategies = {name: get_strategy(name) for name in plan.strategies}
    specs = [parse_backbone(text) for text in plan.backbones]
    _check_source(plan, strategies)
    _check_auxiliary(plan, strategies)
    _check_given(plan, strategies)
    cache.limit()  # refuses a wrong setting here and not in each worker
    uses_weights = any(strategy.uses_weights for strategy in strategies.values())
    resolving = _Resolving(specs if uses_weights else [], plan.image_size, ask)

    def progress(text: str) -> None:
        say(text)
        resolving.check()

    datasets = [open_dataset(d, plan.image_size, plan.resizing, progress=progress) for d in plan.datasets]
    few_shot = plan.few_shot.model_dump() if plan.protocol == "few-shot" else {}
    fractions = [0.0] if few_shot else plan.fractions
    for dataset in datasets:
        pool = dataset.pool
        for fraction in filter(None, fractions):
            check_fraction(
                pool.labels, pool.groups, fraction, plan.seeds, dataset.fingerprint, dataset.class_names
            )
        if few_shot:
            check_episodes(dataset, **few_shot)
    domains: dict[str, SourceDomain] = {}
    if plan.source_dataset:
        with told_of("source_dataset"):
            source = open_dataset(plan.source_dataset, plan.image_size, plan.resizing, progress=progress)
        relations = [relation(s, bool(few_shot)) for s in strategies.values() if s.needs_source]
        classes = relations[0] if relations else "other" if few_shot else "any"
        domains = {
            dataset.fingerprint: pair(source, dataset, plan.source_groups, classes) for dataset in datasets
        }
        for domain in domains.values():
            for seed in range(plan.seeds if 0 in fractions and not few_shot else 0):
                domain.divided(seed)
            for seed in range(plan.seeds if few_shot else 0):
                held_out(domain, few_shot, seed)
    other = None
    if plan.auxiliary_dataset:
        with told_of("auxiliary_dataset"):
            other = open_dataset(plan.auxiliary_dataset, plan.image_size, plan.resizing, progress=progress)
    tasks = auxiliaries(datasets, plan.auxiliary, other, plan.auxiliary_groups)
    _check_chosen(strategies, tasks)
    weights = {spec: Weights("none", "", None) for spec in specs}
    weights |= resolving.result()
    texts = [spec.weights for spec in specs if uses_weights and spec.weights.startswith(PREFIX)]
    sources = [read_source(text) for text in dict.fromkeys(texts)]
    datasets = [with_leakage(dataset, sources, plan.image_size, plan.resizing, say) for dataset in datasets]
    if few_shot:
        datasets = [findings_of_new(dataset) for dataset in datasets]

    cells: dict[str, Cell] = {}
    for dataset in datasets:
        for spec in specs:
            for name, strategy in strategies.items():
                searched = declared(strategy, bool(few_shot)).searched.keys() - strategy.fixed.keys()
                once = bool(few_shot) and not strategy.trains and not (searched and domains)
                uses_source = strategy.needs_source or strategy.uses_source
                uses_source |= bool(few_shot) and strategy.uses_backbone
                for fraction in sorted(fractions, reverse=True):  # the long ones first: workers end together
                    for seed in range(1 if once else plan.seeds):
                        cell = _cell(plan, dataset, spec, weights[spec], name, strategy, fraction, seed)
                        cell = replace(cell, few_shot=few_shot)
                        if uses_source and domains:
                            cell = _with_source(cell, domains[dataset.fingerprint])
                        if strategy.needs_auxiliary:
                            mine = chosen(tasks[dataset.fingerprint], _auxiliary_of(strategy))
                            cell = with_auxiliary(cell, mine)
                        cells.setdefault(cell.id, cell)
    notes = [
        line for d in datasets if domains for line in description(domains[d.fingerprint], d, bool(few_shot))
    ]
    notes += [line for d in datasets for line in auxiliary_description(tasks[d.fingerprint], d)]
    notes += _without_counterpart(strategies, fractions)
    if plan.tuning.algorithm == "hyperband":
        notes.append("Hyperband: strategies had equal budgets in epochs, not in trials.")
    notes += [
        f"The source {source.name} was trained on images of {source.image_size} pixels ({source.resizing}); here "
        f"they have {plan.image_size} ({plan.resizing})."
        for source in sources
        if (source.image_size, source.resizing) != (plan.image_size, plan.resizing)
    ]
    return Prepared(
        plan, tuple(cells.values()), tuple(datasets), tuple(notes), tuple(sources), domains, tasks
    )


def _check_source(plan: Plan, strategies: Mapping[str, Strategy]) -> None:
    """Refuses a source dataset that nothing uses, no labels at all for strategies that need some, and in the
    few-shot protocol strategies that are of another."""
    if plan.protocol == "few-shot":
        unable = [name for name, strategy in strategies.items() if not strategy.few_shot]
        if unable:
            able = [name for name in STRATEGIES if get_strategy(name).few_shot]
            expected = f"strategies that tell new classes apart by a few labels: {', '.join(able)}"
            raise RequestError("strategies", unable[0], expected)
        return
    if plan.source_dataset and not any(s.needs_source or s.uses_source for s in strategies.values()):
        able = [name for name in STRATEGIES if (s := get_strategy(name)).needs_source or s.uses_source]
        expected = f"a strategy that uses it: {', '.join(able)}"
        raise RequestError("source_dataset", plan.source_dataset, expected)
    needy = [name for name, strategy in strategies.items() if strategy.needs_labels]
    if 0 in plan.fractions and needy:
        able = [name for name in STRATEGIES if not get_strategy(name).needs_labels]
        raise RequestError(
            "fractions",
            0.0,
            f"strategies that need no label of the target ({', '.join(able)}); of those chosen, "
            f"{', '.join(needy)} {'needs' if len(needy) == 1 else 'need'} some",
            "Run fraction 0 without them, in a run of its own.",
        )


def _check_auxiliary(plan: Plan, strategies: Mapping[str, Strategy]) -> None:
    """Refuses auxiliary labels that nothing uses."""
    given = {"auxiliary": plan.auxiliary, "auxiliary_dataset": plan.auxiliary_dataset}
    for field_name, value in given.items():
        if value and not any(strategy.needs_auxiliary for strategy in strategies.values()):
            able = [name for name in STRATEGIES if get_strategy(name).needs_auxiliary]
            raise RequestError(field_name, value, f"a strategy that uses it: {', '.join(able)}")


def _check_given(plan: Plan, strategies: Mapping[str, Strategy]) -> None:
    """Refuses hyperparameters that the protocol has no use for."""
    for text, strategy in strategies.items():
        known = [*declared(strategy, plan.protocol == "few-shot").values, "auxiliary"]
        if unused := [name for name in strategy.fixed if name not in known]:
            names = ", ".join(known[:-1]) or "none"
            expected = f"hyperparameters that it has in the protocol {plan.protocol}: {names}"
            raise RequestError("strategy", text, expected, f"There, {unused[0]} would do nothing.")


def _check_chosen(strategies: Mapping[str, Strategy], tasks: Mapping[str, tuple[Auxiliary, ...]]) -> None:
    """Refuses a strategy that names an auxiliary task that there is not."""
    names = dict.fromkeys(task.name for mine in tasks.values() for task in mine)
    for text, strategy in strategies.items():
        name = _auxiliary_of(strategy)
        if strategy.needs_auxiliary and name != ALL and name not in names:
            expected = f"auxiliary as one of {', '.join([ALL, *map(shown, names)])}"
            remedy = did_you_mean(name, names) or "Columns are named by --auxiliary COLUMN."
            raise RequestError("strategy", text, expected, remedy)


def _auxiliary_of(strategy: Strategy) -> str:
    """Which auxiliary tasks a strategy is to learn: the name of one, or all."""
    return str(strategy.fixed.get("auxiliary", ALL))


def _counterparts(strategies: Mapping[str, Strategy]) -> dict[str, str]:
    """By strategy, the one that it is without what it adds, with the same given hyperparameters."""
    found = {}
    for text, strategy in strategies.items():
        if strategy.counterpart:
            known = declared(get_strategy(strategy.counterpart)).values
            fixed = {name: value for name, value in strategy.fixed.items() if name in known}
            found[text] = ":".join([strategy.counterpart, *([spelled(fixed)] if fixed else [])])
    return found


def _without_counterpart(strategies: Mapping[str, Strategy], fractions: Sequence[float]) -> list[str]:
    """Says which strategies have nothing in this plan to be compared with."""
    found = []
    names = {text.partition(":")[0] for text in strategies}
    unpaired: dict[tuple[str, str], list[str]] = {}
    for text, other in _counterparts(strategies).items():
        if strategies[text].needs_auxiliary and other not in strategies:
            found.append(
                f"Without {other} beside it, the report cannot say what auxiliary labels brought to {text}."
            )
        if strategies[text].needs_source:
            for labels in sorted({"some labels" if fraction else "no label" for fraction in fractions}):
                name = strategies[text].counterpart if labels == "some labels" else "source_only"
                if name not in names:
                    unpaired.setdefault((name, labels), []).append(text)
    return found + [
        f"Without {name} beside it, the report cannot say what adapting with {labels} of the target brought to "
        f"{', '.join(mine)}."
        for (name, labels), mine in unpaired.items()
    ]


class _Resolving(threading.Thread):
    """Resolves weights, which may take a process that loads Keras, while datasets are decoded."""

    def __init__(self, specs: Sequence[BackboneSpec], image_size: int, ask: Ask | None) -> None:
        super().__init__(daemon=True)  # a mistake in the data is told at once
        self.specs, self.image_size, self.ask = specs, image_size, ask
        self._found: dict[BackboneSpec, Weights] = {}
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            for spec in self.specs:
                self._found[spec] = resolve_weights(spec, self.image_size, self.ask)
        except Exception as error:
            self._error = error

    def check(self) -> None:
        """Raises what ``resolve_weights`` raised, if it did by now."""
        if self._error is not None:
            raise self._error

    def result(self) -> dict[BackboneSpec, Weights]:
        """Waits; raises what ``resolve_weights`` raised."""
        self.join()
        self.check()
        return self._found


def canonical(plan: Plan) -> Plan:
    """The plan with datasets and backbones spelled in the one way that run directories hold; ``auto:K`` stays.

    Raises:
        RequestError: a strategy, backbone or dataset does not exist, a size does not fit, or the backend cannot
            be used.
    """
    backend.check(plan.backend)
    strategies = [get_strategy(text).text for text in plan.strategies]
    for text in strategies:
        if strategies.count(text) > 1:
            raise RequestError("strategies", text, "every strategy once, however it is written")
    specs = [parse_backbone(text) for text in plan.named]
    for spec in specs:
        check_size(spec, plan.image_size)
        if specs.count(spec) > 1:
            raise RequestError("backbones", spec.text, "every backbone once, however it is written")
        title = titled(spec.architecture, spec.weights)
        for other in specs:
            if other != spec and titled(other.architecture, other.weights) == title:
                expected = f"names that tell weights apart; {other.text} would be called {title} too"
                raise RequestError("backbones", spec.text, expected, "Rename one of the two.")
    auto = [] if plan.auto is None else [f"{AUTO}:{plan.auto}"]
    return plan.model_copy(
        update={
            "datasets": [canonical_spec(spec) for spec in plan.datasets],
            "backbones": [*auto, *(spec.text for spec in specs)],
            "strategies": strategies,
            "source_dataset": _canonical(plan, "source_dataset"),
            "auxiliary": list(dict.fromkeys(column.strip().lower() for column in plan.auxiliary)),
            "auxiliary_dataset": _canonical(plan, "auxiliary_dataset"),
        }
    )


def _canonical(plan: Plan, field: str) -> str:
    """The canonical spec of a dataset that a plan may do without."""
    with told_of(field):
        return canonical_spec(spec) if (spec := getattr(plan, field)) else ""


def _cell(
    plan: Plan,
    dataset: Dataset,
    spec: BackboneSpec,
    weights: Weights,
    name: str,
    strategy: Any,
    fraction: float,
    seed: int,
) -> Cell:
    uses_weights = strategy.uses_backbone and strategy.uses_weights
    return Cell(
        strategy=name,
        strategy_version=strategy.version,
        dataset=dataset.spec,
        dataset_name=dataset.name,
        fingerprint=dataset.fingerprint,
        modality=dataset.modality,
        backbone=spec.architecture if strategy.uses_backbone else "",
        weights=spec.weights if uses_weights else "",
        weights_sha256=weights.sha256 if uses_weights else "",
        fraction=fraction,
        seed=seed,
        image_size=plan.image_size,
        resizing=plan.resizing,
        augmentation=plan.augmentation,
        flip=dataset.flip if plan.flip == "auto" else plan.flip,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        threads=plan.threads,
        head=plan.head.model_dump(),
        tuning=plan.tuning.model_dump(),
        backend=plan.backend,
        precision=plan.precision,
        plugins=plugins.used(name, spec.architecture if strategy.uses_backbone else ""),
    )


def _with_source(cell: Cell, domain: SourceDomain) -> Cell:
    source = domain.dataset
    return replace(
        cell,
        source_dataset=source.spec,
        source_name=source.name,
        source_fingerprint=source.fingerprint,
        source_groups=domain.grouping,
    )


@dataclass
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
        info["notes"] = [*info.get("notes", []), *self.warnings]
        return info, store.plan_path.read_text(encoding="utf-8") if store.plan_path.exists() else ""

    @cached_property
    def settings(self) -> ReportSettings:
        """The section ``report`` of its plan; the defaults where there is none.

        Raises:
            RequestError: the plan has a mistake. No guess is made: it may say that images are private.
        """
        path = Store(self.directory).plan_path
        return load_plan(path).report if path.exists() else ReportSettings()

    def report(self, settings: ReportSettings | None = None) -> Path:
        """Writes report.html, figures/ and results.csv from the records; returns the path of the page.

        Args:
            settings: instead of those of the plan.

        Raises:
            StoreError: the directory cannot be written.
        """
        from reports.html import render

        settings = settings or self.settings
        store = Store(self.directory)
        info, plan_toml = self._provenance()
        images = self._images if settings.thumbnails else None
        with store.writing():
            return render(
                self.records,
                info,
                plan_toml,
                self.directory,
                settings.region,
                settings.price_per_hour,
                images,
                store.read_ranking(),
            )

    def recommend(
        self,
        labels: float | None = None,
        seconds: float | None = None,
        latency_ms: float | None = None,
        params: float | None = None,
        dataset: str | None = None,
    ) -> Recommendation:
        """What to take under constraints, see ``reports.recommend.recommend``.

        Args:
            labels: labelled images that there will be; default: the most that were measured.
            seconds: at most, to tune and train one seed.
            latency_ms: at most, of one image.
            params: at most, of the network.
            dataset: its name, if the run has several.

        Raises:
            RequestError: no configuration keeps to them, or they cannot be answered.
        """
        from reports.recommend import Constraints, recommend

        self.check_fractions("recommend")
        constraints = Constraints(labels, seconds, latency_ms, params)
        return recommend(self.results, self.directory, constraints, dataset, self.settings.region)

    def check_fractions(self, command: str) -> None:
        """Refuses what only the protocol of fractions can answer.

        Raises:
            RequestError: this is a run of the few-shot protocol.
        """
        if any(record.cell.get("few_shot") for record in self.records):
            raise RequestError(
                "DIR",
                str(self.directory),
                f"a run of the protocol fractions, for {command} compares strategies by their labels",
                "This one is of the protocol few-shot; its report and few_shot.csv hold what it measured.",
            )

    def _images(self, fingerprint: str, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Those of these test images that are in the cache; nothing is decoded for a report."""
        cell = next(record.cell for record in self.records if record.cell["fingerprint"] == fingerprint)
        try:
            dataset = cached_dataset(cell["dataset"], cell["image_size"], cell["resizing"])
        except BenchError:
            return {}
        if dataset is None or dataset.fingerprint != fingerprint or dataset.modality != "image":
            return {}
        rows = {name: row for row, name in enumerate(dataset.test.ids)}
        return {name: np.array(dataset.test.images[rows[name]]) for name in ids if name in rows}

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
    return Run(store.directory, records, list(store.damaged), missing)


class Reporter:
    """What is told while a run goes on; this one says nothing."""

    def say(self, text: str) -> None:
        """A step of the preparation."""

    def begin(self, prepared: Prepared, store: Store, todo: Sequence[Cell], workers: int) -> None:
        """Before the first cell."""

    def event(self, event: Event) -> None:
        """A worker has begun or gone on."""

    def record(self, record: Record) -> None:
        """A cell has ended."""

    def end(self) -> None:
        """After the last cell, whatever happened."""


def default_workers() -> int:
    """One a GPU; without any, as many as cores that this process may use; fewer where memory is short."""
    from bench import machine

    most = len(machine.gpus()) or machine.cores()
    return max(1, min(most, int(machine.available_memory() / 2**20 / WORKER_MEMORY_MB)))


def default_out(plan: Plan) -> Path:
    """``runs/<dataset>-<short plan hash>``."""
    name = (
        plan.datasets[0].rstrip("/").rpartition("/")[2].partition(":")[2]
        or plan.datasets[0].rstrip("/").rpartition("/")[2]
    )
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:40].strip(".-") or "data"
    return Path("runs") / f"{safe}-{plan.hash()}"


def run(
    plan: str | Path | dict[str, Any] | Plan,
    out: str | Path | None = None,
    workers: int | None = None,
    retry: Iterable[str] = (),
    reporter: Reporter | None = None,
    shard: str | None = None,
    executor: str = "local",
    ray_address: str | None = None,
) -> Run:
    """Runs a plan, or what is missing of it, and writes the report.

    Args:
        plan: a plan, a dictionary, or the path of a TOML file.
        out: the run directory; resumed if it exists. Default: ``runs/<dataset>-<short plan hash>``.
        workers: cells at a time; default: one a core. Results do not depend on it.
        retry: statuses to run again of ``failed``, ``oom``, ``timeout`` (``killed`` and ``crashed`` are anyway).
        reporter: is told what happens.
        shard: ``i/k``: only the i-th of k shares of the cells, for hosts that share nothing but a folder. The
            report is written by the shard that finds all cells there.
        executor: ``local`` child processes, or ``ray`` for a cluster.
        ray_address: of a running cluster; default: one on this machine alone.

    Returns:
        The run, with all its records.

    Raises:
        RequestError: the plan cannot be run, or the directory holds another one.
        RunLocked: another run is working in the directory, or on this shard.
        StoreError: the directory cannot be written any more; run the plan again.
    """
    reporter = reporter or Reporter()
    retry = tuple(retry)
    for status in retry:
        if status not in RETRYABLE:
            raise RequestError("retry", status, f"some of {', '.join(RETRYABLE)}")
    if workers is not None and workers < 1:
        raise RequestError("workers", workers, "a number of at least 1")
    part = Shard.parse(shard) if shard is not None else None
    plan = canonical(load_plan(plan))
    directory = Path(out) if out is not None else default_out(plan)
    reporter.say(f"Run directory: {directory}")
    store = Store(directory)
    with _executor(executor, ray_address, plan, store, workers, reporter) as runs:
        plan, chosen = _resolve(plan, store, runs, part, reporter.say)
        prepared = prepare(plan, reporter.say, runs.fetch)
        _check_same(store, prepared)
        try:
            store.lock(part)
        except OSError as error:
            expected = f"a directory that can be written ({error.strerror})"
            raise RequestError("out", str(directory), expected) from None
        try:
            if chosen is not None and store.read_ranking() != chosen:
                store.write_ranking(chosen)
            ids = [cell.id for cell in prepared.cells]
            stored = {record.cell_id: record for record in store.records(ids)}
            again = AGAIN | set(retry)
            mine = [c for c in prepared.cells if part is None or part.has(c.id)]
            todo = [c for c in mine if c.id not in stored or stored[c.id].status in again]
            stored_plan = load_plan(store.plan_path) if store.plan_path.exists() else None
            # Settings of the report that were not given stay: they may say that images are private.
            changed = (
                stored_plan is not None
                and "report" in plan.model_fields_set
                and stored_plan.report != plan.report
            )
            if stored_plan is None:
                store.write_plan(plan.to_toml())
            elif changed:
                store.write_plan(stored_plan.model_copy(update={"report": plan.report}).to_toml())
            info = store.read_run()
            if todo or info.get("cells") != ids:
                info = _run_info(prepared, info)
                store.write_run(info)
            runs.workers = min(runs.workers, max(1, len(todo)))
            reporter.begin(prepared, store, todo, runs.workers)
            try:
                if todo:
                    runs.provenance = {name: info[name] for name in ("versions", "git", "hardware")}
                    latencies = _latencies(prepared, todo, runs, info)
                    forecast = Forecast(prepared.sizes)
                    for record in runs.run(todo, latencies):
                        store.write(record)
                        if record.status == "ok":
                            forecast.add(Cell(**record.cell), record.costs.get("wall_seconds") or 0.0)
                            forecast.save()
                        reporter.record(record)
            finally:
                reporter.end()
            runs.close()
            # Two shards may end at the same time.
            with locked(directory / ".lock-report") if part is not None else contextlib.nullcontext():
                result = load(directory) if todo or part else Run(directory, list(stored.values()))
                result.warnings.extend(store.damaged)
                if part is not None:
                    here = {record.cell_id for record in result.records}
                    result.elsewhere = sum(not part.has(i) for i in set(ids) - here)
                if not result.elsewhere and (todo or changed or not store.has_report_of(result.records)):
                    result.report()
            return result
        finally:
            store.unlock()


def _resolve(
    plan: Plan, store: Store, runs: Executor, part: Shard | None, say: Callable[[str], None]
) -> tuple[Plan, dict[str, Any] | None]:
    """See ``bench.ranking.resolve``. Of several shards the first to come chooses for all."""
    if plan.auto is None:
        return plan, None
    from bench.ranking import resolve

    if part is None:
        return resolve(plan, store, runs, say)
    with contextlib.ExitStack() as stack:
        with store.writing():
            stack.enter_context(locked(store.directory / ".lock-ranking"))
        plan, chosen = resolve(plan, store, runs, say)
        if chosen is not None and store.read_ranking() != chosen:
            store.write_ranking(chosen)
        return plan, chosen


def _executor(
    kind: str, ray_address: str | None, plan: Plan, store: Store, workers: int | None, reporter: Reporter
) -> Executor:
    options: dict[str, Any] = {
        "store": store,
        "threads": plan.threads,
        "backend": plan.backend,
        "cell_seconds": plan.limits.cell_seconds,
        "notify": reporter.event,
    }
    if kind == "ray":
        from bench.execution.ray import RayExecutor

        return RayExecutor(**options, workers=workers or 0, address=ray_address)
    if kind != "local":
        raise RequestError("executor", kind, "local or ray")
    if ray_address is not None:
        raise RequestError("ray-address", ray_address, "no address without --executor ray")
    from bench.execution.local import LocalExecutor

    return LocalExecutor(**options, workers=workers or default_workers())


def _latencies(
    prepared: Prepared, todo: Sequence[Cell], executor: Any, info: dict[str, Any]
) -> dict[str, float | None]:
    """Milliseconds an image of each cell's network, measured before anything else runs, and remembered."""
    classes = {d.fingerprint: len(d.class_names) for d in prepared.datasets}
    jobs: dict[str, dict[str, Any]] = {}
    of_cell: dict[str, str] = {}
    for cell in todo:
        if not cell.backbone or cell.few_shot:  # an episode's classifier is no part of a network
            continue
        head = {key: value[0] if isinstance(value, list) else value for key, value in cell.head.items()} | {
            "classes": classes[cell.fingerprint]
        }
        job = {
            "backbone": cell.backbone,
            "weights": "none",
            "image_size": cell.image_size,
            "precision": cell.precision,
            "head": head,
        }
        what = [job, info["hardware"]["cpu"], info["versions"], cell.backend, cell.threads]
        key = digest(what + [cell.plugins[part] for part in ("backbone",) if part in cell.plugins])
        jobs[key], of_cell[cell.id] = job, key
    known: dict[str, float | None] = {}
    for key, job in jobs.items():
        path = cache_dir() / "latency" / key
        with contextlib.suppress(OSError, ValueError):
            known[key] = float(path.read_text())
            continue
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # a cache that cannot be written must not cost a run
                stack.enter_context(locked(cache_dir() / "latency.lock"))  # one measurement at a time
            known[key] = executor.measure_latency(job)
        if known[key] is not None:
            with contextlib.suppress(OSError):
                write_atomic(path, repr(known[key]))
    return {cell_id: known.get(key) for cell_id, key in of_cell.items()}


def _check_same(store: Store, prepared: Prepared) -> None:
    """Refuses a directory that holds results of another plan, data, protocol, backend, weights or strategy."""
    if store.plan_path.exists():
        old = read_stored_plan(store.plan_path)
        new = prepared.plan.model_dump(mode="json")
        changed = [key for key in sorted({*old, *new} - {*NUMBERLESS}) if old.get(key) != new.get(key)]
        if changed:
            key = changed[0]
            raise RequestError(
                "out",
                str(store.directory),
                f"a new directory: this one holds a run with another plan ({', '.join(changed)} differ; "
                f"{key} there: {old.get(key)!r}, now: {new.get(key)!r})",
                "Choose another --out, or give its own plan.toml to resume it.",
            )
    info = store.read_run()
    if info.get("protocol_version", PROTOCOL_VERSION) != PROTOCOL_VERSION:
        raise RequestError(
            "out",
            str(store.directory),
            f"a run of protocol version {PROTOCOL_VERSION}, and this is one of {info['protocol_version']}",
            "Their numbers cannot be compared; choose another --out.",
        )
    fingerprints = {dataset.fingerprint for dataset in prepared.datasets}
    if info.get("datasets") and set(info["datasets"]) != fingerprints:
        raise RequestError(
            "out",
            str(store.directory),
            "a run on the same data, and the images or labels have changed since it began",
            "Choose another --out.",
        )

    cells = {cell.id: cell for cell in prepared.cells}
    if set(info.get("cells", cells)) - set(cells):
        for record in store.records(info["cells"]):
            if record.cell_id in cells or record.status not in FINAL:
                continue
            place = ("strategy", "backbone", "fraction", "seed")
            now = next(
                (c for c in prepared.cells if all(getattr(c, k) == record.cell[k] for k in place)), None
            )
            changed = [k for k, v in (now.identity if now else {}).items() if record.cell.get(k) != v]
            raise RequestError(
                "out",
                str(store.directory),
                f"the same {' and '.join(changed) or 'cells'} as when this run began: its finished cells "
                "would no longer belong to it",
                "Choose another --out, or restore what has changed (weights, strategy, plug-in).",
            )


def _run_info(prepared: Prepared, old: dict[str, Any]) -> dict[str, Any]:
    datasets = {}
    for dataset in prepared.datasets:
        labels = np.concatenate([dataset.pool.labels, dataset.test.labels])
        datasets[dataset.fingerprint] = {
            "name": dataset.name,
            "spec": dataset.spec,
            "modality": dataset.modality,
            "class_names": list(dataset.class_names),
            "class_counts": np.bincount(labels, minlength=len(dataset.class_names)).tolist(),
            "pool_counts": np.bincount(dataset.pool.labels, minlength=len(dataset.class_names)).tolist(),
            "n_pool": len(dataset.pool.ids),
            "n_test": len(dataset.test.ids),
            "findings": [
                {"kind": finding.kind, "text": finding.text, "examples": finding.examples}
                for finding in dataset.warnings
            ],
            "left_out": [list(item) for item in dataset.left_out],
        }
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol_version": PROTOCOL_VERSION,
        "created": old.get("created", time.strftime("%Y-%m-%dT%H:%M:%S%z")),
        "command": shlex.join(sys.argv),
        "versions": provenance.versions(),
        "git": provenance.git_state(),
        "hardware": provenance.hardware(),
        "backend": prepared.plan.backend,
        "datasets": datasets,
        "sources": {f"{PREFIX}{source.directory}": source.summary() for source in prepared.sources},
        "source_dataset": _source_info(prepared),
        "auxiliary": {
            key: [task.summary() for task in tasks] for key, tasks in prepared.auxiliary.items() if tasks
        },
        "counterparts": _counterparts({text: get_strategy(text) for text in prepared.plan.strategies}),
        "plugins": {
            getattr(cell, part): where for cell in prepared.cells for part, where in cell.plugins.items()
        },
        "cells": [cell.id for cell in prepared.cells],
        "notes": list(prepared.notes),
    }


def _source_info(prepared: Prepared) -> dict[str, Any]:
    """What is known of the source dataset; empty if there is none."""
    source = prepared.source_dataset
    if source is None:
        return {}
    return {
        "name": source.name,
        "spec": source.spec,
        "fingerprint": source.fingerprint,
        "n": len(source.pool.ids),
        "findings": [{"kind": f.kind, "text": f.text, "examples": f.examples} for f in source.warnings],
        "targets": {
            fingerprint: {"grouping": domain.grouping, "left_out": domain.left_out}
            for fingerprint, domain in prepared.domains.items()
        },
    }
