"""Full fine-tuning: a trained head first, so that its noise does not destroy the features, then everything."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import warm_up_stage
from strategies.hyperrule import body_space, body_stage


class FullFinetune(Strategy):
    name = "full_finetune"
    summary = (
        "Head first, then the whole network at a low rate: expensive, and often the best with many labels."
    )
    when = "Many labels, or images unlike those of the source."
    cost = "Tens of times as much: every step goes through the whole network."
    reference = "Girshick et al. 2014, R-CNN, arXiv:1311.2524; Kumar et al. 2022, LP-FT, arXiv:2202.10054"

    def space(self, hp: Any) -> None:
        body_space(hp)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [warm_up_stage(), body_stage(hp)]
