"""Full fine-tuning: a trained head first, so that its noise does not destroy the features, then everything."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import head_stage
from strategies.partial_finetune import HEAD_EPOCHS


class FullFinetune(Strategy):
    name = "full_finetune"
    summary = (
        "Head first, then the whole network at a low rate: the dearest, often the best with many labels."
    )
    when = "Many labels, or images unlike those of the source."
    cost = "Tens of times as much: every step goes through the whole network."
    reference = "Girshick et al. 2014, R-CNN, arXiv:1311.2524; Kumar et al. 2022, LP-FT, arXiv:2202.10054"

    def space(self, hp: Any) -> None:
        hp.Float("learning_rate", 1e-3, 1e-2, sampling="log", default=3e-3)
        hp.Float("weight_decay", 1e-3, 1.0, sampling="log", default=1e-2)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [
            head_stage(epochs=HEAD_EPOCHS),
            Stage(
                "finetune",
                cut="input",
                learning_rate=hp.get("learning_rate"),
                weight_decay=hp.get("weight_decay"),
            ),
        ]
