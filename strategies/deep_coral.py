"""Features whose covariances are the same in both domains.

Of the pooled features, with a weight that rises; in the paper of the last layer, with a constant one.
"""

from __future__ import annotations

from strategies.adapting import Aligning


class DeepCoral(Aligning):
    name = "deep_coral"
    summary = "Gives features of both domains one covariance: simple and stable, for moderate shifts."
    when = "Images of the target without labels, that differ moderately: in colours, contrast, style."
    cost = "Up to twice as much as source_only: each batch has as many images of the target."
    reference = "Sun & Saenko 2016, Deep CORAL, arXiv:1607.01719"
    align = "coral"
    align_weight = 100.0
