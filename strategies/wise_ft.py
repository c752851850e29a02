"""Between the probe and the fine-tuned network."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import head_stage
from strategies.hyperrule import HEAD_EPOCHS, body_space, body_stage


class WeightSpaceEnsemble(Strategy):
    name = "wise_ft"
    summary = "Weights between those of the trained head alone and those of full fine-tuning."
    when = "The model will meet images that differ from the training images."
    cost = "Like full fine-tuning."
    reference = "Wortsman et al. 2022, Robust fine-tuning (WiSE-FT), arXiv:2109.01903"

    def space(self, hp: Any) -> None:
        hp.Choice("mix", [0.25, 0.5, 0.75, 1.0], default=0.75)
        body_space(hp)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [head_stage(epochs=HEAD_EPOCHS), body_stage(hp, mix=hp.get("mix"))]
