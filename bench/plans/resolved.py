"""A plan whose names are parsed: strategies, backbones, datasets and the protocol, once for all that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bench.backbones.spec import BackboneSpec, check_size, parse_backbone
from bench.datasets.specs import canonical_spec
from bench.errors import RequestError, told_of
from bench.modalities.registry import DEFAULT, modality, size_of
from bench.plans.given import Declared, declared
from bench.plans.plan import AUTO, Plan
from bench.plans.protocol import Protocol, protocol
from bench.plans.strategies import get_strategy, spelled
from bench.records import SINGLE_LABEL
from bench.system import backend
from bench.system.names import titled
from strategies import STRATEGIES
from strategies.base import Strategy


@dataclass(frozen=True)
class Resolved:
    """A plan and what its names stand for.

    Attributes:
        plan: with every name spelled in the one way that run directories hold; ``auto:K`` stays.
        protocol: how its cells are planned and run.
        strategies: by their text.
        backbones: those that are named.
    """

    plan: Plan
    protocol: Protocol
    strategies: Mapping[str, Strategy]
    backbones: tuple[BackboneSpec, ...]

    @property
    def uses_weights(self) -> bool:
        """Whether any strategy begins with the weights of its backbone."""
        return any(strategy.uses_weights for strategy in self.strategies.values())

    def declared(self, strategy: Strategy) -> Declared:
        """What a strategy searches in this plan's protocol."""
        return declared(partial(self.protocol.declare, strategy))

    def counterparts(self) -> dict[str, str]:
        """By strategy, the one that it is without what it adds, with the same given hyperparameters."""
        found = {}
        for text, strategy in self.strategies.items():
            if strategy.counterpart:
                known = declared(get_strategy(strategy.counterpart).space).values
                fixed = {name: value for name, value in strategy.fixed.items() if name in known}
                found[text] = ":".join([strategy.counterpart, *([spelled(fixed)] if fixed else [])])
        return found

    def with_backbones(self, texts: Sequence[str]) -> Resolved:
        """The same with other backbones, all of them named."""
        specs = _backbones(self.plan.model_copy(update={"backbones": list(texts)}))
        plan = self.plan.model_copy(update={"backbones": [spec.text for spec in specs]})
        return replace(self, plan=plan, backbones=specs)


def resolve(plan: Plan) -> Resolved:
    """Parses the names in a plan.

    Raises:
        RequestError: a strategy, backbone or dataset does not exist, a size does not fit, or the backend cannot
            be used.
    """
    backend.check(plan.backend)
    backbones = _backbones(plan)
    strategies = _strategies(_named(plan, backbones), plan.task)
    auto = [] if plan.auto is None else [f"{AUTO}:{plan.auto}"]
    spelled_out = {
        "datasets": [canonical_spec(spec) for spec in plan.datasets],
        "backbones": [*auto, *(spec.text for spec in backbones)],
        "strategies": list(strategies),
        "source_dataset": _other_dataset(plan, "source_dataset"),
        "auxiliary": list(dict.fromkeys(column.strip().lower() for column in plan.auxiliary)),
        "auxiliary_dataset": _other_dataset(plan, "auxiliary_dataset"),
    }
    return Resolved(plan.model_copy(update=spelled_out), protocol(plan.protocol), strategies, backbones)


def _named(plan: Plan, backbones: Sequence[BackboneSpec]) -> list[str]:
    """The strategies of a plan. One that names none has its protocol's own and the floors of its modality."""
    if "strategies" in plan.model_fields_set:
        return plan.strategies
    kinds = {spec.modality for spec in backbones} or {DEFAULT}
    floors = [floor for kind in sorted(kinds) for floor in modality(kind).floors]
    found = {name: get_strategy(name) for name in (*plan.strategies, *floors)}
    few_shot = not protocol(plan.protocol).shares_labels
    return [
        name
        for name, one in found.items()
        if one.learns_from(kinds)
        and (one.few_shot or not few_shot)
        and (one.many_labels or plan.task == SINGLE_LABEL)
    ]


def _strategies(names: Sequence[str], task: str) -> dict[str, Strategy]:
    found: dict[str, Strategy] = {}
    for strategy in map(get_strategy, names):
        if strategy.text in found:
            raise RequestError("strategies", strategy.text, "named once, however they are written")
        if task != SINGLE_LABEL and not strategy.many_labels:
            able = [name for name in STRATEGIES if get_strategy(name).many_labels]
            expected = f"able to learn any number of labels of an example (task {task})"
            remedy = f"It learns one class each. These can: {', '.join(able)}."
            raise RequestError("strategies", strategy.text, expected, remedy)
        found[strategy.text] = strategy
    return found


def _backbones(plan: Plan) -> tuple[BackboneSpec, ...]:
    specs = tuple(parse_backbone(text) for text in plan.named)
    for spec in specs:
        check_size(spec, size_of(vars(plan), spec.modality))
        if specs.count(spec) > 1:
            raise RequestError("backbones", spec.text, "named once, however they are written")
        title = titled(spec.architecture, spec.weights)
        for other in specs:
            if other != spec and titled(other.architecture, other.weights) == title:
                remedy = f"{other.text} would be called {title}, too. Rename one of the two."
                raise RequestError("backbones", spec.text, "named so that weights differ", remedy)
    return specs


def _other_dataset(plan: Plan, field: str) -> str:
    """The canonical spec of a dataset that a plan may do without."""
    spec: str = getattr(plan, field)
    with told_of(field):
        return canonical_spec(spec) if spec else ""
