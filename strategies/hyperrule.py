"""One recipe for everything, without a search; its values are also where the others begin theirs."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import head_stage

HEAD_EPOCHS = 5
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
"""Trial 0 of every strategy that fine-tunes."""


def body_space(hp: Any) -> None:
    """The learning rate and weight decay that a backbone is fine-tuned with."""
    hp.Float("learning_rate", 1e-3, 1e-2, sampling="log", default=LEARNING_RATE)
    hp.Float("weight_decay", 1e-3, 1.0, sampling="log", default=WEIGHT_DECAY)


def body_stage(hp: Any, **changes: Any) -> Stage:
    """The stage that fine-tunes what lies above ``cut`` (default: all) with the values of ``body_space``."""
    values = {"learning_rate": hp.get("learning_rate"), "weight_decay": hp.get("weight_decay")}
    return Stage(**{"name": "finetune", "cut": "input", **values, **changes})


class HyperRule(Strategy):
    name = "hyperrule"
    summary = "Full fine-tuning by a fixed rule, one trial and no search: shows what tuning is worth."
    when = "To know what the search is worth, or there is no time for one."
    cost = "One training and its refit: with 4 trials two fifths of full fine-tuning."
    reference = "Kolesnikov et al. 2020, Big Transfer (its BiT-HyperRule), arXiv:1912.11370"

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        # With few labels the body is left nearer to where it came from.
        rate = LEARNING_RATE * (0.5 if info.n < 20 * info.classes else 1.0)
        tuned = Stage("finetune", cut="input", learning_rate=rate, weight_decay=WEIGHT_DECAY)
        return [head_stage(epochs=HEAD_EPOCHS), tuned]
