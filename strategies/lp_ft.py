"""The head to convergence first, then everything."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Limit, Limits, Stage, Strategy
from strategies.feature_extraction import head_stage
from strategies.hyperrule import body_space, body_stage

PROBE_STEPS = 1600
"""To convergence: on clothing, with decay 0.2 and 341 or 3,409 labels, the loss is then within 6% of that after a
thousand, where five epochs leave it 30% to 180% above. That takes as long as one or two epochs of fine-tuning, or
less."""
PROBE_LIMITS = Limits(head_weight_decay=Limit(0, 30))


def probe_space(hp: Any) -> None:
    """How strongly the linear probe is regularised: what it converges to."""
    # AdamW takes off this times the learning rate, 3e-2: below 0.03 it hardly shows, above 1 the probe underfits.
    hp.Float("head_weight_decay", 3e-2, 1.0, sampling="log", default=0.5)


def probe_stage(hp: Any) -> Stage:
    """The stage that trains a linear probe to convergence, on stored features."""
    decay = hp.get("head_weight_decay")
    return head_stage(weight_decay=decay, steps=PROBE_STEPS)


class LinearProbeFinetune(Strategy):
    name = "lp_ft"
    summary = "The head is trained to convergence first, then all: good features are not torn up."
    when = "Full fine-tuning is to be safe against images that differ from the training images."
    cost = "Like full fine-tuning: the longer first stage runs on stored features."
    reference = "Kumar et al. 2022, Fine-tuning can distort pretrained features (LP-FT), arXiv:2202.10054"
    version = 2
    limits = PROBE_LIMITS

    def space(self, hp: Any) -> None:
        probe_space(hp)
        body_space(hp)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [probe_stage(hp), body_stage(hp)]
