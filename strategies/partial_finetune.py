"""Partial fine-tuning: the upper blocks adapt, the lower ones, which are more general, stay."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import head_stage

HEAD_EPOCHS = 5
"""Few: the head is to be sensible before it sends gradients down, not fitted to the few labels there are."""


class PartialFinetune(Strategy):
    name = "partial_finetune"
    summary = "Head first, then the top blocks as well; how many is searched. A middle way in cost and risk."
    when = "A few hundred labels or more, and full fine-tuning is too dear or overfits."
    cost = "Ten to twenty times as much: what lies below the trained blocks is stored."
    reference = "Yosinski et al. 2014, How transferable are features, arXiv:1411.1792"

    def space(self, hp: Any) -> None:
        hp.Choice("unfreeze", [0.25, 0.5, 0.75], default=0.5)
        hp.Float("learning_rate", 1e-3, 1e-2, sampling="log", default=3e-3)
        hp.Float("weight_decay", 1e-3, 1.0, sampling="log", default=1e-2)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [
            head_stage(epochs=HEAD_EPOCHS),
            Stage(
                "finetune",
                cut=hp.get("unfreeze"),
                learning_rate=hp.get("learning_rate"),
                weight_decay=hp.get("weight_decay"),
            ),
        ]
