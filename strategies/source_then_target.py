"""Fine-tuning twice: on the source, then on the target's labels."""

from __future__ import annotations

from typing import Any

from strategies.adapting import Adapting
from strategies.base import Info, Stage
from strategies.hyperrule import body_stage


class SourceThenTarget(Adapting):
    name = "source_then_target"
    summary = "Full fine-tuning on the source, then on the target's labels: how most people use a source."
    when = "There are labels of the target, too few to do without the source."
    cost = "Like full fine-tuning twice: on the source's images, then on the target's."
    reference = "Phang, Févry & Bowman 2018, Sentence encoders on STILTs, arXiv:1811.01088"
    data = "source"
    counterpart = ""
    needs_labels = True

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        head, body = super().stages(hp, info)
        return [head, Stage(**{**vars(body), "name": "source"}), body_stage(hp)]
