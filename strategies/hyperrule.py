"""One recipe without a search; its values are also where others begin theirs."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import warm_up_stage

LENGTH: dict[str, Any] = {"steps": 500, "epochs": 30, "warmup": 0.3}
"""Of fine-tuning. Longer, few labels are fitted rather than learned from; with a shorter rise of the learning rate,
the first steps tear up what the network starts from. See ``tests/benchmarks/README.md``."""
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.1
"""With them trial 0 fine-tunes in every strategy with ``body_space``: all that train kernels of the backbone from
pretrained weights, but for those of ``metric.py``, which have another loss."""


def body_space(hp: Any) -> None:
    """The learning rate and weight decay that a backbone is fine-tuned with."""
    hp.Float("learning_rate", 5e-4, 1e-2, sampling="log", default=LEARNING_RATE)
    hp.Float("weight_decay", 1e-3, 0.3, sampling="log", default=WEIGHT_DECAY)


def body_stage(hp: Any, **changes: Any) -> Stage:
    """The stage that fine-tunes what lies above ``cut`` (default: all) with the values of ``body_space``."""
    values = {"learning_rate": hp.get("learning_rate"), "weight_decay": hp.get("weight_decay")}
    return Stage(**{"name": "finetune", "cut": "input", **LENGTH, **values, **changes})


class HyperRule(Strategy):
    name = "hyperrule"
    summary = "Full fine-tuning by a fixed rule, one trial and no search: shows what tuning is worth."
    when = "To know what the search is worth, or there is no time for one."
    cost = "One training and its refit: with 4 trials two fifths of full fine-tuning."
    reference = "In the manner of Kolesnikov et al. 2020, Big Transfer (its BiT-HyperRule), arXiv:1912.11370"
    version = 2

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        tuned = Stage("finetune", "input", LEARNING_RATE, WEIGHT_DECAY, **LENGTH)
        return [warm_up_stage(), tuned]
