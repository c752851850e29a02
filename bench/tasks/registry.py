"""The kinds of labels by name, and which of them an array of labels is."""

from __future__ import annotations

import numpy as np

from bench.records import SINGLE_LABEL
from bench.tasks.base import TaskKind
from bench.tasks.multi_label import MultiLabel
from bench.tasks.single_label import SingleLabel

TASKS: dict[str, TaskKind] = {kind.name: kind for kind in (SingleLabel(), MultiLabel())}
"""By the value of a plan's ``task``."""


def task_of(labels: np.ndarray) -> TaskKind:
    """Of labels (N,) one class each, of labels (N, classes) any number of them."""
    return TASKS[MultiLabel.name if labels.ndim == 2 else SINGLE_LABEL]
