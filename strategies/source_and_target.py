"""The labels of both domains together: what aligning them has to beat where the target has labels."""

from __future__ import annotations

from strategies.adapting import Adapting


class SourceAndTarget(Adapting):
    name = "source_and_target"
    summary = "Full fine-tuning on the labels of source and target together, nothing aligned."
    when = "There are labels of the target: aligning strategies learn from them too, and have to beat this."
    cost = "Like full fine-tuning, on the images of both."
    reference = "Daumé III 2007, Frustratingly easy domain adaptation (its ALL), arXiv:0907.1815"
    needs_labels = True
    counterpart = ""
