"""From a plan to cells: every mistake that can be known beforehand is known here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.backbones.own import WeightSource, read_source
from bench.backbones.spec import BackboneSpec, has_small_map
from bench.backbones.weight_files import check_fit
from bench.backbones.weights import Ask, Weights, resolve_weights
from bench.datasets import Dataset, open_dataset
from bench.datasets.companions import auxiliary, source
from bench.datasets.companions.base import Companion, Open
from bench.datasets.leakage import with_leakage
from bench.errors import RequestError
from bench.modalities.base import Modality
from bench.modalities.registry import modality, size_of
from bench.plans.plan import Plan
from bench.plans.resolved import Resolved, resolve
from bench.plans.strategies import get_strategy
from bench.protocols.cells import used
from bench.records import Cell
from bench.runs.lengths import typical_lengths
from bench.system import cache
from bench.system.names import LEARNED_NOTHING, PREFIX, short_backbone
from strategies import STRATEGIES
from strategies.base import Strategy


@dataclass(frozen=True)
class Prepared:
    """A plan that has been checked against its data: every mistake that can be known beforehand is known.

    Attributes:
        resolved: the plan; all of its backbones are named.
        cells: what there is to run.
        datasets: opened, in the plan's order.
        notes: what a reader has to know of the plan, sentences.
        sources: weights of the user's own that cells begin with.
        companions: what is learned beside the datasets, by kind.
    """

    resolved: Resolved
    cells: tuple[Cell, ...]
    datasets: tuple[Dataset, ...]
    notes: tuple[str, ...] = ()
    sources: tuple[WeightSource, ...] = ()
    companions: Mapping[str, Companion] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        return self.resolved.plan

    @property
    def sizes(self) -> dict[str, int]:
        """Examples to learn from by fingerprint, those of companions too."""
        found = {dataset.fingerprint: len(dataset.pool.ids) for dataset in self.datasets}
        for companion in self.companions.values():
            found |= companion.sizes()
        return found

    @property
    def warnings(self) -> list[str]:
        """What speaks against the datasets, the sources and the size of inputs, sentences."""
        beside = [dataset for companion in self.companions.values() for dataset in companion.datasets()]
        of_data = [f"{d.name}: {found}" for d in (*self.datasets, *beside) for found in d.warnings]
        of_sources = [LEARNED_NOTHING.format(s.name) for s in self.sources if not s.learned]
        return of_data + of_sources + _small_maps(self.resolved, self.datasets[0].kind)


def prepare(
    plan: Plan | Resolved, say: Callable[[str], None] = lambda text: None, ask: Ask | None = None
) -> Prepared:
    """Checks a plan, opens its datasets (decoding them the first time) and lists its cells.

    Args:
        plan: what to run, its names parsed or not; all of its backbones are named.
        say: called with what is being done, when that takes long.
        ask: asks Keras for weights; default: a child process.

    Raises:
        RequestError: a strategy, backbone, dataset, weight file, size or fraction cannot be used.
    """
    resolved = plan if isinstance(plan, Resolved) else resolve(plan)
    asked = resolved.plan
    resolved.protocol.check(asked, resolved.strategies)
    _check_auxiliary(resolved)
    _check_given(resolved)
    cache.limit()  # refuses a wrong setting here and not in each worker
    resolving = _Resolving(resolved.backbones if resolved.uses_weights else (), asked, ask)

    def open_(spec: str) -> Dataset:
        def progress(text: str) -> None:
            say(text)
            resolving.check()

        return open_dataset(spec, vars(asked), progress, groups=asked.groups, task=asked.task)

    datasets = [open_(spec) for spec in asked.datasets]
    resolved = replace(resolved, plan=resolved.protocol.fitted(asked, datasets))
    for dataset in datasets:
        _check_kind(resolved, dataset)
        resolved.protocol.check_data(resolved.plan, dataset)
    companions = {companion.kind: companion for companion in _companions(resolved, datasets, open_)}
    weights = {spec: Weights("none", "", None) for spec in resolved.backbones} | resolving.result()
    sources = _own_weights(resolved)
    datasets = [with_leakage(dataset, sources, say) for dataset in datasets]
    datasets = [resolved.protocol.audited(dataset) for dataset in datasets]
    cells: dict[str, Cell] = {}
    for cell in _cells(resolved, datasets, weights, companions):
        cells.setdefault(cell.id, cell)
    notes = [
        *_fractions_told(asked, resolved.plan),
        *_notes(resolved, datasets, sources, companions),
        *_lengths_told(cells.values()),
    ]
    return Prepared(
        resolved, tuple(cells.values()), tuple(datasets), tuple(notes), tuple(sources), companions
    )


def _fractions_told(asked: Plan, plan: Plan) -> list[str]:
    """What is said of fractions that the data have chosen."""
    if asked.fractions == plan.fractions:
        return []
    least = f"{100 * min(plan.fractions):g}%"
    return [f"With less than {least} of the labels, some class has too few. So the fractions begin there."]


def _check_kind(resolved: Resolved, dataset: Dataset) -> None:
    """Refuses backbones that take other examples than those of a dataset."""
    for spec in resolved.backbones:
        if spec.modality != dataset.modality:
            takes = modality(spec.modality).noun.many
            expected = f"able to take {dataset.kind.noun.many}, which {dataset.name} holds"
            raise RequestError("backbones", spec.text, expected, f"It takes {takes}.")


def _check_auxiliary(resolved: Resolved) -> None:
    """Refuses auxiliary labels that nothing uses."""
    plan = resolved.plan
    given = {"auxiliary": plan.auxiliary, "auxiliary_dataset": plan.auxiliary_dataset}
    for field_name, value in given.items():
        if value and not any(strategy.needs_auxiliary for strategy in resolved.strategies.values()):
            able = [name for name in STRATEGIES if get_strategy(name).needs_auxiliary]
            raise RequestError(field_name, value, "used by a strategy", f"These use it: {', '.join(able)}.")


def _check_given(resolved: Resolved) -> None:
    """Refuses hyperparameters that the protocol has no use for."""
    for text, strategy in resolved.strategies.items():
        known = [*resolved.declared(strategy).values, "auxiliary"]
        if unused := [name for name in strategy.fixed if name not in known]:
            names = ", ".join(known[:-1]) or "none"
            expected = f"have hyperparameters of the protocol {resolved.protocol.name}: {names}"
            raise RequestError("strategy", text, expected, f"There, {unused[0]} would do nothing.")


def _companions(resolved: Resolved, datasets: Sequence[Dataset], open_: Open) -> Iterator[Companion]:
    """Opens what the plan has beside its datasets."""
    plan, protocol = resolved.plan, resolved.protocol
    if plan.source_dataset:
        relation = protocol.relation(resolved.strategies)
        spec, groups = plan.source_dataset, plan.source_groups
        found = source.opened(spec, datasets, groups, relation, protocol.learns_from_source, open_)
        for domain in found.domains.values():
            protocol.check_source(plan, domain)
        yield found
    tasks = auxiliary.opened(plan.auxiliary, plan.auxiliary_dataset, datasets, plan.auxiliary_groups, open_)
    tasks.check(resolved.strategies)
    yield tasks


def _own_weights(resolved: Resolved) -> list[WeightSource]:
    """The weights of the user's own that the plan begins with."""
    texts = [spec.weights for spec in resolved.backbones if spec.weights.startswith(PREFIX)]
    return [read_source(text) for text in dict.fromkeys(texts)] if resolved.uses_weights else []


