"""``bench check``: what is known of a dataset before anything is spent on it, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.datasets import Dataset
from bench.datasets.entry import full_findings
from bench.datasets.findings import fractions_too_small
from bench.modalities.findings import EXAMPLES, Finding, by_importance
from bench.plans.plan import Plan
from bench.plans.protocol import protocol


def check(dataset: Dataset, plan: Plan) -> dict[str, Any]:
    """Audits a dataset of a plan, as JSON, see ``docs/howto/check-the-data.md``."""
    found, summary = full_findings(dataset)
    pool = dataset.pool
    plan = protocol(plan.protocol).fitted(plan, [dataset])
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
    found = by_importance(found)
    return {
        "dataset": dataset.spec,
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        **asdict(dataset.input),
        "fractions": plan.fractions,
        "images": summary,
        "classes": _classes(dataset),
        "pool": len(dataset.pool.ids),
        "test": len(dataset.test.ids),
        "task": dataset.task.name,
        "groups": None if (counts := dataset.group_counts) is None else asdict(counts),
        "findings": [asdict(finding) for finding in found],
        "snippets": _snippets(dataset, found),
    }


def _snippets(dataset: Dataset, found: Sequence[Finding]) -> dict[str, str]:
    """How the first examples of each finding begin, by id, where they say something in words."""
    cases = [item for finding in found for item in finding.items[:EXAMPLES]]
    wanted = {id for item in cases for id in item.get("ids", [item.get("id")])}
    parts = (dataset.pool, dataset.test)
    begun = {
        id: dataset.kind.snippet(row)
        for part in parts
        for id, row in zip(part.ids, part.data, strict=True)
        if id in wanted
    }
    return {id: text for id, text in begun.items() if text}


def _classes(dataset: Dataset) -> list[dict[str, Any]]:
    pool, test = dataset.class_counts(dataset.pool), dataset.class_counts(dataset.test)
    return [
        {"class": name, "pool": int(pool[c]), "test": int(test[c])}
        for c, name in enumerate(dataset.class_names)
    ]
