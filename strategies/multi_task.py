"""Other labels of the examples, or another dataset, learned beside the target's labels with one backbone."""

from __future__ import annotations

from typing import Any, Literal

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import warm_up_stage
from strategies.hyperrule import body_space, body_stage

LEARNED: Literal["learned"] = "learned"


class MultiTask(Strategy):
    name = "multi_task"
    summary = (
        "Full fine-tuning that learns auxiliary labels beside the target's: good where tasks are related."
    )
    when = "Images have other labels that depend on the same features, and few of the target's own."
    cost = "Like full fine-tuning. With images=pool or another dataset, twice that for each auxiliary task."
    reference = (
        "Caruana 1997, Multitask learning, doi:10.1023/A:1007379606734; Kendall et al. 2018, arXiv:1705.07115"
    )
    needs_auxiliary = True
    counterpart = "full_finetune"

    def space(self, hp: Any) -> None:
        body_space(hp)
        hp.Choice("auxiliary_weight", ["0.3", "0.1", "1", LEARNED], default="0.3")
        hp.Fixed("images", "labelled")

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        given = hp.get("auxiliary_weight")
        weight = LEARNED if given == LEARNED else float(given)
        images = hp.get("images")
        # On frozen features the tasks share nothing: one weight is as good as another, and trials share the stage.
        first = weight if weight in (0.0, LEARNED) else 1.0
        head = warm_up_stage(auxiliary=first, auxiliary_images=images)
        return [head, body_stage(hp, auxiliary=weight, auxiliary_images=images)]
