"""``bench check``: what is known of a dataset before anything is spent on it, as plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from bench.datasets import Dataset, open_dataset
from bench.datasets.entry import full_findings
from bench.datasets.findings import fractions_too_small
from bench.modalities.findings import by_importance
from bench.plans.plan import Plan


def check(plan: Plan, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Audits the first dataset of a plan.

    Args:
        plan: names the dataset, how its examples become inputs, and the fractions.
        say: called with what is being done, when that takes long.

    Returns:
        JSON-able; see README.

    Raises:
        RequestError: no benchmark can be made of the dataset.
        BenchError: the cache cannot be used, or a download failed.
    """
    dataset = open_dataset(plan.datasets[0], vars(plan), progress=say)
    found, summary = full_findings(dataset)
    pool = dataset.pool
    found += fractions_too_small(
        pool.labels,
        pool.groups,
        plan.fractions,
        plan.seeds,
        dataset.fingerprint,
        dataset.class_names,
        dataset.kind.noun,
    )
    return {
        "dataset": dataset.spec,
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        **asdict(dataset.input),
        "fractions": plan.fractions,
        "images": summary,
        "classes": _classes(dataset),
        "findings": [asdict(finding) for finding in by_importance(found)],
    }


def _classes(dataset: Dataset) -> list[dict[str, Any]]:
    of_class = len(dataset.class_names)
    pool, test = (np.bincount(part.labels, minlength=of_class) for part in (dataset.pool, dataset.test))
    return [
        {"class": name, "pool": int(pool[c]), "test": int(test[c])}
        for c, name in enumerate(dataset.class_names)
    ]
