"""Scratch: the same network from random weights, as if nothing could be transferred."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy

STEPS = 1200
"""With few labels: what begins with nothing has further to go."""


class Scratch(Strategy):
    name = "scratch"
    summary = "The whole network trains from random weights: the baseline that shows what transfer brings."
    when = "To measure what transfer brings. Use it only with many labels of images unlike any photograph."
    cost = "Like full fine-tuning, tens of times as much, often with more epochs."
    uses_weights = False

    def space(self, hp: Any) -> None:
        hp.Float("learning_rate", 2e-2, 2e-1, sampling="log", default=6e-2)
        hp.Float("weight_decay", 1e-4, 1e-1, sampling="log", default=1e-2)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [
            Stage(
                "train",
                cut="input",
                weights="random",
                batch_norm="trained",
                steps=STEPS,
                learning_rate=hp.get("learning_rate"),
                weight_decay=hp.get("weight_decay"),
            )
        ]
