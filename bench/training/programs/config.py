"""What a compiled network is made of: its head, what of it trains, and how its weights are named."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.records import SINGLE_LABEL
from strategies.base import Stage

State = dict[str, np.ndarray]
"""Weights by place: ``"12:0"`` is weight 0 of the backbone's layer 12, ``"head_logits:0"`` one of the head."""

NEW = ("head_", "lora_", "domain_", "auxiliary_")
"""How the names of layers begin that no backbone has."""
APART = ("domain_", "auxiliary_")
"""How the names of those begin that are no part of the classifier."""
LOG_VARIANCES = "auxiliary_log_variances:0"


@dataclass(frozen=True)
class HeadConfig:
    """The head: pooling ``avg`` or ``max``, hidden units (0: none), dropout rate, classes, and its ``TaskKind``."""

    pooling: str
    hidden_units: int
    dropout: float
    classes: int
    task: str = SINGLE_LABEL


@dataclass(frozen=True)
class Trained:
    """What of a network above a cut trains: all that changes the graph of a training step; see ``Stage``."""

    batch_norm: bool = False
    blocks: int = 0
    only: str = "all"
    anchored: bool = False
    """Whether weight decay pulls towards the start of the stage."""
    rank: int = 0
    align: str = "none"
    mixed: bool = False
    """Whether half of the labelled examples of an aligned batch are of the target."""
    auxiliary: tuple[int, ...] = ()
    """The classes of each auxiliary task."""
    learned: bool = False
    """Whether the weights of their losses are learned."""
    embedding_loss: str = ""
    """The loss of ``losses.metric_losses`` if there is no classifier: outputs are features then, and a
    batch is one example of each class after the other."""
    weighted: bool = False
    """Whether one-hot labels of the target come multiplied by the weights of their classes."""

    @classmethod
    def of(
        cls, stage: Stage, mixed: bool = False, auxiliary: tuple[int, ...] = (), weighted: bool = False
    ) -> Trained:
        return cls(
            stage.batch_norm == "trained",
            stage.blocks,
            stage.only,
            stage.decay_to == "start",
            stage.rank,
            stage.align,
            mixed and stage.align != "none",
            auxiliary,
            bool(auxiliary) and stage.auxiliary == "learned",
            weighted=weighted,
        )