def _cells(
    resolved: Resolved,
    datasets: Sequence[Dataset],
    weights: Mapping[BackboneSpec, Weights],
    companions: Mapping[str, Companion],
) -> Iterator[Cell]:
    """All cells of a plan; what a strategy does not use may make some of them the same."""
    plan, protocol = resolved.plan, resolved.protocol
    for dataset in datasets:
        for spec in resolved.backbones:
            for strategy in resolved.strategies.values():
                stamps = {kind: found.stamp(dataset, strategy) for kind, found in companions.items()}
                beside = {kind: stamp for kind, stamp in stamps.items() if stamp}
                plugins = used(strategy.text, spec.architecture if strategy.uses_backbone else "")
                seeds = protocol.repetitions(plan, strategy, "source" in companions)
                for fraction in protocol.shares(plan):
                    for seed in range(seeds):
                        yield _cell(
                            resolved, dataset, spec, weights[spec], strategy, fraction, seed, beside, plugins
                        )


def _cell(
    resolved: Resolved,
    dataset: Dataset,
    spec: BackboneSpec,
    weights: Weights,
    strategy: Strategy,
    fraction: float,
    seed: int,
    beside: dict[str, dict[str, object]],
    plugins: dict[str, str],
) -> Cell:
    plan = resolved.plan
    backbone = spec.architecture if strategy.uses_backbone else ""
    uses_weights = strategy.uses_backbone and strategy.uses_weights
    return Cell(
        strategy=strategy.text,
        strategy_version=strategy.version,
        dataset=dataset.spec,
        dataset_name=dataset.name,
        fingerprint=dataset.fingerprint,
        modality=dataset.modality,
        backbone=backbone,
        weights=spec.weights if uses_weights else "",
        weights_sha256=weights.sha256 if uses_weights else "",
        fraction=fraction,
        seed=seed,
        examples=dataset.kind.settings(vars(plan), dataset.traits),
        epochs=plan.epochs,
        length=plan.length,
        batch_size=plan.batch_size,
        threads=plan.threads,
        head=plan.head.model_dump(),
        tuning=plan.tuning.model_dump(),
        backend=plan.backend,
        precision=plan.precision,
        metric=plan.metric,
        class_weight=plan.class_weight,
        groups=plan.groups,
        task=plan.task,
        plugins=plugins,
        protocol=plan.protocol,
        protocol_settings=plan.protocol_settings,
        companions=beside,
    )


