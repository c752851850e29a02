"""What a protocol is: the question that the cells of a run answer, and how they are planned, checked and run.

Implementations are in ``bench.protocols``, one folder each, and named here by one line each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar

from bench.datasets.companions.base import Relation
from bench.errors import RequestError
from bench.plans.strategies import get_strategy
from bench.records import Cell
from bench.system.sections import Section

if TYPE_CHECKING:
    from bench.datasets import Dataset
    from bench.datasets.companions.source import SourceDomain
    from bench.plans.plan import Plan
    from strategies.base import Strategy

PROTOCOLS = {
    "fractions": "bench.protocols.fractions.protocol:Fractions",
    "few-shot": "bench.protocols.few_shot.protocol:FewShot",
}
"""Name to ``module:class``."""


class Protocol(ABC):
    """One kind of benchmark. Importing it loads no Keras."""

    name: ClassVar[str]
    handler: ClassVar[str]
    """What runs a cell in a worker, as ``module:function``; see ``bench.protocols.worker``."""
    strategies: ClassVar[tuple[str, ...]]
    """Those of a plan that names none."""
    settings: ClassVar[type[Section] | None] = None
    """The keys of the plan's section that has its name."""
    shares_labels: ClassVar[bool] = True
    """Whether cells learn from shares of the labels, so that strategies can be compared by label count."""
    instead_of_fractions: ClassVar[str] = ""
    """If not: what a plan gives instead, as a sentence."""
    table: ClassVar[str] = "results.csv"
    """The file of a run directory that holds what was measured."""
    predicts: ClassVar[str] = "probabilities"
    """The array that a cell leaves beside its record and that a repetition has to give again."""
    measures_latency: ClassVar[bool] = True
    """Whether a network as it is trained here is one that could be used."""

    @abstractmethod
    def check(self, plan: Plan, strategies: Mapping[str, Strategy]) -> None:
        """Refuses what can be refused before any data are opened.

        Raises:
            RequestError: the plan asks for something that this protocol cannot do.
        """

    @abstractmethod
    def check_data(self, plan: Plan, dataset: Dataset) -> None:
        """Refuses a dataset of which some cell could not be run.

        Raises:
            RequestError: there are too few examples.
        """

    @abstractmethod
    def check_source(self, plan: Plan, source: SourceDomain) -> None:
        """Refuses a source dataset that some cell could not learn or tune on.

        Raises:
            RequestError: there are too few examples.
        """

    def declare(self, strategy: Strategy, hp: Any) -> None:
        """Declares what a strategy searches here."""
        strategy.space(hp)

    def relation(self, strategies: Mapping[str, Strategy]) -> Relation:
        """What the classes of a source have to be to those of the dataset for these strategies."""
        return "same" if any(strategy.needs_source for strategy in strategies.values()) else "any"

    def relation_of(self, cell: Cell) -> Relation:
        """The same for the strategy of a cell."""
        return self.relation({cell.strategy: get_strategy(cell.strategy)})

    def learns_from_source(self, strategy: Strategy) -> bool:
        """Whether a strategy learns from the source dataset, if there is one."""
        return strategy.needs_source or strategy.uses_source

    def fitted(self, plan: Plan, datasets: Sequence[Dataset]) -> Plan:
        """The plan with what it leaves out chosen so that the datasets allow it."""
        return plan

    def shares(self, plan: Plan) -> list[float]:
        """The fractions of a plan's cells, the longest to run first, so that workers end together."""
        return sorted(plan.fractions, reverse=True)

    def repetitions(self, plan: Plan, strategy: Strategy, has_source: bool) -> int:
        """How many seeds a strategy runs with."""
        return plan.looks[-1]

    def audited(self, dataset: Dataset) -> Dataset:
        """The dataset with the findings that matter here."""
        return dataset

    def ranked_on(self, plan: Plan) -> list[str]:
        """The datasets by whose labels backbones may be chosen.

        Raises:
            RequestError: there are none.
        """
        return plan.datasets

    @abstractmethod
    def introduction(self, plan: Plan, dataset: Dataset) -> str:
        """What cells of a dataset have to learn from and are tested on, as the end of a sentence."""

    def share(self, cell: Cell) -> str:
        """What share of the labels a cell learns from, for a table."""
        return f"{cell.fraction * 100:g}%"

    def size(self, cell: Cell, pool: int) -> str:
        """How many labels a cell learns from, for a table; ``-`` where that says nothing."""
        return "-"


@cache
def protocol(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        RequestError: there is none.
    """
    if name not in PROTOCOLS:
        raise RequestError("protocol", name, " or ".join(map(repr, PROTOCOLS)))
    found: Protocol = resolve_name(PROTOCOLS[name])()
    return found
