"""The source alone: what adaptation has to beat."""

from __future__ import annotations

from strategies.adapting import Adapting


class SourceOnly(Adapting):
    name = "source_only"
    summary = "Full fine-tuning on the source, nothing adapted: what domain adaptation has to beat."
    when = "To see what the target loses by learning from other images: the lower bound of all adaptation."
    cost = "Like full fine-tuning, on the source's images."
    reference = "Ganin et al. 2016 (its lower bound), arXiv:1505.07818"
    data = "source"
    counterpart = ""