def _notes(
    resolved: Resolved,
    datasets: Sequence[Dataset],
    sources: Sequence[WeightSource],
    companions: Mapping[str, Companion],
) -> list[str]:
    """What a reader of the results has to know of the plan."""
    plan = resolved.plan
    notes = [line for found in companions.values() for d in datasets for line in found.notes(d)]
    notes += _without_counterpart(resolved)
    if plan.tuning.algorithm == "hyperband":
        notes.append("Hyperband: each search has the length of its trials in full, spread over more of them.")
    for own in sources:
        kind = modality(own.modality)
        here = kind.input(vars(plan))
        if own.input != here:
            notes.append(f"The source {own.name} was trained on {kind.mismatch(own.input, here)}.")
    return notes


def _lengths_told(cells: Iterable[Cell]) -> list[str]:
    """Of which length the examples are whose inference is timed, where they are not all of one."""
    told = {}
    for cell in cells:
        if cell.backbone and (lengths := typical_lengths(cell)):
            noun = modality(cell.modality).noun
            told[cell.dataset_name, cell.backbone] = (
                f"{cell.dataset_name}: for {short_backbone(cell.backbone)}, half of the {noun.many} have at most "
                f"{lengths[0]} tokens. Inference time is that of {noun.any} of this length."
            )
    return list(told.values())


def _small_maps(resolved: Resolved, kind: Modality) -> list[str]:
    """Warns of pretrained backbones whose last feature map will be too small, as far as that is known."""
    size = size_of(vars(resolved.plan), kind.name)
    specs = resolved.backbones if resolved.uses_weights else ()
    return kind.small_maps([short_backbone(spec.text) for spec in specs if has_small_map(spec, size)], size)


def _without_counterpart(resolved: Resolved) -> list[str]:
    """Says which strategies have nothing in this plan to be compared with."""
    found = []
    strategies, fractions = resolved.strategies, resolved.protocol.shares(resolved.plan)
    names = {text.partition(":")[0] for text in strategies}
    unpaired: dict[tuple[str, str], list[str]] = {}
    for text, other in resolved.counterparts().items():
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

    def __init__(self, specs: Sequence[BackboneSpec], plan: Plan, ask: Ask | None) -> None:
        super().__init__(daemon=True)  # a mistake in the data is told at once
        self.specs, self.plan, self.ask = specs, plan, ask
        self._found: dict[BackboneSpec, Weights] = {}
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            for spec in self.specs:
                size = size_of(vars(self.plan), spec.modality)
                found = resolve_weights(spec, size, self.ask)
                check_fit(spec, size, found, self.ask)
                self._found[spec] = found
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
