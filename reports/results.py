"""The results of one run: everything that the questions of a page may ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import pandas as pd

from bench.modalities.nouns import Noun
from bench.modalities.registry import modality
from bench.records import FRACTIONS, MULTI_LABEL, Record
from reports.statistics.credits import metric_of, task_of
from reports.statistics.decisions import CONFIGURATION, EQUIVALENCE, Decision, decide
from reports.tables import curves_frame, ordered, results_frame
from reports.words import IMAGES

Previews = Callable[[str, Sequence[str]], Mapping[str, str]]
"""From a dataset's fingerprint and ids of test examples to the previews of those that are at hand, see
``Modality.preview``."""

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Results:
    """The records of a run, what is known about it, and how its page is to be.

    Attributes:
        records: all records of the run, in any order.
        run_info: the content of run.json; any key may be missing.
        plan_toml: the text of plan.toml.
        directory: the run directory; predictions/ in it is read where it exists.
        region: a difference in the metric that decides within plus or minus this counts as none.
        price_per_hour: of the machine; 0 shows no money.
        previews: of test examples to be shown; None: none is.
        sounds: likewise of what there is to listen to, see ``Modality.sound``.
        ranking: the content of ranking.json; empty if backbones were not chosen by it.
    """

    records: Sequence[Record]
    run_info: dict[str, Any]
    plan_toml: str
    directory: Path
    region: float = EQUIVALENCE
    price_per_hour: float = 0.0
    previews: Previews | None = None
    ranking: dict[str, Any] = field(default_factory=dict)
    sounds: Previews | None = None
    _known: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def protocol(self) -> str:
        """That of its cells."""
        return self.records[0].cell["protocol"] if self.records else FRACTIONS

    @property
    def shows_text(self) -> bool:
        """Whether previews are texts, not pictures."""
        return bool(self.records) and modality(self.records[0].cell["modality"]).is_read

    @property
    def noun(self) -> Noun:
        """What sentences call its examples."""
        return noun_of(self.records)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a record, see ``tables.results_frame``."""
        return results_frame(self.records)

    @property
    def metric(self) -> str:
        """The metric that decides."""
        return metric_of(self.frame)

    @property
    def many_labels(self) -> bool:
        """Whether an example has any number of labels."""
        return task_of(self.frame) == MULTI_LABEL

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row a point of a learning curve, see ``tables.curves_frame``."""
        return curves_frame(self.records)

    @cached_property
    def decisions(self) -> list[Decision]:
        """What may be said at each label count of each dataset; nothing unless metrics are of test examples."""
        return decide(self.frame, self.directory, self.region)

    @cached_property
    def strategies(self) -> list[str]:
        """Those that matter first: recommended or leading with the most labels, then by their highest mean."""
        chosen = [c.strategy for d in reversed(self.decisions) for c in (d.recommended, d.leader)]
        means = self.frame.groupby(["strategy", *CONFIGURATION[:-1], "fraction"])[self.metric].mean()
        best = means.groupby("strategy").max().fillna(0.0)
        others = sorted(ordered(self.frame["strategy"]), key=lambda name: -best[name])
        return list(dict.fromkeys([*chosen, *others]))

    @property
    def datasets(self) -> list[str]:
        """Their names, in the order of the tables."""
        return list(dict.fromkeys(self.frame["dataset"]))

    @property
    def several(self) -> bool:
        """Whether there is more than one dataset."""
        return len(self.datasets) > 1

    @property
    def counterparts(self) -> dict[str, str]:
        """By strategy, what it is without what it adds."""
        found: dict[str, str] = self.run_info.get("counterparts", {})
        return found

    def once(self, find: Callable[[Results], Found]) -> Found:
        """What a function finds in this run, computed once however many questions ask for it."""
        if find not in self._known:
            self._known[find] = find(self)
        return cast(Found, self._known[find])


def noun_of(records: Sequence[Record]) -> Noun:
    """What sentences call the examples of these records."""
    return modality(records[0].cell["modality"]).noun if records else IMAGES
