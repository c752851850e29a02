"""The head to convergence first, then everything."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import head_stage
from strategies.hyperrule import body_space, body_stage


class LinearProbeFinetune(Strategy):
    name = "lp_ft"
    summary = "The head is trained to its end first, then all: good features are not torn up."
    when = "Full fine-tuning is to be safe against images that differ from the training images."
    cost = "Like full fine-tuning; the longer first stage runs on stored features."
    reference = "Kumar et al. 2022, Fine-tuning can distort pretrained features (LP-FT), arXiv:2202.10054"

    def space(self, hp: Any) -> None:
        hp.Float("head_weight_decay", 1e-4, 1.0, sampling="log", default=1e-2)
        body_space(hp)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [head_stage(weight_decay=hp.get("head_weight_decay")), body_stage(hp)]
