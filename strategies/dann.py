"""Features from which a classifier cannot tell the domains apart."""

from __future__ import annotations

from strategies.adapting import Aligning


class DomainAdversarial(Aligning):
    name = "dann"
    summary = (
        "Learns features that hide which domain an image is of, by reversed gradients: for large shifts."
    )
    when = "Images of the target without labels, that differ much, and enough of them for an adversary."
    cost = "Like deep_coral."
    reference = "Ganin et al. 2016, Domain-adversarial training of neural networks, arXiv:1505.07818"
    align = "dann"
    align_weight = 1.0
