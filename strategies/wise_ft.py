"""Between the probe and the fine-tuned network."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Limit, Limits, Stage, Strategy
from strategies.hyperrule import body_space, body_stage
from strategies.lp_ft import PROBE_LIMITS, probe_space, probe_stage


class WeightSpaceEnsemble(Strategy):
    name = "wise_ft"
    summary = "Weights between those of a converged linear probe and those of full fine-tuning from there."
    when = "The model will meet images that differ from the training images."
    cost = "Like full fine-tuning."
    reference = "Wortsman et al. 2022, Robust fine-tuning (WiSE-FT), arXiv:2109.01903"
    version = 2
    limits = Limits(PROBE_LIMITS, mix=Limit(0, 1))

    def space(self, hp: Any) -> None:
        hp.Choice("mix", [0.25, 0.5, 0.75, 1.0], default=0.75)
        probe_space(hp)
        body_space(hp)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [probe_stage(hp), body_stage(hp, mix=hp.get("mix"))]
