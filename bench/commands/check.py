"""``bench check``: what is known of a dataset before anything is spent on it, as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from bench.datasets import Dataset
from bench.datasets.entry import full_findings
from bench.datasets.findings import fractions_too_small
from bench.modalities.findings import by_importance
from bench.plans.plan import Plan


def check(dataset: Dataset, plan: Plan) -> dict[str, Any]:
    """Audits a dataset of a plan, as JSON, see ``docs/howto/check-the-data.md``."""
    found, summary = full_findings(dataset)
    pool = dataset.pool
    if not any(finding.level == "refused" for finding in found):
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
        "groups": None if (counts := dataset.group_counts) is None else asdict(counts),
        "findings": [asdict(finding) for finding in by_importance(found)],
    }


def _classes(dataset: Dataset) -> list[dict[str, Any]]:
    of_class = len(dataset.class_names)
    pool, test = (np.bincount(part.labels, minlength=of_class) for part in (dataset.pool, dataset.test))
    return [
        {"class": name, "pool": int(pool[c]), "test": int(test[c])}
        for c, name in enumerate(dataset.class_names)
    ]
