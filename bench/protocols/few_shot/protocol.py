"""Telling new classes apart by a few labels each, after learning from the other classes of a source dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from bench.datasets import Dataset
from bench.datasets.companions.base import Relation
from bench.datasets.companions.source import SourceDomain
from bench.errors import RequestError
from bench.plans.given import declared
from bench.plans.plan import AUTO, Plan
from bench.plans.protocol import Protocol
from bench.plans.strategies import get_strategy
from bench.protocols.few_shot.episodes import check_episodes, findings_of_new
from bench.protocols.few_shot.held_out import held_out
from bench.records import LATER, Cell
from bench.system.sections import Section, distinct
from strategies import STRATEGIES
from strategies.base import Strategy


class Episodic(Section):
    """The settings of episodes: every number of ways with every number of shots is measured.

    An episode has ``ways`` new classes, ``shots`` labelled examples of each, and up to ``queries`` others of each,
    to be classified.
    """

    ways: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)] = [5, 20]
    """Classes of an episode."""
    shots: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [1, 5]
    """Labelled examples per class in an episode."""
    episodes: Annotated[int, Field(ge=10, le=1_000_000)] = 1000
    """Number of episodes."""
    queries: Annotated[int, Field(ge=1)] = 5
    """Most examples per class that an episode classifies."""

    @field_validator("ways", "shots")
    @classmethod
    def _sorted(cls, values: list[int]) -> list[int]:
        return sorted(distinct(values))


class FewShot(Protocol):
    name = "few-shot"
    handler = "bench.protocols.few_shot.cell:run_few_shot"
    strategies = ("nearest_pixel", "feature_extraction", "siamese", "prototypical")
    settings = Episodic
    shares_labels = False
    instead_of_fractions = "It takes --shots, labels a class."
    table = "few_shot.csv"
    predicts = "accuracies"
    measures_latency = False  # an episode's classifier is no part of a network

    def check(self, plan: Plan, strategies: Mapping[str, Strategy]) -> None:
        """Refuses strategies that cannot tell new classes apart, and keys that would do nothing."""
        for key in ("metric", "class_weight"):
            default = LATER[key]
            if (value := getattr(plan, key)) != default:
                expected = f"{default} in the few-shot protocol"
                remedy = "All classes of an episode have as many images, so nothing is imbalanced."
                raise RequestError(key, value, expected, remedy)
        if plan.is_cut_short:
            given = "budget" if plan.budget else "until"
            remedy = "All of its cells count. Leave it out, or name fewer strategies."
            raise RequestError(given, getattr(plan, given), "left out in the few-shot protocol", remedy)
        unable = [name for name, strategy in strategies.items() if not strategy.few_shot]
        if unable:
            able = [name for name in STRATEGIES if get_strategy(name).few_shot]
            expected = "able to tell new classes apart by a few labels"
            raise RequestError("strategies", unable[0], expected, f"These are: {', '.join(able)}.")

    def check_data(self, plan: Plan, dataset: Dataset) -> None:
        check_episodes(dataset, **plan.protocol_settings)

    def check_source(self, plan: Plan, source: SourceDomain) -> None:
        for seed in range(plan.seeds):
            held_out(source, plan.protocol_settings, seed)

    def declare(self, strategy: Strategy, hp: Any) -> None:
        if strategy.few_shot:
            strategy.few_shot_space(hp)

    def relation(self, strategies: Mapping[str, Strategy]) -> Relation:
        return "other"

    def learns_from_source(self, strategy: Strategy) -> bool:
        return super().learns_from_source(strategy) or strategy.uses_backbone

    def shares(self, plan: Plan) -> list[float]:
        return [0.0]  # nothing is learned from a label of the new classes

    def repetitions(self, plan: Plan, strategy: Strategy, has_source: bool) -> int:
        found = declared(lambda hp: self.declare(strategy, hp))
        is_tuned = has_source and found.searched.keys() - strategy.fixed.keys()
        return plan.seeds if strategy.trains or is_tuned else 1

    def audited(self, dataset: Dataset) -> Dataset:
        return findings_of_new(dataset)

    def ranked_on(self, plan: Plan) -> list[str]:
        """Those of the source: nothing may be chosen by the labels of new classes."""
        if not plan.source_dataset:
            raise RequestError(
                "backbones",
                f"{AUTO}:{plan.auto}",
                "named, or ranked on a --source-dataset",
                "Labels of new classes must not choose a backbone.",
            )
        return [plan.source_dataset]

    def share(self, cell: Cell) -> str:
        return self.name

    def introduction(self, plan: Plan, dataset: Dataset) -> str:
        few, count = plan.protocol_settings, len(dataset.pool.ids) + len(dataset.test.ids)
        ways, shots = (" and ".join(map(str, few[key])) for key in ("ways", "shots"))
        return (
            f"{len(dataset.class_names)} new classes, {count:,} {dataset.kind.noun.many}; {few['episodes']:,} "
            f"episodes of each of {ways} ways with {shots} shots"
        )
