"""Low-rank updates of linear layers."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Limit, Limits, Stage, Strategy
from strategies.feature_extraction import warm_up_stage
from strategies.hyperrule import LENGTH


class LowRank(Strategy):
    name = "lora"
    summary = "Low-rank updates of linear layers train, the network stays: small, for large backbones."
    when = "Many tasks that are to share one large backbone: each stores little."
    cost = "In time like full fine-tuning or more. The stored updates are small."
    reference = "Hu et al. 2021, LoRA, arXiv:2106.09685"
    version = 2
    limits = Limits(rank=Limit(1))

    def skip(self, info: Info) -> str | None:
        none = "the backbone has no dense layers or 1 x 1 convolutions for low-rank updates"
        return super().skip(info) or (None if info.has_pointwise else none)

    def space(self, hp: Any) -> None:
        hp.Choice("rank", [2, 4, 8, 16], default=8)
        hp.Float("learning_rate", 1e-3, 3e-2, sampling="log", default=6e-3)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        tuned = Stage(
            "finetune", "input", learning_rate=hp.get("learning_rate"), rank=hp.get("rank"), **LENGTH
        )
        return [warm_up_stage(), tuned]
