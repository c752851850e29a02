"""Learning from growing shares of the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.datasets import Dataset
from bench.datasets.companions.source import SourceDomain
from bench.datasets.splits import check_fraction, smallest_fraction, subset_size
from bench.errors import RequestError
from bench.plans.plan import DEFAULT_STRATEGIES, Plan
from bench.plans.protocol import Protocol
from bench.plans.strategies import get_strategy
from bench.records import FRACTIONS, Cell
from strategies import STRATEGIES
from strategies.base import Strategy


class Fractions(Protocol):
    name = FRACTIONS
    handler = "bench.protocols.fractions.cell:run_cell"
    strategies = DEFAULT_STRATEGIES

    def check(self, plan: Plan, strategies: Mapping[str, Strategy]) -> None:
        """Refuses a source dataset that nothing uses, and no labels at all for strategies that need some."""
        if plan.source_dataset and not any(map(self.learns_from_source, strategies.values())):
            able = [name for name in STRATEGIES if self.learns_from_source(get_strategy(name))]
            remedy = f"These use it: {', '.join(able)}."
            raise RequestError("source_dataset", plan.source_dataset, "used by a strategy", remedy)
        needy = [name for name, strategy in strategies.items() if strategy.needs_labels]
        if 0 in plan.fractions and needy:
            able = [name for name in STRATEGIES if not get_strategy(name).needs_labels]
            raise RequestError(
                "fractions",
                0.0,
                "above 0 for strategies that need labels of the target",
                f"These need labels: {', '.join(needy)}. These do not: {', '.join(able)}. Run "
                "fraction 0 "
                "in a run of its own.",
            )

    def fitted(self, plan: Plan, datasets: Sequence[Dataset]) -> Plan:
        """A plan that names no fractions has as many as usual, from the smallest on that its datasets allow."""
        if "fractions" in plan.model_fields_set:
            return plan
        usual, most = min(plan.fractions), max(plan.fractions)
        pools = [(d.pool.labels, d.pool.groups, plan.looks[-1], d.fingerprint) for d in datasets]
        least = max(smallest_fraction(*pool, usual) for pool in pools)
        if least == usual:
            return plan
        between = np.geomspace(least, most, len(plan.fractions))[1:]
        fractions = sorted({least, *(round(float(fraction), 2) for fraction in between)})
        return plan.model_copy(update={"fractions": fractions})

    def check_data(self, plan: Plan, dataset: Dataset) -> None:
        pool = dataset.pool
        for fraction in filter(None, plan.fractions):
            check_fraction(
                pool.labels,
                pool.groups,
                fraction,
                plan.looks[-1],
                dataset.fingerprint,
                dataset.class_names,
                dataset.kind.noun,
            )

    def check_source(self, plan: Plan, source: SourceDomain) -> None:
        for seed in range(plan.looks[-1] if 0 in plan.fractions else 0):
            source.divided(seed)

    def introduction(self, plan: Plan, dataset: Dataset) -> str:
        return (
            f"{len(dataset.class_names)} {dataset.task.told}, pool of {len(dataset.pool.ids):,} "
            f"{dataset.kind.noun.many}, test set of {len(dataset.test.ids):,}"
        )

    def size(self, cell: Cell, pool: int) -> str:
        return f"{subset_size(pool, cell.fraction):,}"
