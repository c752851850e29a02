"""A strategy: the head, then the upper half of the network."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy


class UpperHalf(Strategy):
    name = "upper_half"
    summary = "Head first, then the upper half of the network."
    when = "In examples."
    cost = "About ten times as much."

    def space(self, hp: Any) -> None:
        hp.Float("learning_rate", 1e-3, 1e-2, sampling="log", default=3e-3)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [
            Stage("head", cut="top", learning_rate=3e-2, weight_decay=1e-2, steps=80, epochs=3),
            Stage("finetune", cut=0.5, learning_rate=hp.get("learning_rate"), weight_decay=1e-2, steps=300),
        ]
