"""Siamese networks: the same or not the same? One network looks at both examples; distances answer."""

from __future__ import annotations

from typing import Any

from strategies.base import Limit, Limits
from strategies.metric import MetricLearning


class Siamese(MetricLearning):
    name = "siamese"
    summary = "An embedding trained on pairs or triplets of images: the same class near, others apart."
    when = "The same or not the same is the question, or new classes come with a few labels each."
    cost = "Training on the other classes once. A new class then costs nothing."
    reference = "Bromley et al. 1993; Hadsell et al. 2006 (contrastive); Schroff et al. 2015 (triplet)"
    limits = Limits(MetricLearning.limits, sharpness=Limit(1e-3, 1e3))

    def space(self, hp: Any) -> None:
        super().space(hp)
        hp.Choice("loss", ["triplet", "contrastive"], default="triplet")
        hp.Choice("sharpness", [3.0, 10.0, 30.0], default=10.0)

    def few_shot_space(self, hp: Any) -> None:
        super().few_shot_space(hp)
        hp.Choice("loss", ["triplet", "contrastive"], default="triplet")

    def loss(self, hp: Any) -> str:
        return str(hp.get("loss"))

    def sharpness(self, hp: Any) -> float:
        # What is nearest does not depend on it: without probabilities it is not searched.
        return float(hp.values.get("sharpness", 10.0))
