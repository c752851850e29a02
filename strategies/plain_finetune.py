"""Head and body together from the first step."""

from __future__ import annotations

from typing import Any

from strategies.base import Info, Stage, Strategy
from strategies.hyperrule import body_space, body_stage


class PlainFinetune(Strategy):
    name = "plain_finetune"
    summary = "A new head and the whole network train together from the first step, as in most tutorials."
    when = "To compare: it is what most tutorials do."
    cost = "Like full fine-tuning."
    reference = "Yosinski et al. 2014, How transferable are features, arXiv:1411.1792"

    def space(self, hp: Any) -> None:
        body_space(hp)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [body_stage(hp)]
