"""Features whose distributions are the same in both domains."""

from __future__ import annotations

from strategies.adapting import Aligning


class MeanDiscrepancy(Aligning):
    name = "mmd"
    summary = "Gives features of both domains one distribution, measured by kernels: more than covariances."
    when = "Like deep_coral, where the difference is more than one of covariances."
    cost = "Like deep_coral."
    reference = "Long et al. 2015, Deep adaptation networks, arXiv:1502.02791"
    align = "mmd"
    align_weight = 20.0
