"""Prototypical networks: every training batch is a small problem of new classes, solved by the nearest mean."""

from __future__ import annotations

from typing import Any

from strategies.metric import MetricLearning


class Prototypical(MetricLearning):
    name = "prototypical"
    summary = "An embedding trained on many small problems. New classes are the means of a few images each."
    when = "New classes keep coming with a few labels each, and there are many labelled images of others."
    cost = "Training on the other classes once. A new class then costs nothing."
    reference = "Snell et al. 2017, Prototypical networks for few-shot learning, arXiv:1703.05175"

    def loss(self, hp: Any) -> str:
        return "prototypical"
