"""How alike two representations of the same examples are."""

from __future__ import annotations

import numpy as np


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear centred kernel alignment (Kornblith et al. 2019, arXiv:1905.00414), without its bias.

    The usual estimate is near 1 for any two representations with more dimensions than there are examples; this
    one uses the unbiased estimate of HSIC (Song et al. 2012, Feature selection via dependence maximization,
    equation 5), so that independent ones give 0 on average.

    Args:
        x, y: features (N, D) and (N, E) of the same N > 3 examples.

    Returns:
        1 for the same up to rotation, scale and offset; nan if one is constant.
    """
    kernels = []
    for features in (x, y):
        centred = features.astype(np.float64) - features.mean(axis=0)
        kernel = centred @ centred.T
        np.fill_diagonal(kernel, 0.0)
        kernels.append(kernel)
    k, m = kernels
    norm = np.sqrt(max(_hsic(k, k), 0.0) * max(_hsic(m, m), 0.0))
    return float(_hsic(k, m) / norm) if norm > 0 else float("nan")


def _hsic(k: np.ndarray, m: np.ndarray) -> float:
    """From kernels (N, N) whose diagonals are zero."""
    n = len(k)
    sums = k.sum(axis=0), m.sum(axis=0)
    value = (k * m).sum() + sums[0].sum() * sums[1].sum() / ((n - 1) * (n - 2))
    return float((value - 2 / (n - 2) * (sums[0] @ sums[1])) / (n * (n - 3)))
