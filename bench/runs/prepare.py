"""From a plan to cells: every mistake that can be known beforehand is known here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench.backbones.own import WeightSource, read_source
from bench.backbones.spec import BackboneSpec, check_size, parse_backbone
from bench.backbones.weights import Ask, Weights, resolve_weights
from bench.datasets import Dataset, canonical_spec, open_dataset
from bench.datasets.companions.auxiliary import ALL, Auxiliary, auxiliaries, chosen, stamp
from bench.datasets.companions.auxiliary import description as auxiliary_description
from bench.datasets.companions.leakage import with_leakage
from bench.datasets.companions.source import SourceDomain, description, pair, relation
from bench.datasets.splits import check_fraction
from bench.errors import RequestError, did_you_mean, told_of
from bench.modalities.registry import input_of
from bench.plans.given import declared
from bench.plans.plan import AUTO, Plan
from bench.plans.strategies import get_strategy, spelled
from bench.protocols.cells import used
from bench.protocols.few_shot.episodes import check_episodes, findings_of_new, held_out
from bench.records import Cell
from bench.system import backend, cache
from bench.system.names import LEARNED_NOTHING, PREFIX, shown, titled
from strategies import STRATEGIES

if TYPE_CHECKING:
    from strategies.base import Strategy


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

    input = input_of(vars(plan))
    datasets = [open_dataset(d, input, progress=progress) for d in plan.datasets]
    few_shot = plan.few_shot.model_dump() if plan.protocol == "few-shot" else {}
    fractions = [0.0] if few_shot else plan.fractions
    for dataset in datasets:
        pool = dataset.pool
        for fraction in filter(None, fractions):
            check_fraction(
                pool.labels,
                pool.groups,
                fraction,
                plan.seeds,
                dataset.fingerprint,
                dataset.class_names,
                dataset.kind.noun,
            )
        if few_shot:
            check_episodes(dataset, **few_shot)
    domains: dict[str, SourceDomain] = {}
    if plan.source_dataset:
        with told_of("source_dataset"):
            source = open_dataset(plan.source_dataset, input, progress=progress)
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
            other = open_dataset(plan.auxiliary_dataset, input, progress=progress)
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
                        companions = {}
                        if uses_source and domains:
                            companions["source"] = domains[dataset.fingerprint].stamp()
                        if strategy.needs_auxiliary:
                            mine = chosen(tasks[dataset.fingerprint], _auxiliary_of(strategy))
                            companions["auxiliary"] = stamp(mine)
                        cell = replace(cell, protocol=plan.protocol, settings=few_shot, companions=companions)
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
        input=dataset.kind.settings(vars(plan), dataset.traits),
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        threads=plan.threads,
        head=plan.head.model_dump(),
        tuning=plan.tuning.model_dump(),
        backend=plan.backend,
        precision=plan.precision,
        plugins=used(name, spec.architecture if strategy.uses_backbone else ""),
    )
