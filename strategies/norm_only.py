"""Only the scales and offsets of normalisation layers train."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import warm_up_stage
from strategies.hyperrule import LENGTH


class NormOnly(Strategy):
    name = "norm_only"
    summary = "Only scales and offsets of normalisation layers train, and the head: hard to overfit."
    when = "Few labels and images of another look: colours, light, sharpness."
    cost = "Somewhat less than full fine-tuning: gradients still go through the whole network."
    reference = "Frankle, Schwab & Morcos 2020, Training BatchNorm and only BatchNorm, arXiv:2003.00152"

    def skip(self, info: Info) -> str | None:
        return super().skip(info) or (None if info.has_norm else "the backbone has no normalisation layers")

    def space(self, hp: Any) -> None:
        hp.Float("learning_rate", 3e-3, 1e-1, sampling="log", default=2e-2)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        tuned = Stage("finetune", "input", learning_rate=hp.get("learning_rate"), only="norm", **LENGTH)
        return [warm_up_stage(), tuned]
