"""Partial fine-tuning: the upper blocks adapt, the lower ones, which are more general, stay."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Limit, Limits, Stage, Strategy
from strategies.feature_extraction import warm_up_stage
from strategies.hyperrule import body_space, body_stage


class PartialFinetune(Strategy):
    name = "partial_finetune"
    summary = "Head first, then the top blocks too. Their number is searched. Medium cost and risk."
    when = "A few hundred labels or more, and full fine-tuning is too expensive or overfits."
    cost = "Ten to twenty times as much: what lies below the trained blocks is stored."
    reference = "Yosinski et al. 2014, How transferable are features, arXiv:1411.1792"
    limits = Limits(
        unfreeze=Limit(
            0.01, 0.99, "For everything, use full_finetune. For the head alone, use feature_extraction."
        )
    )

    def space(self, hp: Any) -> None:
        hp.Choice("unfreeze", [0.25, 0.5, 0.75], default=0.5)
        body_space(hp)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [warm_up_stage(), body_stage(hp, cut=hp.get("unfreeze"))]
