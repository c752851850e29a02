"""Losses that bring examples of one class together and keep others apart. All in ``keras.ops``: for any backend.

``features`` are (examples, classes, D): of each class as many examples, two at least.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

TRIPLET_MARGIN = 0.2
CONTRASTIVE_MARGIN = 1.0
"""Of a distance between vectors of length one, which is 2 at most."""
BATCH_EXAMPLES = 4
"""Of each class in a training batch."""
SUPPORT = 1
"""Examples of each class in a training batch that make its prototype; the others are classified."""


def squared_distances(x: Any, y: Any) -> Any:
    """Squared Euclidean distances (N, M) of x (N, D) and y (M, D)."""
    lengths = ops.sum(ops.square(x), axis=1, keepdims=True), ops.sum(ops.square(y), axis=1)
    return ops.maximum(lengths[0] + lengths[1] - 2 * ops.matmul(x, ops.transpose(y)), 0.0)


def prototypical(features: Any) -> Any:
    """Cross-entropy of the nearest prototype, the mean of a class's support (Snell et al. 2017,
    arXiv:1703.05175, eq. 1 and 2); each example of a class is support in turn: more small problems of one batch."""
    examples = features.shape[0]
    return sum(_nearest_prototype(ops.roll(features, i, axis=0)) for i in range(examples)) / examples


def _nearest_prototype(features: Any) -> Any:
    logits = prototype_logits(features)
    right = ops.tile(ops.eye(logits.shape[-1], dtype=logits.dtype), (features.shape[0] - SUPPORT, 1))
    return ops.mean(ops.logsumexp(logits, axis=1) - ops.sum(logits * right, axis=1))


def prototype_logits(features: Any) -> Any:
    """Minus the squared distances of all examples that are no support to the prototypes, (queries, classes).

    The class of query i is i modulo the number of classes.
    """
    prototypes = ops.mean(features[:SUPPORT], axis=0)
    return -squared_distances(ops.reshape(features[SUPPORT:], (-1, features.shape[-1])), prototypes)


def contrastive(features: Any) -> Any:
    """Half the squared distance of pairs of one class, and of other pairs half the squared distance that they lack
    of a margin (Hadsell et al. 2006, doi:10.1109/CVPR.2006.100, eq. 4).

    Pairs of one class are few, so both kinds weigh the same.
    """
    squared, same, other = _pairs(features)
    lacking = ops.maximum(CONTRASTIVE_MARGIN - ops.sqrt(squared + 1e-12), 0.0)
    together = ops.sum(squared * same) / ops.sum(same)
    apart = ops.sum(ops.square(lacking) * other) / ops.sum(other)
    return (together + apart) / 2


def triplet(features: Any) -> Any:
    """How much nearer than another class, by a margin, one's own class should be; in squared distances (Schroff et
    al. 2015, FaceNet, arXiv:1503.03832, eq. 3), over all triplets that are not yet right (Hermans et al. 2017,
    arXiv:1703.07737, "batch all", mean of those above zero)."""
    squared, _, other = _pairs(features)
    examples, classes = features.shape[:2]
    count = examples * classes
    # Of each anchor the distances to its own class, one an example; the rest of a row is of other classes.
    of_class = ops.reshape(squared, (count, examples, classes)) * ops.tile(
        ops.expand_dims(ops.eye(classes, dtype=squared.dtype), 1), (examples, 1, 1)
    )
    positive = ops.expand_dims(ops.sum(of_class, axis=2), 2)
    itself = ops.reshape(ops.tile(ops.expand_dims(ops.eye(examples, dtype=squared.dtype), 1), (1, classes, 1)),
                         (count, examples, 1))  # fmt: skip
    violated = ops.maximum(positive - ops.expand_dims(squared, 1) + TRIPLET_MARGIN, 0.0)
    violated = violated * (1 - itself) * ops.expand_dims(other, 1)
    active = ops.sum(ops.cast(violated > 0, violated.dtype))
    return ops.sum(violated) / ops.maximum(active, 1.0)


def _pairs(features: Any) -> tuple[Any, Any, Any]:
    """Squared distances of all examples, and which pairs are of one class and of two, (N, N) each."""
    examples, classes, width = features.shape
    rows = ops.reshape(features, (examples * classes, width))
    of_class = ops.tile(ops.eye(classes, dtype=features.dtype), (examples, examples))
    return (
        squared_distances(rows, rows),
        of_class - ops.eye(examples * classes, dtype=features.dtype),
        1 - of_class,
    )


LOSSES: dict[str, Callable[[Any], Any]] = {
    "prototypical": prototypical,
    "contrastive": contrastive,
    "triplet": triplet,
}
"""By name; the last two are of vectors of length one."""
ON_SPHERE = ("contrastive", "triplet")


class Unit(keras.layers.Layer):
    """Vectors (N, D) of length one."""

    def call(self, features: Any) -> Any:
        return ops.normalize(features, axis=-1, epsilon=1e-6)
