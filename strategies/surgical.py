"""One block of the network trains, wherever it lies."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import head_stage
from strategies.hyperrule import HEAD_EPOCHS, body_space, body_stage


class Surgical(Strategy):
    name = "surgical"
    summary = "One block trains, wherever it lies: early where images differ, late where labels do."
    when = "Images differ from those of the source in one way: in how they look, or in what is asked of them."
    cost = "Like partial fine-tuning: more the lower the block lies."
    reference = "Lee et al. 2023, Surgical fine-tuning, arXiv:2210.11466"

    def space(self, hp: Any) -> None:
        hp.Choice("depth", [0.2, 0.4, 0.6, 0.8], default=0.4)
        body_space(hp)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [head_stage(epochs=HEAD_EPOCHS), body_stage(hp, cut=hp.get("depth"), blocks=1)]
