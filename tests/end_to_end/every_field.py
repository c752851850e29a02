"""``every_field:EveryField``: a strategy of another package, whose stages set every field there is."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import head_stage
from strategies.logistic import Logistic


class EveryField(Strategy):
    name = "every_field"
    summary = "A test."

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        def upper(name: str, **fields: Any) -> Stage:
            return Stage(name, **{"cut": 0.25, "learning_rate": 0.05, "epochs": 1, **fields})

        return [
            head_stage(steps=6000),  # in a run of a twentieth still more epochs than a curve has points
            upper("held", weight_decay=3.0, blocks=2, rate_decay=0.5, decay_to="start"),
            upper("low_rank", rank=2, mix=0.5, weight_decay=0.1, decay_to="start"),
            upper(
                "normalised", only="norm", batch_norm="trained", mix=0.75, weight_decay=3.0, decay_to="start"
            ),
            Stage("finetune", cut="input", learning_rate=0.03, only="bias", blocks=9, rate_decay=0.9),
        ]


class Sure(Logistic):
    """Learns as its base does."""

    name = "sure"
    summary = "A test."

    def space(self, hp: Any) -> None:
        hp.Choice("penalty", [1e-3])
