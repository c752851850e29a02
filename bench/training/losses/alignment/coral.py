"""The same covariances in both domains."""

from __future__ import annotations

from typing import Any

from keras import ops

from bench.training.losses.alignment.base import Alignment


def coral(source: Any, target: Any) -> Any:
    """Squared distance of covariances over 4 D^2 (Deep CORAL, Sun & Saenko 2016, arXiv:1607.01719, eq. 1).

    Otherwise than in the paper, where it acts on the last layer's outputs with a constant weight, it acts here on
    the pooled features, and its weight rises as DANN's does (``strength``).
    """
    width = source.shape[-1]
    return ops.sum(ops.square(_covariance(source) - _covariance(target))) / (4 * width**2)


def _covariance(features: Any) -> Any:
    centred = features - ops.mean(features, axis=0, keepdims=True)
    count = ops.cast(ops.shape(features)[0], features.dtype)
    return ops.matmul(ops.transpose(centred), centred) / (count - 1)


def made() -> Alignment:
    return Alignment(coral)
