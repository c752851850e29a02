"""The source's network, whose batch normalisation sees the target as it has seen the source.

In the paper statistics of the source train, and those of the target replace them. Here they are frozen in training,
as in all fine-tuning, and so neither's: they are moved by what the domains differ in. Replaced, they would do harm.
"""

from __future__ import annotations

from typing import Any

from strategies.adapting import Adapting
from strategies.base import Info, Stage


class AdaptiveBatchNorm(Adapting):
    name = "adabn"
    summary = "Like source_only. Batch normalisation then adapts to the statistics of the target: cheap."
    when = "First of all when images look different and have no labels: there is nothing to set."
    cost = "Like source_only, plus one pass over the target's images."
    reference = "Li et al. 2016, Revisiting batch normalization (AdaBN), arXiv:1603.04779"
    version = 3
    data = "source"
    counterpart = "source_only"

    def skip(self, info: Info) -> str | None:
        none = "the backbone has no batch normalisation"
        return super().skip(info) or (None if info.has_batch_norm else none)

    def body(self, hp: Any, **changes: Any) -> Stage:
        return super().body(hp, statistics="target", **changes)
