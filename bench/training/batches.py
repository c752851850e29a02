"""The batches of a stage: so many examples of each domain, and those with auxiliary labels alone behind them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from bench.modalities.base import Tensor
from bench.system.seeds import generator
from bench.training.context import Context
from bench.training.examples import Inputs, PartExamples
from bench.training.losses.multitask import AuxiliaryLabels, Beside
from strategies.base import Stage


class Batches:
    """The training batches of a stage, in an order of their own.

    Args:
        context: of the fit.
        stage: which.
        index: its place in the schedule.
        labelled: the labelled examples that it trains on, of one domain or of two.
        auxiliary: the tasks that it learns beside.
        size: labelled examples of a batch.

    Attributes:
        inputs: of all training examples, numbered one set after the other, the labelled ones first.
        labelled: how many of them are labelled.
        whole: examples of a batch, all of them.
        prefix_seconds: that their prefixes cost.
    """

    def __init__(
        self,
        context: Context,
        stage: Stage,
        index: int,
        labelled: Sequence[PartExamples],
        auxiliary: Sequence[AuxiliaryLabels],
        size: int,
    ) -> None:
        aligned = [context.target] if stage.align != "none" else []
        parts = [*labelled, *aligned]
        shares = [size] if len(labelled) == 1 else [size - size // 2, size // 2]
        counts = [*shares, *(size for _ in aligned)]
        self._beside, spent = _beside(context, stage, index, auxiliary, size)
        found = [context.inputs(stage, part, augmented=True) for part in parts]
        self.inputs = joined([inputs for inputs, _ in found], [len(part) for part in parts])
        self.labelled = sum(map(len, labelled))
        self.whole = sum(counts) + (size * len(self._beside.parts) if self._beside else 0)
        self.prefix_seconds = spent + sum(seconds for _, seconds in found)
        known = np.concatenate([*(part.labels for part in labelled), *(np.full(len(t), -1) for t in aligned)])
        self._known = np.column_stack([known, *(task.of_train for task in auxiliary)]) if auxiliary else known
        self._rng = generator(context.seed, "training", index, context.searches)
        self._order = _Orders([len(part) for part in parts], counts, self._rng)

    def draw(self, steps: int) -> tuple[list[np.ndarray], np.ndarray]:
        """The tensors and the labels of the next batches, (steps, batch, ...) each; -1 where there is no label."""
        rows = np.concatenate([self._order.next() for _ in range(steps)])
        tensors = [x.reshape(steps, -1, *x.shape[1:]) for x in self.inputs(rows, self._rng)]
        labels = self._known[rows].reshape(steps, -1, *self._known.shape[1:])
        return self._beside.added(tensors, labels, steps) if self._beside else (tensors, labels)


def _beside(
    context: Context, stage: Stage, index: int, auxiliary: Sequence[AuxiliaryLabels], size: int
) -> tuple[Beside | None, float]:
    """What adds examples with auxiliary labels alone to batches, if there are any; seconds of their prefixes."""
    parts, spent = [], 0.0
    for place, task in enumerate(auxiliary):
        examples = task.beside(stage.auxiliary_images)
        if examples is None:
            continue
        inputs, seconds = context.inputs(stage, examples, augmented=True)
        known = np.full((len(examples), 1 + len(auxiliary)), -1, np.int64)
        known[:, 1 + place] = examples.labels
        rng = generator(context.seed, "auxiliary", index, place, context.searches)
        parts.append((inputs, known, _Order(len(examples), rng).next))
        spent += seconds
    rng = generator(context.seed, "auxiliary", index, context.searches)
    return (Beside(parts, size, rng) if parts else None), spent


def blanks(tensors: Collection[Tensor], count: int, lengths: Sequence[int] = ()) -> list[np.ndarray]:
    """Examples of which only the shape matters.

    Args:
        tensors: of one example.
        count: examples.
        lengths: the first of them is that of ragged axes; empty: they are as long as they may be.
    """
    shapes = [
        (*lengths[:1], *tensor.shape[1:]) if tensor.is_ragged and lengths else tensor.shape
        for tensor in tensors
    ]
    return [np.zeros((count, *shape), tensor.dtype) for shape, tensor in zip(shapes, tensors, strict=True)]


def joined(parts: Sequence[Inputs], counts: Sequence[int]) -> Inputs:
    """The inputs of several sets of examples, numbered one set after the other, as those of one.

    Args:
        parts: of each set.
        counts: examples of each.
    """
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *counts])

    def batch(index: np.ndarray, rng: np.random.Generator | None) -> list[np.ndarray]:
        result: list[np.ndarray] = []
        for inputs, start, end in zip(parts, starts[:-1], starts[1:], strict=True):
            here = np.flatnonzero((index >= start) & (index < end))
            if not len(here):
                continue
            tensors = inputs(index[here] - start, rng)
            if not result:
                result = [np.empty((len(index), *tensor.shape[1:]), tensor.dtype) for tensor in tensors]
            for whole, tensor in zip(result, tensors, strict=True):
                whole[here] = tensor
        return result

    return batch


class _Orders:
    """Batches of row numbers: so many of each of several sets of examples, which are numbered one after the other.

    Args:
        sizes: of the sets.
        counts: rows of each in a batch.
        rng: of all their orders.
    """

    def __init__(self, sizes: Sequence[int], counts: Sequence[int], rng: np.random.Generator) -> None:
        self.orders = [_Order(size, rng) for size in sizes]
        self.starts = np.cumsum([0, *sizes[:-1]])
        self.counts = counts

    def next(self) -> np.ndarray:
        each = zip(self.orders, self.starts, self.counts, strict=True)
        return np.concatenate([start + order.next(count) for order, start, count in each])


class _Order:
    """An endless sequence of row numbers, permutation after permutation, handed out in full batches."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self.count, self.rng = count, rng
        self.queue = np.empty(0, np.int64)

    def next(self, size: int) -> np.ndarray:
        while len(self.queue) < size:
            self.queue = np.concatenate([self.queue, self.rng.permutation(self.count)])
        rows, self.queue = self.queue[:size], self.queue[size:]
        return rows
