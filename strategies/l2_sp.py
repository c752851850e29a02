"""Weight decay towards the pretrained weights instead of zero: of all that trains, biases too.

Normalisation layers stay frozen here as in all fine-tuning, and so are where they began.
"""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import warm_up_stage
from strategies.hyperrule import body_space, body_stage


class PullToStart(Strategy):
    name = "l2_sp"
    summary = (
        "Full fine-tuning with weight decay towards the pretrained weights: a leash whose length is searched."
    )
    when = "Few labels for full fine-tuning, and images like those of the source."
    cost = "Like full fine-tuning."
    reference = "Li, Grandvalet & Davoine 2018, Explicit inductive bias (L2-SP), arXiv:1802.01483"
    version = 2

    def space(self, hp: Any) -> None:
        body_space(hp)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [warm_up_stage(), body_stage(hp, decay_to="start")]
