"""The same distributions in both domains, by kernels."""

from __future__ import annotations

from typing import Any

from keras import ops

from bench.training.losses.alignment.base import Alignment

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the kernels of ``mmd``, as multiples of the median squared distance."""


def mmd(source: Any, target: Any) -> Any:
    """Squared maximum mean discrepancy, unbiased, with a mean of Gaussian kernels of several widths.

    Gretton et al. 2012, A kernel two-sample test, lemma 6; several widths as in Long et al. 2015, Learning
    transferable features with deep adaptation networks, arXiv:1502.02791. The widths follow the data and are
    not differentiated.
    """
    both = ops.concatenate([source, target], axis=0)
    squares = ops.sum(ops.square(both), axis=1, keepdims=True)
    distances = ops.maximum(squares + ops.transpose(squares) - 2 * ops.matmul(both, ops.transpose(both)), 0.0)
    scale = ops.stop_gradient(ops.median(distances)) + 1e-6
    kernel = sum(ops.exp(-distances / (scale * width)) for width in BANDWIDTHS) / len(BANDWIDTHS)
    n, m = ops.shape(source)[0], ops.shape(target)[0]
    a, b = ops.cast(n, both.dtype), ops.cast(m, both.dtype)
    # The diagonals are ones.
    within_source = (ops.sum(kernel[:n, :n]) - a) / (a * (a - 1))
    within_target = (ops.sum(kernel[n:, n:]) - b) / (b * (b - 1))
    return within_source + within_target - 2 * ops.mean(kernel[:n, n:])


def made() -> Alignment:
    return Alignment(mmd)
