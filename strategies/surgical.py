"""One block of the network trains, wherever it lies."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Limit, Limits, Stage, Strategy
from strategies.feature_extraction import warm_up_stage
from strategies.hyperrule import body_space, body_stage


class Surgical(Strategy):
    name = "surgical"
    summary = "One block trains, from the first (where images differ) to the last (where labels do)."
    when = "Images differ from those of the source in one way: in how they look, or in what is asked of them."
    cost = "Like partial fine-tuning: more the lower the block lies."
    reference = "Lee et al. 2023, Surgical fine-tuning, arXiv:2210.11466"
    version = 2
    limits = Limits(
        depth=Limit(0, 1, "0 is the first block, 1 the last. For all of them, use full_finetune.")
    )

    def space(self, hp: Any) -> None:
        # Of the block, counted from the input: 0 is the first, 1 the last.
        hp.Choice("depth", [0.0, 0.25, 0.5, 0.75, 1.0], default=0.5)
        body_space(hp)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        # A cut counts from the top, and has one block above it at least: the last.
        above = 1 - hp.get("depth")
        cut = "input" if above == 1 else max(above, 1e-3)
        return [warm_up_stage(), body_stage(hp, cut=cut, blocks=1)]
