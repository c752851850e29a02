"""From the top downward, a quarter of the network at a time."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import warm_up_stage
from strategies.hyperrule import body_space, body_stage


class GradualUnfreeze(Strategy):
    name = "gradual_unfreeze"
    summary = "More and more of the network trains, from the top down: gentle where labels are few."
    when = "Full fine-tuning overfits or forgets."
    cost = "Somewhat more than full fine-tuning: three short stages before it."
    reference = "Howard & Ruder 2018, ULMFiT, arXiv:1801.06146"

    def space(self, hp: Any) -> None:
        body_space(hp)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        shares = (0.25, 0.5, 0.75)
        upper = [body_stage(hp, name=f"upper_{share:.0%}", cut=share, steps=60, epochs=2) for share in shares]
        return [warm_up_stage(), *upper, body_stage(hp)]
