"""How long a stage trains: in optimizer steps where labels are few, in passes over them where there are many.

With few labels an epoch is a handful of steps: the epochs that suit many labels then train next to nothing.
Published practice counts steps instead: at least 500 however small the data (BiT, Kolesnikov et al. 2020,
arXiv:1912.11370), 2,500 for 1,000 labels (VTAB, Zhai et al. 2019, arXiv:1910.04867).
"""

from __future__ import annotations

import math

from strategies.base import Stage

MINIMUM_BATCH = 16
STEPS_AN_EPOCH = 64
"""With few labels the batch shrinks, down to MINIMUM_BATCH, until an epoch has this many steps: what a step learns
from 16 images is worth as much as from 32, and costs half."""
MINIMUM_HEAD_BATCH = 8
HEAD_STEPS_AN_EPOCH = 16
HEAD_BATCH = 128
LEAST_OF_TWO = 4
"""Labelled examples of a batch that holds two domains, at least: what aligns them needs two of each."""


def batch_size_of(stage: Stage, n: int, most: int, n_source: int = 0) -> int:
    """Labelled examples of a batch of a stage, the same in search and refit, so that nothing is traced again.

    Args:
        stage: which.
        n: labelled examples of the cell.
        most: the plan's ``batch_size``.
        n_source: labelled examples of the source.
    """
    labels = int(0.8 * {"target": n, "source": n_source, "both": n + n_source}[stage.data])
    if stage.cut == "top":
        size = 2 ** math.floor(math.log2(max(labels / HEAD_STEPS_AN_EPOCH, 1)))
        return max(MINIMUM_HEAD_BATCH, min(size, HEAD_BATCH))
    least = min(MINIMUM_BATCH, most)
    return max(
        least if stage.data == "target" else max(least, LEAST_OF_TWO), min(most, labels // STEPS_AN_EPOCH)
    )


def epochs_of(stage: Stage, labels: int, batch_size: int, epochs: int, length: float = 1.0) -> int:
    """How many times a stage passes over the examples that it trains on, at least once.

    Enough for its least ``steps``; with many labels as many ``epochs`` as the plan and the stage allow.

    Args:
        stage: which.
        labels: labelled examples that it trains on.
        batch_size: labelled examples of a batch.
        epochs: the plan's.
        length: the share of this to train; 2 trains twice as long.
    """
    allowed = epochs if stage.epochs is None else min(epochs, stage.epochs)
    enough = math.ceil(stage.steps / steps_an_epoch(labels, batch_size))
    return max(1, round(length * max(allowed, enough)))


def decay_of(stage: Stage, steps: int) -> float:
    """The weight decay of a stage that takes so many steps: in longer trainings each step takes off less.

    All steps together then pull as hard as the stage's own ``steps`` would, so that more labels, epochs or length
    do not shrink what is learned (normalised as in Loshchilov & Hutter 2019, arXiv:1711.05101, appendix B). A head
    alone trains until it has converged to where its weight decay leads, so there it stays as it is.

    Args:
        stage: which.
        steps: of the optimizer, in all.
    """
    longer = stage.cut != "top" and steps > stage.steps > 0
    return stage.weight_decay * stage.steps / steps if longer else stage.weight_decay


def steps_an_epoch(labels: int, batch_size: int) -> int:
    """Optimizer steps of one pass over ``labels`` examples in batches of ``batch_size``."""
    return max(1, math.ceil(labels / batch_size))
