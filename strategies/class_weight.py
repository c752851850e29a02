"""How much each class weighs in training."""

from __future__ import annotations

import numpy as np


def balanced(*labels: np.ndarray) -> np.ndarray:
    """Weights of classes under which all that occur count the same, and an example 1 on average.

    For one set of labels the weight is n / (classes that occur * labels of the class): King & Zeng 2001, Logistic
    regression in rare events data, doi:10.1093/oxfordjournals.pan.a004868. Training draws from several sets equally
    often, so the share of a class is then the mean of its shares in each.

    Args:
        labels: of each set, (N,) class indices; at least one label in all.

    Returns:
        float64, (highest class + 1,); 1 for a class that does not occur.
    """
    sets = [some for some in labels if len(some)]
    classes = max(int(some.max()) for some in sets) + 1
    share = np.mean([np.bincount(some, minlength=classes) / len(some) for some in sets], axis=0)
    occurs = share > 0
    return np.divide(1.0, occurs.sum() * share, out=np.ones(classes), where=occurs)
