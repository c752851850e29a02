"""Source images redrawn in the target's style."""

from __future__ import annotations

from functools import partial
from typing import Any

from strategies.adapting import Adapting
from strategies.base import Fitted, Task


class CycleGan(Adapting):
    name = "cycle_gan"
    summary = (
        "Source images are translated to the target's style by a small GAN and added to training: expensive."
    )
    when = "Images differ in style and not in content, and a look at the translations is wanted."
    cost = "The most expensive: a GAN is trained first, then source_only on twice as many images."
    reference = "Zhu et al. 2017, CycleGAN, arXiv:1703.10593; Hoffman et al. 2018, CyCADA, arXiv:1711.03213"
    version = 3
    modalities = frozenset({"image"})

    def fit(self, task: Task, hp: Any) -> Fitted:
        return task.fit_translated(partial(super().fit, hp=hp))
