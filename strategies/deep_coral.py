"""Features whose covariances are the same in both domains."""

from __future__ import annotations

from strategies.adapting import Aligning


class DeepCoral(Aligning):
    name = "deep_coral"
    summary = "Gives features of both domains one covariance: simple and stable, for moderate shifts."
    reference = "Sun & Saenko 2016, Deep CORAL, arXiv:1607.01719"
    align = "coral"
    align_weight = 10.0
