"""Learning rates that fall from the top downward."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Limit, Limits, Stage, Strategy
from strategies.feature_extraction import warm_up_stage
from strategies.hyperrule import body_space, body_stage


class DiscriminativeRates(Strategy):
    name = "discriminative_lr"
    summary = (
        "Full fine-tuning whose learning rate, and with it weight decay, falls from block to block downward."
    )
    when = "Full fine-tuning overfits, and low layers should hardly move."
    cost = "Like full fine-tuning."
    reference = "Howard & Ruder 2018, ULMFiT, arXiv:1801.06146"
    version = 2
    limits = Limits(rate_decay=Limit(0.01, 1))

    def space(self, hp: Any) -> None:
        hp.Choice("rate_decay", [0.6, 0.8, 0.9], default=0.8)
        body_space(hp)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [warm_up_stage(), body_stage(hp, rate_decay=hp.get("rate_decay"))]
