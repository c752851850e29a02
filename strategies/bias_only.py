"""Only biases and offsets train."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import warm_up_stage
from strategies.hyperrule import LENGTH


class BiasOnly(Strategy):
    name = "bias_only"
    summary = (
        "Only biases and offsets train, and the head: the cheapest way to move a whole network a little."
    )
    when = "Few labels, or many tasks that are to share one network."
    cost = "Somewhat less than full fine-tuning: gradients still go through the whole network."
    reference = "Ben Zaken et al. 2022, BitFit, arXiv:2106.10199; Cai et al. 2020, TinyTL, arXiv:2007.11622"

    def skip(self, info: Info) -> str | None:
        return super().skip(info) or (
            None if info.has_bias else "the backbone has neither biases nor offsets"
        )

    def space(self, hp: Any) -> None:
        hp.Float("learning_rate", 3e-3, 1e-1, sampling="log", default=2e-2)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        tuned = Stage("finetune", "input", learning_rate=hp.get("learning_rate"), only="bias", **LENGTH)
        return [warm_up_stage(), tuned]
